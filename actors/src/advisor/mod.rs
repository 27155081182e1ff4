//! The advisor: whose advice is asked before power is committed, and how.

mod settings;

pub use settings::{AdvisorSettings, Confinement, Mode};
