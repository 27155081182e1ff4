//! How a child that hangs is found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::panics;

/// What is asked of a child to see that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// That its thread runs a closure.
    Thread,
    /// That its actor takes a ping where it takes its messages.
    Mailbox,
    /// That its progress counter moves.
    Progress,
}

/// A question that a child is asked now and then while it is up.
///
/// Both kinds overtake the mailbox and need no cooperation from the actor. Time during which the whole
/// process was held up (stopped, suspended, starved) is not counted against a child; it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    pub(crate) every: Duration,
    pub(crate) within: Duration,
    pub(crate) probe: Probe,
}

impl Liveness {
    /// Asks the child's thread to run a closure: finds a thread that is blocked, and nothing else. An actor that waits in
    /// `ctx.wait`, however long, is alive.
    ///
    /// The thread is asked `every` so long after its last answer, and hangs when it has not answered `within` this
    /// time: longer than the longest blocking call that the child is meant to make. A second is little on
    /// a loaded machine.
    pub fn thread(every: Duration, within: Duration) -> Self {
        Self {
            every,
            within,
            probe: Probe::Thread,
        }
    }

    /// Asks the actor to take a ping: finds what blocks the thread, and also a handler that does not return
    /// and a `ctx.wait` that does not end.
    ///
    /// The ping is taken between two messages, so a mailbox full of work is no hang as long as each single
    /// message is handled within `within`, with everything it puts into `ctx.wait`.
    pub fn mailbox(every: Duration, within: Duration) -> Self {
        Self {
            every,
            within,
            probe: Probe::Mailbox,
        }
    }
}

/// A counter that must move while its child is up: the sign of life of a child that answers and yet does nothing.
///
/// The counter is usually an atomic that the child's threads add to; it belongs to no incarnation, and every
/// change of its value counts, also backwards. A child that has nothing to do must count all the same.
#[derive(Clone)]
pub struct Progress {
    stalled_after: Duration,
    count: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("stalled_after", &self.stalled_after)
            .finish_non_exhaustive()
    }
}

impl Progress {
    /// A counter that may stand still for `stalled_after` at most, seen by a reading every quarter of that.
    ///
    /// `count` is called on the supervisor's thread: it must not block. If it panics, that reading counts as
    /// standing still.
    pub fn new(stalled_after: Duration, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            stalled_after,
            count: Arc::new(count),
        }
    }

    pub(crate) fn liveness(&self) -> Liveness {
        Liveness {
            every: self.stalled_after / 4,
            within: self.stalled_after,
            probe: Probe::Progress,
        }
    }

    pub(crate) fn read(&self) -> Option<u64> {
        let count = std::panic::AssertUnwindSafe(&*self.count);
        panics::guard(move || (*count)()).ok()
    }
}
