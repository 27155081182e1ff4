//! Publishing on the board in the name of an incarnation.

#[cfg(test)]
pub(crate) mod fixtures;

use supervise::GenerationGuard;
use tokio::sync::watch;

/// Writes to a cell that ask first whether the writer was given up.
///
/// The guard is asked under the cell's own lock. So a thread that hung, was given up and wakes up later never
/// overwrites what its successor has published.
pub trait Publish<T> {
    /// Replaces the value and wakes who watches. False, and nothing happens, for an incarnation that was given up.
    fn publish(&self, guard: &GenerationGuard, value: T) -> bool;

    /// Changes the value where `change` says that it did, and then wakes who watches. False, and `change` is not
    /// called, for an incarnation that was given up.
    fn publish_with(&self, guard: &GenerationGuard, change: impl FnOnce(&mut T) -> bool) -> bool;
}

impl<T> Publish<T> for watch::Sender<T> {
    fn publish(&self, guard: &GenerationGuard, value: T) -> bool {
        self.publish_with(guard, |current| {
            *current = value;
            true
        })
    }

    fn publish_with(&self, guard: &GenerationGuard, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut may = false;
        self.send_if_modified(|current| {
            may = guard.is_current();
            may && change(current)
        });
        may
    }
}
