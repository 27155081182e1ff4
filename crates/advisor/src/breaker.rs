//! Circuit breakers: whoever fails too often is left alone for a while.
//!
//! Closed: every call is made. When at least [`Limits::calls`] calls of the last [`Limits::window`]
//! were made and the share of [`Limits::failed`] of them failed, it opens: no call is made for a
//! time that doubles from one opening to the next. Then it is half open: as many as
//! [`Limits::trials`] calls are made, one after another, and when all of them succeed it is closed;
//! one that fails opens it again.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Outcomes that are remembered at most, however fast they come.
const MOST: usize = 1024;
/// By how much of itself a pause is longer or shorter by chance.
const JITTER: f64 = 0.2;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// How far back outcomes count.
    pub window: Duration,
    /// Fewer calls than this prove nothing.
    pub calls: usize,
    /// The share of calls that have to fail, 0 to 1.
    pub failed: f64,
    /// The first pause.
    pub pause: Duration,
    /// No pause is longer, chance included.
    pub pause_most: Duration,
    /// Calls that have to succeed before all are made again.
    pub trials: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: Duration::from_mins(1),
            calls: 5,
            failed: 0.5,
            pause: Duration::from_secs(5),
            pause_most: Duration::from_mins(1),
            trials: 3,
        }
    }
}

/// Whether calls are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// All of them.
    #[default]
    Closed,
    /// None.
    Open,
    /// A few, to see.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half open",
        })
    }
}

/// One breaker. Calls may be asked for and end in any order.
#[derive(Debug)]
pub struct Breaker {
    limits: Limits,
    state: State,
    outcomes: VecDeque<(Instant, bool)>,
    /// Openings since it was closed last.
    openings: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { passed: u32 },
}

impl Breaker {
    /// A closed one.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Closed,
            outcomes: VecDeque::new(),
            openings: 0,
        }
    }

    /// Whether a call may be made `now`.
    ///
    /// # Errors
    /// When it may be asked again.
    pub fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        match self.state {
            State::Open { until } if now < until => Err(until),
            State::Open { .. } => {
                self.state = State::HalfOpen { passed: 0 };
                Ok(())
            }
            State::Closed | State::HalfOpen { .. } => Ok(()),
        }
    }

    /// There is a sign of life: the pause is over.
    pub fn heard(&mut self) {
        if let State::Open { .. } = self.state {
            self.state = State::HalfOpen { passed: 0 };
        }
    }

    /// A call succeeded.
    pub fn succeeded(&mut self, now: Instant) {
        match self.state {
            State::Closed => self.remember(now, false),
            State::HalfOpen { passed } if passed + 1 >= self.limits.trials => {
                self.state = State::Closed;
                self.openings = 0;
                self.outcomes.clear();
            }
            State::HalfOpen { passed } => self.state = State::HalfOpen { passed: passed + 1 },
            // Called before it opened, or without asking.
            State::Open { .. } => {}
        }
    }

    /// A call failed; `draw` is a number from 0 to 1, by chance. True if that opened it.
    pub fn failed(&mut self, now: Instant, draw: f64) -> bool {
        match self.state {
            State::Closed => {
                self.remember(now, true);
                let failed = self.outcomes.iter().filter(|(_, failed)| *failed).count();
                #[expect(clippy::cast_precision_loss, reason = "MOST is exact in a float")]
                let share = failed as f64 / self.outcomes.len() as f64;
                if self.outcomes.len() < self.limits.calls || share < self.limits.failed {
                    return false;
                }
            }
            State::HalfOpen { .. } => {}
            State::Open { .. } => return false,
        }
        let pause = self.pause(draw);
        self.openings = self.openings.saturating_add(1);
        self.state = State::Open { until: now + pause };
        true
    }

    /// Whether calls are made.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn pause(&self, draw: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.openings.min(16));
        let grown = (self.limits.pause.saturating_mul(doubled)).min(self.limits.pause_most);
        let factor = 1.0 + JITTER * (2.0 * draw.clamp(0.0, 1.0) - 1.0);
        grown.mul_f64(factor).min(self.limits.pause_most)
    }

    fn remember(&mut self, now: Instant, failed: bool) {
        let window = self.limits.window;
        self.outcomes
            .retain(|(at, _)| now.saturating_duration_since(*at) < window);
        if self.outcomes.len() == MOST {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((now, failed));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(Limits::default())
    }

    /// Fails it until it opens; when it may be asked again.
    fn open(breaker: &mut Breaker, now: Instant) -> Instant {
        while !breaker.failed(now, 0.5) {
            assert_eq!(breaker.admit(now), Ok(()));
        }
        breaker.admit(now).expect_err("it is open")
    }

    #[test]
    fn fewer_than_five_failures_or_less_than_half_open_nothing() {
        let start = Instant::now();
        let mut few = breaker();
        for _ in 0..4 {
            assert!(!few.failed(start, 0.5));
        }
        assert_eq!(few.state(), BreakerState::Closed);
        let mut mixed = breaker();
        for _ in 0..100 {
            mixed.succeeded(start);
        }
        for _ in 0..99 {
            assert!(!mixed.failed(start, 0.5));
        }
        assert!(mixed.failed(start, 0.5), "now it is half of them");
    }

    #[test]
    fn failures_of_more_than_a_minute_ago_are_forgotten() {
        let start = Instant::now();
        let mut breaker = breaker();
        for _ in 0..4 {
            breaker.failed(start, 0.5);
        }
        assert!(!breaker.failed(start + 60 * S, 0.5));
    }

    #[test]
    fn an_open_one_admits_nobody_for_five_seconds_and_then_three_trials_close_it() {
        let start = Instant::now();
        let mut breaker = breaker();
        let until = open(&mut breaker, start);
        assert_eq!(until, start + 5 * S);
        assert_eq!(breaker.admit(start + 4 * S), Err(until));
        for _ in 0..3 {
            assert_eq!(breaker.admit(until), Ok(()));
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
            breaker.succeeded(until);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(!breaker.failed(until, 0.5), "it begins anew");
    }

    #[test]
    fn a_failed_trial_opens_it_for_twice_as_long_and_never_longer_than_a_minute() {
        let start = Instant::now();
        let mut breaker = breaker();
        let mut until = open(&mut breaker, start);
        let mut pauses = vec![until - start];
        for _ in 0..20 {
            assert_eq!(breaker.admit(until), Ok(()));
            assert!(breaker.failed(until, 0.5));
            let next = breaker.admit(until).expect_err("it is open");
            pauses.push(next - until);
            until = next;
        }
        assert_eq!(pauses[..5], [5 * S, 10 * S, 20 * S, 40 * S, 60 * S]);
        assert!(pauses[5..].iter().all(|pause| *pause == 60 * S));
    }

    #[test]
    fn a_sign_of_life_ends_the_pause_and_proves_nothing() {
        let start = Instant::now();
        let mut breaker = breaker();
        open(&mut breaker, start);
        breaker.heard();
        assert_eq!(breaker.admit(start), Ok(()));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.failed(start, 0.5));
    }

    #[test]
    fn what_ends_late_changes_nothing_of_a_pause() {
        let start = Instant::now();
        let mut breaker = breaker();
        let until = open(&mut breaker, start);
        breaker.succeeded(start);
        assert!(!breaker.failed(start, 0.5));
        assert_eq!(breaker.admit(start), Err(until));
    }

    proptest! {
        #[test]
        fn whatever_happens_it_admits_again_within_a_minute_and_remembers_a_bounded_past(
            events in prop::collection::vec((any::<bool>(), 0_u64..30_000, 0.0..=1.0), 0..3000)
        ) {
            let mut now = Instant::now();
            let mut breaker = breaker();
            for (fails, wait, draw) in events {
                now += Duration::from_millis(wait % 7_000);
                match breaker.admit(now) {
                    Ok(()) if fails => _ = breaker.failed(now, draw),
                    Ok(()) => breaker.succeeded(now),
                    Err(until) => {
                        prop_assert!(until > now && until <= now + 60 * S);
                        prop_assert_eq!(breaker.state(), BreakerState::Open);
                    }
                }
                prop_assert!(breaker.outcomes.len() <= MOST);
            }
            now += 60 * S;
            prop_assert_eq!(breaker.admit(now), Ok(()));
        }
    }
}
