//! What whole-program tests share: a node in a process of its own, the program in another, and
//! patience that waits for conditions instead of for luck.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::needless_pass_by_value
)]

pub mod account;
pub mod faults;
pub mod health;
pub mod manager;
pub mod node;
pub mod outages;
pub mod peers;
pub mod program;
pub mod scenarios;
pub mod several;
pub mod spend;
pub mod terminal;
pub mod tips;

use std::time::{Duration, Instant};

/// Longest wait for anything; a loaded machine needs a small part of it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A port nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until `look` finds what it looks for.
///
/// # Panics
/// When it has not after [`PATIENCE`]; `what` says what was waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
