//! A publisher that speaks ZMTP in bytes, so that it can speak it wrongly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use node::ZmqEndpoints;
use node::zmq::{Events, Notification, Settings, Subscriber, ZmqEvent};

use tokio::time::timeout;

use crate::PATIENCE;

/// Settings under which a test need not wait long.
pub fn quick() -> Settings {
    Settings {
        handshake_timeout: Duration::from_secs(2),
        reconnect_min: Duration::from_millis(10),
        reconnect_max: Duration::from_millis(50),
        ..Settings::default()
    }
}

/// Where a subscriber finds a publisher; every topic at one endpoint.
pub fn endpoints(address: SocketAddr) -> ZmqEndpoints {
    ZmqEndpoints::all_at(format!("tcp://{address}").parse().unwrap())
}

/// Waits for the next event.
pub async fn next(events: &mut Events) -> ZmqEvent {
    timeout(PATIENCE, events.recv())
        .await
        .expect("an event in time")
        .expect("the subscriber lives")
}

/// Waits for the next notification; connections may come and go.
pub async fn notification(events: &mut Events) -> Notification {
    loop {
        if let ZmqEvent::Notification(notification) = next(events).await {
            return notification;
        }
    }
}

/// Waits until a connection is lost; answers why.
pub async fn lost(events: &mut Events) -> String {
    loop {
        if let ZmqEvent::Lost { reason, .. } = next(events).await {
            return reason;
        }
    }
}

/// Waits for a state that shows `condition`.
pub async fn state_shows(
    subscriber: &Subscriber,
    what: &str,
    condition: impl Fn(&node::zmq::EndpointState) -> bool,
) -> node::zmq::EndpointState {
    let waiting = async {
        loop {
            let state = subscriber.state().remove(0);
            if condition(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("still not: {what}"))
}

/// A listening publisher.
pub struct Publisher {
    listener: TcpListener,
}

/// One connection of a subscriber, after the handshake.
pub struct Link {
    pub stream: TcpStream,
}

impl Publisher {
    pub fn bind() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        Self { listener }
    }

    /// One that listens already.
    pub fn of(listener: TcpListener) -> Self {
        Self { listener }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// A connection, before a byte has passed.
    pub fn accept_raw(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection, greeted as libzmq does (ZMTP 3.1), with `topics` subscriptions read.
    pub fn accept(&self, topics: usize) -> Link {
        self.accept_version(1, topics)
    }

    /// The same, as ZMTP 3.`minor`.
    pub fn accept_version(&self, minor: u8, topics: usize) -> Link {
        self.try_accept(minor, topics)
            .expect("a subscriber that shakes hands")
    }

    /// The same; `None` if the subscriber hangs up meanwhile.
    pub fn try_accept(&self, minor: u8, topics: usize) -> Option<Link> {
        Link::greet(self.accept_raw(), minor, topics)
    }
}

impl Link {
    /// Greets as ZMTP 3.`minor`, and reads `topics` subscriptions; `None` if the subscriber hangs up meanwhile.
    pub fn greet(stream: TcpStream, minor: u8, topics: usize) -> Option<Self> {
        let mut link = Self { stream };
        link.send(&greeting(minor));
        let mut theirs = [0; 64];
        link.stream.read_exact(&mut theirs).ok()?;
        assert_eq!(
            (theirs[0], theirs[9], &theirs[12..16]),
            (0xff, 0x7f, b"NULL".as_slice())
        );
        link.send(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
        let (flags, ready) = link.try_frame()?;
        assert_eq!(flags, 4);
        assert!(
            ready.starts_with(b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"),
            "{ready:?}"
        );
        for _ in 0..topics {
            let (flags, subscription) = link.try_frame()?;
            assert_eq!((flags, subscription[0]), (0, 1), "a subscription");
        }
        Some(link)
    }

    /// Sends bytes; the subscriber may hang up meanwhile.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Reads one short frame.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        self.try_frame().expect("a frame")
    }

    /// The same; `None` at the end of the connection.
    pub fn try_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        let mut body = vec![0; usize::from(head[1])];
        self.stream.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    /// Publishes a message of three parts.
    pub fn publish(&mut self, topic: &str, body: &[u8], counter: u32) -> bool {
        self.send(&message(&[topic.as_bytes(), body, &counter.to_le_bytes()]))
    }

    /// Waits until the subscriber has hung up.
    pub fn wait_for_end(mut self) {
        let mut rest = [0; 4096];
        while matches!(self.stream.read(&mut rest), Ok(count) if count > 0) {}
    }
}

pub fn greeting(minor: u8) -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[8] = 1;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = minor;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// A message in frames.
pub fn message(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let more = u8::from(index + 1 < parts.len());
        if let Ok(length) = u8::try_from(part.len()) {
            bytes.extend_from_slice(&[more, length]);
        } else {
            bytes.push(more | 2);
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        }
        bytes.extend_from_slice(part);
    }
    bytes
}
