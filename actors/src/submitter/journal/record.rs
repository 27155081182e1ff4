//! The records of the journal and their bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::{Hash, sha256};

use super::block::{Body, BodyId, FoundBlock};
use super::entry::{BlockEnd, NodeFate};

pub(super) const KIND_BODY: u8 = 1;
pub(super) const KIND_FOUND: u8 = 2;
pub(super) const KIND_SENT: u8 = 3;
pub(super) const KIND_ANSWER: u8 = 4;
pub(super) const KIND_SETTLED: u8 = 5;

/// Texts from a node are cut here.
const MAX_TEXT: usize = 1024;

/// One record of the journal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    /// The transactions of a job, without its coinbase.
    Body(Arc<Body>),
    /// A block was found.
    Found(FoundRecord),
    /// A node is about to be given the block.
    Sent {
        hash: BlockHash,
        node: Arc<str>,
        at: SystemTime,
    },
    /// What a node said, and what that means.
    Answer(AnswerRecord),
    /// The block's end; nothing is sent any more.
    Settled {
        hash: BlockHash,
        end: BlockEnd,
        reason: String,
        at: SystemTime,
    },
}

/// A found block but for the transactions of its body.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FoundRecord {
    pub(super) header: [u8; 80],
    pub(super) height: u32,
    pub(super) found_at: SystemTime,
    pub(super) body: BodyId,
    pub(super) coinbase: Vec<u8>,
}

impl FoundRecord {
    pub(super) fn of(block: &FoundBlock) -> Self {
        Self {
            header: block.header,
            height: block.height,
            found_at: block.found_at,
            body: block.body.id,
            coinbase: block.coinbase.clone(),
        }
    }

    pub(super) fn hash(&self) -> BlockHash {
        header_hash(&self.header)
    }
}

/// What a node said of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerRecord {
    pub(super) hash: BlockHash,
    pub(super) node: Arc<str>,
    pub(super) fate: NodeFate,
    /// In words, for people.
    pub(super) reason: String,
    /// As the node gave it.
    pub(super) raw: String,
    pub(super) at: SystemTime,
}

/// The double SHA-256 of a header.
pub(super) fn header_hash(header: &[u8; 80]) -> BlockHash {
    BlockHash::hash(header)
}

/// Bytes 4..36 of a header.
pub(super) fn header_prev(header: &[u8; 80]) -> BlockHash {
    bitcoin::consensus::deserialize::<Header>(header)
        .map_or_else(|_| BlockHash::all_zeros(), |header| header.prev_blockhash)
}

impl Record {
    /// The frame's kind.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Body(_) => KIND_BODY,
            Self::Found(_) => KIND_FOUND,
            Self::Sent { .. } => KIND_SENT,
            Self::Answer(_) => KIND_ANSWER,
            Self::Settled { .. } => KIND_SETTLED,
        }
    }

    /// The block it is about, and the time it carries; none for a body.
    pub(super) fn about(&self) -> Option<(BlockHash, SystemTime)> {
        match self {
            Self::Body(_) => None,
            Self::Found(found) => Some((found.hash(), found.found_at)),
            Self::Sent { hash, at, .. } | Self::Settled { hash, at, .. } => Some((*hash, *at)),
            Self::Answer(answer) => Some((answer.hash, answer.at)),
        }
    }

    /// The frame's payload.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Body(body) => {
                out.reserve(36 + body.bytes.len());
                out.extend_from_slice(&body.id.0);
                out.extend_from_slice(&body.transactions.to_le_bytes());
                out.extend_from_slice(&body.bytes);
            }
            Self::Found(found) => {
                out.extend_from_slice(&found.header);
                out.extend_from_slice(&found.height.to_le_bytes());
                put_time(&mut out, found.found_at);
                out.extend_from_slice(&found.body.0);
                out.extend_from_slice(&(found.coinbase.len() as u32).to_le_bytes());
                out.extend_from_slice(&found.coinbase);
            }
            Self::Sent { hash, node, at } => {
                put_hash(&mut out, hash);
                put_time(&mut out, *at);
                put_text(&mut out, node);
            }
            Self::Answer(answer) => {
                put_hash(&mut out, &answer.hash);
                put_time(&mut out, answer.at);
                out.push(answer.fate.code());
                put_text(&mut out, &answer.node);
                put_text(&mut out, &answer.reason);
                put_text(&mut out, &answer.raw);
            }
            Self::Settled {
                hash,
                end,
                reason,
                at,
            } => {
                put_hash(&mut out, hash);
                put_time(&mut out, *at);
                out.push(end.code());
                put_text(&mut out, reason);
            }
        }
        out
    }

    /// The record of a frame; none if the kind is of a later version or the payload is not whole.
    pub(super) fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        let mut input = Input(payload);
        let record = match kind {
            KIND_BODY => {
                let id = BodyId(input.array()?);
                let transactions = input.u32()?;
                let bytes = std::mem::take(&mut input.0);
                Self::Body(Arc::new(Body {
                    id,
                    transactions,
                    bytes: bytes.into(),
                }))
            }
            KIND_FOUND => {
                let header = input.array()?;
                let height = input.u32()?;
                let found_at = input.time()?;
                let body = BodyId(input.array()?);
                let length = input.u32()? as usize;
                let coinbase = input.take(length)?.to_vec();
                Self::Found(FoundRecord {
                    header,
                    height,
                    found_at,
                    body,
                    coinbase,
                })
            }
            KIND_SENT => {
                let hash = input.hash()?;
                let at = input.time()?;
                Self::Sent {
                    hash,
                    at,
                    node: input.text()?.into(),
                }
            }
            KIND_ANSWER => {
                let hash = input.hash()?;
                let at = input.time()?;
                let fate = NodeFate::from_code(input.u8()?)?;
                let node = input.text()?.into();
                let reason = input.text()?;
                let raw = input.text()?;
                Self::Answer(AnswerRecord {
                    hash,
                    node,
                    fate,
                    reason,
                    raw,
                    at,
                })
            }
            KIND_SETTLED => {
                let hash = input.hash()?;
                let at = input.time()?;
                let end = BlockEnd::from_code(input.u8()?)?;
                Self::Settled {
                    hash,
                    end,
                    reason: input.text()?,
                    at,
                }
            }
            _ => return None,
        };
        input.0.is_empty().then_some(record)
    }
}

/// Content address of a job's transactions.
pub(super) fn body_id(bytes: &[u8]) -> BodyId {
    BodyId(sha256::Hash::hash(bytes).to_byte_array())
}

fn put_hash(out: &mut Vec<u8>, hash: &BlockHash) {
    out.extend_from_slice(hash.as_byte_array());
}

fn put_time(out: &mut Vec<u8>, at: SystemTime) {
    let ns = at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64);
    out.extend_from_slice(&ns.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// Reads a payload from its front; every step is none where the bytes run out.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn hash(&mut self) -> Option<BlockHash> {
        self.array().map(BlockHash::from_byte_array)
    }

    fn time(&mut self) -> Option<SystemTime> {
        let ns = self.array().map(u64::from_le_bytes)?;
        UNIX_EPOCH.checked_add(Duration::from_nanos(ns))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.array().map(u16::from_le_bytes)?;
        String::from_utf8(self.take(usize::from(length))?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn any_time() -> impl Strategy<Value = SystemTime> {
        any::<u64>().prop_map(|ns| UNIX_EPOCH + Duration::from_nanos(ns))
    }

    fn any_hash() -> impl Strategy<Value = BlockHash> {
        any::<[u8; 32]>().prop_map(BlockHash::from_byte_array)
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..200);
        prop_oneof![
            (any::<u32>(), bytes()).prop_map(|(transactions, bytes)| {
                Record::Body(Arc::new(Body {
                    id: body_id(&bytes),
                    transactions,
                    bytes: bytes.into(),
                }))
            }),
            (
                any::<[u8; 32]>(),
                any::<[u8; 48]>(),
                any::<u32>(),
                any_time(),
                any::<[u8; 32]>(),
                bytes()
            )
                .prop_map(|(a, b, height, found_at, body, coinbase)| {
                    let mut header = [0; 80];
                    header[..32].copy_from_slice(&a);
                    header[32..].copy_from_slice(&b);
                    Record::Found(FoundRecord {
                        header,
                        height,
                        found_at,
                        body: BodyId(body),
                        coinbase,
                    })
                }),
            (any_hash(), any_time(), ".{0,20}").prop_map(|(hash, at, node)| Record::Sent {
                hash,
                node: node.into(),
                at
            }),
            (
                any_hash(),
                any_time(),
                1..=4u8,
                ".{0,20}",
                ".{0,60}",
                ".{0,60}"
            )
                .prop_map(|(hash, at, code, node, reason, raw)| {
                    let fate = NodeFate::from_code(code).unwrap();
                    Record::Answer(AnswerRecord {
                        hash,
                        node: node.into(),
                        fate,
                        reason,
                        raw,
                        at,
                    })
                }),
            (any_hash(), any_time(), 1..=4u8, ".{0,60}").prop_map(|(hash, at, code, reason)| {
                Record::Settled {
                    hash,
                    end: BlockEnd::from_code(code).unwrap(),
                    reason,
                    at,
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_record_comes_back_from_its_bytes(record in any_record()) {
            prop_assert_eq!(Record::decode(record.kind(), &record.encode()), Some(record));
        }

        #[test]
        fn arbitrary_payloads_never_panic(kind in any::<u8>(), payload in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(record) = Record::decode(kind, &payload) {
                prop_assert_eq!(record.encode(), payload);
            }
        }
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        let raw = "\u{2026}".repeat(1000);
        let mut out = Vec::new();
        put_text(&mut out, &raw);
        let text = Input(&out).text().unwrap();
        assert!(text.len() <= MAX_TEXT && raw.starts_with(&text) && text.len() > MAX_TEXT - 4);
    }
}
