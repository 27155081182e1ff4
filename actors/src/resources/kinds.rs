//! What can run out, what is said about it, and what is given up for it.

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

impl ResourceLimits {
    /// With a smaller share of memory left than this, hashing is given up, 0 to 1.
    pub fn memory_critical(&self) -> f64 {
        self.memory_free_min / 2.0
    }
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

impl Resource {
    /// The step that its shortage leads to: the table in docs/operations.md.
    ///
    /// A full disk harms what is written, and a found block is submitted from memory anyway; a shortage
    /// of descriptors harms what connects. The largest allocations of the program are templates and
    /// jobs: with the threads parked no more jobs are made, and what memory there is stays for found
    /// blocks. Heat comes from hashing. Stolen CPU time cannot be had back by giving something up.
    pub fn step(self, critical: bool) -> Degradation {
        match (self, critical) {
            (Self::Disk | Self::Descriptors, _) | (Self::Memory, false) => Degradation::Trimmed,
            (Self::Temperature, false) => Degradation::Eased,
            (Self::Memory | Self::Temperature, true) => Degradation::Parked,
            (Self::CpuSteal, _) => Degradation::None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Disk => "disk space",
            Self::Descriptors => "file descriptors",
            Self::Temperature => "temperature",
            Self::CpuSteal => "CPU time",
        })
    }
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
    /// What only informs: `status.json`, and clients of the HTTP server.
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
            Self::Trimmed => "status.json and HTTP given up",
            Self::Eased => "status.json, HTTP and half of the hashing threads given up",
            Self::Parked => "status.json, HTTP and all hashing given up",
        })
    }
}

impl Degradation {
    /// How many of `threads` hashing threads may scan: all, half (at least one), or none.
    pub fn threads(self, threads: usize) -> usize {
        match self {
            Self::None | Self::Trimmed => threads,
            Self::Eased => (threads / 2).max(1).min(threads),
            Self::Parked => 0,
        }
    }
}
