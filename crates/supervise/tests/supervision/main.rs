//! The guarantees of the crate, on real threads. One binary, since each guarantee needs the same actor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod failures;
mod hangs;
mod health;
mod held_up;
mod nesting;
mod panics;
mod probe;
mod refs;
mod release;
mod restarts;
mod start;
mod stop;
mod strategies;
