//! What the planner answers: a task or why there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::Job;
use pow::Target;

use super::clock::TimeRule;
use super::decide::{Course, Decision};
use crate::messages::{Decider, MiningState, NodeName};
use crate::proposals::Candidate;

/// Without a job, look again after this long.
const EAGER: Duration = Duration::from_millis(100);

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The miner's state, for people.
    pub state: MiningState,
    /// What was decided; none where it was not time to decide anything.
    pub decision: Option<Decision>,
    /// What to scan; nothing is to park.
    pub task: Option<Task>,
    /// The job in question, scanned or not, for the node to be asked about.
    pub candidate: Option<Candidate>,
    /// Why the task is not of the newest template on its tip, and what it is of; none where it is, or none is there yet.
    pub fallback: Option<String>,
    /// The node whose newest template on the tip is of no use.
    pub no_use: Option<NodeName>,
    /// When to ask again, at the latest.
    pub look_again: Duration,
    /// Whether to ask for a template.
    pub want_template: bool,
    /// Whether to ask for the tip to be looked at again.
    pub want_look: bool,
}

/// What to scan.
#[derive(Debug, Clone)]
pub struct Task {
    /// The job.
    pub job: Arc<Job>,
    /// Whether it is one of our own making, with nothing but the coinbase, until the template is there.
    pub coinbase_only: bool,
    /// The target: the network's or a harder one.
    pub target: Target,
    /// Which timestamps.
    pub time: TimeRule,
    /// Of all tasks of one round the first solution counts, and no other.
    pub round: u64,
    /// On how many threads.
    pub threads: usize,
}

impl Task {
    /// Whether threads that scan this one would go on just the same with `other`.
    pub fn is_same(&self, other: &Self, now: Instant) -> bool {
        self.round == other.round
            && self.threads == other.threads
            && Arc::ptr_eq(&self.job, &other.job)
            && self.target == other.target
            && self.time.agrees(&other.time, now)
    }
}

/// Nothing is to be scanned: why, and when to look again.
#[derive(Debug)]
pub struct Parked {
    pub state: MiningState,
    pub decision: Option<Box<Decision>>,
    pub candidate: Option<Candidate>,
    pub no_use: Option<NodeName>,
    pub look_again: Duration,
    pub want_template: bool,
    pub want_look: bool,
}

impl Parked {
    pub fn new(state: MiningState, look_again: Duration) -> Self {
        Self {
            decision: decided(&state).map(Box::new),
            state,
            candidate: None,
            no_use: None,
            look_again,
            want_template: false,
            want_look: false,
        }
    }

    pub fn no_job(reason: impl Into<String>) -> Self {
        Self::new(
            MiningState::NoJob {
                reason: reason.into(),
            },
            EAGER,
        )
    }
}

/// The decision that a state comes from, where it says so itself.
fn decided(state: &MiningState) -> Option<Decision> {
    Some(match state {
        MiningState::SwitchedOff { by } => {
            Decision::new(Course::SwitchedOff, Decider::Switch, by.clone())
        }
        MiningState::NoJob { reason } => {
            Decision::new(Course::NoJob, Decider::Checks, reason.clone())
        }
        MiningState::Ibd => Decision::new(Course::NoJob, Decider::Checks, state.to_string()),
        MiningState::Scanning | MiningState::Paced | MiningState::Held { .. } => return None,
    })
}

impl From<Parked> for Plan {
    fn from(parked: Parked) -> Self {
        Self {
            state: parked.state,
            decision: parked.decision.map(|decision| *decision),
            task: None,
            candidate: parked.candidate,
            fallback: None,
            no_use: parked.no_use,
            look_again: parked.look_again,
            want_template: parked.want_template,
            want_look: parked.want_look,
        }
    }
}
