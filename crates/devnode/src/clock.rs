//! The node's clock, injected so that tests decide what time it is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the node reads the time of day from.
///
/// Only the consensus rules and the answers' time stamps use it; waits (long poll intervals, HTTP
/// time-outs) are measured by the runtime's monotonic clock.
pub trait Clock: Send + Sync + 'static {
    /// Seconds since the Unix epoch.
    fn now(&self) -> u32;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u32 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
            })
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(AtomicU32);

impl ManualClock {
    /// A clock that shows `now` (seconds since the Unix epoch).
    pub fn new(now: u32) -> Self {
        Self(AtomicU32::new(now))
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, now: u32) {
        self.0.store(now, Ordering::SeqCst);
    }

    /// Moves the time forward by `seconds`.
    pub fn advance(&self, seconds: u32) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}
