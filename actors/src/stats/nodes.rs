//! The configured nodes in the `status` document.

use std::fmt;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::messages::{NodeState, NodeView};
use advisor::breaker::BreakerState;

/// One of the configured nodes. What is unknown is null.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeRow {
    /// Configured name.
    pub name: String,
    /// Whether tips and templates come from it.
    pub active: bool,
    /// Whether it is on the best tip it knows.
    pub synced: bool,
    /// Its state in words.
    pub state: String,
    /// What speaks against using it.
    pub fault: Option<String>,
    /// Its best block.
    pub tip: Option<NodeTip>,
    /// Blocks that its tip is below the highest that was verified.
    pub lag_blocks: Option<u32>,
    /// For how many seconds it has named another tip than the node in use.
    pub apart_s: Option<f64>,
    /// Seconds that an answer takes, on average.
    pub latency_s: Option<f64>,
    /// Its peers.
    pub peers: Option<u32>,
    /// Seconds for which it has answered every call.
    pub up_s: Option<f64>,
    /// Whether it is asked: closed, or for a while after too many calls have failed open and half_open.
    pub breaker: BreakerState,
}

/// The best block of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTip {
    /// Its height.
    pub height: Option<u32>,
    /// Its hash in display order.
    pub hash: String,
}

impl NodeRow {
    /// What is shown of a node `now`.
    pub fn of(view: &NodeView, now: Instant) -> Self {
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
        Self {
            name: view.name.to_string(),
            active: view.active,
            synced: view.state == NodeState::Ready,
            state: view.state.to_string(),
            fault: view.fault.as_deref().map(str::to_owned),
            tip: view.tip.map(|hash| NodeTip {
                height: view.height,
                hash: hash.to_string(),
            }),
            lag_blocks: view.lag,
            apart_s: view.apart_since.map(seconds),
            latency_s: view.latency.map(|latency| latency.as_secs_f64()),
            peers: view.peers,
            up_s: view.answers_since.map(seconds),
            breaker: view.breaker,
        }
    }
}

impl fmt::Display for NodeRow {
    /// In a line: `home (in use): on its best tip, block 7, 0.4 ms, 8 peers, up 61 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = if self.active { " (in use)" } else { "" };
        write!(f, "{}{used}: {}", self.name, self.state)?;
        if let Some(height) = self.tip.as_ref().and_then(|tip| tip.height) {
            write!(f, ", block {height}")?;
        }
        if let Some(lag) = self.lag_blocks.filter(|lag| *lag > 0) {
            write!(f, ", {lag} behind")?;
        }
        if let Some(apart) = self.apart_s {
            write!(f, ", on another tip for {apart:.0} s")?;
        }
        if let Some(latency) = self.latency_s {
            write!(f, ", {:.1} ms", latency * 1e3)?;
        }
        if let Some(peers) = self.peers {
            write!(f, ", {peers} peers")?;
        }
        if let Some(up) = self.up_s {
            write!(f, ", up {up:.0} s")?;
        }
        if self.breaker != BreakerState::Closed {
            write!(f, ", breaker {}", self.breaker)?;
        }
        match &self.fault {
            Some(fault) => write!(f, "; it {fault}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known_and_nothing_of_the_rest() {
        let mut row = NodeRow {
            name: "home".into(),
            active: true,
            synced: true,
            state: "on its best tip".into(),
            fault: None,
            tip: Some(NodeTip {
                height: Some(7),
                hash: String::new(),
            }),
            lag_blocks: Some(0),
            apart_s: None,
            latency_s: Some(0.0004),
            peers: Some(8),
            up_s: Some(61.2),
            breaker: BreakerState::Closed,
        };
        let line = "home (in use): on its best tip, block 7, 0.4 ms, 8 peers, up 61 s";
        assert_eq!(row.to_string(), line);
        row.active = false;
        row.tip = None;
        row.lag_blocks = Some(2);
        row.latency_s = None;
        row.peers = None;
        row.up_s = None;
        row.breaker = BreakerState::HalfOpen;
        row.fault = Some("gives no templates".into());
        let line = "home: on its best tip, 2 behind, breaker half open; it gives no templates";
        assert_eq!(row.to_string(), line);
    }
}
