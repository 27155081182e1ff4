//! What the operator has decided about the advisor, validated.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use advisor::breaker::Limits as BreakerLimits;
use advisor::consultant;
use advisor::jail::orders::{Cell, Limits};
use advisor::process::Jail;
use advisor::tries::Patience;

pub use advisor::consultant::Mode;

use crate::resources::ResourceLimits;

/// Whose advice is asked, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvisorSettings {
    /// The program and its arguments; never empty. As it is configured: `builtin` stands for this program.
    pub command: Vec<String>,
    /// How it is asked.
    pub mode: Mode,
    /// How long it is waited for.
    pub patience: Patience,
    /// How long an answer holds.
    pub cache: Duration,
    /// The least time between the beginnings of two questions, unless hashing waits for the answer.
    pub pause: Duration,
    /// Whether hashing on a new tip waits for it.
    pub is_gate: bool,
    /// What it may use; processor time only where it is started for each try.
    pub limits: Limits,
    /// When the machine is short of something: it is told.
    pub resources: ResourceLimits,
    /// Its working directory, and the only place where it may write.
    pub dir: PathBuf,
    /// Names of the variables of our environment that it is given.
    pub allow_env: Vec<String>,
    /// Files and directories that it may read, beside the system's and its own.
    pub readable: Vec<PathBuf>,
}

impl AdvisorSettings {
    /// Its name for people.
    pub fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// What is asked, in `jail`: `command`, with the variables of `environment` that it may have.
    pub(super) fn consultation(
        &self,
        jail: Jail,
        environment: impl Fn(&str) -> Option<String>,
    ) -> consultant::Settings {
        let allowed = self.allow_env.iter();
        let env: BTreeMap<String, String> = allowed
            .filter_map(|name| Some((name.clone(), environment(name)?)))
            .collect();
        let mut limits = self.limits;
        if self.mode == Mode::Persistent {
            // A limit for the life of a process would be its end, some day.
            limits.cpu_s = 0;
        }
        consultant::Settings {
            jail,
            cell: Cell {
                command: self.command.clone(),
                dir: self.dir.clone(),
                env,
                readable: self.readable.clone(),
                limits,
            },
            mode: self.mode,
            patience: self.patience,
            breaker: BreakerLimits::default(),
            cache: self.cache,
        }
    }
}
