//! How one try to get an answer ended.

use serde::{Deserialize, Serialize};

/// How one try to get an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A valid reply to this question.
    Ok,
    /// Nothing but white space, and an end.
    Empty,
    /// No whole reply in the time for a try.
    Timeout,
    /// The command ended with a code other than 0.
    Crash,
    /// The command was ended by a signal.
    Signal,
    /// What came is not JSON.
    Garbage,
    /// More came than a reply may have.
    TooLarge,
    /// JSON, but no reply of this version.
    WrongSchema,
    /// A reply, but to another question.
    WrongId,
    /// The command could not be started.
    SpawnFailure,
    /// It was not asked: it failed too often lately.
    BreakerOpen,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Empty,
        Self::Timeout,
        Self::Crash,
        Self::Signal,
        Self::Garbage,
        Self::TooLarge,
        Self::WrongSchema,
        Self::WrongId,
        Self::SpawnFailure,
        Self::BreakerOpen,
    ];
}
