//! What follows from what happened: the fate of each incarnation, and the steps of a start and a stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Action, KILL_GRACE, Machine, Phase, State, Watch, Why, after};
use crate::exit::{Exit, ExitReason};
use crate::spec::Restart;
use crate::status::{EscalationCause, EventKind, SupervisionEvent};

impl Machine {
    pub(super) fn came_up(&mut self, child: usize, now: Instant) {
        let slot = &mut self.slots[child];
        if !matches!(slot.state, State::Starting { .. }) {
            // It came up while it was being stopped or given up.
            return;
        }
        slot.up_at = Some(now);
        slot.watches = Watch::all(&slot.spec, now);
        slot.enter(State::Up, now);
        let generation = slot.generation;
        self.actions.push(Action::Connect { child, generation });
        self.tell(child, now, EventKind::Started);
        if let Phase::Starting { next } = &mut self.phase
            && *next == child
        {
            *next += 1;
        }
    }

    pub(super) fn exited(&mut self, child: usize, reason: ExitReason, now: Instant) {
        let shutdown = self.slots[child].spec.shutdown;
        match &mut self.slots[child].state {
            State::Starting { .. } | State::Up | State::Stopping { .. } => {
                self.ending(child, Some(reason), after(now, shutdown), now);
            }
            // The end of one that was killed.
            State::Ending {
                exit: exit @ None, ..
            } => {
                *exit = Some(reason.clone());
                self.record_exit(child, reason, now);
            }
            // Of one that was not up in time: that reason is told already.
            State::Ending { .. } => {}
            _ => return,
        }
        let generation = self.slots[child].generation;
        self.actions.push(Action::Reap { child, generation });
    }

    /// It is over with this incarnation; it has until `deadline` to be gone.
    pub(super) fn ending(
        &mut self,
        child: usize,
        exit: Option<ExitReason>,
        deadline: Instant,
        now: Instant,
    ) {
        self.actions.push(Action::Disconnect { child });
        self.slots[child].enter(
            State::Ending {
                exit: exit.clone(),
                deadline,
            },
            now,
        );
        if let Some(reason) = exit {
            self.record_exit(child, reason, now);
        }
    }

    fn record_exit(&mut self, child: usize, reason: ExitReason, now: Instant) {
        let slot = &mut self.slots[child];
        slot.last_exit = Some(Exit {
            generation: slot.generation,
            reason: reason.clone(),
            at: now,
            uptime: slot
                .up_at
                .map_or(Duration::ZERO, |up| now.duration_since(up)),
        });
        self.tell(child, now, EventKind::Exited(reason));
    }

    pub(super) fn kill(&mut self, child: usize, exit: Option<ExitReason>, now: Instant) {
        let generation = self.slots[child].generation;
        self.actions.push(Action::Kill { child, generation });
        self.ending(child, exit, now + KILL_GRACE, now);
    }

    pub(super) fn abandon(&mut self, child: usize, now: Instant) {
        let slot = &mut self.slots[child];
        let generation = slot.generation;
        let known = matches!(slot.state, State::Ending { exit: Some(_), .. });
        slot.abandoned.insert(generation);
        self.actions.push(Action::Revoke { child, generation });
        self.actions.push(Action::Reap { child, generation });
        if !known {
            self.record_exit(child, ExitReason::Abandoned, now);
        }
        self.tell(child, now, EventKind::Abandoned);
        let hanging: usize = self.slots.iter().map(|slot| slot.abandoned.len()).sum();
        if hanging > self.max_abandoned && self.is_supervising() {
            self.escalate(child, EscalationCause::Abandoned, now);
        } else {
            self.settle(child, now);
        }
    }

    pub(super) fn released(&mut self, child: usize, now: Instant) {
        if matches!(self.slots[child].state, State::Ending { .. }) {
            let generation = self.slots[child].generation;
            self.actions.push(Action::Revoke { child, generation });
            self.tell(child, now, EventKind::Released);
            self.settle(child, now);
        } else {
            let generation = self.slots[child].generation;
            self.forget_abandoned(child, generation, now);
        }
    }

    pub(super) fn forget_abandoned(&mut self, child: usize, generation: u64, now: Instant) {
        if self.slots[child].abandoned.remove(&generation) {
            self.events.push(SupervisionEvent {
                at: now,
                child: Arc::clone(&self.slots[child].spec.id),
                generation,
                kind: EventKind::AbandonedEnded,
            });
        }
    }

    pub(crate) fn is_supervising(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Running)
    }

    /// Decides what becomes of a child whose incarnation is gone or given up.
    fn settle(&mut self, child: usize, now: Instant) {
        let Some(exit) = self.slots[child].last_exit.clone() else {
            return;
        };
        if self.settle_member(child, now) {
            return;
        }
        match self.phase {
            Phase::Starting { next } if next == child => {
                self.end(child, now);
                let reason = exit.reason;
                self.begin_stopping(Why::StartFailed { child, reason }, now);
            }
            Phase::Starting { .. } | Phase::Running => self.restart_or_end(child, exit, now),
            Phase::Stopping { .. } | Phase::Done { .. } => self.end(child, now),
        }
    }

    fn restart_or_end(&mut self, child: usize, exit: Exit, now: Instant) {
        let slot = &mut self.slots[child];
        let again = match slot.spec.restart {
            Restart::Permanent => true,
            Restart::Transient => exit.reason.is_abnormal(),
            Restart::Temporary => false,
        };
        if !again {
            self.end(child, now);
            return;
        }
        let limits = slot.spec.limits;
        let (failed_at, uptime) = (exit.at, exit.uptime);
        slot.recent.push_back(exit);
        let period = limits.intensity().period;
        slot.recent
            .retain(|past| failed_at.duration_since(past.at) < period);
        if slot.recent.len() > limits.intensity().restarts as usize {
            self.escalate(child, EscalationCause::Intensity, now);
            return;
        }
        if uptime >= limits.backoff().reset_after {
            slot.delays.reset();
        }
        let delay = slot.delays.next();
        // The time it took to be released counts towards the delay.
        let due = after(failed_at, delay).max(now);
        self.tell(child, now, EventKind::Restarting(delay));
        self.restart_with_siblings(child, due, now);
    }

    fn escalate(&mut self, child: usize, cause: EscalationCause, now: Instant) {
        let slot = &self.slots[child];
        let exits = if slot.recent.is_empty() {
            slot.last_exit.iter().cloned().collect()
        } else {
            slot.recent.iter().cloned().collect()
        };
        self.tell(child, now, EventKind::Escalated(cause));
        self.end(child, now);
        self.begin_stopping(
            Why::Escalated {
                child,
                cause,
                exits,
            },
            now,
        );
    }

    /// From here on nothing is started. Deadlines are each child's own, unless a stop sets one for all.
    pub(super) fn begin_stopping(&mut self, why: Why, now: Instant) {
        self.phase = Phase::Stopping {
            why,
            kill_at: None,
            give_up_at: None,
        };
        self.group = None;
        for child in (0..self.slots.len()).rev() {
            if matches!(
                self.slots[child].state,
                State::Waiting | State::Restarting { .. } | State::Held
            ) {
                self.end(child, now);
            }
        }
    }

    pub(super) fn end(&mut self, child: usize, now: Instant) {
        self.slots[child].enter(State::Ended, now);
        self.actions.push(Action::Close { child });
        self.tell(child, now, EventKind::Ended);
    }

    pub(super) fn launch(&mut self, child: usize, now: Instant) {
        let slot = &mut self.slots[child];
        slot.generation += 1;
        slot.asked = false;
        slot.up_at = None;
        slot.last_answer = None;
        let deadline = after(now, slot.spec.start_timeout);
        slot.enter(State::Starting { deadline }, now);
        let generation = slot.generation;
        self.actions.push(Action::Launch { child, generation });
        self.tell(child, now, EventKind::Starting);
    }

    /// Takes the next step of an ordered start or a reverse stop.
    pub(super) fn advance(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Stopping { .. }) {
            self.stop_next(now);
            return;
        }
        if self.advance_group(now) {
            return;
        }
        self.skip_ended();
        if let Phase::Starting { next } = self.phase {
            match self.slots.get(next) {
                None => self.phase = Phase::Running,
                // Who would be stopped again for a sibling whose fate is not decided yet waits for that.
                Some(_) if self.is_undecided(next) => {}
                Some(slot) if matches!(slot.state, State::Waiting) => self.launch(next, now),
                Some(_) => {}
            }
        }
    }

    fn stop_next(&mut self, now: Instant) {
        for child in (0..self.slots.len()).rev() {
            match self.slots[child].state {
                State::Ended => {}
                State::Starting { .. } | State::Up => {
                    self.ask_to_stop(child, now);
                    return;
                }
                State::Waiting
                | State::Restarting { .. }
                | State::Held
                | State::Stopping { .. }
                | State::Ending { .. } => return,
            }
        }
        if let Phase::Stopping { why, .. } = &self.phase {
            self.phase = Phase::Done { why: why.clone() };
        }
    }
}
