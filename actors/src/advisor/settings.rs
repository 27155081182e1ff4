//! What the operator has decided about the advisor, validated.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use advisor::breaker::Limits as BreakerLimits;
use advisor::consultant;
use advisor::counts::Counts;
use advisor::dossier::Dossier;
use advisor::jail::orders::{Cell, Limits};
use advisor::process::Jail;
use advisor::tries::Patience;

pub use advisor::consultant::Mode;

use crate::resources::ResourceLimits;

/// When it is left alone. It is asked about a new tip, again a minute after a question without an answer, and now and then
/// how it does: there are about a dozen questions in the window where blocks take ten minutes, and no pause shorter
/// than from one question to the next would save any.
const BREAKER: BreakerLimits = BreakerLimits {
    window: Duration::from_mins(10),
    calls: 5,
    failed: 0.5,
    pause: Duration::from_secs(5),
    pause_most: Duration::from_mins(10),
    trials: 3,
};

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
        }
    }

    /// What is known of it, where nothing is but what was counted before.
    pub(super) fn dossier(&self, counts: Counts) -> Dossier {
        Dossier::new(BREAKER, self.cache, counts)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use advisor::breaker::Breaker;

    use super::*;

    #[test]
    fn who_fails_every_try_of_a_question_a_minute_is_left_alone_with_the_second_for_ever_longer() {
        let start = Instant::now();
        let mut breaker = Breaker::new(BREAKER);
        let minute = Duration::from_mins(1);
        let tries = [0, 1, 2, 60, 61].map(|s| start + Duration::from_secs(s));
        let opened = tries.map(|at| breaker.failed(at, 0.5));
        assert_eq!(opened, [false, false, false, false, true]);
        let (mut now, mut made) = (start + minute, 0);
        for _ in 0..60 {
            now += minute;
            if breaker.admit(now).is_ok() {
                made += 1;
                assert!(breaker.failed(now, 0.5));
            }
        }
        // In the pauses of up to a minute each question is tried once, and then ever fewer: one in ten minutes at last.
        assert!((8..=14).contains(&made), "{made}");
    }

    #[test]
    fn a_command_that_is_kept_may_live_for_ever_and_gets_no_variables_but_those_that_are_named() {
        let named = ["HERE", "ABSENT"].map(str::to_owned).to_vec();
        let settings = AdvisorSettings {
            allow_env: named,
            ..fixtures::settings(&["advisor"])
        };
        let consultation = |mode| {
            let jail = Jail::new("/nonexistent/jail", [""; 0]);
            let settings = AdvisorSettings {
                mode,
                ..settings.clone()
            };
            let variable = |name: &str| (name != "ABSENT").then(|| "yes".to_owned());
            settings.consultation(jail, variable).cell
        };
        let (once, kept) = (consultation(Mode::OneShot), consultation(Mode::Persistent));
        assert_eq!(once.limits, settings.limits);
        let forever = Limits {
            cpu_s: 0,
            ..settings.limits
        };
        assert_eq!(kept.limits, forever);
        let here = BTreeMap::from([("HERE".to_owned(), "yes".to_owned())]);
        assert_eq!((once.env, kept.env), (here.clone(), here));
    }
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;

    /// Of this command, asked for each try, with all the time it may need and no pauses worth mentioning.
    pub fn settings(command: &[&str]) -> AdvisorSettings {
        AdvisorSettings {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            mode: Mode::OneShot,
            patience: Patience {
                pause: Duration::from_millis(1),
                ..Patience::default()
            },
            cache: Duration::from_millis(1),
            pause: Duration::ZERO,
            is_gate: false,
            limits: Limits::default(),
            resources: ResourceLimits {
                memory_free_min: 0.1,
                disk_free_min_bytes: 0,
                descriptors_max: 1.0,
                temperature_max_c: 75.0,
                cpu_steal_max: 1.0,
            },
            dir: PathBuf::from("/proc/nonexistent/advisor"),
            allow_env: Vec::new(),
            readable: Vec::new(),
        }
    }
}
