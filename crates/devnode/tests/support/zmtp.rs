//! A subscriber that speaks ZMTP 3.0 byte by byte, so that the publisher is not tested with its own library.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{LIMIT, Node};

/// One multipart message of the three parts that Bitcoin Core sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub body: Vec<u8>,
    pub sequence: u32,
}

impl Message {
    /// `sequence C HASH`, `hashblock HASH`, `rawblock`: readable, for comparisons.
    pub fn text(&self) -> String {
        match self.topic.as_str() {
            "sequence" => format!(
                "{} {}",
                char::from(self.body[32]),
                hex::encode(&self.body[..32])
            ),
            "hashblock" => format!("hashblock {}", hex::encode(&self.body)),
            topic => topic.to_owned(),
        }
    }
}

pub struct Subscriber {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Subscriber {
    /// Connects, shakes hands, subscribes, and waits until a block of the node's gets through: only
    /// then is it certain that the subscription has arrived. What came until then is thrown away.
    pub fn connect(node: &Node, topics: &[&str]) -> Self {
        let endpoint = node.devnode.zmq_endpoint().expect("ZMQ is on");
        let addr = endpoint.strip_prefix("tcp://").expect("tcp");
        let mut stream = TcpStream::connect(addr).expect("the publisher listens");
        stream.set_read_timeout(Some(LIMIT)).expect("timeout");
        let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
        greeting.extend_from_slice(b"NULL");
        greeting.resize(64, 0);
        stream.write_all(&greeting).expect("greeting");
        let mut theirs = [0_u8; 64];
        stream.read_exact(&mut theirs).expect("their greeting");
        assert_eq!(
            (theirs[0], theirs[9], theirs[10]),
            (0xff, 0x7f, 3),
            "ZMTP 3"
        );
        let mut ready = vec![5];
        ready.extend_from_slice(b"READY");
        ready.push(11);
        ready.extend_from_slice(b"Socket-Type");
        ready.extend_from_slice(&3_u32.to_be_bytes());
        ready.extend_from_slice(b"SUB");
        let mut subscriber = Self {
            stream,
            buffer: Vec::new(),
        };
        subscriber.send(0x04, &ready);
        let (flags, command) = subscriber.frame(LIMIT).expect("their READY");
        assert_eq!((flags & 0x04, &command[..6]), (0x04, &b"\x05READY"[..]));
        for topic in topics {
            let mut subscription = vec![1];
            subscription.extend_from_slice(topic.as_bytes());
            subscriber.send(0, &subscription);
        }
        let started = Instant::now();
        loop {
            node.devnode.generate(1).expect("a block");
            if subscriber.receive(Duration::from_millis(100)).is_some() {
                break;
            }
            assert!(started.elapsed() < LIMIT, "no message gets through");
        }
        // Let the tail of that block pass: a mark that nothing else has.
        let mark = node.devnode.generate(1).expect("a block")[0].to_string();
        let last = topics.last().expect("a topic");
        loop {
            let message = subscriber.receive(LIMIT).expect("the mark");
            let is_mark = match message.topic.as_str() {
                "rawblock" => bitcoin::consensus::deserialize::<bitcoin::Block>(&message.body)
                    .is_ok_and(|block| block.block_hash().to_string() == mark),
                _ => hex::encode(&message.body[..32]) == mark,
            };
            if is_mark && message.topic == *last {
                return subscriber;
            }
        }
    }

    fn send(&mut self, flags: u8, body: &[u8]) {
        let mut frame = vec![flags, body.len() as u8];
        frame.extend_from_slice(body);
        self.stream.write_all(&frame).expect("frame sent");
    }

    /// The next message that comes within `wait`.
    pub fn receive(&mut self, wait: Duration) -> Option<Message> {
        let mut parts = Vec::new();
        loop {
            // Once a message has begun, the rest of it comes.
            let wait = if parts.is_empty() { wait } else { LIMIT };
            let (flags, body) = self.frame(wait)?;
            assert_eq!(flags & 0x04, 0, "no command expected");
            parts.push(body);
            if flags & 0x01 == 0 {
                break;
            }
        }
        let [topic, body, sequence]: [Vec<u8>; 3] = parts.try_into().expect("three parts");
        Some(Message {
            topic: String::from_utf8(topic).expect("ASCII"),
            body,
            sequence: u32::from_le_bytes(sequence.try_into().expect("four bytes")),
        })
    }

    /// The next `count` messages.
    pub fn take(&mut self, count: usize) -> Vec<Message> {
        (0..count)
            .map(|_| self.receive(LIMIT).expect("a message"))
            .collect()
    }

    fn frame(&mut self, wait: Duration) -> Option<(u8, Vec<u8>)> {
        let flags = self.bytes(1, wait)?[0];
        let length = if flags & 0x02 == 0 {
            usize::from(self.bytes(1, LIMIT)?[0])
        } else {
            let length = self.bytes(8, LIMIT)?;
            u64::from_be_bytes(length.try_into().expect("eight bytes")) as usize
        };
        Some((flags, self.bytes(length, LIMIT)?))
    }

    fn bytes(&mut self, count: usize, wait: Duration) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(Some(wait)).expect("timeout");
        let mut chunk = [0_u8; 65_536];
        while self.buffer.len() < count {
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the publisher hung up"),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(error) => panic!("reading from the publisher: {error}"),
            }
        }
        Some(self.buffer.drain(..count).collect())
    }
}
