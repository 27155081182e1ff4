//! One endpoint's task: connect, listen, say what was heard, and begin again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{self, Either};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use zeromq::util::PeerIdentity;
use zeromq::{Socket, SocketOptions, SocketRecv, SubSocket};

use super::events::{Sender, Unheard};
use super::guard::{self, Broken, Gate};
use super::notification::{BlockStart, Notification, Topic, parse};
use super::state::Board;
use super::{Settings, ZmqEvent};
use crate::config::ZmqEndpoint;

/// A connection that stood this long counts as a good one: the next attempt is made without delay.
const GOOD: Duration = Duration::from_secs(5);

/// How long messages that came in before the end of a connection may take to come out of the socket.
const DRAIN: Duration = Duration::from_secs(1);

/// All that one endpoint's task works with.
pub(super) struct Session {
    pub(super) node: String,
    pub(super) endpoint: ZmqEndpoint,
    pub(super) topics: Vec<Topic>,
    pub(super) settings: Settings,
    pub(super) board: Arc<Board>,
    pub(super) recreate: Arc<Notify>,
    pub(super) events: Sender,
}

impl Session {
    /// Runs until the receiver of the events is gone, or the task is aborted.
    pub(super) async fn run(self) {
        let mut delay = self.settings.reconnect_min;
        loop {
            let begun = Instant::now();
            let Ok(broken) = self.connection().await else {
                self.board.lost("nobody listens any more");
                return;
            };
            let reason = broken.to_string();
            if self.board.lost(&reason) {
                tracing::warn!(node = self.node, endpoint = %self.endpoint, reason, "lost the ZMQ publisher");
                let lost = ZmqEvent::Lost {
                    endpoint: self.endpoint.clone(),
                    reason,
                };
                if self.events.send(lost).await.is_err() {
                    return;
                }
            } else {
                tracing::debug!(node = self.node, endpoint = %self.endpoint, reason, "no ZMQ publisher");
            }
            if matches!(broken, Broken::Recreate) {
                delay = self.settings.reconnect_min;
                continue;
            }
            if begun.elapsed() >= GOOD {
                delay = self.settings.reconnect_min;
            }
            tokio::select! {
                () = sleep(delay) => {}
                () = self.recreate.notified() => {}
            }
            delay = (delay * 2).min(self.settings.reconnect_max);
        }
    }

    /// One connection from beginning to end; answers why it ended.
    async fn connection(&self) -> Result<Broken, Unheard> {
        let connecting = pin!(self.connect());
        let connected = match future::select(connecting, pin!(self.recreate.notified())).await {
            Either::Left((Ok(connected), _)) => connected,
            Either::Left((Err(broken), _)) => return Ok(broken),
            Either::Right(_) => return Ok(Broken::Recreate),
        };
        // Dropped from the last to the first: the socket before the stream that it would try to replace.
        let (_gate, mut local, mut publisher, mut socket) = connected;
        self.board.connected();
        tracing::info!(node = self.node, endpoint = %self.endpoint, "connected to the ZMQ publisher");
        let up = ZmqEvent::Connected {
            endpoint: self.endpoint.clone(),
            topics: self.topics.clone(),
        };
        self.events.send(up).await?;
        // All in one task: when it is aborted or ends, all of it is gone.
        let (passed, heard) = (AtomicU64::new(0), AtomicU64::new(0));
        let starts = |start| self.block_starts(start);
        let relaying = guard::relay(&mut publisher, &mut local, &self.settings, &passed, starts);
        let mut listening = pin!(self.listen(&mut socket, &heard));
        let broken = tokio::select! {
            broken = relaying => broken,
            ended = &mut listening => return ended,
            () = self.recreate.notified() => return Ok(Broken::Recreate),
        };
        // What came in before the end is still to be heard.
        let mut progress = (0, Instant::now());
        loop {
            let so_far = heard.load(Ordering::Relaxed);
            if so_far > progress.0 || self.events.is_full() {
                progress = (so_far, Instant::now());
            }
            if so_far >= passed.load(Ordering::Relaxed) || progress.1.elapsed() > DRAIN {
                return Ok(broken);
            }
            tokio::select! {
                ended = &mut listening => return ended.map(|_| broken),
                () = self.recreate.notified() => return Ok(Broken::Recreate),
                () = sleep(Duration::from_millis(2)) => {}
            }
        }
    }

    async fn connect(
        &self,
    ) -> Result<(Gate, tokio::net::TcpStream, guard::Publisher, SubSocket), Broken> {
        let publisher = guard::connect(&self.endpoint, &self.settings).await?;
        let identity = PeerIdentity::new();
        let (gate, address) = Gate::open(identity.as_ref()).await?;
        let mut options = SocketOptions::default();
        options
            .peer_identity(identity)
            .connect_timeout(self.settings.handshake_timeout);
        let mut socket = SubSocket::with_options(options);
        let joined = async {
            let (local, connected) =
                future::join(gate.admit(&self.settings), socket.connect(&address)).await;
            connected.map_err(|error| Broken::Local(error.to_string()))?;
            let local = local?;
            for topic in &self.topics {
                socket
                    .subscribe(topic.as_str())
                    .await
                    .map_err(|error| Broken::Local(error.to_string()))?;
            }
            Ok(local)
        };
        let local = timeout(self.settings.handshake_timeout * 2, joined)
            .await
            .map_err(|_| Broken::Local("it did not connect in time".to_owned()))??;
        Ok((gate, local, publisher, socket))
    }

    /// Passes on that a block has begun to arrive, where it was subscribed to. A listener that is so far behind that
    /// there is no room hears of it with the whole block.
    fn block_starts(&self, start: BlockStart) {
        if self.topics.contains(&Topic::RawBlock) {
            let _ = self.events.offer(ZmqEvent::BlockStarts(start));
        }
    }

    /// Receives, checks, counts, passes on. `heard` counts the messages dealt with.
    async fn listen(&self, socket: &mut SubSocket, heard: &AtomicU64) -> Result<Broken, Unheard> {
        loop {
            let parts = match socket.recv().await {
                Ok(message) => message.into_vec(),
                Err(error) => return Ok(Broken::Local(error.to_string())),
            };
            let received = Instant::now();
            match parse(&parts, &self.topics) {
                Ok((topic, payload, sequence)) => {
                    let gap = self.board.message(topic, sequence, received);
                    if gap.is_loss() {
                        tracing::warn!(node = self.node, endpoint = %self.endpoint, %topic, ?gap, "ZMQ messages were missed");
                    }
                    let event = ZmqEvent::Notification(Notification {
                        topic,
                        payload,
                        sequence,
                        gap,
                        received,
                    });
                    self.events.send(event).await?;
                }
                Err(reason) => {
                    self.board.garbage(reason);
                    tracing::debug!(node = self.node, endpoint = %self.endpoint, reason = reason.as_str(), "discarded a ZMQ message");
                }
            }
            heard.fetch_add(1, Ordering::Relaxed);
        }
    }
}
