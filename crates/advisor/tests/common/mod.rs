//! Cells for commands of tests.

use std::collections::BTreeMap;
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
            jail: Jail::new(env!("CARGO_BIN_EXE_advisor-jail"), [""; 0]),
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

/// Runs a test's future.
pub fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
