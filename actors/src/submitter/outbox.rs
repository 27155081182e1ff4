//! Where found blocks wait until they are safe on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::BlockHash;
use tokio::sync::Notify;

use crate::messages::Solution;

/// Solutions remembered after they are done. Each keeps its job's transactions alive.
const RECENT: usize = 4;

/// A queue that a solution leaves only when the submitter says that it is journalled.
///
/// [`Outbox::peek`] does not remove; [`Outbox::done`] does. A submitter that dies between the two
/// leaves the solution for its successor, so no crash of an actor and no full mailbox loses a block.
/// It is bounded by what mining can find: the miner stops scanning a job at its first solution.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<VecDeque<Arc<Solution>>>,
    recent: Mutex<VecDeque<Arc<Solution>>>,
    pushed: Notify,
}

impl Outbox {
    /// Adds a solution and wakes the submitter. Never blocks for long, never refuses.
    pub fn push(&self, solution: Solution) {
        let solution = Arc::new(solution);
        self.lock().push_back(Arc::clone(&solution));
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(RECENT - 1);
        recent.push_front(solution);
        drop(recent);
        self.pushed.notify_one();
    }

    /// The oldest solution that is not done yet.
    pub fn peek(&self) -> Option<Arc<Solution>> {
        self.lock().front().cloned()
    }

    /// The solution pushed last among those on `parent`, or among all where there is none of those;
    /// done or not, so that a miner that was restarted knows what it found.
    pub fn latest(&self, parent: Option<BlockHash>) -> Option<Arc<Solution>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let on_parent = recent
            .iter()
            .find(|solution| Some(solution.job.prev()) == parent);
        on_parent.or_else(|| recent.front()).cloned()
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
