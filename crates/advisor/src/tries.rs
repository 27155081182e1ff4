//! How often, how long and when one question is tried.

use std::time::{Duration, Instant};

/// By how much of itself a pause is longer or shorter by chance.
const JITTER: f64 = 0.25;

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Tries of one question, at least 1.
    pub attempts: u32,
    /// Time for one try.
    pub per_try: Duration,
    /// Time for all tries and the pauses between them.
    pub overall: Duration,
    /// The pause before the second try, before chance; it doubles from one to the next.
    pub pause: Duration,
    /// No pause is longer, chance included.
    pub pause_most: Duration,
}

impl Default for Patience {
    /// Three tries of ten seconds each and pauses of about half a second and a second, all within 32 seconds.
    fn default() -> Self {
        Self {
            attempts: 3,
            per_try: Duration::from_secs(10),
            overall: Duration::from_secs(32),
            pause: Duration::from_millis(500),
            pause_most: Duration::from_secs(30),
        }
    }
}

/// One try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// 1 for the first.
    pub attempt: u32,
    /// When it begins: now, or after a pause.
    pub at: Instant,
    /// When it has failed if there is no answer; not before [`at`](Self::at).
    pub until: Instant,
}

/// The tries of one question.
#[derive(Debug)]
pub struct Tries {
    patience: Patience,
    deadline: Instant,
    made: u32,
}

impl Tries {
    /// None made yet; all of them end in the time that begins `now`.
    pub fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            deadline: now + patience.overall,
            made: 0,
        }
    }

    /// The next try, asked for when the one before it has failed; `draw` is a number from 0 to 1, by chance. `None`
    /// when there is no further try, or no time for it. There always is a first one.
    pub fn next(&mut self, now: Instant, draw: f64) -> Option<Try> {
        if self.made >= self.patience.attempts {
            return None;
        }
        let at = match self.made {
            0 => now,
            made => now + self.pause(made, draw),
        };
        if self.made > 0 && at >= self.deadline {
            return None;
        }
        self.made += 1;
        Some(Try {
            attempt: self.made,
            at,
            until: self.deadline.min(at + self.patience.per_try),
        })
    }

    fn pause(&self, made: u32, draw: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(made - 1);
        let most = self.patience.pause_most;
        let grown = self.patience.pause.saturating_mul(doubled).min(most);
        let factor = 1.0 + JITTER * (2.0 * draw.clamp(0.0, 1.0) - 1.0);
        grown.mul_f64(factor).min(most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn three_tries_are_made_with_doubling_pauses_between_them() {
        let start = Instant::now();
        let mut tries = Tries::new(Patience::default(), start);
        let first = tries.next(start, 0.5).expect("a first try");
        assert_eq!(
            (first.attempt, first.at, first.until),
            (1, start, start + 10 * S)
        );
        let second = tries.next(first.until, 0.5).expect("a second");
        assert_eq!((second.attempt, second.at), (2, first.until + S / 2));
        let third = tries.next(second.until, 0.5).expect("a third");
        assert_eq!((third.attempt, third.at), (3, second.until + S));
        assert_eq!(tries.next(third.at, 0.5), None);
    }

    #[test]
    fn there_is_a_first_try_however_little_time_there_is() {
        let start = Instant::now();
        let patience = Patience {
            overall: Duration::ZERO,
            ..Patience::default()
        };
        let mut tries = Tries::new(patience, start);
        let first = tries.next(start, 0.5).expect("a first try");
        assert_eq!((first.at, first.until), (start, start));
        assert_eq!(tries.next(start, 0.5), None);
    }

    #[test]
    fn no_try_lasts_or_begins_after_the_deadline_of_all() {
        let start = Instant::now();
        let patience = Patience {
            overall: 15 * S,
            ..Patience::default()
        };
        let mut tries = Tries::new(patience, start);
        let first = tries.next(start, 0.5).expect("a first try");
        let second = tries.next(first.until, 0.5).expect("a second");
        assert_eq!(second.until, start + 15 * S);
        assert_eq!(tries.next(second.until, 0.5), None);
    }

    proptest! {
        #[test]
        fn whatever_fails_when_the_limits_are_kept(
            attempts in 1_u32..50,
            millis in prop::array::uniform4(0_u64..20_000),
            events in prop::collection::vec((0_u64..30_000, 0.0..=1.0), 60),
        ) {
            let [per_try, overall, pause, pause_most] = millis.map(|ms| Duration::from_millis(ms + 1));
            let patience = Patience { attempts, per_try, overall, pause, pause_most };
            let start = Instant::now();
            let mut tries = Tries::new(patience, start);
            let mut now = start;
            let mut made = 0;
            for (wait, draw) in events {
                let Some(next) = tries.next(now, draw) else {
                    prop_assert!(made == attempts || now + pause_most.min(overall) >= start + overall);
                    return Ok(());
                };
                made += 1;
                prop_assert_eq!(next.attempt, made);
                prop_assert!(made <= attempts);
                prop_assert!(next.at >= now && next.at <= now + pause_most);
                prop_assert!(made > 1 || next.at == now);
                prop_assert!(next.at < next.until && next.until <= start + overall);
                prop_assert!(next.until - next.at <= per_try);
                // It ends early, or at its limit.
                now = next.until.min(next.at + Duration::from_millis(wait));
            }
            prop_assert!(false, "more tries than {}", attempts);
        }
    }
}
