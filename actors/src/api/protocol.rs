//! What is said on the control socket: one JSON document to a line, a reply for each request.

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

use crate::health::HealthReport;
use crate::stats::Status;
use crate::submitter::journal::NodeEntry;

/// A question, as in `{"command":"status"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// How is it going?
    Status,
    /// Does a child do what it is there for, and does the whole?
    Health,
    /// Give a block of the journal to nodes again.
    Resubmit {
        /// The whole hash.
        hash: BlockHash,
        /// The node; absent: every node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
    },
    /// Break a child on purpose; refused unless `debug.fault_injection` is set.
    Fault {
        /// The child's id.
        child: String,
        /// How.
        kind: FaultKind,
        /// How long a hang lasts; absent: a minute.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
    },
}

/// How a child is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A handler panics.
    Panic,
    /// A handler blocks the child's thread.
    Hang,
    /// The child's context stops by itself.
    Exit,
}

/// The answer, as in `{"status":{...}}`, `{"health":{...}}` or `{"error":"..."}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The status document.
    Status(Box<Status>),
    /// The health document.
    Health(Box<HealthReport>),
    /// What each node made of a block that was given to it again.
    Resubmitted(Vec<NodeEntry>),
    /// What was ordered is done; in words.
    Done(String),
    /// Why there is no other answer.
    Error(String),
}
