//! The guard between a publisher and the `zeromq` socket.
//!
//! `zeromq` 0.7 reserves memory for whatever length a frame header announces (one that announces
//! 1 TiB aborts the process), collects the parts of a message without bound, takes an unknown command, a PING for
//! instance, for a broken connection, and waits for ever on a peer that has gone silent. So it never
//! sees the publisher: it is connected to this guard, which has checked each frame header before it lets a byte of
//! the frame pass, answers PING itself, and notices a dead peer. Bodies are passed on as they come; the
//! guard holds no more than one read's worth.

use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::Settings;
use super::zmtp::{FrameHeader, MAX_COMMAND, ZmtpError, answer_to, handshake, ping, property};
use crate::config::ZmqEndpoint;
use crate::error::one_line;
use crate::http::keepalive;

/// Core sends three parts. A few more are let through, to be counted as garbage; an endless message is not.
const MAX_PARTS: u32 = 16;

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
/// fails. Neither stream is closed: the socket has to go first, or it would try to reconnect.
pub(super) async fn relay(
    publisher: &mut Publisher,
    local: &mut TcpStream,
    settings: &Settings,
) -> Broken {
    match relay_frames(publisher, local, settings).await {
        Ok(never) => match never {},
        Err(broken) => broken,
    }
}

async fn relay_frames(
    publisher: &mut Publisher,
    local: &mut TcpStream,
    settings: &Settings,
) -> Result<std::convert::Infallible, Broken> {
    let Publisher {
        stream,
        answers_ping,
    } = publisher;
    let (mut from_local, mut to_local) = local.split();
    let mut inbound = Vec::with_capacity(CHUNK);
    let mut outbound = Vec::with_capacity(1024);
    let mut frames = Frames::new(settings.max_message);
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
                let mut rest = &inbound[..];
                while let Some(step) = frames.step(&mut rest).map_err(Broken::Protocol)? {
                    match step {
                        Step::Pass(bytes) => to_local.write_all(bytes).await.map_err(local_error)?,
                        Step::Command(body) => {
                            if let Some(answer) = answer_to(&body) {
                                stream.write_all(&answer).await.map_err(Broken::Io)?;
                            }
                        }
                    }
                }
                let kept = rest.len();
                inbound.drain(..inbound.len() - kept);
                pinged = false;
                silent_since = Instant::now();
            }
            read = from_local.read_buf(&mut outbound) => {
                if read.map_err(local_error)? == 0 {
                    return Err(Broken::Local("it closed the connection".to_owned()));
                }
                let complete = whole_frames(&outbound).map_err(|error| Broken::Local(error.to_string()))?;
                stream.write_all(&outbound[..complete]).await.map_err(Broken::Io)?;
                outbound.drain(..complete);
            }
            () = sleep_until(due), if *answers_ping => {
                if pinged {
                    return Err(Broken::Silent(settings.ping_timeout));
                }
                stream.write_all(&ping()).await.map_err(Broken::Io)?;
                pinged = true;
                silent_since = Instant::now();
            }
        }
        inbound.reserve(CHUNK.saturating_sub(inbound.len()));
        outbound.reserve(1024_usize.saturating_sub(outbound.len()));
    }
}

fn local_error(error: std::io::Error) -> Broken {
    Broken::Local(error.to_string())
}

/// Bytes of the complete frames at the start of what our own socket sent: subscriptions, a few bytes each.
fn whole_frames(bytes: &[u8]) -> Result<usize, ZmtpError> {
    let mut end = 0;
    while let Some(header) = FrameHeader::parse(&bytes[end..])? {
        if header.length > MAX_COMMAND {
            return Err(ZmtpError::FrameSize(header.length));
        }
        let next = end + FrameHeader::len(bytes[end]) + header.length as usize;
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    Ok(end)
}

/// Where in the publisher's stream of frames we are.
#[derive(Debug)]
struct Frames {
    max_message: u64,
    state: State,
    /// Parts and bytes of the message under way.
    parts: u32,
    bytes: u64,
}

#[derive(Debug)]
enum State {
    Header,
    /// So many bytes of a body still to pass on.
    Body(u64),
    /// So many bytes of a command.
    Command(usize),
}

/// What to do with the next bytes.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// Pass them on as they are.
    Pass(&'a [u8]),
    /// A whole command; not for the socket.
    Command(Vec<u8>),
}

impl Frames {
    fn new(max_message: u64) -> Self {
        Self {
            max_message,
            state: State::Header,
            parts: 0,
            bytes: 0,
        }
    }

    /// Takes the next step's bytes off the front of `rest`; `None`: more bytes are needed.
    fn step<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Option<Step<'a>>, ZmtpError> {
        match self.state {
            State::Header => {
                let Some(header) = FrameHeader::parse(rest)? else {
                    return Ok(None);
                };
                let (head, after) = rest.split_at(FrameHeader::len(rest[0]));
                self.check(header)?;
                *rest = after;
                if header.command {
                    self.state = State::Command(header.length as usize);
                    return self.step(rest);
                }
                self.state = State::Body(header.length);
                self.end_of_body(0);
                Ok(Some(Step::Pass(head)))
            }
            State::Body(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                if count == 0 {
                    return Ok(None);
                }
                let (body, after) = rest.split_at(count);
                *rest = after;
                self.end_of_body(count as u64);
                Ok(Some(Step::Pass(body)))
            }
            State::Command(length) => {
                let Some((body, after)) = rest.split_at_checked(length) else {
                    return Ok(None);
                };
                *rest = after;
                self.state = State::Header;
                Ok(Some(Step::Command(body.to_vec())))
            }
        }
    }

    /// Refuses what cannot be part of a message that Core publishes.
    fn check(&mut self, header: FrameHeader) -> Result<(), ZmtpError> {
        if header.command {
            return if header.length > MAX_COMMAND {
                Err(ZmtpError::CommandSize(header.length))
            } else {
                Ok(())
            };
        }
        if header.length > self.max_message {
            return Err(ZmtpError::FrameSize(header.length));
        }
        self.parts += 1;
        self.bytes += header.length;
        if self.parts > MAX_PARTS {
            return Err(ZmtpError::PartCount(MAX_PARTS));
        }
        if self.bytes > self.max_message {
            return Err(ZmtpError::MessageSize(self.max_message));
        }
        if !header.more {
            self.parts = 0;
            self.bytes = 0;
        }
        Ok(())
    }

    fn end_of_body(&mut self, passed: u64) {
        if let State::Body(left) = &mut self.state {
            *left -= passed;
            if *left == 0 {
                self.state = State::Header;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LIMIT: u64 = 1000;

    /// Feeds `bytes` in pieces of the given sizes; answers what was passed on, and whether it ended well.
    fn feed(bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, Vec<Vec<u8>>, bool) {
        let mut frames = Frames::new(LIMIT);
        let (mut passed, mut commands) = (Vec::new(), Vec::new());
        let mut held: Vec<u8> = Vec::new();
        let mut sizes = pieces.iter().copied().cycle();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
            rest = after;
            held.extend_from_slice(piece);
            let mut unread = &held[..];
            loop {
                match frames.step(&mut unread) {
                    Ok(Some(Step::Pass(bytes))) => passed.extend_from_slice(bytes),
                    Ok(Some(Step::Command(body))) => commands.push(body),
                    Ok(None) => break,
                    Err(_) => return (passed, commands, false),
                }
            }
            let kept = unread.len();
            assert!(kept <= 9 + MAX_COMMAND as usize, "{kept} bytes held");
            held.drain(..held.len() - kept);
        }
        (passed, commands, true)
    }

    fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
        if let (Ok(length), 0) = (u8::try_from(body.len()), flags & 2) {
            [&[flags, length], body].concat()
        } else {
            [&[flags | 2][..], &(body.len() as u64).to_be_bytes(), body].concat()
        }
    }

    proptest! {
        #[test]
        fn valid_messages_pass_unchanged_and_commands_do_not(
            messages in prop::collection::vec((prop::collection::vec(0_usize..300, 1..4), any::<bool>()), 0..8),
            pieces in prop::collection::vec(1_usize..400, 1..8),
        ) {
            let (mut wire, mut expected, mut commands) = (Vec::new(), Vec::new(), 0);
            for (parts, command) in messages {
                for (index, length) in parts.iter().enumerate() {
                    let more = u8::from(index + 1 < parts.len());
                    let bytes = frame(more | if length % 2 == 0 { 2 } else { 0 }, &vec![7; *length]);
                    wire.extend_from_slice(&bytes);
                    expected.extend_from_slice(&bytes);
                }
                if command {
                    wire.extend_from_slice(&frame(4, b"\x05HELLO"));
                    commands += 1;
                }
            }
            let (passed, seen, well) = feed(&wire, &pieces);
            prop_assert!(well);
            prop_assert_eq!(passed, expected);
            prop_assert_eq!(seen.len(), commands);
        }

        #[test]
        fn no_bytes_pass_a_header_that_announces_too_much(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), Just(3), Just(4), any::<u8>()], 0..4000),
            pieces in prop::collection::vec(1_usize..400, 1..8),
        ) {
            let (passed, _, _) = feed(&bytes, &pieces);
            // What was passed on is itself a stream of frames within the bounds.
            let (mut rest, mut parts, mut size) = (&passed[..], 0, 0);
            while let Some(header) = FrameHeader::parse(rest).unwrap() {
                prop_assert!(!header.command && header.length <= LIMIT);
                parts += 1;
                size += header.length;
                prop_assert!(parts <= MAX_PARTS && size <= LIMIT);
                if !header.more {
                    (parts, size) = (0, 0);
                }
                let end = FrameHeader::len(rest[0]) + header.length as usize;
                rest = rest.get(end..).unwrap_or_default();
            }
        }
    }

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
            [&super::super::zmtp::greeting()[..], &frame(4, &body)].concat()
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
