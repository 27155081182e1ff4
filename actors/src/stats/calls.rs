//! What the calls to each node came to, for the `status` document.

use std::collections::BTreeMap;
use std::fmt;

use node::{Meter, MethodMetrics};
use serde::{Deserialize, Serialize};

use crate::latency::in_words;

/// The calls to one node since its link was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeCalls {
    /// The node's configured name.
    pub node: String,
    /// A row for each method called, by lane.
    pub calls: Vec<CallRow>,
}

/// The calls of one method.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallRow {
    /// Who called: `poll`, `submit` or `longpoll`, each with connections of its own.
    pub lane: String,
    /// The RPC method. `uptime` in the submit lane keeps its connections warm.
    pub method: String,
    /// Calls made; a batch is one.
    pub calls: u64,
    /// Those that ended in an error, answered or not.
    pub errors: u64,
    /// Mean duration; that of a long poll is mostly waiting.
    pub mean_s: f64,
    /// Half of them took no longer.
    #[serde(default)]
    pub p50_s: f64,
    /// All but one in a hundred took no longer.
    #[serde(default)]
    pub p99_s: f64,
    /// Duration of the slowest.
    pub max_s: f64,
    /// Duration of the last.
    pub last_s: f64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answer bodies.
    pub bytes_received: u64,
}

impl NodeCalls {
    pub(super) fn of(meter: &Meter) -> Self {
        let metrics = meter.read();
        let lanes = [
            ("poll", &metrics.poll),
            ("submit", &metrics.submit),
            ("longpoll", &metrics.long_poll),
        ];
        Self {
            node: meter.node().to_owned(),
            calls: lanes.into_iter().flat_map(rows).collect(),
        }
    }
}

fn rows(
    (lane, methods): (&'static str, &BTreeMap<String, MethodMetrics>),
) -> impl Iterator<Item = CallRow> {
    methods.iter().map(move |(method, of)| CallRow {
        lane: lane.to_owned(),
        method: method.clone(),
        calls: of.calls,
        errors: of.errors,
        mean_s: of.total_latency.as_secs_f64() / of.calls.max(1) as f64,
        p50_s: of.p50_latency.as_secs_f64(),
        p99_s: of.p99_latency.as_secs_f64(),
        max_s: of.max_latency.as_secs_f64(),
        last_s: of.last_latency.as_secs_f64(),
        bytes_sent: of.bytes_sent,
        bytes_received: of.bytes_received,
    })
}

/// One line: how many, how many failed, and the times of the method with the slowest answer that was no long poll's.
impl fmt::Display for NodeCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&CallRow) -> u64| self.calls.iter().map(of).sum::<u64>();
        write!(
            f,
            "{}: {} calls, {} errors",
            self.node,
            sum(|row| row.calls),
            sum(|row| row.errors)
        )?;
        let answered = self.calls.iter().filter(|row| row.lane != "longpoll");
        match answered.max_by(|one, other| one.max_s.total_cmp(&other.max_s)) {
            Some(row) => {
                let [p50, p99, max] = [row.p50_s, row.p99_s, row.max_s].map(in_words);
                let method = &row.method;
                write!(f, ", slowest {method}: p50 {p50}, p99 {p99}, longest {max}")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lane: &str, method: &str, max_s: f64) -> CallRow {
        CallRow {
            lane: lane.to_owned(),
            method: method.to_owned(),
            calls: 200,
            errors: 1,
            mean_s: 0.004,
            p50_s: 0.003,
            p99_s: 0.02,
            max_s,
            last_s: 0.003,
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    #[test]
    fn the_line_has_the_percentiles_of_the_slowest_method_that_does_not_wait() {
        let calls = NodeCalls {
            node: "local".to_owned(),
            calls: vec![
                row("poll", "getblockchaininfo", 0.1),
                row("poll", "getblocktemplate", 1.5),
                row("longpoll", "getblocktemplate", 60.0),
            ],
        };
        assert_eq!(
            calls.to_string(),
            "local: 600 calls, 3 errors, slowest getblocktemplate: p50 3.0 ms, p99 20.0 ms, longest 1.50 s"
        );
    }
}
