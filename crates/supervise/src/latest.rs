//! A cell that holds the latest value.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// A shared cell in which the latest value wins.
///
/// For bulk data that supersedes itself (templates, tips): a slow reader skips values instead of queueing them.
/// Clones share the cell. It belongs to nobody's incarnation, so neither writers nor readers notice each other's
/// restarts. Reading and writing work from any thread.
pub struct Latest<T> {
    cell: Arc<watch::Sender<T>>,
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latest").field(&*self.cell.borrow()).finish()
    }
}

impl<T: Default> Default for Latest<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Latest<T> {
    /// A cell with its first value.
    pub fn new(value: T) -> Self {
        Self {
            cell: Arc::new(watch::Sender::new(value)),
        }
    }

    /// Replaces the value and wakes who watches.
    pub fn set(&self, value: T) {
        self.cell.send_replace(value);
    }

    /// Replaces the value if it differs; says whether it did.
    pub fn set_if_changed(&self, value: T) -> bool
    where
        T: PartialEq,
    {
        self.cell.send_if_modified(|current| {
            let differs = *current != value;
            if differs {
                *current = value;
            }
            differs
        })
    }

    /// Looks at the value; do not wait for anything inside.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.cell.borrow())
    }

    /// A copy of the value.
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.cell.borrow().clone()
    }

    /// Watches for values set from now on.
    pub fn watch(&self) -> Watch<T> {
        Watch {
            changes: self.cell.subscribe(),
            _cell: Arc::clone(&self.cell),
        }
    }
}

/// Waits for a [`Latest`] to change.
pub struct Watch<T> {
    changes: watch::Receiver<T>,
    /// Keeps the cell open, so that waiting never fails.
    _cell: Arc<watch::Sender<T>>,
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl<T> Watch<T> {
    /// Waits until there is a value that this watch has not seen; returns it.
    pub async fn changed(&mut self) -> T
    where
        T: Clone,
    {
        if self.changes.changed().await.is_err() {
            // Cannot happen: this watch holds the cell open.
            std::future::pending::<()>().await;
        }
        self.changes.borrow_and_update().clone()
    }

    /// Whether there is a value that this watch has not seen.
    pub fn has_changed(&self) -> bool {
        self.changes.has_changed().unwrap_or(false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_watcher_sees_the_latest_value_only() {
        let cell = Latest::new(0);
        let mut watch = cell.watch();
        assert!(!watch.has_changed());
        cell.set(1);
        cell.set(2);
        assert_eq!(watch.changed().await, 2);
        assert!(!watch.has_changed());
    }

    #[tokio::test]
    async fn a_watch_outlives_the_writer_and_hears_the_next_one() {
        let cell = Latest::new(0);
        let mut watch = cell.watch();
        let writer = cell.clone();
        drop(cell);
        let task = tokio::spawn(async move { watch.changed().await });
        writer.set(7);
        assert_eq!(task.await.unwrap(), 7);
    }

    #[test]
    fn an_equal_value_wakes_nobody() {
        let cell = Latest::new(1);
        let watch = cell.watch();
        assert!(!cell.set_if_changed(1));
        assert!(!watch.has_changed());
        assert!(cell.set_if_changed(2));
        assert!(watch.has_changed());
        assert_eq!(cell.with(|v| *v), 2);
    }
}
