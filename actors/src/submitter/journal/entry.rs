//! What the records of a block add up to.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;
use std::time::SystemTime;

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize, Serializer};

use super::record::{FoundRecord, Record, header_prev};
use crate::submitter::clock::rfc3339;

/// What one node made of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeFate {
    /// It answered, or should have, and it is not clear what became of the block: asked again.
    Unknown,
    /// It has the block in its active chain.
    Accepted,
    /// It has the block, or could, and follows another one at that height.
    Stale,
    /// It refuses the block for good.
    Rejected,
}

impl NodeFate {
    /// Whether nothing more is to be learnt from that node.
    pub fn is_final(self) -> bool {
        self != Self::Unknown
    }

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Unknown => 1,
            Self::Accepted => 2,
            Self::Stale => 3,
            Self::Rejected => 4,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Unknown, Self::Accepted, Self::Stale, Self::Rejected]
            .into_iter()
            .find(|fate| fate.code() == code)
    }
}

/// How a block ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockEnd {
    /// In the active chain of a node.
    Accepted,
    /// Valid, and another miner's block won the height.
    Stale,
    /// Refused by every node.
    Rejected,
    /// Valid, and another block of this program won the height.
    Superseded,
}

impl BlockEnd {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Accepted => 1,
            Self::Stale => 2,
            Self::Rejected => 3,
            Self::Superseded => 4,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [
            Self::Accepted,
            Self::Stale,
            Self::Rejected,
            Self::Superseded,
        ]
        .into_iter()
        .find(|end| end.code() == code)
    }
}

/// Where a block is on its way, in the words of `journal list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Known to this process, not yet on disk.
    Found,
    /// On disk, given to no node yet.
    Journalled,
    /// Given to a node that has not answered.
    Sent,
    /// Answers came, and leave open what became of it: it is sent again.
    Unknown,
    /// In the active chain of a node.
    Accepted,
    /// Valid, and another miner's block won the height.
    Stale,
    /// Refused.
    Rejected,
    /// Valid, and another block of this program won the height.
    Superseded,
}

impl EntryState {
    /// The word in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Journalled => "journalled",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }
}

impl From<BlockEnd> for EntryState {
    fn from(end: BlockEnd) -> Self {
        match end {
            BlockEnd::Accepted => Self::Accepted,
            BlockEnd::Stale => Self::Stale,
            BlockEnd::Rejected => Self::Rejected,
            BlockEnd::Superseded => Self::Superseded,
        }
    }
}

impl From<NodeFate> for EntryState {
    fn from(fate: NodeFate) -> Self {
        match fate {
            NodeFate::Unknown => Self::Unknown,
            NodeFate::Accepted => Self::Accepted,
            NodeFate::Stale => Self::Stale,
            NodeFate::Rejected => Self::Rejected,
        }
    }
}

/// A node's part in a [`JournalEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// The configured name.
    pub name: String,
    /// `sent`, `unknown`, `accepted`, `stale` or `rejected`.
    pub state: EntryState,
    /// The node's own word where it gave one.
    pub reason: Option<String>,
}

/// A found block as `journal list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalEntry {
    /// Block hash.
    #[serde(serialize_with = "as_text")]
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Where it is on its way.
    pub state: EntryState,
    /// The nodes it was given to.
    pub nodes: Vec<NodeEntry>,
    /// When it was found (RFC 3339, UTC).
    #[serde(serialize_with = "as_rfc3339")]
    pub found_at: SystemTime,
    /// When its fate was known (RFC 3339, UTC); none while it is open.
    #[serde(serialize_with = "as_rfc3339_or_null")]
    pub settled_at: Option<SystemTime>,
    /// What it was then, and was counted as; none while it is open. A reorganisation may have changed its state
    /// since.
    pub settled_as: Option<BlockEnd>,
}

fn as_text<S: Serializer>(hash: &BlockHash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn as_rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

#[allow(clippy::ref_option, reason = "serde's signature")]
fn as_rfc3339_or_null<S: Serializer>(
    at: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}

/// What a node has been told and has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeRecord {
    pub(crate) name: Arc<str>,
    /// None: given the block, no answer yet.
    pub(crate) answer: Option<(NodeFate, String)>,
}

/// Everything the journal knows of one block.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(super) found: FoundRecord,
    pub(crate) nodes: Vec<NodeRecord>,
    pub(super) settled: Option<Settlement>,
    /// Where a reorganisation has put it since.
    pub(super) moved: Option<Settlement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settlement {
    pub(super) end: BlockEnd,
    pub(super) reason: String,
    pub(super) at: SystemTime,
}

impl Entry {
    pub(super) fn new(found: FoundRecord) -> Self {
        Self {
            found,
            nodes: Vec::new(),
            settled: None,
            moved: None,
        }
    }

    /// Takes a settlement: the first, or a later one that says where the block was moved. By time, so that records
    /// which are read twice change nothing.
    pub(super) fn settle(&mut self, settlement: Settlement) {
        let Some(settled) = &self.settled else {
            self.settled = Some(settlement);
            return;
        };
        let last = self.moved.as_ref().unwrap_or(settled);
        if settlement.at > last.at {
            self.moved = Some(settlement);
        }
    }

    /// How it ended, as far as is known today; and since when.
    pub(super) fn end(&self) -> Option<&Settlement> {
        self.moved.as_ref().or(self.settled.as_ref())
    }

    pub(crate) fn height(&self) -> u32 {
        self.found.height
    }

    pub(crate) fn prev(&self) -> BlockHash {
        header_prev(&self.found.header)
    }

    pub(crate) fn found_at(&self) -> SystemTime {
        self.found.found_at
    }

    /// Notes that the node was given the block; whether that is news.
    pub(super) fn sent(&mut self, node: &Arc<str>) -> bool {
        let is_new = !self.nodes.iter().any(|known| known.name == *node);
        if is_new {
            let name = Arc::clone(node);
            self.nodes.push(NodeRecord { name, answer: None });
        }
        is_new
    }

    /// Takes a node's answer, unless it gave a final one before - but what it refused it may accept when it is given that
    /// again; whether that is news.
    pub(super) fn answered(&mut self, node: &Arc<str>, fate: NodeFate, reason: &str) -> bool {
        self.sent(node);
        let Some(known) = self.nodes.iter_mut().find(|known| known.name == *node) else {
            return false;
        };
        let is_news = match &known.answer {
            None => true,
            Some((before, _)) if before.is_final() => {
                fate == NodeFate::Accepted && *before != NodeFate::Accepted
            }
            Some((before, said)) => *before != fate || said != reason,
        };
        if is_news {
            known.answer = Some((fate, reason.to_owned()));
        }
        is_news
    }

    fn state(&self) -> EntryState {
        if let Some(settled) = self.end() {
            return settled.end.into();
        }
        let fates = || {
            self.nodes
                .iter()
                .map(|n| n.answer.as_ref().map(|(fate, _)| *fate))
        };
        if fates().any(|fate| fate == Some(NodeFate::Accepted)) {
            EntryState::Accepted
        } else if self.nodes.is_empty() {
            EntryState::Journalled
        } else if fates().any(|fate| fate.is_none()) {
            EntryState::Sent
        } else if fates().any(|fate| fate == Some(NodeFate::Unknown)) {
            EntryState::Unknown
        } else if fates().any(|fate| fate == Some(NodeFate::Stale)) {
            EntryState::Stale
        } else {
            EntryState::Rejected
        }
    }

    pub(super) fn view(&self, durable: bool) -> JournalEntry {
        let nodes = self.nodes.iter().map(|node| {
            let (state, reason) = match &node.answer {
                None => (EntryState::Sent, None),
                Some((fate, reason)) => ((*fate).into(), Some(reason.clone())),
            };
            let reason = reason.filter(|text| !text.is_empty());
            NodeEntry {
                name: node.name.to_string(),
                state,
                reason,
            }
        });
        let state = match self.state() {
            EntryState::Journalled if !durable => EntryState::Found,
            state => state,
        };
        JournalEntry {
            hash: self.found.hash(),
            height: self.found.height,
            state,
            nodes: nodes.collect(),
            found_at: self.found.found_at,
            settled_at: self.settled.as_ref().map(|settled| settled.at),
            settled_as: self.settled.as_ref().map(|settled| settled.end),
        }
    }
}

/// The blocks of a journal, folded from its records in order. Folding a record twice changes nothing.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) entries: HashMap<BlockHash, Entry>,
    /// Records of blocks whose `Found` record was lost to damage.
    pub(super) orphans: usize,
}

impl Replay {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut replay = Self::default();
        for record in records {
            replay.apply(record);
        }
        replay
    }

    pub(super) fn apply(&mut self, record: &Record) {
        let hash = match record {
            Record::Body(_) => return,
            Record::Found(found) => {
                if let Slot::Vacant(slot) = self.entries.entry(found.hash()) {
                    slot.insert(Entry::new(found.clone()));
                }
                return;
            }
            Record::Sent { hash, .. } | Record::Settled { hash, .. } => hash,
            Record::Answer(answer) => &answer.hash,
        };
        let Some(entry) = self.entries.get_mut(hash) else {
            self.orphans += 1;
            return;
        };
        match record {
            Record::Sent { node, .. } => {
                entry.sent(node);
            }
            Record::Answer(answer) => {
                entry.answered(&answer.node, answer.fate, &answer.reason);
            }
            Record::Settled {
                end, reason, at, ..
            } => entry.settle(Settlement {
                end: *end,
                reason: reason.clone(),
                at: *at,
            }),
            _ => {}
        }
    }
}
