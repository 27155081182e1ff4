//! What this machine does best, found by measuring it.
//!
//! | file | what it is |
//! |---|---|
//! | `measure` | what a kernel takes at best, and the core's clock |

pub mod measure;
