//! How long the steps took that decide whether a block is ours: measured all the time, in every run.
//!
//! Each step has a histogram of fixed size, so that a flood of events costs no memory and a year of them is read as
//! quickly as a minute. An event is recorded in less than a microsecond; there are a few to a block.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What takes longer is counted as this long. No step takes so long and is of any use then.
const LONGEST: Duration = Duration::from_hours(1);
/// Decimal digits that are kept: a time is known to one per cent.
const DIGITS: u8 = 2;

/// The steps of which the times are kept. They outlive every child.
#[derive(Debug, Default)]
pub struct Latencies {
    /// From the first news of a new tip to the first hash on it.
    ///
    /// News is what arrived first: a ZMQ message, the answer to a poll or a long poll. A tip that was waited on
    /// for another reason (mining was off, held or paced) does not count.
    pub tip_to_hash: Latency,
    /// From the publication of new work to the first hash on it by the last of the hashing threads.
    pub job_switch: Latency,
    /// From a found solution to its `submitblock` request handed to the system in full, the write to the
    /// journal before it included. One for each node.
    pub solve_to_submit: Latency,
    /// From a question to the advisor to its answer, kept answers left out.
    pub advice: Latency,
}

/// The times of one step.
#[derive(Debug)]
pub struct Latency(Mutex<Histogram<u64>>);

/// What is known of the times of one step, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of them took no longer.
    pub p50: f64,
    /// All but one in a hundred took no longer.
    pub p99: f64,
    /// The longest.
    pub longest: f64,
    /// How many there were.
    pub n: u64,
}

/// The times of every step, in seconds. A step that has not happened yet is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyStatus {
    /// See [`Latencies::tip_to_hash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip_to_hash_s: Option<Quantiles>,
    /// See [`Latencies::job_switch`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_switch_s: Option<Quantiles>,
    /// See [`Latencies::solve_to_submit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solve_to_submit_s: Option<Quantiles>,
}

impl LatencyStatus {
    /// What there is, each with its name in words.
    pub fn known(&self) -> impl Iterator<Item = (&'static str, Quantiles)> {
        let steps = [
            ("tip to hash", self.tip_to_hash_s),
            ("job switch", self.job_switch_s),
            ("solve to submit", self.solve_to_submit_s),
        ];
        steps
            .into_iter()
            .filter_map(|(name, times)| Some((name, times?)))
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, longest] = [self.p50, self.p99, self.longest].map(in_words);
        write!(f, "p50 {p50}, p99 {p99}, longest {longest} of {}", self.n)
    }
}

/// Seconds with the unit that suits them.
pub(crate) fn in_words(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

impl Latencies {
    /// All of them at this moment.
    pub fn status(&self) -> LatencyStatus {
        LatencyStatus {
            tip_to_hash_s: self.tip_to_hash.quantiles(),
            job_switch_s: self.job_switch.quantiles(),
            solve_to_submit_s: self.solve_to_submit.quantiles(),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(nanoseconds(LONGEST), DIGITS);
        Self(Mutex::new(histogram.expect("bounds that are constants")))
    }
}

impl Latency {
    /// Takes note of one time.
    pub fn record(&self, time: Duration) {
        self.histogram().saturating_record(nanoseconds(time));
    }

    /// What the times are; none where there were none.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let histogram = self.histogram();
        // The histogram rounds up, the longest included.
        let seconds = |ns: u64| ns as f64 / 1e9;
        (!histogram.is_empty()).then(|| Quantiles {
            p50: seconds(histogram.value_at_quantile(0.5)),
            p99: seconds(histogram.value_at_quantile(0.99)),
            longest: seconds(histogram.max()),
            n: histogram.len(),
        })
    }

    fn histogram(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a time in seconds is so many nanoseconds, to the digits kept.
    fn is_about(seconds: f64, ns: f64) -> bool {
        (seconds * 1e9 / ns - 1.0).abs() <= 0.01
    }

    #[test]
    fn half_are_below_the_median_and_one_in_a_hundred_above_the_99th_percentile() {
        let latency = Latency::default();
        for us in 1..=1_000 {
            latency.record(Duration::from_micros(us));
        }
        let times = latency.quantiles().expect("there are some");
        assert!(is_about(times.p50, 500e3), "{times:?}");
        assert!(is_about(times.p99, 990e3), "{times:?}");
        assert!(is_about(times.longest, 1e6), "{times:?}");
        assert_eq!(times.n, 1_000);
    }

    #[test]
    fn what_is_shorter_or_longer_than_any_bound_counts_too() {
        let latency = Latency::default();
        latency.record(Duration::ZERO);
        latency.record(Duration::from_nanos(60));
        latency.record(Duration::MAX);
        let times = latency.quantiles().expect("there are some");
        assert!(is_about(times.p50, 60.0), "{times:?}");
        assert!(is_about(times.longest, 3.6e12), "{times:?}");
        assert_eq!(times.n, 3);
    }

    #[test]
    fn nothing_is_said_of_what_has_not_happened() {
        let latencies = Latencies::default();
        latencies.job_switch.record(Duration::from_micros(20));
        let document = serde_json::to_value(latencies.status()).expect("it is plain data");
        assert_eq!(document["job_switch_s"]["n"], 1);
        assert_eq!(document.as_object().expect("an object").len(), 1);
        let read: LatencyStatus = serde_json::from_value(document).expect("it reads itself");
        assert_eq!(read, latencies.status());
    }

    #[test]
    fn times_are_said_in_the_unit_that_suits_them() {
        let times = Quantiles {
            p50: 35e-6,
            p99: 1.24e-3,
            longest: 2.5,
            n: 12,
        };
        let words = "p50 35 us, p99 1.2 ms, longest 2.50 s of 12";
        assert_eq!(times.to_string(), words);
        let status = LatencyStatus {
            tip_to_hash_s: Some(times),
            ..LatencyStatus::default()
        };
        let known: Vec<_> = status.known().collect();
        assert_eq!(known, [("tip to hash", times)]);
    }

    #[test]
    fn times_of_many_threads_are_all_there_and_take_no_more_room() {
        let latency = Latency::default();
        let buckets = latency.histogram().distinct_values();
        std::thread::scope(|scope| {
            for thread in 1..=4_u64 {
                let latency = &latency;
                scope.spawn(move || {
                    for time in 0..25_000 {
                        latency.record(Duration::from_nanos(time * time * thread));
                    }
                });
            }
        });
        assert_eq!(latency.quantiles().expect("there are some").n, 100_000);
        assert_eq!(latency.histogram().distinct_values(), buckets);
    }
}
