//! What a jail is told, and what it tells.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A command and what it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The program and its arguments. A program without a slash is looked for in `PATH` of `env`.
    pub command: Vec<String>,
    /// Where it works, and the only place where it may write. Made when it is missing, for this user alone.
    pub dir: PathBuf,
    /// Its whole environment, beside `HOME` and `TMPDIR`, which are `dir`, and a `PATH` of the system's directories
    /// where there is none here.
    pub env: BTreeMap<String, String>,
    /// Files and directories that it may read and run, beside the system's programs and libraries, its own program,
    /// and files among its arguments.
    pub readable: Vec<PathBuf>,
    /// Its limits.
    pub limits: Limits,
}

/// Limits of a command; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of address space of each process, and of memory in use by all of them together.
    pub memory_bytes: u64,
    /// Seconds of processor time of each process over its life.
    pub cpu_s: u64,
    /// Descriptors that each process may have open.
    pub open_files: u64,
    /// Bytes of each file that it writes.
    pub file_bytes: u64,
    /// Processes and threads, all together.
    pub tasks: u32,
    /// How much it stands back where processors are scarce, 0 to 19.
    pub niceness: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            cpu_s: 60,
            open_files: 256,
            file_bytes: 64 << 20,
            tasks: 256,
            niceness: 10,
        }
    }
}

/// What a jail is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The command.
    pub cell: Cell,
    /// Milliseconds from now after which everything ends; absent for never.
    pub deadline_ms: Option<u64>,
    /// Threads of the asker, which the jail may not be able to see.
    pub asker_tasks: u32,
}

/// What a jail tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The command was not started, and why.
    Failed(String),
    /// The command runs.
    Started(Shelter),
    /// The command ended, or is being ended; whatever it left behind is ended next.
    Ended(End),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// The deadline passed.
    Deadline,
    /// So many processes and threads, which are too many.
    Tasks(u32),
    /// So many bytes in use by all its processes, which are too many.
    Memory(u64),
    /// The asker let go.
    Told,
}

/// What of the protection that depends on the kernel is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelter {
    /// Landlock: what the command may open, and whom it may send signals.
    pub landlock: Force,
    /// Seccomp: which system calls it may make.
    pub seccomp: Force,
}

/// How far a protection is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// All of it.
    Full,
    /// Not all of it, and what is missing.
    Partial(String),
    /// Nothing of it, and why.
    None(String),
}
