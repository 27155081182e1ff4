//! Whether the machine is fit to be measured, and to hash.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Instant;

use actors::resources::{Assessor, Machine, ResourceLimits, Roots, Samples};

use super::report::Finding;
use crate::config::Settings;

/// The governor that keeps a CPU at its highest clock.
const FULL_SPEED: &str = "performance";

/// What is seen of the machine.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Memory, descriptors, temperature.
    pub samples: Samples,
    /// The governors of the CPUs, each named once; none where the system shows none.
    pub governors: Vec<String>,
    /// How many programs wanted to run in the last minute, on average.
    pub load: Option<f64>,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Whether an instance runs over the same directory.
    pub is_running: bool,
}

impl Surroundings {
    /// Looks.
    pub fn look(settings: &Settings) -> Self {
        let roots = Roots::default();
        Self {
            governors: governors(&roots.sys),
            load: load(&roots.proc),
            samples: Machine::new(roots).read(),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            is_running: UnixStream::connect(settings.control_socket()).is_ok(),
        }
    }

    /// What it amounts to.
    pub fn assess(&self, limits: ResourceLimits) -> Finding {
        let mut facts = vec![format!("{} CPUs", self.cpus)];
        if !self.governors.is_empty() {
            facts.push(format!("governor {}", self.governors.join(" and ")));
        }
        if let Some(memory) = &self.samples.memory {
            facts.push(format!(
                "{} of {} MB memory left",
                memory.available / 1_000_000,
                memory.limit / 1_000_000
            ));
        }
        if let Some(hottest) = &self.samples.temperature {
            facts.push(format!("{:.0} °C", hottest.celsius));
        }
        if let Some(limit) = self.samples.descriptors.and_then(|open| open.limit) {
            facts.push(format!("{limit} descriptors"));
        }
        if let Some(load) = self.load {
            facts.push(format!("load {load:.1}"));
        }
        let mut finding = Finding::success(facts.join(", "));
        let scarce = Assessor::new(limits).assess(&self.samples, Instant::now());
        for alert in scarce.alerts {
            finding = finding.but(alert.message);
        }
        if self.governors.iter().any(|name| name != FULL_SPEED) {
            finding = finding.but(format!(
                "the CPU governor is {}: as root, `cpupower frequency-set -g {FULL_SPEED}` keeps the clock up",
                self.governors.join(" and ")
            ));
        }
        if self.is_running {
            return finding.but(
                "an instance runs over this data_dir and hashes on the same CPUs: stop it and tune again, the \
                 figures are too low; it takes over what is chosen at its next start or reload",
            );
        }
        if self.load.is_some_and(|load| load > self.cpus as f64 / 2.0) {
            finding = finding.but(
                "other programs use the CPUs: tune again when the machine is quiet, the figures are too low",
            );
        }
        finding
    }
}

/// `devices/system/cpu/cpu*/cpufreq/scaling_governor`
fn governors(sys: &Path) -> Vec<String> {
    let cpus = fs::read_dir(sys.join("devices/system/cpu"));
    let mut names: Vec<String> = cpus
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|cpu| fs::read_to_string(cpu.path().join("cpufreq/scaling_governor")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The first figure of `loadavg`.
fn load(proc: &Path) -> Option<f64> {
    let text = fs::read_to_string(proc.join("loadavg")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use actors::resources::{Memory, Temperature};

    use super::*;
    use crate::tune::report::Status;

    const LIMITS: ResourceLimits = ResourceLimits {
        memory_free_min: 0.05,
        disk_free_min_bytes: 0,
        descriptors_max: 0.8,
        temperature_max_c: 90.0,
        cpu_steal_max: 0.2,
    };

    fn well() -> Surroundings {
        Surroundings {
            samples: Samples {
                memory: Some(Memory {
                    available: 8_000_000_000,
                    limit: 16_000_000_000,
                    of: "the machine".into(),
                }),
                temperature: Some(Temperature {
                    celsius: 51.0,
                    sensor: "cpu".into(),
                }),
                ..Samples::default()
            },
            governors: vec!["performance".into()],
            load: Some(0.3),
            cpus: 8,
            is_running: false,
        }
    }

    #[test]
    fn a_quiet_machine_at_full_speed_is_ready() {
        let finding = well().assess(LIMITS);
        assert_eq!(finding.status, Status::Success);
        assert_eq!(
            finding.message,
            "8 CPUs, governor performance, 8000 of 16000 MB memory left, 51 °C, load 0.3"
        );
        let unknown = Surroundings::default().assess(LIMITS);
        assert_eq!(unknown.status, Status::Success, "{unknown:?}");
    }

    #[test]
    fn each_thing_that_is_amiss_is_advised_upon() {
        let advised = |change: fn(&mut Surroundings), words: &str| {
            let mut machine = well();
            change(&mut machine);
            let finding = machine.assess(LIMITS);
            assert_eq!(finding.status, Status::Partial);
            assert_eq!(finding.advice.len(), 1, "{finding:?}");
            assert!(finding.advice[0].contains(words), "{finding:?}");
        };
        advised(|m| m.governors.push("powersave".into()), "cpupower");
        advised(|m| m.load = Some(4.5), "other programs");
        advised(|m| m.is_running = true, "an instance runs");
        advised(
            |m| m.samples.memory.as_mut().unwrap().available = 1,
            "resources.memory_free_min",
        );
        advised(
            |m| m.samples.temperature.as_mut().unwrap().celsius = 97.0,
            "see to the cooling",
        );
    }

    #[test]
    fn governors_and_load_are_read_from_the_files_that_show_them() {
        let dir = tempfile::tempdir().unwrap();
        for (cpu, governor) in [
            ("cpu0", "powersave\n"),
            ("cpu1", "powersave\n"),
            ("cpu2", "performance\n"),
        ] {
            let at = dir
                .path()
                .join("devices/system/cpu")
                .join(cpu)
                .join("cpufreq");
            fs::create_dir_all(&at).unwrap();
            fs::write(at.join("scaling_governor"), governor).unwrap();
        }
        fs::create_dir(dir.path().join("devices/system/cpu/cpuidle")).unwrap();
        assert_eq!(governors(dir.path()), ["performance", "powersave"]);
        assert!(governors(Path::new("/nonexistent")).is_empty());
        fs::write(dir.path().join("loadavg"), "1.25 0.9 0.8 2/345 6789\n").unwrap();
        assert_eq!(load(dir.path()), Some(1.25));
        assert_eq!(load(Path::new("/nonexistent")), None);
    }
}
