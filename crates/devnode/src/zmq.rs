//! The ZMQ publisher: a PUB socket that sends what the chain hands over.
//!
//! `zeromq` queues per subscriber and drops when a queue is full, so that a subscriber that does not
//! read can neither block the chain nor the other subscribers.

use std::net::SocketAddr;

use tokio::sync::{mpsc, watch};
use zeromq::{PubSocket, Socket as _, SocketSend as _, ZmqMessage};

use crate::error::DevnodeError;
use crate::events::Message;

/// Binds the socket; the address says which port it got.
pub(crate) async fn bind(addr: SocketAddr) -> Result<(PubSocket, SocketAddr), DevnodeError> {
    let refused = |reason: String| DevnodeError::ZmqBind { addr, reason };
    // A std listener, because the library's own bind hides the resolved address behind a host name.
    let listener = std::net::TcpListener::bind(addr).map_err(|e| refused(e.to_string()))?;
    let bound = listener.local_addr().map_err(|e| refused(e.to_string()))?;
    let mut socket = PubSocket::new();
    socket
        .bind_listener(listener)
        .await
        .map_err(|e| refused(e.to_string()))?;
    Ok((socket, bound))
}

/// Publishes until the node stops, then closes the port.
pub(crate) async fn publish(
    mut socket: PubSocket,
    mut messages: mpsc::Receiver<Message>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let message = tokio::select! {
            biased;
            message = messages.recv() => message,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(message) = message else { break };
        let mut frames = ZmqMessage::from(message.topic.as_bytes().to_vec());
        frames.push_back(message.body.into());
        frames.push_back(message.sequence.to_le_bytes().to_vec().into());
        if let Err(error) = socket.send(frames).await {
            tracing::debug!(%error, "ZMQ message not sent");
        }
    }
    for error in socket.close().await {
        tracing::debug!(%error, "closing the ZMQ socket");
    }
}
