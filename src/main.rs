//! The signalcore binary.
fn main() {}
