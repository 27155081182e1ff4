//! From TOML, environment and flags to typed settings, or to one message that says what is wrong.

mod advisor;
mod error;
mod layers;
mod nodes;
mod raw;
mod validate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::advisor::AdvisorSettings;
use actors::health::HealthThresholds;
use actors::miner::MinerSettings;
use actors::resources::ResourceLimits;
use chain::Network;

pub use error::{ConfigError, Layer};
pub use layers::DEFAULTS;
pub use raw::Raw;

/// Most hashing threads of an instance.
pub const MAX_THREADS: usize = 1024;

/// A configuration that passed every check.
#[derive(Debug, Clone)]
pub struct Settings {
    /// State directory.
    pub data_dir: PathBuf,
    /// Directory of the control socket.
    pub runtime_dir: PathBuf,
    /// Network of the chain.
    pub network: Network,
    /// Nodes in order of preference; never empty.
    pub nodes: Vec<node::NodeConfig>,
    /// Time between two polls.
    pub poll_interval: Duration,
    /// Headers verified behind the tip.
    pub level: u32,
    /// Least coverage of an AUTHENTIC verdict, 0 to 1.
    pub coverage_min: f64,
    /// None: verify only.
    pub mining: Option<MinerSettings>,
    /// What of it is not left to measurement.
    pub forced: Forced,
    /// How long a found block waits for the disk.
    pub journal_deadline: Duration,
    /// Name of the instance in files and records.
    pub node_id: String,
    /// Directory of log files.
    pub log_dir: PathBuf,
    /// None: the command's own (`daemon`: production, `run`: development).
    pub profile: Option<Profile>,
    /// Largest log file, in bytes.
    pub log_max_size: u64,
    /// Older log files kept beside it.
    pub log_keep: usize,
    /// Address of the HTTP server; none: off.
    pub api_listen: Option<SocketAddr>,
    /// When a component counts as unhealthy.
    pub health: HealthThresholds,
    /// When resources count as scarce.
    pub resources: ResourceLimits,
    /// Whether faults may be injected.
    pub fault_injection: bool,
    /// A child that gives no sign of life for so long hangs.
    pub hang_after: Duration,
    /// Whose advice is asked; none: nobody's, or nothing is mined.
    pub advisor: Option<AdvisorSettings>,
}

/// What of mining the operator decides instead of leaving it to measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forced {
    /// The key or variable that names the kernel; none: until it is chosen by measuring, that of the settings is
    /// only the one presumed fastest.
    pub kernel: Option<&'static str>,
    /// Whether the number of threads is given; else that of the settings is the number of CPUs, unless measured.
    pub threads: bool,
}

/// How the program presents itself to who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Silent where no one looks, and hardened.
    Production,
    /// Verbose.
    Development,
}

impl Settings {
    /// Where this instance answers questions.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime_dir.join("control.sock")
    }

    /// Where what was measured of this machine is kept.
    pub fn autotune_file(&self) -> PathBuf {
        self.data_dir.join("autotune.json")
    }

    /// Where it is kept how long hashing was held.
    pub fn holds_file(&self) -> PathBuf {
        self.data_dir.join("holds.json")
    }

    /// Where found blocks are kept.
    pub fn journal_dir(&self) -> PathBuf {
        self.data_dir.join("journal")
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// The first thing that is wrong, with its layer, its key and what to do.
pub fn load(file: Option<&Path>) -> Result<Settings, ConfigError> {
    let raw = merged(file)?;
    validate::settings(raw, file)
}

/// The merged layers, unchecked: what `config show` prints.
///
/// # Errors
/// A layer that cannot be read.
pub fn merged(file: Option<&Path>) -> Result<Raw, ConfigError> {
    layers::merge(
        file,
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )
}
