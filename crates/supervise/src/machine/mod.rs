//! The rules of supervision, without threads, clocks or actix.
//!
//! [`Machine`] is told what happened and when ([`Input`], and the passing of time through
//! [`Machine::on_time`]), and answers with what is to be done ([`Action`]). Everything that decides is here, so
//! that everything that decides is tested by handing in instants.
//!
//! A slot is one child. Its life goes Waiting, Starting, Up, (Stopping,) Ending, and from there to Restarting or
//! Ended. `Ending` lasts until the incarnation is released or abandoned; only then is its fate decided
//! ([`Machine::settle`]), so that nothing is started beside its predecessor.
//!
//! What a failure means for the siblings is the [`Strategy`]'s affair: `group`. Who hangs is found by
//! `pulse`.

mod group;
mod pulse;
mod transitions;
mod view;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::group::Group;
use self::pulse::Watch;
use crate::Probe;
use crate::backoff::Delays;
use crate::exit::{Exit, ExitReason, Panic};
use crate::spec::{ChildSpec, Strategy};
use crate::status::{EscalationCause, EventKind, SupervisionEvent};

/// How long a killed incarnation, whose thread may be free, gets to be dropped before it counts as hung.
pub(crate) const KILL_GRACE: Duration = Duration::from_secs(1);

/// `now + wait`, also where a caller means "for ever".
fn after(now: Instant, wait: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_hours(876_000);
    now + wait.min(FOREVER)
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// An incarnation handles messages.
    Up,
    /// It has answered a probe.
    Alive(Probe),
    /// Its progress counter was read; `None` if that panicked.
    Count(Option<u64>),
    /// It ended, with its remains still there.
    Exited(ExitReason),
    /// Its remains panicked.
    CleanupPanicked(Panic),
    /// Nothing of it is left.
    Released,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make an incarnation.
    Launch { child: usize, generation: u64 },
    /// Let references find it.
    Connect { child: usize, generation: u64 },
    /// Let references find nothing.
    Disconnect { child: usize },
    /// Let references know that nothing will ever come.
    Close { child: usize },
    /// Ask it for a sign of life.
    Probe {
        child: usize,
        generation: u64,
        probe: Probe,
    },
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
    /// Released; started again with its group.
    Held,
    Ended,
}

struct Slot {
    spec: ChildSpec,
    delays: Delays,
    state: State,
    since: Instant,
    generation: u64,
    /// Asked to stop for the sake of its group.
    asked: bool,
    restarts: u64,
    up_at: Option<Instant>,
    watches: Vec<Watch>,
    /// When the incarnation that is up last answered a probe or made progress.
    last_answer: Option<Instant>,
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
    strategy: Strategy,
    /// Those that are being restarted together.
    group: Option<Group>,
    max_abandoned: usize,
    /// When the clock was to be looked at next.
    awaited: Option<Instant>,
    actions: Vec<Action>,
    events: Vec<SupervisionEvent>,
}

impl Machine {
    pub(crate) fn new(
        specs: Vec<ChildSpec>,
        strategy: Strategy,
        max_abandoned: u32,
        now: Instant,
    ) -> Self {
        let slots = specs
            .into_iter()
            .map(|spec| Slot {
                delays: Delays::new(spec.limits.backoff()),
                spec,
                state: State::Waiting,
                since: now,
                generation: 0,
                asked: false,
                restarts: 0,
                up_at: None,
                watches: Vec::new(),
                last_answer: None,
                last_exit: None,
                recent: VecDeque::new(),
                abandoned: BTreeSet::new(),
            })
            .collect();
        Self {
            slots,
            phase: Phase::Starting { next: 0 },
            strategy,
            group: None,
            max_abandoned: max_abandoned as usize,
            awaited: None,
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
        self.expect(now);
    }

    /// Something happened to one generation of a child. What an old generation reports late changes nothing.
    pub(crate) fn handle(&mut self, child: usize, generation: u64, input: Input, now: Instant) {
        self.observe(now);
        self.take(child, generation, input, now);
        self.expect(now);
    }

    fn take(&mut self, child: usize, generation: u64, input: Input, now: Instant) {
        if generation != self.slots[child].generation {
            if matches!(input, Input::Released) {
                self.forget_abandoned(child, generation, now);
            }
            return;
        }
        match input {
            Input::Up => self.came_up(child, now),
            Input::Alive(probe) => self.answered(child, probe, now),
            Input::Count(count) => self.counted(child, count, now),
            Input::Exited(reason) => self.exited(child, reason, now),
            Input::CleanupPanicked(panic) => {
                self.tell(child, now, EventKind::CleanupPanicked(panic));
            }
            Input::Released => self.released(child, now),
        }
        self.advance(now);
    }

    /// Stops everything by `now + deadline`; a second call can only bring that forward.
    pub(crate) fn stop(&mut self, deadline: Duration, now: Instant) {
        self.observe(now);
        // The last part of the deadline is for dropping what did not stop by itself.
        let kill_at = after(now, deadline.saturating_sub(KILL_GRACE.min(deadline / 4)));
        let give_up_at = after(now, deadline);
        if self.is_supervising() {
            self.begin_stopping(Why::Requested, now);
        }
        if let Phase::Stopping {
            kill_at: kill,
            give_up_at: give_up,
            ..
        } = &mut self.phase
        {
            *kill = Some(kill.map_or(kill_at, |at| at.min(kill_at)));
            *give_up = Some(give_up.map_or(give_up_at, |at| at.min(give_up_at)));
        }
        self.advance(now);
        self.expect(now);
    }

    /// When to call [`on_time`](Self::on_time) next: what is called later than that finds its time not counted.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.awaited
    }

    /// The next instant at which time alone changes something.
    fn next_due(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Stopping { kill_at, .. } => kill_at,
            _ => None,
        };
        let slots = self.slots.iter().filter_map(|slot| match slot.state {
            State::Starting { deadline }
            | State::Stopping { deadline }
            | State::Ending { deadline, .. } => Some(self.capped(deadline, &slot.state)),
            State::Restarting { due } => Some(due),
            State::Up => slot.watches.iter().map(Watch::due).min(),
            State::Waiting | State::Held | State::Ended => None,
        });
        let group = self.group.as_ref().and_then(Group::due);
        slots.chain(phase).chain(group).min()
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        self.observe(now);
        self.do_what_is_due(now);
        self.expect(now);
    }

    fn do_what_is_due(&mut self, now: Instant) {
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
                State::Up => self.check_watches(child, now),
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

    fn tell(&mut self, child: usize, now: Instant, kind: EventKind) {
        let slot = &self.slots[child];
        self.events.push(SupervisionEvent {
            at: now,
            child: Arc::clone(&slot.spec.id),
            generation: slot.generation,
            kind,
        });
    }
}

impl Slot {
    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests;
