//! The api as its clients see it: over its real sockets, in a real tree, with parts of it broken.

#[path = "../support/mod.rs"]
mod support;

mod control;
mod http;
mod office;
