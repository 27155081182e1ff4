//! Counters per RPC method.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
pub(crate) struct Metrics(Mutex<BTreeMap<String, MethodMetrics>>);

/// One call, for [`Metrics::record`].
pub(crate) struct Call {
    pub(crate) failed: bool,
    pub(crate) latency: Duration,
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl Metrics {
    pub(crate) fn record(&self, method: &str, call: &Call) {
        let mut methods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !methods.contains_key(method) {
            methods.insert(method.to_owned(), MethodMetrics::default());
        }
        let Some(sum) = methods.get_mut(method) else {
            return;
        };
        sum.calls += 1;
        sum.errors += u64::from(call.failed);
        sum.last_latency = call.latency;
        sum.max_latency = sum.max_latency.max(call.latency);
        sum.total_latency += call.latency;
        sum.bytes_sent += call.sent as u64;
        sum.bytes_received += call.received as u64;
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, MethodMetrics> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
