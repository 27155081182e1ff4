//! What a publisher can tell, and the checks a message has to pass before it is believed to be one.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use bytes::Bytes;

/// The topics that are subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `hashblock`: the hash of the new tip.
    HashBlock,
    /// `rawblock`: the new tip itself.
    RawBlock,
    /// `sequence`: every block connected or disconnected, every transaction entering or leaving the mempool.
    Sequence,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HashBlock, Self::RawBlock, Self::Sequence];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HashBlock => "hashblock",
            Self::RawBlock => "rawblock",
            Self::Sequence => "sequence",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message that passed all checks of its form. It is a wake-up, not the truth: anybody who can reach
/// the socket can publish, and the node publishes nothing at all in some cases (initial block download, a tip that moves back).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// What it is about.
    pub topic: Topic,
    /// What it says.
    pub payload: Payload,
    /// The publisher's counter for this topic.
    pub sequence: u32,
    /// What the counter says about messages in between.
    pub gap: Gap,
    /// When it was received.
    pub received: Instant,
}

/// What a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// A new tip.
    HashBlock(BlockHash),
    /// A new tip, whole. Nothing in it has been checked.
    RawBlock(RawBlock),
    /// A block became part of the active chain.
    BlockConnected(BlockHash),
    /// A block is no longer part of the active chain.
    BlockDisconnected(BlockHash),
    /// A transaction entered the mempool.
    TransactionAdded {
        /// Its id.
        txid: Txid,
        /// The mempool's counter.
        mempool_sequence: u64,
    },
    /// A transaction left the mempool for another reason than being mined.
    TransactionRemoved {
        /// Its id.
        txid: Txid,
        /// The mempool's counter.
        mempool_sequence: u64,
    },
}

/// A block as it was published.
#[derive(Clone, PartialEq, Eq)]
pub struct RawBlock {
    /// Its header.
    pub header: Header,
    /// The header's hash.
    pub hash: BlockHash,
    /// All of it, header included.
    pub bytes: Bytes,
}

/// A block that is being published, of which this much has come: enough to begin work on it, long before the
/// rest of a large one. Nothing in it has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStart {
    /// Its header.
    pub header: Header,
    /// The header's hash.
    pub hash: BlockHash,
    /// Its first [`NAMES_HEIGHT_WITHIN`](chain::NAMES_HEIGHT_WITHIN) bytes, or all of them.
    pub bytes: Arc<[u8]>,
    /// When they were received.
    pub received: Instant,
}

impl fmt::Debug for RawBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawBlock({}, {} bytes)", self.hash, self.bytes.len())
    }
}

/// What a topic's counter says about the messages before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The first message of the topic; nothing to compare with.
    First,
    /// Nothing is missing.
    None,
    /// So many messages of this topic were published and not received.
    Missed(u32),
    /// The counter went back: the publisher was restarted, and what it published in between is unknown.
    Reset,
}

impl Gap {
    /// The verdict on `now` after `last`. Counters wrap; half their range tells forward from back.
    pub(super) fn between(last: Option<u32>, now: u32) -> Self {
        match last.map(|last| now.wrapping_sub(last).wrapping_sub(1)) {
            None => Self::First,
            Some(0) => Self::None,
            Some(missed) if missed <= u32::MAX / 2 => Self::Missed(missed),
            Some(_) => Self::Reset,
        }
    }

    /// Whether messages were or may have been missed.
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::Missed(_) | Self::Reset)
    }
}

/// Why a message was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Garbage {
    /// Not three parts.
    PartCount,
    /// A topic that was not subscribed to at this endpoint.
    UnknownTopic,
    /// The body has no length that the topic's bodies have.
    BodySize,
    /// The `sequence` body's label is none of C, D, A, R, or does not fit the length.
    Label,
    /// The counter is not four bytes.
    CounterSize,
}

impl Garbage {
    /// A short name for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PartCount => "part_count",
            Self::UnknownTopic => "unknown_topic",
            Self::BodySize => "body_size",
            Self::Label => "label",
            Self::CounterSize => "counter_size",
        }
    }
}

/// Largest block in bytes: 4,000,000 weight units, all of them witness (BIP 141).
pub(super) const MAX_BLOCK: usize = 4_000_000;
/// A header and the count of its transactions.
const MIN_BLOCK: usize = 81;
/// Bytes that a block may have.
pub(super) const BLOCK: RangeInclusive<usize> = MIN_BLOCK..=MAX_BLOCK;
pub(super) const HEADER: usize = 80;
const HASH: usize = 32;

/// Checks the parts of one message against the form that Core gives it.
pub(super) fn parse(
    parts: &[Bytes],
    subscribed: &[Topic],
) -> Result<(Topic, Payload, u32), Garbage> {
    let [topic, body, counter] = parts else {
        return Err(Garbage::PartCount);
    };
    let topic = subscribed
        .iter()
        .copied()
        .find(|known| known.as_str().as_bytes() == topic)
        .ok_or(Garbage::UnknownTopic)?;
    let counter = <[u8; 4]>::try_from(&counter[..]).map_err(|_| Garbage::CounterSize)?;
    let payload = match topic {
        Topic::HashBlock => {
            let hash = <[u8; HASH]>::try_from(&body[..]).map_err(|_| Garbage::BodySize)?;
            Payload::HashBlock(BlockHash::from_byte_array(reversed(hash)))
        }
        Topic::RawBlock => raw_block(body)?,
        Topic::Sequence => sequence(body)?,
    };
    Ok((topic, payload, u32::from_le_bytes(counter)))
}

fn raw_block(body: &Bytes) -> Result<Payload, Garbage> {
    if !BLOCK.contains(&body.len()) {
        return Err(Garbage::BodySize);
    }
    let header: Header = deserialize(&body[..HEADER]).map_err(|_| Garbage::BodySize)?;
    Ok(Payload::RawBlock(RawBlock {
        hash: header.block_hash(),
        header,
        bytes: body.clone(),
    }))
}

/// 32 bytes of hash, one of label, and for transactions the mempool's counter in eight, little endian.
fn sequence(body: &[u8]) -> Result<Payload, Garbage> {
    let (hash, rest) = body.split_first_chunk::<HASH>().ok_or(Garbage::BodySize)?;
    let hash = reversed(*hash);
    let (label, rest) = rest.split_first().ok_or(Garbage::BodySize)?;
    let mempool_sequence = match rest.len() {
        0 => None,
        8 => rest.first_chunk::<8>().copied().map(u64::from_le_bytes),
        _ => return Err(Garbage::BodySize),
    };
    let txid = Txid::from_byte_array(hash);
    match (label, mempool_sequence) {
        (b'C', None) => Ok(Payload::BlockConnected(BlockHash::from_byte_array(hash))),
        (b'D', None) => Ok(Payload::BlockDisconnected(BlockHash::from_byte_array(hash))),
        (b'A', Some(mempool_sequence)) => Ok(Payload::TransactionAdded {
            txid,
            mempool_sequence,
        }),
        (b'R', Some(mempool_sequence)) => Ok(Payload::TransactionRemoved {
            txid,
            mempool_sequence,
        }),
        _ => Err(Garbage::Label),
    }
}

/// The wire has the display order, the types have the other one.
fn reversed(mut hash: [u8; HASH]) -> [u8; HASH] {
    hash.reverse();
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_message_can_cause_a_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..5)) {
            for topic in Topic::ALL {
                let mut parts = parts.clone();
                if let Some(first) = parts.first_mut() {
                    *first = topic.as_str().into();
                }
                super::super::properties::message(&parts);
            }
        }

        #[test]
        fn a_counter_that_goes_on_counts_what_is_missing(last: u32, missing in 0..u32::MAX / 2) {
            let now = last.wrapping_add(missing).wrapping_add(1);
            let expected = if missing == 0 { Gap::None } else { Gap::Missed(missing) };
            prop_assert_eq!(Gap::between(Some(last), now), expected);
        }

        #[test]
        fn a_counter_that_does_not_go_on_is_a_reset(last: u32, back in 0..u32::MAX / 2) {
            prop_assert_eq!(Gap::between(Some(last), last.wrapping_sub(back)), Gap::Reset);
        }
    }
}
