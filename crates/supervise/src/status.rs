//! What a supervisor tells about its children.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::exit::{Exit, ExitReason, Panic};

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildState {
    /// Not started yet.
    Waiting,
    /// Its factory, its `started`, or what that waits for is running.
    Starting,
    /// Handling messages.
    Up,
    /// Asked to stop, draining.
    Stopping,
    /// Ended, not yet released.
    Releasing,
    /// Released; started again after its backoff.
    Restarting,
    /// Ended for good.
    Ended,
}

impl ChildState {
    /// Whether an incarnation exists, whole or in part.
    pub fn is_running(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Up | Self::Stopping | Self::Releasing
        )
    }

    /// A word for it, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Stopping => "stopping",
            Self::Releasing => "releasing",
            Self::Restarting => "restarting",
            Self::Ended => "ended",
        }
    }
}

/// One child at one moment.
#[derive(Debug, Clone)]
pub struct ChildStatus {
    /// Its id.
    pub id: Arc<str>,
    /// What it is doing.
    pub state: ChildState,
    /// Its latest incarnation, from 1; 0 before the first.
    pub generation: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// Since when it is in this state.
    pub since: Instant,
    /// Since when its present incarnation handles messages; absent if none does.
    pub up_since: Option<Instant>,
    /// When its present incarnation last answered a probe or made progress; absent if it is not watched
    /// ([`ChildSpec::liveness`](crate::ChildSpec::liveness), [`ChildSpec::progress`](crate::ChildSpec::progress)) or has not
    /// been asked yet.
    pub last_answer: Option<Instant>,
    /// How its last ended incarnation ended.
    pub last_exit: Option<Exit>,
    /// How many of its incarnations hang: they were abandoned and still exist.
    pub abandoned: u32,
}

/// Something that happened in the tree.
#[derive(Debug, Clone)]
pub struct SupervisionEvent {
    /// When.
    pub at: Instant,
    /// To whom.
    pub child: Arc<str>,
    /// To which of its incarnations.
    pub generation: u64,
    /// What.
    pub kind: EventKind,
}

/// What happened to a child.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// An incarnation is being made.
    Starting,
    /// It is up.
    Started,
    /// It was asked to stop.
    Stopping,
    /// It ended; it is not released yet.
    Exited(ExitReason),
    /// It panicked again while its remains were dropped.
    CleanupPanicked(Panic),
    /// Its thread has ended and everything it held is gone.
    Released,
    /// It could not be released within its deadline: its generation is revoked.
    Abandoned,
    /// An abandoned incarnation has ended after all.
    AbandonedEnded,
    /// It will be started again after this delay.
    Restarting(Duration),
    /// It will not be started again.
    Ended,
    /// The supervisor gives up because of it.
    Escalated(EscalationCause),
}

/// Why a supervisor gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EscalationCause {
    /// The child failed more often than its intensity allows.
    Intensity,
    /// The child did not come up when the supervisor started.
    Start,
    /// More incarnations hang than the supervisor may abandon.
    Abandoned,
    /// The supervisor's own task ended unexpectedly: a fault in this crate, or its runtime was stopped.
    Supervisor,
}

impl fmt::Display for EscalationCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intensity => "it failed more often than its intensity allows",
            Self::Start => "it did not come up at the start",
            Self::Abandoned => "too many incarnations hang",
            Self::Supervisor => "the supervisor itself ended unexpectedly",
        })
    }
}

/// How supervision ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was stopped on request.
    Stopped,
    /// A child could not be kept up. All others have been stopped, in reverse order.
    Escalated {
        /// The child.
        child: Arc<str>,
        /// Why.
        cause: EscalationCause,
        /// Its exits within the intensity's period, oldest first.
        exits: Vec<Exit>,
    },
}

/// What is left after a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// Children that had not been released when the deadline passed, in start order.
    pub still_running: Vec<Arc<str>>,
    /// How long it took.
    pub took: Duration,
}

impl StopReport {
    /// Whether everything was released.
    pub fn is_clean(&self) -> bool {
        self.still_running.is_empty()
    }
}
