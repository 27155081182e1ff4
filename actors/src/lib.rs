//! The children of the supervision tree.
