//! What is asked and what is answered: one JSON document to a line, in each direction.
//!
//! Both are held to their rules on both sides: nothing that breaks them is sent, and nothing that breaks them is
//! taken. [`schema`] states the same rules for programs in other languages.

#[cfg(test)]
pub(crate) mod fixtures;
mod reply;
mod request;
mod schema;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use reply::{Misreply, REASON_MOST, REPLY_MOST};
pub use request::{Misrequest, REQUEST_MOST};
pub use schema::schema;

/// The version of both documents.
pub const VERSION: u32 = 1;

/// One question. Whoever reads it ignores fields that it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// [`VERSION`].
    #[schemars(extend("const" = VERSION))]
    pub v: u32,
    /// Names this question, in every try; the reply repeats it.
    #[schemars(regex(pattern = "^[0-9A-Za-z._-]{1,64}$"))]
    pub id: String,
    /// 1 for the first try, and so on.
    #[schemars(range(min = 1))]
    pub attempt: u32,
    /// What gave rise to it.
    pub kind: Kind,
    /// `main`, `testnet4`, `testnet3`, `signet` or `regtest`.
    #[schemars(extend("enum" = request::NETWORKS))]
    pub network: String,
    /// Height of the tip.
    pub height: u32,
    /// Hash of the tip, in hex as it is usually shown.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub tip: String,
    /// What this program's own checks say of the tip.
    pub validation: Validation,
    /// The template in hand; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// How mining goes.
    pub mining: Mining,
    /// Seconds between the newest blocks by their headers, newest first. Negative where times run backwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = request::INTERVALS_MOST))]
    pub recent_intervals_s: Vec<f64>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
}

/// What gave rise to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is another tip.
    Tip,
    /// The template changed in kind.
    Template,
    /// Only whether it answers at all.
    Health,
}

/// What this program's own checks say of the tip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validation {
    /// The verdict.
    pub verdict: Verdict,
    /// Weight of the checks that ran over that of those that were planned, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub coverage: f64,
    /// Headers verified behind the tip.
    pub level: u32,
    /// The failed checks, by name; the first few where there are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = request::FAILURES_MOST), inner(regex(pattern = "^[0-9A-Za-z._-]{1,64}$")))]
    pub failures: Vec<String>,
}

/// A verdict of our own checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Nothing failed, and enough was checked.
    Authentic,
    /// Nothing failed, and not enough was checked.
    Undecided,
    /// Something failed.
    Rejected,
}

/// The template in hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Template {
    /// Transactions beside the coinbase.
    pub transactions: u32,
    /// Their fees in satoshis.
    #[schemars(range(max = request::FEES_MOST))]
    pub fees_sat: u64,
    /// The block's weight in weight units.
    #[schemars(range(max = request::WEIGHT_MOST))]
    pub weight: u64,
    /// Seconds since it arrived.
    #[schemars(range(min = 0))]
    pub age_s: f64,
}

/// How mining goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mining {
    /// Hashes per second; absent until measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub hashrate_hs: Option<f64>,
    /// Seconds until we find a block, on average; absent until the rate is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub expected_block_s: Option<f64>,
    /// Share of our settled blocks that went stale, 0 to 1; absent until one is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub stale_ratio: Option<f64>,
}

/// The machine; what cannot be measured is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct System {
    /// Load of all cores over the last interval, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub cpu: Option<f64>,
    /// Memory left in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub memory_mb: Option<f64>,
    /// The hottest sensor in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
    /// With less memory left than this, in MiB, hashing is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub memory_min_mb: Option<f64>,
    /// Above this temperature, in degrees Celsius, hashing gives way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_max_c: Option<f64>,
}

/// One answer. Unlike in a request, there are no fields but these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = schema::hold_s_with_hold_only)]
pub struct Reply {
    /// [`VERSION`].
    #[schemars(extend("const" = VERSION))]
    pub v: u32,
    /// The request's.
    #[schemars(regex(pattern = "^[0-9A-Za-z._-]{1,64}$"))]
    pub id: String,
    /// What to do.
    #[serde(deserialize_with = "reply::by_name")]
    pub recommendation: Recommendation,
    /// How sure it is, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// Why, in words: one line of plain text. What is longer than 500 characters is cut, and control characters
    /// become spaces.
    pub reason: String,
    /// With HOLD alone: for how many seconds. Absent: for as long as may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub hold_s: Option<f64>,
}

/// What an advisor may recommend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Recommendation {
    /// Hash.
    Proceed,
    /// Do not hash for a time.
    Hold,
    /// Get a fresh template.
    Retry,
}
