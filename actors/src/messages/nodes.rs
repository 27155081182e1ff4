//! Several nodes: what is known of each, and how their tips compare.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use pow::Work;

use super::{NodeName, NodeState};
use advisor::breaker::BreakerState;

/// ingest -> status, health, submitter: one of the configured nodes, as ingest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its configured name.
    pub name: NodeName,
    /// What it last said of itself.
    pub state: NodeState,
    /// Whether tips and templates are taken from it at the moment: true for exactly one node.
    pub active: bool,
    /// Its best block.
    pub tip: Option<BlockHash>,
    /// That block's height, where it is known.
    pub height: Option<u32>,
    /// Blocks that its tip is below the highest tip that was verified; 0 where it is on it. None where it is not
    /// known, as for a tip whose headers were not verified.
    pub lag: Option<u32>,
    /// Since when it names another tip than the active node does, although both say that they are on their best.
    pub apart_since: Option<Instant>,
    /// How long it takes to answer, averaged over the last calls.
    pub latency: Option<Duration>,
    /// Its peers.
    pub peers: Option<u32>,
    /// Whether it is asked at all: not for a while after too many calls have failed.
    pub breaker: BreakerState,
    /// Since when it has answered every call; none where it failed the last.
    pub answers_since: Option<Instant>,
    /// What speaks against using it.
    pub fault: Option<Arc<str>>,
}

/// validator -> ingest: what a tip that some node named is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TipWeight {
    /// The tip.
    pub hash: BlockHash,
    /// What came of verifying its headers.
    pub verdict: TipVerdict,
}

/// What came of verifying the headers below a tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TipVerdict {
    /// Every header up to it passed.
    Verified {
        /// Its height.
        height: u32,
        /// Its chainwork, from a block on that all weights published together have in common.
        work: Work,
    },
    /// It is not to be mined on; why, in words.
    Refused(Arc<str>),
}
