//! What the node tells its ZMQ subscribers: the frames, numbered per topic, in Bitcoin Core's order.

use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use tokio::sync::mpsc;

use crate::faults::{Faults, NoticeFault};

/// Messages between the chain and the publisher's socket. A full channel drops messages, and the
/// subscriber sees a gap in the counters, as with Bitcoin Core's high water mark.
const CHANNEL_CAPACITY: usize = 65_536;

/// One multipart message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Topic, body, counter.
    pub(crate) frames: Vec<Vec<u8>>,
    /// How long the publisher waits before it.
    pub(crate) delay: Duration,
}

/// The topics, in the order of [`TOPICS`].
#[derive(Debug, Clone, Copy)]
enum Topic {
    Hashblock,
    Rawblock,
    Sequence,
}

const TOPICS: [&str; 3] = ["hashblock", "rawblock", "sequence"];

/// The chain's end: numbers messages and hands them over without ever waiting.
pub(crate) struct EventSink {
    /// None while nobody publishes.
    sender: Option<mpsc::Sender<Message>>,
    faults: Faults,
    /// The height of the block that is being announced.
    height: u32,
    counters: [u32; 3],
}

impl EventSink {
    /// A sink and the stream of its messages.
    pub(crate) fn new(faults: Faults) -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
        (Self::with(Some(sender), faults), receiver)
    }

    /// A sink into nothing.
    pub(crate) fn disabled(faults: Faults) -> Self {
        Self::with(None, faults)
    }

    fn with(sender: Option<mpsc::Sender<Message>>, faults: Faults) -> Self {
        Self {
            sender,
            faults,
            height: 0,
            counters: [0; 3],
        }
    }

    /// A restart of the publisher: the counters begin at 0, and its messages come out here.
    pub(crate) fn restart(&mut self) -> mpsc::Receiver<Message> {
        let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
        self.sender = Some(sender);
        self.counters = [0; 3];
        receiver
    }

    /// Nobody publishes until the next [`restart`](Self::restart).
    pub(crate) fn pause(&mut self) {
        self.sender = None;
    }

    /// What comes next is about the block at `height`.
    pub(crate) fn at_height(&mut self, height: u32) {
        self.height = height;
    }

    fn publish(&mut self, topic: Topic, body: Vec<u8>) {
        let Some(sender) = &self.sender else { return };
        let name = TOPICS[topic as usize];
        let fault = self.faults.notice(name, self.height);
        match fault {
            Some(NoticeFault::Silence) => return,
            Some(NoticeFault::Reset) => self.counters = [0; 3],
            _ => {}
        }
        let counter = &mut self.counters[topic as usize];
        let sequence = *counter;
        *counter = counter.wrapping_add(1);
        let mut message = Message {
            frames: vec![
                name.as_bytes().to_vec(),
                body,
                sequence.to_le_bytes().to_vec(),
            ],
            delay: Duration::ZERO,
        };
        let mut copies = 1;
        match fault {
            Some(NoticeFault::Gap) => return,
            Some(NoticeFault::Duplicate(more)) => copies += usize::from(more.get()),
            Some(NoticeFault::Garbage(garbage)) => message.frames = garbage.shape(message.frames),
            Some(NoticeFault::DelayS(time)) => message.delay = time.0,
            _ => {}
        }
        for message in std::iter::repeat_n(message, copies) {
            if sender.try_send(message).is_err() {
                tracing::debug!(
                    topic = name,
                    sequence,
                    "ZMQ message dropped: the publisher is behind"
                );
            }
        }
    }

    /// `sequence` C.
    pub(crate) fn block_connected(&mut self, hash: BlockHash) {
        self.publish(Topic::Sequence, labelled(hash.to_byte_array(), b'C', None));
    }

    /// `sequence` D.
    pub(crate) fn block_disconnected(&mut self, hash: BlockHash) {
        self.publish(Topic::Sequence, labelled(hash.to_byte_array(), b'D', None));
    }

    /// `sequence` A, with the mempool's own number.
    pub(crate) fn transaction_added(&mut self, txid: Txid, mempool_sequence: u64) {
        let body = labelled(txid.to_byte_array(), b'A', Some(mempool_sequence));
        self.publish(Topic::Sequence, body);
    }

    /// `sequence` R, for removals other than by a block.
    pub(crate) fn transaction_removed(&mut self, txid: Txid, mempool_sequence: u64) {
        let body = labelled(txid.to_byte_array(), b'R', Some(mempool_sequence));
        self.publish(Topic::Sequence, body);
    }

    /// `hashblock` and `rawblock`, once per step of the tip to more work.
    pub(crate) fn new_tip(&mut self, hash: BlockHash, raw: &[u8]) {
        self.publish(Topic::Hashblock, displayed(hash.to_byte_array()));
        self.publish(Topic::Rawblock, raw.to_vec());
    }
}

/// Hashes travel in display order.
fn displayed(mut hash: [u8; 32]) -> Vec<u8> {
    hash.reverse();
    hash.to_vec()
}

fn labelled(hash: [u8; 32], label: u8, mempool_sequence: Option<u64>) -> Vec<u8> {
    let mut body = displayed(hash);
    body.push(label);
    if let Some(number) = mempool_sequence {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::faults::FaultScript;

    /// What a block at height 7 and its end are announced with: topic, counter, body.
    fn announced(script: &str) -> Vec<(String, u32, String)> {
        let faults = Faults::new();
        faults.load(FaultScript::parse(script).expect("a script"));
        let (mut sink, mut messages) = EventSink::new(faults);
        sink.at_height(7);
        sink.block_connected(hash());
        sink.new_tip(hash(), b"raw");
        sink.block_disconnected(hash());
        let mut seen = Vec::new();
        while let Ok(message) = messages.try_recv() {
            let [topic, body, counter] = &message.frames[..] else {
                panic!("three parts: {message:?}");
            };
            let counter = counter.as_slice().try_into().expect("four bytes");
            let topic = String::from_utf8(topic.clone()).expect("ASCII");
            seen.push((topic, u32::from_le_bytes(counter), hex::encode(body)));
        }
        seen
    }

    fn hash() -> BlockHash {
        "0bc3981e5827ee8a419283bb847dc263a75984ed7bdbce12f9eb88fddc1db9ed"
            .parse()
            .expect("hash")
    }

    #[test]
    fn counters_run_per_topic_from_zero_and_hashes_are_in_display_order() {
        let shown = hash().to_string();
        assert_eq!(
            announced(""),
            [
                ("sequence".to_owned(), 0, format!("{shown}43")),
                ("hashblock".to_owned(), 0, shown.clone()),
                ("rawblock".to_owned(), 0, hex::encode("raw")),
                ("sequence".to_owned(), 1, format!("{shown}44")),
            ]
        );
    }

    #[test]
    fn messages_are_lost_counted_or_not_and_doubled() {
        let seen = |fault: &str| -> Vec<(String, u32)> {
            let script = format!("[[zmq]]\ntopic = '*'\nwhen = {{ nth = 1 }}\nfault = {fault}");
            let all = announced(&script).into_iter();
            all.map(|(topic, counter, _)| (topic, counter))
                .filter(|(topic, _)| topic == "sequence")
                .collect()
        };
        let sequence = |counters: &[u32]| -> Vec<(String, u32)> {
            let counters = counters.iter();
            counters
                .map(|counter| ("sequence".to_owned(), *counter))
                .collect()
        };
        assert_eq!(seen("'silence'"), sequence(&[0]));
        assert_eq!(seen("'gap'"), sequence(&[1]));
        assert_eq!(seen("{ duplicate = 1 }"), sequence(&[0, 0, 1]));
        let script = "[[zmq]]\ntopic = 'sequence'\nwhen = { nth = 2 }\nfault = 'reset'";
        assert_eq!(announced(script)[3].1, 0);
        let script = "[[zmq]]\ntopic = '*'\nwhen = { from_height = 8 }\nfault = 'silence'";
        assert_eq!(announced(script).len(), 4, "the height is the block's");
    }
}
