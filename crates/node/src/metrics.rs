//! Counters per RPC method.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// A call that takes longer is counted as this long: no deadline is so far away.
const LONGEST: Duration = Duration::from_hours(1);
/// Decimal digits that are kept: a percentile is known to one per cent.
const DIGITS: u8 = 2;

/// What was measured of one method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodMetrics {
    /// Calls made; a batch is one call.
    pub calls: u64,
    /// Calls that ended in an error, answered or not.
    pub errors: u64,
    /// Duration of the last call.
    pub last_latency: Duration,
    /// Half of the calls took no longer, failed ones included; rounded up by one per cent at most.
    pub p50_latency: Duration,
    /// All but one in a hundred of the calls took no longer; likewise.
    pub p99_latency: Duration,
    /// Duration of the slowest call.
    pub max_latency: Duration,
    /// Sum of all durations; divided by `calls`, the mean.
    pub total_latency: Duration,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answer bodies.
    pub bytes_received: u64,
}

/// What was measured of one node, per lane and method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeMetrics {
    /// Ordinary calls.
    pub poll: BTreeMap<String, MethodMetrics>,
    /// `submitblock`, and the `uptime` calls that keep its connections warm.
    pub submit: BTreeMap<String, MethodMetrics>,
    /// Long polls; their latency is mostly waiting.
    pub long_poll: BTreeMap<String, MethodMetrics>,
}

/// A node's metrics, to be read at any time. Does not keep its threads running.
#[derive(Clone)]
pub struct Meter {
    pub(crate) node: Arc<str>,
    pub(crate) poll: Arc<Metrics>,
    pub(crate) submit: Arc<Metrics>,
    pub(crate) long_poll: Arc<Metrics>,
}

impl Meter {
    /// The operator's name for the node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What was counted so far.
    pub fn read(&self) -> NodeMetrics {
        NodeMetrics {
            poll: self.poll.snapshot(),
            submit: self.submit.snapshot(),
            long_poll: self.long_poll.snapshot(),
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter({})", self.node)
    }
}

/// One lane's metrics.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<String, Kept>>);

/// What is kept of one method: sums, and how long its calls took, in microseconds. Of one size, however many there
/// were.
#[derive(Debug)]
struct Kept {
    sums: MethodMetrics,
    times: Histogram<u64>,
}

/// One call, for [`Metrics::record`].
pub(crate) struct Call {
    pub(crate) failed: bool,
    pub(crate) latency: Duration,
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl Default for Kept {
    fn default() -> Self {
        let times = Histogram::new_with_max(microseconds(LONGEST), DIGITS);
        Self {
            sums: MethodMetrics::default(),
            times: times.expect("bounds that are constants"),
        }
    }
}

impl Kept {
    fn record(&mut self, call: &Call) {
        let sums = &mut self.sums;
        sums.calls += 1;
        sums.errors += u64::from(call.failed);
        sums.last_latency = call.latency;
        sums.max_latency = sums.max_latency.max(call.latency);
        sums.total_latency += call.latency;
        sums.bytes_sent += call.sent as u64;
        sums.bytes_received += call.received as u64;
        self.times.saturating_record(microseconds(call.latency));
    }

    fn read(&self) -> MethodMetrics {
        // The histogram rounds up, and no percentile is above the slowest of all.
        let quantile = |share| {
            let time = Duration::from_micros(self.times.value_at_quantile(share));
            time.min(self.sums.max_latency)
        };
        MethodMetrics {
            p50_latency: quantile(0.5),
            p99_latency: quantile(0.99),
            ..self.sums
        }
    }
}

impl Metrics {
    pub(crate) fn record(&self, method: &str, call: &Call) {
        let mut methods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !methods.contains_key(method) {
            methods.insert(method.to_owned(), Kept::default());
        }
        if let Some(kept) = methods.get_mut(method) {
            kept.record(call);
        }
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, MethodMetrics> {
        let methods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(method, kept): (&String, &Kept)| (method.clone(), kept.read());
        methods.iter().map(read).collect()
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(latency: Duration, failed: bool) -> Call {
        Call {
            failed,
            latency,
            sent: 10,
            received: 100,
        }
    }

    /// Whether a time is so many milliseconds, rounded up by one per cent at most.
    fn is_about(time: Duration, ms: f64) -> bool {
        (1.0..=1.01).contains(&(time.as_secs_f64() * 1e3 / ms))
    }

    #[test]
    fn one_slow_call_in_many_moves_the_maximum_and_not_the_percentiles() {
        let metrics = Metrics::default();
        for ms in 1..=199 {
            metrics.record("a", &call(Duration::from_millis(ms), false));
        }
        metrics.record("a", &call(Duration::from_secs(30), true));
        metrics.record("b", &call(Duration::from_millis(5), false));
        let read = metrics.snapshot();
        let (a, b) = (read["a"], read["b"]);
        assert_eq!((a.calls, a.errors, a.bytes_received), (200, 1, 20_000));
        assert!(is_about(a.p50_latency, 100.0), "{a:?}");
        assert!(is_about(a.p99_latency, 198.0), "{a:?}");
        assert_eq!(a.max_latency, Duration::from_secs(30));
        assert_eq!(
            (b.p50_latency, b.p99_latency),
            (b.max_latency, b.max_latency)
        );
    }

    #[test]
    fn calls_of_any_length_count_and_take_no_more_room() {
        let metrics = Metrics::default();
        for latency in [
            Duration::ZERO,
            Duration::from_nanos(300),
            Duration::from_hours(90),
        ] {
            metrics.record("a", &call(latency, false));
        }
        let a = metrics.snapshot()["a"];
        assert!(a.p50_latency <= Duration::from_micros(1), "{a:?}");
        assert!(
            a.p99_latency >= LONGEST && a.p99_latency <= a.max_latency,
            "{a:?}"
        );
    }
}
