//! The watch over children that are up, and the fairness of every judgement on them.
//!
//! Silence says something about a child only if the child had the time to speak. When this supervisor itself comes
//! late, the whole process was held up (stopped, suspended, starved): what it missed is not counted against
//! anybody. So every deadline that judges a child moves by as much as the supervisor is late, and while
//! there is such a deadline it looks at the clock every [`TICK`], so that it notices. A supervisor that is late all
//! the time therefore still judges, only later. When it was late by half of what a question grants, the question is
//! asked again in full.

use std::time::{Duration, Instant};

use super::{Action, Machine, Slot, State, after};
use crate::exit::ExitReason;
use crate::liveness::Liveness;
use crate::{ChildSpec, Probe};

/// How often the clock is looked at while somebody may be judged.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// One probe of a child that is up.
pub(super) struct Watch {
    liveness: Liveness,
    pulse: Pulse,
}

enum Pulse {
    /// The question is asked at this instant.
    AskAt(Instant),
    /// It was asked, and has until this instant to be answered.
    DueAt(Instant),
    /// The counter is read at one instant, and has until the other to move.
    Counting {
        last: Option<u64>,
        read_at: Instant,
        stalled_at: Instant,
    },
}

impl Watch {
    /// Everything that the specification wants watched, from now on.
    pub(super) fn all(spec: &ChildSpec, now: Instant) -> Vec<Self> {
        let probes = spec.liveness.iter().map(|liveness| Self {
            liveness: *liveness,
            pulse: Pulse::AskAt(after(now, liveness.every)),
        });
        let counter = spec.progress.as_ref().map(|progress| {
            let liveness = progress.liveness();
            Self {
                liveness,
                pulse: Pulse::Counting {
                    last: None,
                    read_at: now,
                    stalled_at: after(now, liveness.within),
                },
            }
        });
        probes.chain(counter).collect()
    }

    /// When time alone changes something.
    pub(super) fn due(&self) -> Instant {
        match self.pulse {
            Pulse::AskAt(at) | Pulse::DueAt(at) => at,
            Pulse::Counting { read_at, .. } => read_at,
        }
    }

    /// Whether the child is about to be judged by it. A counter's readings are ticks of their own.
    fn judges(&self) -> bool {
        matches!(self.pulse, Pulse::DueAt(_))
    }

    fn forgive(&mut self, late: Duration, now: Instant) {
        let held_up = late >= self.liveness.within / 2;
        match &mut self.pulse {
            Pulse::AskAt(_) => {}
            Pulse::DueAt(_) if held_up => self.pulse = Pulse::AskAt(now),
            Pulse::DueAt(at) => *at += late,
            Pulse::Counting { stalled_at, .. } if held_up => {
                *stalled_at = after(now, self.liveness.within);
            }
            Pulse::Counting { stalled_at, .. } => *stalled_at += late,
        }
    }

    fn hung(&self) -> ExitReason {
        ExitReason::Hung {
            probe: self.liveness.probe,
            within: self.liveness.within,
        }
    }
}

impl Slot {
    /// Whether time is running against the child.
    pub(super) fn is_judged(&self) -> bool {
        match self.state {
            State::Starting { .. } | State::Stopping { .. } | State::Ending { .. } => true,
            State::Up => self.watches.iter().any(Watch::judges),
            State::Waiting | State::Restarting { .. } | State::Held | State::Ended => false,
        }
    }

    /// Gives back the time by which the supervisor was late.
    fn forgive(&mut self, late: Duration, now: Instant) {
        match &mut self.state {
            State::Starting { deadline }
            | State::Stopping { deadline }
            | State::Ending { deadline, .. } => *deadline += late,
            State::Up => {
                for watch in &mut self.watches {
                    watch.forgive(late, now);
                }
            }
            State::Waiting | State::Restarting { .. } | State::Held | State::Ended => {}
        }
    }
}

impl Machine {
    /// Comes before everything that happens at `now`.
    pub(super) fn observe(&mut self, now: Instant) {
        let late = self
            .awaited
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if !late.is_zero() {
            for slot in &mut self.slots {
                slot.forgive(late, now);
            }
        }
    }

    /// Comes after everything that happened at `now`.
    pub(super) fn expect(&mut self, now: Instant) {
        let judging = self.slots.iter().any(Slot::is_judged);
        let tick = judging.then(|| now + TICK);
        self.awaited = self
            .next_due()
            .into_iter()
            .chain(tick)
            .min()
            .map(|at| at.max(now));
    }

    /// Asks a child what is to be asked, and ends it if it did not answer in time.
    pub(super) fn check_watches(&mut self, child: usize, now: Instant) {
        let slot = &mut self.slots[child];
        let generation = slot.generation;
        let mut hung = None;
        for watch in &mut slot.watches {
            let probe = watch.liveness.probe;
            match &mut watch.pulse {
                Pulse::DueAt(at) if *at <= now => {
                    hung.get_or_insert(watch.hung());
                    continue;
                }
                Pulse::AskAt(at) if *at <= now => {
                    watch.pulse = Pulse::DueAt(after(now, watch.liveness.within));
                }
                // Judged when the reading comes in.
                Pulse::Counting { read_at, .. } if *read_at <= now => {
                    *read_at = after(now, watch.liveness.every);
                }
                _ => continue,
            }
            self.actions.push(Action::Probe {
                child,
                generation,
                probe,
            });
        }
        if hung.is_some() {
            self.kill(child, hung, now);
        }
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, child: usize, probe: Probe, now: Instant) {
        let slot = &mut self.slots[child];
        if !matches!(slot.state, State::Up) {
            return;
        }
        slot.last_answer = Some(now);
        for watch in &mut slot.watches {
            if watch.liveness.probe == probe {
                watch.pulse = Pulse::AskAt(after(now, watch.liveness.every));
            }
        }
    }

    /// The progress counter was read; `None` if it could not be.
    pub(super) fn counted(&mut self, child: usize, count: Option<u64>, now: Instant) {
        let slot = &mut self.slots[child];
        if !matches!(slot.state, State::Up) {
            return;
        }
        let mut hung = None;
        for watch in &mut slot.watches {
            let Liveness { every, within, .. } = watch.liveness;
            let Pulse::Counting {
                last,
                read_at,
                stalled_at,
            } = &mut watch.pulse
            else {
                continue;
            };
            if count.is_some() && count != *last {
                *last = count;
                *stalled_at = after(now, within);
                slot.last_answer = Some(now);
            } else if *stalled_at <= now {
                hung = Some(watch.hung());
                break;
            }
            *read_at = after(now, every).min(*stalled_at);
        }
        if hung.is_some() {
            self.kill(child, hung, now);
        }
    }
}
