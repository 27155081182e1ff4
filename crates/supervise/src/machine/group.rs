//! One for all, and rest for one: a child's restart that is also its siblings'.
//!
//! A group is every child from `first` on. It is stopped in reverse, each when its successor is gone; waits for the
//! delay of the child that failed; and is started in order, each when its predecessor is up. A member that fails
//! by itself meanwhile is a failure of its own, counted against its own intensity: the group takes one step back,
//! widened if need be, and stops again what was started. What had ended for good stays ended, since its references say so.

use std::time::Instant;

use super::{Action, Machine, Phase, State, after};
use crate::exit::ExitReason;
use crate::spec::{Restart, Strategy};
use crate::status::EventKind;

/// Children that are restarted together.
pub(super) struct Group {
    first: usize,
    /// When the delay of the child that failed is over.
    due: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Members are being stopped.
    Stopping,
    /// All are; the delay is not over.
    Waiting,
    /// Members are being started.
    Starting,
}

impl Group {
    /// When time alone takes it further.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.stage == Stage::Waiting).then_some(self.due)
    }
}

impl Machine {
    /// A child failed and is to be started again at `due`, with whom the strategy says.
    pub(super) fn restart_with_siblings(&mut self, child: usize, due: Instant, now: Instant) {
        let widest = match self.strategy {
            Strategy::OneForOne => {
                self.slots[child].enter(State::Restarting { due }, now);
                return;
            }
            Strategy::OneForAll => 0,
            Strategy::RestForOne => child,
        };
        self.slots[child].enter(State::Held, now);
        self.group = Some(match self.group.take() {
            // Who waits to be started again still does.
            Some(group) if group.stage != Stage::Starting => Group {
                first: group.first.min(widest),
                due: group.due.max(due),
                stage: Stage::Stopping,
            },
            // A start goes up the order, so whoever waits for it comes after this child.
            _ => Group {
                first: widest,
                due,
                stage: Stage::Stopping,
            },
        });
    }

    /// A member that was asked to stop is gone. Says whether that is all there is to it.
    pub(super) fn settle_member(&mut self, child: usize, now: Instant) -> bool {
        let (true, Some(group)) = (self.slots[child].asked, &self.group) else {
            return false;
        };
        let wait = group.due.saturating_duration_since(now);
        if self.slots[child].spec.restart == Restart::Temporary {
            self.end(child, now);
        } else {
            self.slots[child].enter(State::Held, now);
            self.tell(child, now, EventKind::Restarting(wait));
        }
        true
    }

    /// Takes the group as far as it goes now. Says whether there is one that is not done.
    pub(super) fn advance_group(&mut self, now: Instant) -> bool {
        let Some(Group { first, due, stage }) = self.group else {
            return false;
        };
        let stage = match stage {
            Stage::Stopping if self.stop_members(first, now) => Stage::Waiting,
            other => other,
        };
        let stage = match stage {
            Stage::Waiting if due <= now => Stage::Starting,
            other => other,
        };
        if stage == Stage::Starting && self.start_members(first, now) {
            self.group = None;
            return false;
        }
        self.group = Some(Group { first, due, stage });
        true
    }

    /// The next step down. Says whether all are stopped.
    fn stop_members(&mut self, first: usize, now: Instant) -> bool {
        for child in (first..self.slots.len()).rev() {
            match self.slots[child].state {
                State::Ended | State::Waiting | State::Held => {}
                State::Restarting { .. } => self.slots[child].enter(State::Held, now),
                State::Starting { .. } | State::Up => {
                    self.slots[child].asked = true;
                    self.ask_to_stop(child, now);
                    return false;
                }
                State::Stopping { .. } | State::Ending { .. } => return false,
            }
        }
        true
    }

    /// The next step up. Says whether all are up.
    fn start_members(&mut self, first: usize, now: Instant) -> bool {
        for child in first..self.slots.len() {
            match self.slots[child].state {
                State::Up | State::Ended | State::Waiting => {}
                State::Held if self.is_undecided(child) => return false,
                State::Held => {
                    self.slots[child].restarts += 1;
                    self.launch(child, now);
                    return false;
                }
                // The last is a member that has failed and whose fate is not decided yet.
                State::Starting { .. }
                | State::Restarting { .. }
                | State::Stopping { .. }
                | State::Ending { .. } => return false,
            }
        }
        true
    }

    /// Asks one child to stop, or drops it if it is not up yet.
    pub(super) fn ask_to_stop(&mut self, child: usize, now: Instant) {
        let slot = &mut self.slots[child];
        let generation = slot.generation;
        let deadline = after(now, slot.spec.shutdown);
        // Not up yet: there is nothing to drain, and it would not hear the request.
        if matches!(slot.state, State::Starting { .. }) {
            self.actions.push(Action::Kill { child, generation });
            self.ending(child, Some(ExitReason::Shutdown), deadline, now);
            return;
        }
        slot.enter(State::Stopping { deadline }, now);
        self.actions.push(Action::AskShutdown { child, generation });
        self.tell(child, now, EventKind::Stopping);
    }

    /// Whether the failure of somebody before `child` may yet turn out to concern it.
    pub(super) fn is_undecided(&self, child: usize) -> bool {
        let mut before = self.slots[..child].iter();
        self.strategy != Strategy::OneForOne
            && before.any(|slot| matches!(slot.state, State::Ending { .. }))
    }

    /// The ordered start steps over who has ended before its turn, as a temporary member of a group does.
    pub(super) fn skip_ended(&mut self) {
        if let Phase::Starting { next } = &mut self.phase {
            while matches!(self.slots.get(*next), Some(slot) if matches!(slot.state, State::Ended))
            {
                *next += 1;
            }
        }
    }
}
