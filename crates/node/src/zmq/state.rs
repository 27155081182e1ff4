//! What is known of each connection to a publisher, readable at any time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::notification::{Gap, Garbage, Topic};
use crate::config::ZmqEndpoint;

/// One connection to a publisher.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointState {
    /// Where.
    pub endpoint: ZmqEndpoint,
    /// What is subscribed to there.
    pub topics: Vec<Topic>,
    /// Since when the connection stands; `None` while it does not.
    pub connected_since: Option<Instant>,
    /// When the last valid message came, over any connection.
    pub last_message: Option<Instant>,
    /// Connections made so far.
    pub connects: u64,
    /// Why the last connection ended or could not be made.
    pub last_error: Option<String>,
    /// Counters per topic.
    pub counters: BTreeMap<Topic, TopicCounters>,
    /// Messages discarded, by reason.
    pub garbage: BTreeMap<Garbage, u64>,
}

/// Counters of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicCounters {
    /// Valid messages.
    pub received: u64,
    /// Messages that the publisher's counter says were missed.
    pub missed: u64,
    /// How often the publisher's counter went back.
    pub resets: u64,
    /// The publisher's counter in the last message.
    pub last_sequence: Option<u32>,
}

/// The state as the connection's task writes it.
#[derive(Debug)]
pub(super) struct Board(Mutex<EndpointState>);

impl Board {
    pub(super) fn new(endpoint: ZmqEndpoint, topics: Vec<Topic>) -> Self {
        Self(Mutex::new(EndpointState {
            endpoint,
            topics,
            connected_since: None,
            last_message: None,
            connects: 0,
            last_error: None,
            counters: BTreeMap::new(),
            garbage: BTreeMap::new(),
        }))
    }

    pub(super) fn snapshot(&self) -> EndpointState {
        self.lock().clone()
    }

    pub(super) fn connected(&self) {
        let mut state = self.lock();
        state.connected_since = Some(Instant::now());
        state.connects += 1;
    }

    /// Answers whether the connection had stood.
    pub(super) fn lost(&self, why: &str) -> bool {
        let mut state = self.lock();
        state.last_error = Some(why.to_owned());
        state.connected_since.take().is_some()
    }

    /// Counts a valid message and compares its counter with the last one's.
    pub(super) fn message(&self, topic: Topic, sequence: u32, received: Instant) -> Gap {
        let mut state = self.lock();
        state.last_message = Some(received);
        let counters = state.counters.entry(topic).or_default();
        let gap = Gap::between(counters.last_sequence, sequence);
        counters.received += 1;
        counters.last_sequence = Some(sequence);
        match gap {
            Gap::Missed(missed) => counters.missed += u64::from(missed),
            Gap::Reset => counters.resets += 1,
            Gap::First | Gap::None => {}
        }
        gap
    }

    pub(super) fn garbage(&self, reason: Garbage) {
        *self.lock().garbage.entry(reason).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, EndpointState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
