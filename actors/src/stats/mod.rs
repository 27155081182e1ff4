mod registry; pub use registry::{Counter, Registry, ThreadCounter};
