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
    /// `C HASH`, `hashblock HASH`, `rawblock HASH`: readable, for comparisons.
    pub fn text(&self) -> String {
        match self.topic.as_str() {
            "sequence" => format!(
                "{} {}",
                char::from(self.body[32]),
                hex::encode(&self.body[..32])
            ),
            "hashblock" => format!("hashblock {}", hex::encode(&self.body)),
            _ => {
                let block: bitcoin::Block =
                    bitcoin::consensus::deserialize(&self.body).expect("a block");
                format!("rawblock {}", block.block_hash())
            }
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
    /// `topics` are in the order of publication: sequence, hashblock, rawblock.
    pub fn connect(node: &Node, topics: &[&str]) -> Self {
        Self::connect_and_confirm(node, topics, |node| {
            let hash = node.devnode.generate(1).expect("a block")[0];
            match topics.last() {
                Some(&"sequence") => format!("C {hash}"),
                Some(topic) => format!("{topic} {hash}"),
                None => unreachable!("a subscriber has topics"),
            }
        })
    }

    /// [`connect`](Self::connect) to `sequence` without a block more on the best chain or a transaction
    /// less in the mempool: an empty block is put on top, and taken away again.
    pub fn connect_quietly(node: &Node) -> Self {
        Self::connect_and_confirm(node, &["sequence"], |node| {
            let tip = node.devnode.tip();
            let block = super::blocks::branch(node, tip.hash, 1, &unique()).remove(0);
            node.submit(&block);
            node.devnode.invalidate(&block.block_hash()).expect("known");
            format!("D {}", block.block_hash())
        })
    }

    /// `ping` makes the node announce something, and returns the last message of it that is subscribed to.
    fn connect_and_confirm(node: &Node, topics: &[&str], ping: impl Fn(&Node) -> String) -> Self {
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
        // Subscriptions are taken in by order: who hears the last topic hears all of them.
        let last = *topics.last().expect("a subscriber has topics");
        let started = Instant::now();
        while {
            ping(node);
            !subscriber.hears(last, Duration::from_millis(100))
        } {
            assert!(started.elapsed() < LIMIT, "no message gets through");
        }
        // Everything up to the last message of one more belongs to the preparations.
        let mark = ping(node);
        while subscriber.receive(LIMIT).expect("the mark").text() != mark {}
        subscriber
    }

    fn send(&mut self, flags: u8, body: &[u8]) {
        let mut frame = vec![flags, body.len() as u8];
        frame.extend_from_slice(body);
        self.stream.write_all(&frame).expect("frame sent");
    }

    /// Whether a message of `topic` comes, with pauses of no more than `wait` before it.
    fn hears(&mut self, topic: &str, wait: Duration) -> bool {
        while let Some(message) = self.receive(wait) {
            if message.topic == topic {
                return true;
            }
        }
        false
    }

    /// The next message that comes within `wait`, whatever its parts are.
    pub fn receive_parts(&mut self, wait: Duration) -> Option<Vec<Vec<u8>>> {
        let mut parts = Vec::new();
        loop {
            // Once a message has begun, the rest of it comes.
            let wait = if parts.is_empty() { wait } else { LIMIT };
            let (flags, body) = self.frame(wait)?;
            assert_eq!(flags & 0x04, 0, "no command expected");
            parts.push(body);
            if flags & 0x01 == 0 {
                return Some(parts);
            }
        }
    }

    /// Reads until the publisher hangs up.
    pub fn wait_for_hangup(mut self) {
        self.stream.set_read_timeout(Some(LIMIT)).expect("timeout");
        let mut chunk = [0_u8; 8_192];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("no hangup: {error}"),
            }
        }
    }

    /// The next message that comes within `wait`.
    pub fn receive(&mut self, wait: Duration) -> Option<Message> {
        let parts = self.receive_parts(wait)?;
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
        let mut chunk = [0_u8; 8_192];
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

fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("ping{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}
