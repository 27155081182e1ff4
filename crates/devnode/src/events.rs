//! What the node tells its ZMQ subscribers: the frames, numbered per topic, in Bitcoin Core's order.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use tokio::sync::mpsc;

/// Messages between the chain and the publisher's socket. A full channel drops messages, and the
/// subscriber sees a gap in the counters, as with Bitcoin Core's high water mark.
const CHANNEL_CAPACITY: usize = 65_536;

/// One multipart message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) sequence: u32,
}

/// The chain's end: numbers messages and hands them over without ever waiting.
pub(crate) struct EventSink {
    sender: Option<mpsc::Sender<Message>>,
    hashblock: u32,
    rawblock: u32,
    sequence: u32,
}

impl EventSink {
    /// A sink and the stream of its messages.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(CHANNEL_CAPACITY);
        (Self::with(Some(sender)), receiver)
    }

    /// A sink into nothing.
    pub(crate) fn disabled() -> Self {
        Self::with(None)
    }

    fn with(sender: Option<mpsc::Sender<Message>>) -> Self {
        Self {
            sender,
            hashblock: 0,
            rawblock: 0,
            sequence: 0,
        }
    }

    fn publish(&self, topic: &'static str, body: Vec<u8>, sequence: u32) {
        let message = Message {
            topic,
            body,
            sequence,
        };
        if let Some(sender) = &self.sender
            && sender.try_send(message).is_err()
        {
            tracing::debug!(
                topic,
                sequence,
                "ZMQ message dropped: the publisher is behind"
            );
        }
    }

    fn publish_sequence(&mut self, body: Vec<u8>) {
        self.publish("sequence", body, self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// `sequence` C.
    pub(crate) fn block_connected(&mut self, hash: BlockHash) {
        self.publish_sequence(labelled(hash.to_byte_array(), b'C', None));
    }

    /// `sequence` D.
    pub(crate) fn block_disconnected(&mut self, hash: BlockHash) {
        self.publish_sequence(labelled(hash.to_byte_array(), b'D', None));
    }

    /// `sequence` A, with the mempool's own number.
    pub(crate) fn transaction_added(&mut self, txid: Txid, mempool_sequence: u64) {
        self.publish_sequence(labelled(txid.to_byte_array(), b'A', Some(mempool_sequence)));
    }

    /// `sequence` R, for removals other than by a block.
    pub(crate) fn transaction_removed(&mut self, txid: Txid, mempool_sequence: u64) {
        self.publish_sequence(labelled(txid.to_byte_array(), b'R', Some(mempool_sequence)));
    }

    /// `hashblock` and `rawblock`, once per step of the tip to more work.
    pub(crate) fn new_tip(&mut self, hash: BlockHash, raw: &[u8]) {
        self.publish("hashblock", displayed(hash.to_byte_array()), self.hashblock);
        self.hashblock = self.hashblock.wrapping_add(1);
        self.publish("rawblock", raw.to_vec(), self.rawblock);
        self.rawblock = self.rawblock.wrapping_add(1);
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

    #[test]
    fn counters_run_per_topic_from_zero_and_hashes_are_in_display_order() {
        let (mut sink, mut messages) = EventSink::new();
        let hash: BlockHash = "0bc3981e5827ee8a419283bb847dc263a75984ed7bdbce12f9eb88fddc1db9ed"
            .parse()
            .expect("hash");
        sink.block_connected(hash);
        sink.new_tip(hash, b"raw");
        sink.block_disconnected(hash);
        let mut seen = Vec::new();
        while let Ok(message) = messages.try_recv() {
            seen.push((message.topic, message.sequence, hex::encode(message.body)));
        }
        let shown = hash.to_string();
        assert_eq!(
            seen,
            [
                ("sequence", 0, format!("{shown}43")),
                ("hashblock", 0, shown.clone()),
                ("rawblock", 0, hex::encode("raw")),
                ("sequence", 1, format!("{shown}44")),
            ]
        );
    }
}
