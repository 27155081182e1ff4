//! The ZMQ publisher: a PUB socket that sends what the chain hands over.
//!
//! `zeromq` queues per subscriber and drops when a queue is full, so that a subscriber that does not
//! read can neither block the chain nor the other subscribers.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeromq::{PubSocket, Socket as _, SocketSend as _, ZmqMessage};

use crate::error::DevnodeError;
use crate::events::Message;
use crate::faults::Meanwhile;
use crate::faults::stage::Silence;
use crate::node::Node;
use crate::seat::Seat;

/// What no subscriber takes for a greeting.
const NO_GREETING: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
/// Connections that a publisher that says nothing keeps open.
const KEPT: usize = 64;

/// A bound socket, what it is to send, and where it is.
pub(crate) struct Publisher {
    pub(crate) socket: PubSocket,
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) addr: SocketAddr,
}

/// Binds the socket; the address says which port it got.
pub(crate) async fn bind(addr: SocketAddr) -> Result<(PubSocket, SocketAddr), DevnodeError> {
    let refused = |reason: String| DevnodeError::ZmqBind { addr, reason };
    // A std listener, because the library's own bind hides the resolved address behind a host name.
    let listener = std::net::TcpListener::bind(addr).map_err(|e| refused(e.to_string()))?;
    let bound = listener.local_addr().map_err(|e| refused(e.to_string()))?;
    let socket = listen(listener).await.map_err(refused)?;
    Ok((socket, bound))
}

async fn listen(listener: std::net::TcpListener) -> Result<PubSocket, String> {
    let mut socket = PubSocket::new();
    let bound = socket.bind_listener(listener).await;
    bound.map(|_| socket).map_err(|error| error.to_string())
}

/// Publishes until the node stops, and closes the port then and while it is told to.
pub(crate) async fn run(mut publisher: Publisher, node: &Node) {
    while let Some(silence) = publish(&mut publisher, node).await {
        node.world().events.pause();
        for error in publisher.socket.close().await {
            tracing::debug!(%error, "closing the ZMQ socket");
        }
        let socket = match away(publisher.addr, silence, node).await {
            Ok(listener) => listen(listener).await,
            Err(error) => Err(error.to_string()),
        };
        publisher.socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "the ZMQ publisher cannot come back");
                return;
            }
        };
        publisher.messages = node.world().events.restart();
    }
    for error in publisher.socket.close().await {
        tracing::debug!(%error, "closing the ZMQ socket");
    }
}

/// Publishes until the node stops (None) or an event silences it.
async fn publish(publisher: &mut Publisher, node: &Node) -> Option<Silence> {
    let mut stop = node.stopping();
    let mut silenced = node.stage.silence.subscribe();
    loop {
        let message = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => None,
            silence = silenced.wait_for(|silence| is_on(silence.as_ref())) => {
                return silence.ok().and_then(|silence| *silence);
            }
            message = publisher.messages.recv() => message,
        }?;
        node.pause_until(Instant::now() + message.delay).await;
        node.thaw().await;
        let mut frames = message.frames.into_iter();
        let mut parts = ZmqMessage::from(frames.next().unwrap_or_default());
        for frame in frames {
            parts.push_back(frame.into());
        }
        if let Err(error) = publisher.socket.send(parts).await {
            tracing::debug!(%error, "ZMQ message not sent");
        }
    }
}

fn is_on(silence: Option<&Silence>) -> bool {
    silence.is_some_and(|silence| Instant::now() < silence.until)
}

/// Keeps the address for as long as the publisher is away.
async fn away(
    addr: SocketAddr,
    silence: Silence,
    node: &Node,
) -> io::Result<std::net::TcpListener> {
    let seat = Seat::take(addr).await?;
    if silence.meanwhile == Meanwhile::Closed {
        node.pause_until(silence.until).await;
        return seat.listen()?.into_std();
    }
    let listener = seat.listen()?;
    tokio::select! {
        () = node.pause_until(silence.until) => {}
        () = mislead(&listener, silence.meanwhile) => {}
    }
    listener.into_std()
}

/// Accepts connections and says nothing, or nothing that helps.
async fn mislead(listener: &TcpListener, meanwhile: Meanwhile) {
    let mut kept: Vec<TcpStream> = Vec::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // The listener is good; what failed was one connection.
            tokio::task::yield_now().await;
            continue;
        };
        if meanwhile == Meanwhile::Garbage {
            // A client that is gone already needs no garbage.
            let _ = stream.write_all(NO_GREETING).await;
        }
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(stream);
    }
}
