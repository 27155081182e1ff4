//! What can be seen of the tree from outside.

use std::sync::Arc;

use super::{Machine, Phase, Slot, State, Why};
use crate::Progress;
use crate::status::{ChildState, ChildStatus, EscalationCause, Outcome};

impl Machine {
    pub(crate) fn id(&self, child: usize) -> Arc<str> {
        Arc::clone(&self.slots[child].spec.id)
    }

    /// The counter that is to move while the child is up.
    pub(crate) fn progress(&self, child: usize) -> Option<&Progress> {
        self.slots[child].spec.progress.as_ref()
    }

    /// Every child as it is now.
    pub(crate) fn status(&self) -> Arc<[ChildStatus]> {
        self.slots.iter().map(Slot::status).collect()
    }

    /// Children that have something running still, in start order.
    pub(crate) fn still_running(&self) -> Vec<Arc<str>> {
        let running = |slot: &&Slot| {
            let current = matches!(
                slot.state,
                State::Starting { .. } | State::Up | State::Stopping { .. } | State::Ending { .. }
            );
            current || !slot.abandoned.is_empty()
        };
        let slots = self.slots.iter().filter(running);
        slots.map(|slot| Arc::clone(&slot.spec.id)).collect()
    }

    /// How it ended; only once it is done.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let Phase::Done { why } = &self.phase else {
            return None;
        };
        Some(match why {
            Why::Requested => Outcome::Stopped,
            Why::StartFailed { child, .. } => Outcome::Escalated {
                child: self.id(*child),
                cause: EscalationCause::Start,
                exits: self.slots[*child].last_exit.iter().cloned().collect(),
            },
            Why::Escalated {
                child,
                cause,
                exits,
            } => Outcome::Escalated {
                child: self.id(*child),
                cause: *cause,
                exits: exits.clone(),
            },
        })
    }
}

impl Slot {
    fn status(&self) -> ChildStatus {
        ChildStatus {
            id: Arc::clone(&self.spec.id),
            state: match self.state {
                State::Waiting => ChildState::Waiting,
                State::Starting { .. } => ChildState::Starting,
                State::Up => ChildState::Up,
                State::Stopping { .. } => ChildState::Stopping,
                State::Ending { .. } => ChildState::Releasing,
                State::Restarting { .. } | State::Held => ChildState::Restarting,
                State::Ended => ChildState::Ended,
            },
            generation: self.generation,
            restarts: self.restarts,
            since: self.since,
            up_since: self
                .up_at
                .filter(|_| matches!(self.state, State::Up | State::Stopping { .. })),
            last_answer: self.last_answer,
            last_exit: self.last_exit.clone(),
            abandoned: self.abandoned.len() as u32,
        }
    }
}
