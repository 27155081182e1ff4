//! A bounded channel whose ends survive restarts and which counts what it refused.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, mpsc};

/// Makes a channel for at most `capacity` values (at least 1).
///
/// Both ends are clonable and made outside of any child: a factory hands a clone to each incarnation, and what
/// waits in the channel when a consumer dies is received by its successor.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = mpsc::channel(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let sender = Sender {
        tx,
        dropped: Arc::clone(&dropped),
    };
    let receiver = Receiver {
        rx: Arc::new(Mutex::new(rx)),
        dropped,
    };
    (sender, receiver)
}

/// The sending end of [`bounded()`].
pub struct Sender<T> {
    tx: mpsc::Sender<T>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            tx: self.tx.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("waiting", &self.waiting())
            .field("dropped", &self.dropped())
            .finish()
    }
}

impl<T> Sender<T> {
    /// Puts a value in without waiting; works from any thread. A value that finds no room comes back and is counted.
    ///
    /// # Errors
    /// The value, if the channel is full or nobody can ever receive.
    pub fn try_send(&self, value: T) -> Result<(), T> {
        self.tx.try_send(value).map_err(|refused| {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            refused.into_inner()
        })
    }

    /// Puts a value in, waiting for room.
    ///
    /// # Errors
    /// The value, if nobody can ever receive; it is counted.
    pub async fn send(&self, value: T) -> Result<(), T> {
        self.tx.send(value).await.map_err(|refused| {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            refused.0
        })
    }

    /// How many values wait.
    pub fn waiting(&self) -> usize {
        self.tx.max_capacity() - self.tx.capacity()
    }

    /// How many values were refused, ever, by any clone.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The receiving end of [`bounded()`]. Clones share it; each value goes to one of them.
pub struct Receiver<T> {
    rx: Arc<Mutex<mpsc::Receiver<T>>>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            rx: Arc::clone(&self.rx),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// The next value; `None` when there is none and every sender is gone. Cancel-safe: dropping the wait loses nothing.
    pub async fn recv(&self) -> Option<T> {
        self.rx.lock().await.recv().await
    }

    /// The next value for a thread that may block; `None` as for [`recv`](Self::recv).
    ///
    /// # Panics
    /// If called within an asynchronous context.
    pub fn blocking_recv(&self) -> Option<T> {
        self.rx.blocking_lock().blocking_recv()
    }

    /// The next value if one waits and no other clone is receiving.
    pub fn try_recv(&self) -> Option<T> {
        self.rx.try_lock().ok()?.try_recv().ok()
    }

    /// How many values were refused for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_comes_back_and_is_counted() {
        let (tx, rx) = bounded(2);
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        assert_eq!(tx.clone().try_send(3), Err(3));
        assert_eq!((tx.waiting(), tx.dropped(), rx.dropped()), (2, 1, 1));
        assert_eq!(rx.recv().await, Some(1));
        tx.try_send(4).unwrap();
        assert_eq!(rx.recv().await, Some(2));
        assert_eq!(rx.try_recv(), Some(4));
        assert_eq!(rx.try_recv(), None);
        drop(tx);
        assert_eq!(rx.recv().await, None);
    }

    #[tokio::test]
    async fn the_successor_receives_what_its_predecessor_left() {
        let (tx, rx) = bounded(4);
        let first = rx.clone();
        tx.try_send(1).unwrap();
        tx.try_send(2).unwrap();
        assert_eq!(first.recv().await, Some(1));
        drop(first);
        assert_eq!(rx.recv().await, Some(2));
    }

    #[tokio::test]
    async fn nothing_is_lost_when_a_waiting_receiver_is_dropped() {
        let (tx, rx) = bounded(4);
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), rx.recv());
        assert!(waiting.await.is_err());
        tx.send(1).await.unwrap();
        assert_eq!(rx.recv().await, Some(1));
    }
}
