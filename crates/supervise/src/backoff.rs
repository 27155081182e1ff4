//! The delay before a restart. The only file that knows the crate `backoff`.
//!
//! That crate is unmaintained. Whoever replaces it replaces [`Delays`] and nothing else.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// How long to wait before a failed child is started again.
///
/// The n-th restart in a row waits `initial * multiplier^n`, never more than `max`, spread by `jitter`
/// to either side. A child that stays up for `reset_after` starts over at `initial`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first delay.
    pub initial: Duration,
    /// The longest delay, before jitter.
    pub max: Duration,
    /// Growth per restart, at least 1.
    pub multiplier: f64,
    /// The share of a delay, 0 to below 1, by which it is randomly shortened or lengthened.
    pub jitter: f64,
    /// A child that was up this long is healthy: its next failure waits `initial` again.
    pub reset_after: Duration,
}

impl Default for Backoff {
    /// 50 ms, doubling to 5 s, spread by 20 %, reset after 60 s of health.
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(50),
            max: Duration::from_secs(5),
            multiplier: 2.0,
            jitter: 0.2,
            reset_after: Duration::from_mins(1),
        }
    }
}

impl Backoff {
    /// The longest time that `restarts` restarts in a row can spend waiting.
    pub fn longest(&self, restarts: u32) -> Duration {
        let max = self.max.as_secs_f64();
        let mut delay = self.initial.as_secs_f64().min(max);
        let mut sum = 0.0;
        for n in 0..restarts {
            if delay >= max {
                sum += max * f64::from(restarts - n);
                break;
            }
            sum += delay;
            delay = (delay * self.multiplier).min(max);
        }
        Duration::try_from_secs_f64(sum * (1.0 + self.jitter)).unwrap_or(Duration::MAX)
    }
}

/// The running sequence of delays of one child.
#[derive(Debug)]
pub(crate) struct Delays {
    inner: ExponentialBackoff,
    last: Duration,
}

impl Delays {
    pub(crate) fn new(policy: &Backoff) -> Self {
        let inner = ExponentialBackoff {
            current_interval: policy.initial,
            initial_interval: policy.initial,
            randomization_factor: policy.jitter,
            multiplier: policy.multiplier,
            max_interval: policy.max,
            // Giving up is the intensity's decision.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self {
            inner,
            last: policy.max,
        }
    }

    /// The next delay.
    pub(crate) fn next(&mut self) -> Duration {
        self.inner.next_backoff().unwrap_or(self.last)
    }

    /// Starts over at the first delay.
    pub(crate) fn reset(&mut self) {
        self.inner.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact() -> Backoff {
        Backoff {
            jitter: 0.0,
            ..Backoff::default()
        }
    }

    #[test]
    fn delays_double_up_to_the_maximum_and_start_over_after_a_reset() {
        let mut delays = Delays::new(&exact());
        let seen: Vec<u128> = (0..9).map(|_| delays.next().as_millis()).collect();
        assert_eq!(seen, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        delays.reset();
        assert_eq!(delays.next(), Duration::from_millis(50));
    }

    #[test]
    fn jitter_spreads_a_delay_to_both_sides_and_no_further() {
        let policy = Backoff {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(1),
            jitter: 0.2,
            ..Backoff::default()
        };
        let mut delays = Delays::new(&policy);
        let seen: Vec<f64> = (0..1000).map(|_| delays.next().as_secs_f64()).collect();
        assert!(seen.iter().all(|d| (0.8..=1.200_001).contains(d)));
        assert!(seen.iter().any(|d| *d < 0.95));
        assert!(seen.iter().any(|d| *d > 1.05));
    }

    #[test]
    fn the_longest_wait_is_the_sum_of_the_longest_delays() {
        assert_eq!(exact().longest(3), Duration::from_millis(350));
        assert_eq!(exact().longest(9), Duration::from_millis(16_350));
        assert_eq!(exact().longest(0), Duration::ZERO);
        assert!(exact().longest(u32::MAX) > Duration::from_secs(1 << 30));
    }
}
