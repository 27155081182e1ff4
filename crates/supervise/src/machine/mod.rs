//! The rules of supervision, without threads, clocks or actix.
//!
//! [`Machine`] is told what happened and when ([`Input`], and the passing of time through
//! [`Machine::on_time`]), and answers with what is to be done ([`Action`]). Everything that decides is here, so
//! that everything that decides is tested by handing in instants.
//!
//! A slot is one child. Its life goes Waiting, Starting, Up, (Stopping,) Ending, and from there to Restarting or
//! Ended. `Ending` lasts until the incarnation is released or abandoned; only then is its fate decided
//! ([`Machine::settle`]), so that nothing is started beside its predecessor.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff::Delays;
use crate::exit::{Exit, ExitReason, Panic};
use crate::spec::{ChildSpec, Restart};
use crate::status::{
    ChildState, ChildStatus, EscalationCause, EventKind, Outcome, SupervisionEvent,
};

/// How long a killed incarnation, whose thread may be free, gets to be dropped before it counts as hung.
pub(crate) const KILL_GRACE: Duration = Duration::from_secs(1);

/// `now + wait`, also where a caller means "for ever".
fn after(now: Instant, wait: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
    now + wait.min(FOREVER)
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// An incarnation handles messages.
    Up,
    /// It ended, with its remains still there.
    Exited(ExitReason),
    /// Its remains panicked.
    CleanupPanicked(Panic),
    /// Nothing of it is left.
    Released,
}

/// Something to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Make an incarnation.
    Launch { child: usize, generation: u64 },
    /// Let references find it.
    Connect { child: usize, generation: u64 },
    /// Let references find nothing.
    Disconnect { child: usize },
    /// Let references know that nothing will ever come.
    Close { child: usize },
    /// Ask it to drain and stop.
    AskShutdown { child: usize, generation: u64 },
    /// Drop it where it stands.
    Kill { child: usize, generation: u64 },
    /// Wait for its thread and report when that is gone.
    Reap { child: usize, generation: u64 },
    /// Take its permission to act.
    Revoke { child: usize, generation: u64 },
}

enum State {
    Waiting,
    Starting {
        deadline: Instant,
    },
    Up,
    Stopping {
        deadline: Instant,
    },
    Ending {
        exit: Option<ExitReason>,
        deadline: Instant,
    },
    Restarting {
        due: Instant,
    },
    Ended,
}

struct Slot {
    spec: ChildSpec,
    delays: Delays,
    state: State,
    since: Instant,
    generation: u64,
    restarts: u64,
    up_at: Option<Instant>,
    last_exit: Option<Exit>,
    /// The exits within the intensity's period.
    recent: VecDeque<Exit>,
    /// Generations that hang.
    abandoned: BTreeSet<u64>,
}

/// Why everything is being stopped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Why {
    Requested,
    StartFailed {
        child: usize,
        reason: ExitReason,
    },
    Escalated {
        child: usize,
        cause: EscalationCause,
        exits: Vec<Exit>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// Children up to `next` have been up.
    Starting {
        next: usize,
    },
    Running,
    Stopping {
        why: Why,
        kill_at: Option<Instant>,
        give_up_at: Option<Instant>,
    },
    Done {
        why: Why,
    },
}

pub(crate) struct Machine {
    slots: Vec<Slot>,
    phase: Phase,
    max_abandoned: usize,
    actions: Vec<Action>,
    events: Vec<SupervisionEvent>,
}

impl Machine {
    pub(crate) fn new(specs: Vec<ChildSpec>, max_abandoned: u32, now: Instant) -> Self {
        let slots = specs
            .into_iter()
            .map(|spec| Slot {
                delays: Delays::new(spec.limits.backoff()),
                spec,
                state: State::Waiting,
                since: now,
                generation: 0,
                restarts: 0,
                up_at: None,
                last_exit: None,
                recent: VecDeque::new(),
                abandoned: BTreeSet::new(),
            })
            .collect();
        Self {
            slots,
            phase: Phase::Starting { next: 0 },
            max_abandoned: max_abandoned as usize,
            actions: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What is to be done now, in order; and what there is to tell.
    pub(crate) fn take_output(&mut self) -> (Vec<Action>, Vec<SupervisionEvent>) {
        (
            std::mem::take(&mut self.actions),
            std::mem::take(&mut self.events),
        )
    }

    /// Starts the first child.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.advance(now);
    }

    /// Something happened to one generation of a child. What an old generation reports late changes nothing.
    pub(crate) fn handle(&mut self, child: usize, generation: u64, input: Input, now: Instant) {
        if generation != self.slots[child].generation {
            if matches!(input, Input::Released) {
                self.forget_abandoned(child, generation, now);
            }
            return;
        }
        match input {
            Input::Up => self.came_up(child, now),
            Input::Exited(reason) => self.exited(child, reason, now),
            Input::CleanupPanicked(panic) => {
                self.tell(child, now, EventKind::CleanupPanicked(panic))
            }
            Input::Released => self.released(child, now),
        }
        self.advance(now);
    }

    /// Stops everything by `now + deadline`; a second call can only bring that forward.
    pub(crate) fn stop(&mut self, deadline: Duration, now: Instant) {
        // The last part of the deadline is for dropping what did not stop by itself.
        let kill_at = after(now, deadline - KILL_GRACE.min(deadline / 4));
        let give_up_at = after(now, deadline);
        if self.is_supervising() {
            self.begin_stopping(Why::Requested, now);
        }
        match &mut self.phase {
            Phase::Stopping {
                kill_at: kill,
                give_up_at: give_up,
                ..
            } => {
                *kill = Some(kill.map_or(kill_at, |at| at.min(kill_at)));
                *give_up = Some(give_up.map_or(give_up_at, |at| at.min(give_up_at)));
            }
            _ => {}
        }
        self.advance(now);
    }

    /// The next instant at which time alone changes something.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Stopping { kill_at, .. } => kill_at,
            _ => None,
        };
        let slots = self.slots.iter().filter_map(|slot| match slot.state {
            State::Starting { deadline }
            | State::Stopping { deadline }
            | State::Ending { deadline, .. } => Some(self.capped(deadline, &slot.state)),
            State::Restarting { due } => Some(due),
            State::Waiting | State::Up | State::Ended => None,
        });
        slots.chain(phase).min()
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        if let Phase::Stopping { kill_at, .. } = &mut self.phase
            && kill_at.is_some_and(|at| at <= now)
        {
            *kill_at = None;
            for child in (0..self.slots.len()).rev() {
                if matches!(
                    self.slots[child].state,
                    State::Starting { .. } | State::Up | State::Stopping { .. }
                ) {
                    self.kill(child, None, now);
                }
            }
        }
        for child in 0..self.slots.len() {
            match self.slots[child].state {
                State::Starting { deadline } if deadline <= now => {
                    let after = self.slots[child].spec.start_timeout;
                    self.kill(child, Some(ExitReason::StartTimeout(after)), now);
                }
                State::Stopping { deadline } if deadline <= now => self.kill(child, None, now),
                State::Ending { deadline, .. }
                    if self.capped(deadline, &self.slots[child].state) <= now =>
                {
                    self.abandon(child, now);
                }
                State::Restarting { due } if due <= now => {
                    self.slots[child].restarts += 1;
                    self.launch(child, now);
                }
                _ => {}
            }
        }
        self.advance(now);
    }

    /// Nothing outlasts the deadline of a stop.
    fn capped(&self, deadline: Instant, state: &State) -> Instant {
        match (&self.phase, state) {
            (
                Phase::Stopping {
                    give_up_at: Some(at),
                    ..
                },
                State::Ending { .. },
            ) => deadline.min(*at),
            _ => deadline,
        }
    }

    fn came_up(&mut self, child: usize, now: Instant) {
        let slot = &mut self.slots[child];
        if !matches!(slot.state, State::Starting { .. }) {
            // It came up while it was being stopped or given up.
            return;
        }
        slot.up_at = Some(now);
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

    fn exited(&mut self, child: usize, reason: ExitReason, now: Instant) {
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
    fn ending(&mut self, child: usize, exit: Option<ExitReason>, deadline: Instant, now: Instant) {
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

    fn kill(&mut self, child: usize, exit: Option<ExitReason>, now: Instant) {
        let generation = self.slots[child].generation;
        self.actions.push(Action::Kill { child, generation });
        self.ending(child, exit, now + KILL_GRACE, now);
    }

    fn abandon(&mut self, child: usize, now: Instant) {
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

    fn released(&mut self, child: usize, now: Instant) {
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

    fn forget_abandoned(&mut self, child: usize, generation: u64, now: Instant) {
        if self.slots[child].abandoned.remove(&generation) {
            self.events.push(SupervisionEvent {
                at: now,
                child: Arc::clone(&self.slots[child].spec.id),
                generation,
                kind: EventKind::AbandonedEnded,
            });
        }
    }

    fn is_supervising(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Running)
    }

    /// Decides what becomes of a child whose incarnation is gone or given up.
    fn settle(&mut self, child: usize, now: Instant) {
        let Some(exit) = self.slots[child].last_exit.clone() else {
            return;
        };
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
        slot.enter(State::Restarting { due }, now);
        self.tell(child, now, EventKind::Restarting(delay));
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
    fn begin_stopping(&mut self, why: Why, now: Instant) {
        self.phase = Phase::Stopping {
            why,
            kill_at: None,
            give_up_at: None,
        };
        for child in (0..self.slots.len()).rev() {
            if matches!(
                self.slots[child].state,
                State::Waiting | State::Restarting { .. }
            ) {
                self.end(child, now);
            }
        }
    }

    fn end(&mut self, child: usize, now: Instant) {
        self.slots[child].enter(State::Ended, now);
        self.actions.push(Action::Close { child });
        self.tell(child, now, EventKind::Ended);
    }

    fn launch(&mut self, child: usize, now: Instant) {
        let slot = &mut self.slots[child];
        slot.generation += 1;
        slot.up_at = None;
        let deadline = after(now, slot.spec.start_timeout);
        slot.enter(State::Starting { deadline }, now);
        let generation = slot.generation;
        self.actions.push(Action::Launch { child, generation });
        self.tell(child, now, EventKind::Starting);
    }

    /// Takes the next step of an ordered start or a reverse stop.
    fn advance(&mut self, now: Instant) {
        match self.phase {
            Phase::Starting { next } => match self.slots.get(next) {
                None => self.phase = Phase::Running,
                Some(slot) if matches!(slot.state, State::Waiting) => self.launch(next, now),
                Some(_) => {}
            },
            Phase::Stopping { .. } => self.stop_next(now),
            Phase::Running | Phase::Done { .. } => {}
        }
    }

    fn stop_next(&mut self, now: Instant) {
        for child in (0..self.slots.len()).rev() {
            match self.slots[child].state {
                State::Ended => {}
                // Not up yet: there is nothing to drain, and it would not hear the request.
                State::Starting { .. } => {
                    let slot = &self.slots[child];
                    let (generation, shutdown) = (slot.generation, slot.spec.shutdown);
                    self.actions.push(Action::Kill { child, generation });
                    let asked = Some(ExitReason::Shutdown);
                    self.ending(child, asked, after(now, shutdown), now);
                    return;
                }
                State::Up => {
                    let slot = &mut self.slots[child];
                    let deadline = after(now, slot.spec.shutdown);
                    slot.enter(State::Stopping { deadline }, now);
                    let generation = slot.generation;
                    self.actions.push(Action::AskShutdown { child, generation });
                    self.tell(child, now, EventKind::Stopping);
                    return;
                }
                State::Waiting
                | State::Restarting { .. }
                | State::Stopping { .. }
                | State::Ending { .. } => return,
            }
        }
        if let Phase::Stopping { why, .. } = &self.phase {
            self.phase = Phase::Done { why: why.clone() };
        }
    }

    fn tell(&mut self, child: usize, now: Instant, kind: EventKind) {
        let slot = &self.slots[child];
        self.events.push(SupervisionEvent {
            at: now,
            child: Arc::clone(&slot.spec.id),
            generation: slot.generation,
            kind,
        });
    }

    pub(crate) fn id(&self, child: usize) -> Arc<str> {
        Arc::clone(&self.slots[child].spec.id)
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
    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }

    fn status(&self) -> ChildStatus {
        ChildStatus {
            id: Arc::clone(&self.spec.id),
            state: match self.state {
                State::Waiting => ChildState::Waiting,
                State::Starting { .. } => ChildState::Starting,
                State::Up => ChildState::Up,
                State::Stopping { .. } => ChildState::Stopping,
                State::Ending { .. } => ChildState::Releasing,
                State::Restarting { .. } => ChildState::Restarting,
                State::Ended => ChildState::Ended,
            },
            generation: self.generation,
            restarts: self.restarts,
            since: self.since,
            last_exit: self.last_exit.clone(),
            abandoned: self.abandoned.len() as u32,
        }
    }
}

#[cfg(test)]
mod tests;
