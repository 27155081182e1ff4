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

use tokio::net::TcpSocket;

/// Longest wait for anything; a loaded machine needs a small part of it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A port of 127.0.0.1 that the system gives to nobody else as long as this lives. A process that is told of it may listen
/// there, as often as it likes, if it sets `SO_REUSEADDR`, as servers do; before that connections are refused.
pub struct ReservedPort {
    pub number: u16,
    _bound: TcpSocket,
}

impl ReservedPort {
    pub fn new() -> Self {
        let bound = TcpSocket::new_v4().unwrap();
        bound.set_reuseaddr(true).unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            number: bound.local_addr().unwrap().port(),
            _bound: bound,
        }
    }
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
