//! How well a node answers: how fast, and for how long without a failure.

use std::time::{Duration, Instant};

/// The weight of the newest answer in the average.
const NEWEST: f64 = 0.2;

/// The record of one node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vitals {
    latency: Option<Duration>,
    answers_since: Option<Instant>,
}

impl Vitals {
    /// It answered at `now` what it was asked at `asked`.
    pub fn answered(&mut self, asked: Instant, now: Instant) {
        let took = now.saturating_duration_since(asked);
        self.latency = Some(match self.latency {
            Some(before) => before.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST),
            None => took,
        });
        self.answers_since.get_or_insert(now);
    }

    /// It failed a call. How fast it was before says nothing any more.
    pub fn failed(&mut self) {
        *self = Self::default();
    }

    /// How long an answer takes, averaged over the last ones.
    pub fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Since when it has answered every call; none if it failed the last.
    pub fn answers_since(&self) -> Option<Instant> {
        self.answers_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_the_answers_and_a_failure_begins_it_anew() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut vitals = Vitals::default();
        assert_eq!((vitals.latency(), vitals.answers_since()), (None, None));
        vitals.answered(start, start + ms(10));
        assert_eq!(vitals.latency(), Some(ms(10)));
        for _ in 0..50 {
            vitals.answered(start, start + ms(20));
        }
        let latency = vitals.latency().unwrap_or_default();
        assert!(latency > ms(19) && latency <= ms(20), "{latency:?}");
        assert_eq!(vitals.answers_since(), Some(start + ms(10)));
        vitals.failed();
        assert_eq!((vitals.latency(), vitals.answers_since()), (None, None));
        vitals.answered(start, start + ms(5));
        assert_eq!(vitals.latency(), Some(ms(5)));
    }
}
