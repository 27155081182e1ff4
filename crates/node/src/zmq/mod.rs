//! Notifications from Bitcoin Core's ZMQ publishers, over crate `zeromq` behind a guard.
//!
//! A notification is a wake-up, never the truth, and its absence proves nothing: whoever listens must poll as well
//! and call [`Subscriber::recreate`] when the tip moved without one.

mod events;
mod frames;
mod guard;
mod notification;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod session;
mod start;
mod state;
mod zmtp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::events::Events;
pub use self::notification::{BlockStart, Gap, Garbage, Notification, Payload, RawBlock, Topic};
use self::session::Session;
use self::state::Board;
pub use self::state::{EndpointState, TopicCounters};
use crate::config::{ZmqEndpoint, ZmqEndpoints};

/// Bounds and delays of a subscriber. The defaults suit Bitcoin Core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Events that wait for the listener before the connection is no longer read; the publisher then
    /// drops what does not fit its own queue, which shows as a gap. Default 1024.
    pub capacity: usize,
    /// Bytes of blocks among them before the same happens; one block always fits. Default 32 MiB.
    pub max_queued: usize,
    /// Bound on establishing the TCP connection. Default 3 s.
    pub connect_timeout: Duration,
    /// Bound on the ZMTP handshake. Default 2 s.
    pub handshake_timeout: Duration,
    /// Silence after which a publisher that knows PING (ZMTP 3.1, so every Bitcoin Core) is asked for a
    /// sign of life. Default 2 s.
    pub ping_interval: Duration,
    /// Time it has to give one, and to take one, before it counts as dead. Default 2 s.
    pub ping_timeout: Duration,
    /// First delay before a new attempt to connect; doubles. Default 100 ms.
    pub reconnect_min: Duration,
    /// Longest delay before a new attempt. Default 1 s.
    pub reconnect_max: Duration,
    /// Most bytes in one message. Default 5 MiB: a block of 4 MB and some slack. A publisher that
    /// announces more is disconnected.
    pub max_message: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 1024,
            max_queued: 32 << 20,
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(2),
            ping_timeout: Duration::from_secs(2),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(1),
            max_message: 5 << 20,
        }
    }
}

/// What a subscriber tells, in the order in which it happened at each endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZmqEvent {
    /// A connection stands and the subscriptions are on their way. What was published before is lost:
    /// look at the tip now.
    Connected {
        /// Where.
        endpoint: ZmqEndpoint,
        /// What is subscribed to there.
        topics: Vec<Topic>,
    },
    /// A connection that stood is gone. A new one is being tried for.
    Lost {
        /// Where.
        endpoint: ZmqEndpoint,
        /// Why.
        reason: String,
    },
    /// A block has begun to arrive. The message that it belongs to follows when all of it is there and is
    /// valid; where the connection ends before, it does not.
    BlockStarts(BlockStart),
    /// A valid message.
    Notification(Notification),
}

/// Listens to a node's publishers: one connection, and one task, per distinct endpoint. Each connects again by
/// itself for as long as the subscriber lives. Dropping it stops at once; [`stop`](Self::stop) also waits.
#[derive(Debug)]
pub struct Subscriber {
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    board: Arc<Board>,
    recreate: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Starts listening for the node called `node`. The events end when the subscriber is stopped, and
    /// at once if no topic has an endpoint.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(node: &str, endpoints: &ZmqEndpoints, settings: Settings) -> (Self, Events) {
        let (events, receiver) = events::queue(&settings);
        let links = by_endpoint(endpoints)
            .into_iter()
            .map(|(endpoint, topics)| {
                let board = Arc::new(Board::new(endpoint.clone(), topics.clone()));
                let recreate = Arc::new(Notify::new());
                let session = Session {
                    node: node.to_owned(),
                    endpoint,
                    topics,
                    settings,
                    board: Arc::clone(&board),
                    recreate: Arc::clone(&recreate),
                    events: events.clone(),
                };
                #[allow(
                    clippy::disallowed_methods,
                    reason = "its end closes the events, and the link that holds its handle aborts it"
                )]
                let task = tokio::spawn(session.run());
                Link {
                    board,
                    recreate,
                    task,
                }
            })
            .collect();
        (Self { links }, receiver)
    }

    /// The state of every connection.
    pub fn state(&self) -> Vec<EndpointState> {
        self.connections().state()
    }

    /// The same, for whoever wants to read it again and again.
    pub fn connections(&self) -> Connections {
        let boards = self.links.iter().map(|link| Arc::clone(&link.board));
        Connections(boards.collect())
    }

    /// Throws every connection away and makes new ones at once: for when the tip moved and nothing was heard.
    pub fn recreate(&self) {
        for link in &self.links {
            link.recreate.notify_one();
        }
    }

    /// Stops; when this returns, every socket is closed.
    pub async fn stop(mut self) {
        for link in &self.links {
            link.task.abort();
        }
        for link in &mut self.links {
            // Cancelled, which is what was asked for.
            let _ = (&mut link.task).await;
        }
    }
}

/// A view of a subscriber's connections. Does not keep them.
#[derive(Clone, Debug)]
pub struct Connections(Vec<Arc<Board>>);

impl Connections {
    /// The state of every connection.
    pub fn state(&self) -> Vec<EndpointState> {
        self.0.iter().map(|board| board.snapshot()).collect()
    }
}

/// Which topics each distinct endpoint carries.
fn by_endpoint(endpoints: &ZmqEndpoints) -> BTreeMap<ZmqEndpoint, Vec<Topic>> {
    let mut map = BTreeMap::<_, Vec<_>>::new();
    for (topic, endpoint) in [
        (Topic::HashBlock, &endpoints.hashblock),
        (Topic::RawBlock, &endpoints.rawblock),
        (Topic::Sequence, &endpoints.sequence),
    ] {
        if let Some(endpoint) = endpoint {
            map.entry(endpoint.clone()).or_default().push(topic);
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_that_returns_is_heard_within_five_seconds() {
        const BOUND: Duration = Duration::from_secs(5);
        let settings = Settings::default();
        // It was away: the attempt that it missed, and the longest wait for the next.
        assert!(settings.connect_timeout + settings.reconnect_max < BOUND);
        assert!(settings.handshake_timeout + settings.reconnect_max < BOUND);
        // It vanished without a word: until that is noticed, and the first wait.
        let noticed = settings.ping_interval + settings.ping_timeout;
        assert!(noticed + settings.reconnect_min < BOUND);
    }
}
