//! Every value that crosses an actor boundary, in the order of the flow.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use chain::{BlockReport, Job, Report, Solved, Template, Verdict};
use serde::{Deserialize, Serialize};

mod advice;
mod nodes;
pub use advice::{Advice, Counsel, Decider, DecisionView, Recommendation};
pub use nodes::{NodeView, TipVerdict, TipWeight};

/// The configured name of a node (`[[node]] name`).
pub type NodeName = Arc<str>;

/// What a node last said of itself. Published by ingest at every poll that changes it; the board's is that of the
/// node in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeState {
    /// Not asked yet.
    Unknown,
    /// No answer; the reason is the error of the last call, in words.
    Absent {
        /// Why, and what the operator can do.
        reason: String,
    },
    /// Answers, and is of no use: another network, or credentials it refuses.
    Refused {
        /// Why, and what the operator can do.
        reason: String,
    },
    /// Up, in initial block download or behind its own best header.
    ///
    /// A fresh regtest node says that it is in initial block download for as long as its tip is a
    /// day old, although nothing is missing: `ibd` with `blocks == headers`.
    Syncing {
        /// Height of the node's active tip.
        blocks: u32,
        /// Height of the node's best header.
        headers: u32,
        /// Whether the node calls it initial block download.
        ibd: bool,
    },
    /// Up, and on the best tip it knows.
    Ready,
}

impl NodeState {
    /// Whether the node answers, and is on our network.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Ready | Self::Syncing { .. })
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not asked yet"),
            Self::Absent { reason } => write!(f, "absent: {reason}"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
            Self::Syncing {
                blocks, headers, ..
            } => {
                write!(f, "syncing: block {blocks} of {headers} known headers")
            }
            Self::Ready => f.write_str("on its best tip"),
        }
    }
}

/// Something that the node in use warns of. Published by ingest, with the node's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeWarning {
    /// In the node's words.
    pub text: String,
    /// Why it is no reason to worry; null where it may be one.
    pub expected: Option<String>,
}

impl fmt::Display for NodeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.expected {
            Some(why) => write!(f, " (expected: {why})"),
            None => Ok(()),
        }
    }
}

/// How the news of a tip arrived first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TipSource {
    /// ZMQ topic `hashblock`.
    ZmqHashblock,
    /// ZMQ topic `rawblock`.
    ZmqRawblock,
    /// ZMQ topic `sequence` (connects and disconnects).
    ZmqSequence,
    /// A getblocktemplate long poll returned.
    LongPoll,
    /// The periodic poll saw it, or a template that was fetched plainly.
    Poll,
    /// The submitter had a block accepted and asked for a look.
    Submission,
}

impl fmt::Display for TipSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZmqHashblock => "zmq_hashblock",
            Self::ZmqRawblock => "zmq_rawblock",
            Self::ZmqSequence => "zmq_sequence",
            Self::LongPoll => "long_poll",
            Self::Poll => "poll",
            Self::Submission => "submission",
        })
    }
}

/// 1. ingest -> validator: the best block of the node in use, re-read over RPC after whatever announced it.
#[derive(Debug, Clone)]
pub struct TipSeen {
    /// The node's best block.
    pub hash: BlockHash,
    /// The node that answered.
    pub node: NodeName,
    /// What announced it first.
    pub source: TipSource,
    /// When the announcement arrived (not when the RPC answered).
    pub seen_at: Instant,
}

/// ingest -> validator: a block that a node publishes, whose header proves the work that it claims. Nothing else of
/// it is known to be right, and most of it may still be on its way. submitter -> validator: a block of ours that a node
/// accepted.
#[derive(Debug, Clone)]
pub struct BlockSeen {
    /// Its hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
    /// Its first [`NAMES_HEIGHT_WITHIN`](chain::NAMES_HEIGHT_WITHIN) bytes, or all of them.
    pub start: Arc<[u8]>,
    /// The node that published or accepted it.
    pub node: NodeName,
    /// When it, or that answer, arrived.
    pub seen_at: Instant,
}

/// What is known of the body of a tip whose header is verified.
#[derive(Debug, Clone)]
pub enum BodyState {
    /// Being fetched or checked.
    Pending,
    /// Checked; the report carries the verdict.
    Checked(Arc<BlockReport>),
    /// The node could not give it (pruned, busy); the reason in words.
    Unavailable(String),
}

/// 2. validator -> miner: a tip whose header chain this program has verified itself.
#[derive(Debug, Clone)]
pub struct TipValidated {
    /// Hash of the tip.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its header.
    pub header: Header,
    /// Median-time-past of the tip: the least time of a child is this plus one (BIP 113's clock).
    pub median_time_past: u32,
    /// Least timestamp a child may carry (median-time-past plus one, and BIP 94 at a period start).
    pub min_time: u32,
    /// nBits of a child whose time is at most two spacings after the tip's (on networks without the
    /// minimum-difficulty rule: of every child); absent where the window does not reach back far enough.
    pub next_bits: Option<pow::NBits>,
    /// Times of the newest verified headers, newest first, the tip's own or its parent's among them.
    pub times: Arc<[u32]>,
    /// The header window's verdict: level, coverage, checks.
    pub report: Arc<Report>,
    /// The block's own verdict, as far as it is known.
    pub body: BodyState,
    /// From [`TipSeen`].
    pub seen_at: Instant,
    /// When the header was verified.
    pub validated_at: Instant,
}

/// validator -> miner: a tip that a node published or accepted, and has not named as its tip yet. Its header passes
/// every rule.
#[derive(Debug, Clone)]
pub struct TipProvisional {
    /// The tip. The report is that of the verified one; its block is not checked yet.
    pub tip: TipValidated,
    /// It counts for nothing from then on, whoever withdraws it.
    pub until: Instant,
}

/// validator -> miner: why the node's tip is not the one in [`TipValidated`], and will not be soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TipDoubt {
    /// The node's tip.
    pub hash: BlockHash,
    /// REJECTED, or UNDECIDED where the reason will pass.
    pub verdict: Verdict,
    /// Bitcoin Core's reject string.
    pub reason: String,
}

/// 3. ingest -> miner: a block template, as the node gave it.
#[derive(Debug, Clone)]
pub struct TemplateSeen {
    /// The template.
    pub template: Arc<Template>,
    /// The node it came from.
    pub node: NodeName,
    /// When the answer arrived: the node's clock is `template.curtime` plus the time since.
    pub received_at: Instant,
}

/// miner -> ingest: a node whose newest template on the tip gives no job, or one whose blocks that node would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRefused {
    /// The node.
    pub node: NodeName,
    /// Since when it has been so.
    pub since: Instant,
}

/// 4. miner -> submitter: a header that meets the network's target, and the job it solves.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The job, from which the whole block is assembled.
    pub job: Arc<Job>,
    /// The four values found.
    pub solved: Solved,
    /// The block's hash.
    pub hash: BlockHash,
    /// When the hashing thread found it.
    pub found_at: Instant,
    /// The same on the wall clock, for the journal.
    pub found_time: SystemTime,
}

/// How a found block ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A node has it in its active chain, or accepted it as valid.
    Accepted,
    /// Every node that answered refused it; Bitcoin Core's reason.
    Rejected(String),
    /// Valid, and another block won the height.
    Stale,
}

/// 5. submitter -> miner, stats: a found block is settled.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The block.
    pub hash: BlockHash,
    /// Its parent.
    pub prev: BlockHash,
    /// Its height.
    pub height: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// From found to settled.
    pub took: Duration,
}

/// submitter -> health: found blocks that no node is known to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// How many.
    pub blocks: usize,
    /// The height of the lowest.
    pub height: u32,
    /// Since when there is one.
    pub since: Instant,
    /// What the node said last of that one, or why it did not.
    pub reason: String,
}

/// What the hashing threads are doing, and why: always exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MiningState {
    /// At full speed on the network's own target.
    Scanning,
    /// At full speed against a harder target of our choice, or waiting for the next block's time (regtest).
    Paced,
    /// Held by a decision until a time.
    Held {
        /// Whole seconds left when this was published.
        for_s: u64,
        /// The decision's reason.
        reason: String,
    },
    /// Switched off by an operator, the configuration or a block limit.
    SwitchedOff {
        /// By whom or what.
        by: String,
    },
    /// Nothing to work on.
    NoJob {
        /// Why.
        reason: String,
    },
    /// The node is in initial block download or blocks behind its best header, and
    /// `mining.during_ibd` forbids work.
    Ibd,
}

impl fmt::Display for MiningState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scanning => f.write_str("scanning"),
            Self::Paced => f.write_str("paced"),
            Self::Held { for_s, reason } => write!(f, "held for {for_s} s ({reason})"),
            Self::SwitchedOff { by } => write!(f, "switched off by {by}"),
            Self::NoJob { reason } => write!(f, "no job ({reason})"),
            Self::Ibd => f.write_str("waiting for the node to catch up"),
        }
    }
}

/// Who chose the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelSource {
    /// The operator, by the configuration or the environment.
    #[default]
    Forced,
    /// A measurement of this start, or of an earlier one that still holds.
    Start,
    /// `tune`.
    Tune,
    /// The one that was chosen has failed in this process: it is the next best.
    Fallback,
}

impl fmt::Display for KernelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forced => "forced",
            Self::Start => "measured at start",
            Self::Tune => "tuned",
            Self::Fallback => "in place of one that failed",
        })
    }
}

/// The miner's public face, republished whenever it changes.
#[derive(Debug, Clone)]
pub struct MiningView {
    /// What the threads do.
    pub state: MiningState,
    /// Kernel in use.
    pub kernel: &'static str,
    /// Who chose it.
    pub kernel_source: KernelSource,
    /// Hashes per second of one thread, as `tune` measured them with this kernel and as many threads.
    pub tuned_hs: Option<f64>,
    /// Number of hashing threads.
    pub threads: usize,
    /// How many of them have something to scan.
    pub active: usize,
    /// The job they are on.
    pub job: Option<JobView>,
    /// Why that is not of the node's newest template on its tip, and what is hashed instead, in words; none where it
    /// is, or where none has come yet.
    pub fallback: Option<String>,
}

/// A job as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Height of the block being made.
    pub height: u32,
    /// Its parent, in display order.
    pub prev: String,
    /// Transactions, coinbase included.
    pub transactions: usize,
    /// Header versions that are searched at once (BIP320).
    #[serde(default)]
    pub versions: usize,
}
