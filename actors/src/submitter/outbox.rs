//! Where found blocks wait until they are safe on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::messages::Solution;

/// A queue that a solution leaves only when the submitter says that it is journalled.
///
/// [`Outbox::peek`] does not remove; [`Outbox::done`] does. A submitter that dies between the two
/// leaves the solution for its successor, so no crash of an actor and no full mailbox loses a block.
/// It is bounded by what mining can find: the miner stops scanning a job at its first solution.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<VecDeque<Arc<Solution>>>,
    latest: Mutex<Option<Arc<Solution>>>,
    pushed: Notify,
}

impl Outbox {
    /// Adds a solution and wakes the submitter. Never blocks for long, never refuses.
    pub fn push(&self, solution: Solution) {
        let solution = Arc::new(solution);
        self.lock().push_back(Arc::clone(&solution));
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(solution);
        self.pushed.notify_one();
    }

    /// The oldest solution that is not done yet.
    pub fn peek(&self) -> Option<Arc<Solution>> {
        self.lock().front().cloned()
    }

    /// The solution pushed last, done or not: a miner that was restarted knows what it found.
    pub fn latest(&self) -> Option<Arc<Solution>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes a solution that is now in the journal.
    pub fn done(&self, solution: &Solution) {
        self.lock().retain(|waiting| waiting.hash != solution.hash);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Resolves when something was pushed since the last call.
    pub async fn pushed(&self) {
        self.pushed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Solution>>> {
        // A panic while the lock is held leaves a valid queue: each operation is one step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
