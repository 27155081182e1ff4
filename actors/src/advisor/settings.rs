//! What the operator has decided about the advisor, validated.

use std::path::PathBuf;
use std::time::Duration;

/// Whose advice is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisorSettings {
    /// The program and its arguments, or `builtin` alone; never empty.
    pub command: Vec<String>,
    /// How long a process of it lives.
    pub mode: Mode,
    /// How long one try may take.
    pub timeout: Duration,
    /// How many tries a question has, at least 1.
    pub attempts: u32,
    /// How long a question may take, whatever is tried.
    pub deadline: Duration,
    /// How long an answer holds.
    pub cache: Duration,
    /// What it may use.
    pub confinement: Confinement,
}

/// How long a process of an advisor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For one try.
    OneShot,
    /// For as long as it can.
    Persistent,
}

impl Mode {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneShot => "oneshot",
            Self::Persistent => "persistent",
        }
    }
}

/// What an advisor may use; a limit of 0 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Seconds of processor time of each process.
    pub cpu_s: u64,
    /// Processes and threads, all together.
    pub tasks: u32,
    /// Open descriptors of each process.
    pub open_files: u64,
    /// Bytes of each file that it writes.
    pub file_bytes: u64,
    /// Its working directory, and the only place where it may write.
    pub dir: PathBuf,
    /// Names of the variables of our environment that it is given.
    pub environment: Vec<String>,
    /// Files and directories that it may read, beside the system's and its own.
    pub readable: Vec<PathBuf>,
}
