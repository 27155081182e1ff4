//! Cells for commands of tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use advisor::jail::orders::{Cell, Limits};
use advisor::process::{Failure, Jail};
use tempfile::TempDir;

/// Longer than anything takes that ends by itself.
pub const LONG: Duration = Duration::from_mins(1);

/// A jail, and a directory for its commands.
pub struct Prison {
    pub jail: Jail,
    pub dir: TempDir,
}

impl Prison {
    pub fn new() -> Self {
        Self {
            jail: Jail::new(jail(), [""; 0]),
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// A shell script, with the limits there are by default.
    pub fn shell(&self, script: &str) -> Cell {
        self.command(&["/bin/sh", "-c", script])
    }

    pub fn command(&self, command: &[&str]) -> Cell {
        Cell {
            command: command.iter().map(ToString::to_string).collect(),
            dir: self.dir.path().join("work"),
            env: BTreeMap::new(),
            readable: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Asks a shell script.
    pub async fn ask(&self, script: &str) -> Result<String, Failure> {
        self.ask_cell(&self.shell(script), LONG).await
    }

    pub async fn ask_cell(&self, cell: &Cell, limit: Duration) -> Result<String, Failure> {
        let answer = self.jail.ask_once(cell, b"question", limit).await;
        answer.map(|line| String::from_utf8(line).expect("answers of these tests are text"))
    }
}

/// The jail's program; another one's copy where that has been set.
pub fn jail() -> PathBuf {
    std::env::var_os("TEST_ADVISOR_JAIL")
        .map_or_else(|| env!("CARGO_BIN_EXE_advisor-jail").into(), PathBuf::from)
}

/// Nothing runs that was started in this directory.
pub fn assert_empty(dir: &Path) {
    assert_eq!(
        working_in(dir),
        [""; 0],
        "nothing is left when an answer is there"
    );
}

/// Processes whose environment names this directory, as that of every command does that works in it.
pub fn working_in(dir: &Path) -> Vec<String> {
    let name = dir
        .to_str()
        .expect("temporary directories have plain names");
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            environment
                .windows(name.len())
                .any(|part| part == name.as_bytes())
        })
        .map(|process| std::fs::read_to_string(process.path().join("stat")).unwrap_or_default())
        .filter(|stat| !stat.is_empty())
        .collect()
}

/// Runs a test's future.
pub fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
