//! The configuration as it is written: one private-looking struct per TOML table, every key optional,
//! unknown keys refused. Meaning and ranges are the business of [`super::validate`].

use serde::{Deserialize, Serialize};

/// A whole configuration file.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Name of the instance.
    pub node_id: Option<String>,
    /// State directory.
    pub data_dir: Option<String>,
    /// Directory of the control socket.
    pub runtime_dir: Option<String>,
    /// Directory of log files.
    pub log_dir: Option<String>,
    /// `[chain]`
    #[serde(default)]
    pub chain: Chain,
    /// `[[node]]`
    #[serde(default)]
    pub node: Vec<Node>,
    /// `[ingest]`
    #[serde(default)]
    pub ingest: Ingest,
    /// `[validate]`
    #[serde(default)]
    pub validate: Validate,
    /// `[mining]`
    #[serde(default)]
    pub mining: Mining,
    /// `[journal]`
    #[serde(default)]
    pub journal: Journal,
}

/// `[chain]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Network name.
    pub network: Option<String>,
}

/// One `[[node]]`.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name in logs and results.
    pub name: Option<String>,
    /// `http://host:port`
    pub rpc_url: Option<String>,
    /// Path of Bitcoin Core's cookie file.
    pub cookie_file: Option<String>,
    /// RPC user, instead of a cookie.
    pub rpc_user: Option<String>,
    /// File that holds the RPC password.
    pub rpc_password_file: Option<String>,
    /// Endpoint of topic `hashblock`.
    pub zmq_hashblock: Option<String>,
    /// Endpoint of topic `rawblock`.
    pub zmq_rawblock: Option<String>,
    /// Endpoint of topic `sequence`.
    pub zmq_sequence: Option<String>,
}

/// `[ingest]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// Seconds between polls.
    pub poll_interval_s: Option<f64>,
}

/// `[validate]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    /// Headers verified behind the tip.
    pub level: Option<i64>,
    /// Least coverage of an AUTHENTIC verdict.
    pub coverage_min: Option<f64>,
}

/// `[mining]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mining {
    /// Mine at all.
    pub enabled: Option<bool>,
    /// Address of the reward.
    pub payout_address: Option<String>,
    /// Text in the coinbase.
    pub coinbase_tag: Option<String>,
    /// Number of threads or "auto".
    pub threads: Option<OneOf>,
    /// Kernel name or "auto".
    pub kernel: Option<String>,
    /// Coinbase-only job first.
    pub empty_first: Option<bool>,
    /// "auto", "on", "off".
    pub version_rolling: Option<String>,
    /// Seconds or "poisson:SECONDS".
    pub block_interval_s: Option<OneOf>,
    /// "work" or "sleep".
    pub pace: Option<String>,
    /// "auto", true or false.
    pub during_ibd: Option<OneOf>,
}

/// `[journal]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Seconds a found block waits for the disk.
    pub deadline_s: Option<f64>,
}

/// A key that takes a word or a plain value.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum OneOf {
    /// `true` or `false`
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
}
