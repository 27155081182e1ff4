//! The connections to ZMQ publishers in the `status` document.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use node::zmq::EndpointState;
use serde::{Deserialize, Serialize};

/// One connection to a publisher. What is unknown is null.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublisherRow {
    /// The configured name of the node that it belongs to.
    pub node: String,
    /// Where.
    pub endpoint: String,
    /// Seconds for which the connection has stood; null while it does not.
    pub connected_s: Option<f64>,
    /// Seconds since the last valid message. Long is no fault: no block, no message.
    pub last_message_s: Option<f64>,
    /// Connections made so far.
    pub connects: u64,
    /// Why the last one ended, or could not be made.
    pub last_error: Option<String>,
    /// Valid messages, by topic.
    pub topics: BTreeMap<String, TopicRow>,
    /// Messages discarded, by reason.
    pub garbage: BTreeMap<String, u64>,
}

/// One topic of a publisher.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TopicRow {
    /// Valid messages.
    pub received: u64,
    /// Messages that the publisher's counter says were missed.
    pub missed: u64,
    /// How often that counter began anew.
    pub resets: u64,
}

impl PublisherRow {
    pub(super) fn of(node: &str, state: &EndpointState, now: Instant) -> Self {
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
        let topic = |topic: &node::zmq::Topic| {
            let counters = state.counters.get(topic).copied().unwrap_or_default();
            let row = TopicRow {
                received: counters.received,
                missed: counters.missed,
                resets: counters.resets,
            };
            (topic.to_string(), row)
        };
        let garbage = state.garbage.iter();
        Self {
            node: node.to_owned(),
            endpoint: state.endpoint.to_string(),
            connected_s: state.connected_since.map(seconds),
            last_message_s: state.last_message.map(seconds),
            connects: state.connects,
            last_error: state.last_error.clone(),
            topics: state.topics.iter().map(topic).collect(),
            garbage: garbage
                .map(|(reason, count)| (reason.as_str().to_owned(), *count))
                .collect(),
        }
    }
}

/// One line: whether it stands, and what it brought.
impl fmt::Display for PublisherRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.node, self.endpoint)?;
        match (self.connected_s, &self.last_error) {
            (Some(seconds), _) => write!(f, "connected for {seconds:.0} s")?,
            (None, Some(reason)) => write!(f, "not connected: {reason}")?,
            (None, None) => f.write_str("not connected yet")?,
        }
        let sum = |of: fn(&TopicRow) -> u64| self.topics.values().map(of).sum::<u64>();
        write!(
            f,
            ", {} messages, {} missed",
            sum(|topic| topic.received),
            sum(|topic| topic.missed)
        )
    }
}
