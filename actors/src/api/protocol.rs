//! What is said on the control socket: one JSON document to a line, a reply for each request.

use serde::{Deserialize, Serialize};

use crate::stats::Status;

/// A question, as in `{"command":"status"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// How is it going?
    Status,
}

/// The answer, as in `{"status":{...}}` or `{"error":"..."}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The status document.
    Status(Box<Status>),
    /// Why there is no other answer.
    Error(String),
}
