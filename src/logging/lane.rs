//! A queue in front of a writer that may stall: it has a bound, and what does not fit is counted instead
//! of waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Records that may wait.
const CAPACITY: usize = 4_096;
/// Time between two tries to hand over an order that must not be lost.
const RETRY: Duration = Duration::from_millis(5);

/// The side of those who must not wait.
#[derive(Debug)]
pub struct Lane<T> {
    sender: SyncSender<T>,
    dropped: AtomicU64,
}

impl<T> Lane<T> {
    /// A lane and the writer's side of it.
    pub fn new() -> (Self, Receiver<T>) {
        let (sender, receiver) = sync_channel(CAPACITY);
        let lane = Self {
            sender,
            dropped: AtomicU64::new(0),
        };
        (lane, receiver)
    }

    /// Hands over without waiting. False where it was dropped, and counted.
    pub fn offer(&self, item: T) -> bool {
        let taken = self.sender.try_send(item).is_ok();
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Hands over, waiting for room until `deadline`. False where there was none.
    pub fn order(&self, mut item: T, deadline: Instant) -> bool {
        loop {
            match self.sender.try_send(item) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => item = back,
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(RETRY);
        }
    }

    /// How many were dropped since this was asked last.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_nobody_waits_for_it() {
        let (lane, receiver) = Lane::new();
        for number in 0..CAPACITY + 7 {
            lane.offer(number);
        }
        assert_eq!(lane.take_dropped(), 7);
        assert_eq!(lane.take_dropped(), 0);
        assert_eq!(receiver.try_iter().count(), CAPACITY);
        assert!(lane.offer(0));
    }

    #[test]
    fn an_order_gives_up_at_its_deadline() {
        let (lane, receiver) = Lane::new();
        while lane.offer(0) {}
        assert!(!lane.order(1, Instant::now()));
        drop(receiver);
        assert!(!lane.order(1, Instant::now() + Duration::from_mins(1)));
    }
}
