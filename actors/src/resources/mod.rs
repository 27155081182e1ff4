//! resources: what the machine has left, and what is given up when it runs out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// When a resource counts as scarce.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResourceLimits {
    /// Least memory left, as a share of the limit, 0 to 1.
    pub memory_free_min: f64,
    /// Least space left on each disk in use, in bytes.
    pub disk_free_min_bytes: u64,
    /// Most descriptors in use, as a share of the limit, 0 to 1.
    pub descriptors_max: f64,
    /// Hottest sensor in degrees Celsius.
    pub temperature_max_c: f64,
    /// Most CPU time taken by the hypervisor, as a share, 0 to 1.
    pub cpu_steal_max: f64,
}

/// A resource that can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Memory of the control group or the machine.
    Memory,
    /// Space on the disks of the state and log directories.
    Disk,
    /// File descriptors of this process.
    Descriptors,
    /// The hottest sensor.
    Temperature,
    /// CPU time given to other guests of the machine.
    CpuSteal,
}

/// A resource that is scarce at the moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Which.
    pub resource: Resource,
    /// Whether it is nearly gone, rather than low.
    pub critical: bool,
    /// What was measured, the limit, and what to do, in words.
    pub message: String,
}

/// What is given up at the moment; each step includes those before it. Submitting found blocks is on
/// no step: it is never given up.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Degradation {
    /// Nothing.
    #[default]
    None,
    /// What only informs: files of statistics, and clients of the HTTP server.
    Trimmed,
    /// Half of the hashing threads.
    Eased,
    /// All hashing. Tips are still followed and verified, found blocks still submitted.
    Parked,
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nothing given up",
            Self::Trimmed => "statistics files and HTTP given up",
            Self::Eased => "half of the hashing threads parked",
            Self::Parked => "all hashing threads parked",
        })
    }
}
