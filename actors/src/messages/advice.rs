//! What an advisor said, and what was decided.

use std::fmt;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

/// The three things an advisor may recommend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recommendation {
    /// Hash.
    Proceed,
    /// Do not hash, for so long after it was said.
    Hold(Duration),
    /// Get a fresh template.
    Retry,
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proceed => "PROCEED",
            Self::Hold(_) => "HOLD",
            Self::Retry => "RETRY",
        })
    }
}

/// What an advisor said.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// Its recommendation.
    pub recommendation: Recommendation,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Its reason.
    pub reason: String,
}

/// advisor -> miner: how the newest question ended. It counts for the tip that was asked about, and no other.
#[derive(Debug, Clone, PartialEq)]
pub struct Counsel {
    /// No two have the same in the life of the process; later ones have higher numbers.
    pub number: u64,
    /// The tip that was asked about.
    pub tip: BlockHash,
    /// When it came.
    pub at: Instant,
    /// The advice, or why there is none, in words.
    pub answer: Result<Advice, String>,
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// A switch: the configuration, a block limit, scarce resources.
    Switch,
    /// Our own checks of node, tip and template.
    Checks,
    /// The limits within which anybody may hold.
    Guards,
    /// The advisor.
    Advisor,
    /// The mathematical policy.
    Policy,
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Switch => "switch",
            Self::Checks => "own checks",
            Self::Guards => "limits of holding",
            Self::Advisor => "advisor",
            Self::Policy => "mathematical policy",
        })
    }
}

/// miner -> status, advisor: the decision that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionView {
    /// PROCEED, HOLD, RETRY, WAIT, NO_JOB or OFF.
    pub course: &'static str,
    /// Who decided.
    pub by: Decider,
    /// Why, in words.
    pub reason: String,
    /// The advice that it follows, by its number.
    pub counsel: Option<u64>,
    /// Whether hashing costs more than it earns.
    pub loses: bool,
    /// How long hashing was held in the last 24 hours.
    pub held: Duration,
    /// How long it may be held in any 24 hours.
    pub hold_allowed: Duration,
}
