//! The guard between a publisher and the `zeromq` socket.
//!
//! `zeromq` 0.7 reserves memory for whatever length a frame header announces (one that announces
//! 1 TiB aborts the process), collects the parts of a message without bound, takes an unknown command, a PING for
//! instance, for a broken connection, and waits for ever on a peer that has gone silent. So it never
//! sees the publisher: it is connected to this guard, which has checked each frame header before it lets a byte of
//! the frame pass, answers PING itself, and notices a dead peer. Bodies are passed on as they come; the
//! guard holds no more than one read's worth.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::Settings;
use super::frames::{Frames, Step, whole_frames};
use super::notification::BlockStart;
use super::start::Starts;
use super::zmtp::{ZmtpError, answer_to, handshake, ping, property};
use crate::config::ZmqEndpoint;
use crate::error::one_line;
use crate::http::keepalive;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("it accepted the connection and sent no complete handshake within {0:?}")]
    HandshakeTimeout(Duration),
    #[error("the handshake failed: {0}")]
    Handshake(#[source] ZmtpError),
    #[error("the publisher closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(#[source] std::io::Error),
    #[error("the publisher sent what no publisher sends: {0}")]
    Protocol(#[source] ZmtpError),
    #[error("the publisher did not answer a PING within {0:?}")]
    Silent(Duration),
    #[error("the publisher did not take a few bytes within {0:?}")]
    Deaf(Duration),
    #[error("the local socket failed: {0}")]
    Local(String),
    #[error("a new connection was asked for")]
    Recreate,
}

/// A publisher that has shaken hands.
pub(super) struct Publisher {
    stream: TcpStream,
    /// ZMTP 3.1 brought PING; older peers may take it for an error (`zeromq` 0.7 does).
    answers_ping: bool,
}

/// Connects to a publisher and shakes hands, each within its bound.
pub(super) async fn connect(
    endpoint: &ZmqEndpoint,
    settings: &Settings,
) -> Result<Publisher, Broken> {
    let mut stream = timeout(
        settings.connect_timeout,
        TcpStream::connect(endpoint.host_port()),
    )
    .await
    .map_err(|_| Broken::ConnectTimeout(settings.connect_timeout))?
    .map_err(Broken::Connect)?;
    stream.set_nodelay(true).map_err(Broken::Io)?;
    SockRef::from(&stream)
        .set_tcp_keepalive(&keepalive())
        .map_err(Broken::Io)?;
    let ((major, minor), ready) =
        timeout(settings.handshake_timeout, handshake(&mut stream, "SUB"))
            .await
            .map_err(|_| Broken::HandshakeTimeout(settings.handshake_timeout))?
            .map_err(Broken::Handshake)?;
    match property(&ready, "Socket-Type").map_err(Broken::Handshake)? {
        Some(b"PUB" | b"XPUB") => {}
        Some(other) => {
            let name = one_line(&String::from_utf8_lossy(other), 20);
            return Err(Broken::Handshake(ZmtpError::SocketType(name)));
        }
        None => return Err(Broken::Handshake(ZmtpError::NotReady)),
    }
    Ok(Publisher {
        stream,
        answers_ping: (major, minor) >= (3, 1),
    })
}

/// The address to which only our own socket may connect: a loopback port and a secret.
pub(super) struct Gate {
    listener: TcpListener,
    secret: Vec<u8>,
}

impl Gate {
    /// Opens a free loopback port for the socket that will identify itself with `secret`.
    pub(super) async fn open(secret: &[u8]) -> Result<(Self, String), Broken> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(Broken::Io)?;
        let address = format!("tcp://{}", listener.local_addr().map_err(Broken::Io)?);
        let gate = Self {
            listener,
            secret: secret.to_vec(),
        };
        Ok((gate, address))
    }

    /// Waits for our own socket; turns strangers away.
    pub(super) async fn admit(&self, settings: &Settings) -> Result<TcpStream, Broken> {
        loop {
            let (mut stream, peer) = self.listener.accept().await.map_err(Broken::Io)?;
            stream.set_nodelay(true).map_err(Broken::Io)?;
            let greeted = timeout(settings.handshake_timeout, handshake(&mut stream, "PUB")).await;
            let identity = match &greeted {
                Ok(Ok((_, ready))) => property(ready, "Identity").ok().flatten(),
                _ => None,
            };
            if identity == Some(&self.secret) {
                return Ok(stream);
            }
            tracing::warn!(%peer, "a stranger connected to the local end of a ZMQ link and was turned away");
        }
    }
}

/// Passes frames from the publisher to our socket and subscriptions the other way, until one of them
/// fails. Neither stream is closed: the socket has to go first, or it would try to reconnect. `passed`
/// counts the messages handed to our socket in full, from 0. The start of a block goes to `starts`, before the
/// rest of it is waited for.
pub(super) async fn relay(
    publisher: &mut Publisher,
    local: &mut TcpStream,
    settings: &Settings,
    passed: &AtomicU64,
    starts: impl Fn(BlockStart),
) -> Broken {
    match relay_frames(publisher, local, settings, passed, starts).await {
        Ok(never) => match never {},
        Err(broken) => broken,
    }
}

async fn relay_frames(
    publisher: &mut Publisher,
    local: &mut TcpStream,
    settings: &Settings,
    passed: &AtomicU64,
    starts: impl Fn(BlockStart),
) -> Result<std::convert::Infallible, Broken> {
    let Publisher {
        stream,
        answers_ping,
    } = publisher;
    let (mut from_local, mut to_local) = local.split();
    let mut inbound = Vec::with_capacity(CHUNK);
    let mut outbound = Vec::with_capacity(1024);
    let mut frames = Frames::new(settings.max_message);
    let mut found = Starts::default();
    // A PING is sent when the publisher was silent for a while; then an answer is due.
    let mut pinged = false;
    let mut silent_since = Instant::now();
    loop {
        let due = silent_since
            + if pinged {
                settings.ping_timeout
            } else {
                settings.ping_interval
            };
        tokio::select! {
            biased;
            read = stream.read_buf(&mut inbound) => {
                if read.map_err(Broken::Io)? == 0 {
                    return Err(Broken::Closed);
                }
                let received = std::time::Instant::now();
                let mut rest = &inbound[..];
                while let Some(step) = frames.step(&mut rest).map_err(Broken::Protocol)? {
                    if let Some(start) = found.note(&step, received) {
                        starts(start);
                        // Whoever waits for it goes first.
                        yield_now().await;
                    }
                    match step {
                        Step::Head { bytes, .. } | Step::Body { bytes, .. } => {
                            to_local.write_all(bytes).await.map_err(|error| local_error(&error))?;
                        }
                        Step::Command(body) => {
                            if let Some(answer) = answer_to(&body) {
                                tell(stream, &answer, settings).await?;
                            }
                        }
                    }
                }
                passed.store(frames.complete(), Ordering::Relaxed);
                let kept = rest.len();
                inbound.drain(..inbound.len() - kept);
                pinged = false;
                silent_since = Instant::now();
            }
            read = from_local.read_buf(&mut outbound) => {
                if read.map_err(|error| local_error(&error))? == 0 {
                    return Err(Broken::Local("it closed the connection".to_owned()));
                }
                let complete = whole_frames(&outbound).map_err(|error| Broken::Local(error.to_string()))?;
                tell(stream, &outbound[..complete], settings).await?;
                outbound.drain(..complete);
            }
            () = sleep_until(due), if *answers_ping => {
                if pinged {
                    return Err(Broken::Silent(settings.ping_timeout));
                }
                tell(stream, &ping(), settings).await?;
                pinged = true;
                silent_since = Instant::now();
            }
        }
        inbound.reserve(CHUNK.saturating_sub(inbound.len()));
        outbound.reserve(1024_usize.saturating_sub(outbound.len()));
    }
}

/// Writes to the publisher, which has to take it: it is a few bytes.
async fn tell(stream: &mut TcpStream, bytes: &[u8], settings: &Settings) -> Result<(), Broken> {
    timeout(settings.ping_timeout, stream.write_all(bytes))
        .await
        .map_err(|_| Broken::Deaf(settings.ping_timeout))?
        .map_err(Broken::Io)
}

fn local_error(error: &std::io::Error) -> Broken {
    Broken::Local(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::zmtp::greeting;
    use super::*;

    #[tokio::test]
    async fn a_stranger_at_the_gate_is_turned_away() {
        let settings = Settings {
            handshake_timeout: Duration::from_millis(300),
            ..Settings::default()
        };
        let (gate, address) = Gate::open(b"secret").await.unwrap();
        let address = address.strip_prefix("tcp://").unwrap().to_owned();
        let ready = |identity: &[u8]| {
            let body = [
                b"\x05READY\x0bSocket-Type\0\0\0\x03SUB\x08Identity\0\0\0".as_slice(),
                &[identity.len() as u8],
                identity,
            ]
            .concat();
            [&greeting()[..], &[4, body.len() as u8], &body].concat()
        };
        let callers = async {
            let silent = TcpStream::connect(&address).await.unwrap();
            let mut stranger = TcpStream::connect(&address).await.unwrap();
            stranger.write_all(&ready(b"Secret")).await.unwrap();
            let mut ours = TcpStream::connect(&address).await.unwrap();
            ours.write_all(&ready(b"secret")).await.unwrap();
            let local = ours.local_addr().unwrap();
            // Held open until the end.
            (local, silent, stranger, ours)
        };
        let (held, admitted) = tokio::join!(callers, gate.admit(&settings));
        assert_eq!(admitted.unwrap().peer_addr().unwrap(), held.0);
    }
}
