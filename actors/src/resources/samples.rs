//! What was measured. What is unknown is absent, and never a reason for an alert.

use std::path::PathBuf;
use std::time::Duration;

/// All resources at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Of the limits that bind, the one with the least share left.
    pub memory: Option<Memory>,
    /// One per directory that is written to.
    pub disks: Vec<Disk>,
    /// File descriptors of this process.
    pub descriptors: Option<Descriptors>,
    /// The hottest sensor.
    pub temperature: Option<Temperature>,
    /// CPU time given to other guests since the last sample, as a share, 0 to 1.
    pub cpu_steal: Option<f64>,
    /// CPU time of all cores that was spent on anything since the last sample, as a share, 0 to 1.
    pub cpu_busy: Option<f64>,
}

/// Memory under one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Bytes that can still be had, caches that the kernel would give back included.
    pub available: u64,
    /// Bytes in all.
    pub limit: u64,
    /// Whose limit it is, in words.
    pub of: String,
}

impl Memory {
    /// The share that is left, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.limit == 0 {
            return 0.0;
        }
        (self.available as f64 / self.limit as f64).min(1.0)
    }
}

/// A disk that a directory is on.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// The directory.
    pub path: PathBuf,
    /// What is known of it.
    pub state: DiskState,
}

/// What is known of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskState {
    /// Bytes that this user may still write.
    Free(u64),
    /// There may be room, but not for another file: no inode is left.
    NoFiles,
    /// It has not answered for so long.
    Stalled(Duration),
    /// It cannot be asked.
    Unknown,
}

/// File descriptors of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// In use.
    pub used: u64,
    /// The soft limit; none: unlimited.
    pub limit: Option<u64>,
}

/// A sensor's reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Temperature {
    /// Degrees Celsius.
    pub celsius: f64,
    /// Its name.
    pub sensor: String,
}
