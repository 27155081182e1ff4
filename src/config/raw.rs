//! The configuration as it is written: one struct per TOML table, every key optional,
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
    /// "production" or "development".
    pub profile: Option<String>,
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
    /// `[advisor]`
    #[serde(default)]
    pub advisor: Advisor,
    /// `[log]`
    #[serde(default)]
    pub log: Log,
    /// `[api]`
    #[serde(default)]
    pub api: Api,
    /// `[health]`
    #[serde(default)]
    pub health: Health,
    /// `[resources]`
    #[serde(default)]
    pub resources: Resources,
    /// `[debug]`
    #[serde(default)]
    pub debug: Debug,
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
    /// "auto", "none" or CPU numbers.
    pub affinity: Option<Cpus>,
    /// Niceness of the threads.
    pub nice: Option<i64>,
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
    /// Power drawn because of hashing, in watts.
    pub power_watts: Option<f64>,
    /// Price of a kilowatt-hour in satoshis.
    pub power_sat_per_kwh: Option<f64>,
}

/// `[journal]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Seconds a found block waits for the disk.
    pub deadline_s: Option<f64>,
}

/// `[advisor]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Advisor {
    /// Program and arguments; `["builtin"]` or none.
    pub command: Option<Vec<String>>,
    /// "oneshot" or "persistent".
    pub mode: Option<String>,
    /// "async" or "blocking".
    pub gate: Option<String>,
    /// Seconds for one try.
    pub timeout_s: Option<f64>,
    /// Tries.
    pub attempts: Option<i64>,
    /// Seconds for all tries of a question together.
    pub deadline_s: Option<f64>,
    /// Seconds for which an answer holds.
    pub cache_s: Option<f64>,
    /// Least seconds between two questions.
    pub pause_s: Option<f64>,
    /// Longest single HOLD in seconds.
    pub hold_max_s: Option<f64>,
    /// Longest HOLDs together, as a share of any 24 hours.
    pub hold_max_ratio: Option<f64>,
    /// Least confidence that counts.
    pub confidence_floor: Option<f64>,
    /// MiB of memory; 0: no limit.
    pub memory_mb: Option<i64>,
    /// Seconds of processor time; 0: no limit.
    pub cpu_s: Option<i64>,
    /// Processes and threads; 0: no limit.
    pub tasks: Option<i64>,
    /// Open descriptors of a process; 0: no limit.
    pub open_files: Option<i64>,
    /// MiB of a file; 0: no limit.
    pub file_mb: Option<i64>,
    /// Niceness of its processes.
    pub nice: Option<i64>,
    /// Variables of our environment that it is given.
    pub allow_env: Option<Vec<String>>,
    /// Files and directories that it may read.
    pub readable: Option<Vec<String>>,
}

/// `[log]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Largest log file in MiB.
    pub max_size_mb: Option<i64>,
    /// Older files kept beside it.
    pub keep: Option<i64>,
}

/// `[api]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Address of the HTTP server; "" is off.
    pub listen: Option<String>,
}

/// `[health]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Least hash rate of a scanning thread, as a share of its best.
    pub performance_min: Option<f64>,
}

/// `[resources]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Least memory left, as a share of the limit.
    pub memory_free_min: Option<f64>,
    /// Least space left on the disks of data_dir and log_dir.
    pub disk_free_min_mb: Option<f64>,
    /// Most descriptors in use, as a share of the limit.
    pub descriptors_max: Option<f64>,
    /// Hottest sensor in degrees Celsius.
    pub temperature_max_c: Option<f64>,
    /// Most CPU time taken by the hypervisor, as a share.
    pub cpu_steal_max: Option<f64>,
}

/// `[debug]`
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Debug {
    /// Allow faults to be injected.
    pub fault_injection: Option<bool>,
    /// Seconds of silence after which a child hangs.
    pub hang_after_s: Option<f64>,
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

/// A key that takes a word or a list of CPU numbers.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Cpus {
    /// A word, or CPU numbers as the system writes them: `0-3,8`.
    Word(String),
    /// CPU numbers.
    List(Vec<i64>),
}
