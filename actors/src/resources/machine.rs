//! Reads memory, descriptors, temperature and CPU time from the files in which Linux shows them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use procfs::process::{LimitValue, Limits};
use procfs::{CpuTime, FromRead as _, FromReadSI as _, KernelStats};

use super::memory;
use super::samples::{Descriptors, Samples, Temperature};

/// Where the system shows itself. Tests give directories of their own.
#[derive(Debug, Clone)]
pub struct Roots {
    /// `/proc`
    pub proc: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// `/sys/fs/cgroup`
    pub cgroup: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            cgroup: "/sys/fs/cgroup".into(),
        }
    }
}

/// Readings that are no temperature of a machine that runs: broken or absent sensors show them.
const PLAUSIBLE_C: std::ops::Range<f64> = 1.0..150.0;

/// Reads the machine, and remembers what the next reading is compared with.
#[derive(Debug)]
pub struct Machine {
    roots: Roots,
    /// The processors' time at the last reading.
    ticks: Option<Ticks>,
    /// The limit of descriptors of the last reading, for when there is none left to read it with.
    descriptor_limit: Option<u64>,
}

impl Machine {
    /// Nothing is read yet.
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            ticks: None,
            descriptor_limit: None,
        }
    }

    /// Reads everything but disks. What cannot be read is absent.
    pub fn read(&mut self) -> Samples {
        let cpu = self.cpu();
        Samples {
            memory: memory::read(&self.roots),
            disks: Vec::new(),
            descriptors: self.descriptors(),
            temperature: hottest(&self.roots.sys),
            cpu_steal: cpu.map(|(steal, _)| steal),
            cpu_busy: cpu.map(|(_, busy)| busy),
        }
    }

    fn descriptors(&mut self) -> Option<Descriptors> {
        let own = self.roots.proc.join("self");
        if let Ok(limits) = Limits::from_file(own.join("limits")) {
            self.descriptor_limit = match limits.max_open_files.soft_limit {
                LimitValue::Value(limit) => Some(limit),
                LimitValue::Unlimited => None,
            };
        }
        let limit = self.descriptor_limit;
        match fs::read_dir(own.join("fd")) {
            // The one that reads the directory is not counted.
            Ok(entries) => Some(Descriptors {
                used: (entries.count() as u64).saturating_sub(1),
                limit,
            }),
            Err(error) if is_exhausted(&error) => Some(Descriptors {
                used: limit?,
                limit,
            }),
            Err(_) => None,
        }
    }

    /// Shares of the time since the last look: stolen, and spent on anything.
    fn cpu(&mut self) -> Option<(f64, f64)> {
        let info = procfs::current_system_info();
        let cpu = KernelStats::from_file(self.roots.proc.join("stat"), info)
            .ok()?
            .total;
        let stolen = cpu.steal?;
        let total = total_ticks(&cpu);
        let idle = cpu.idle + cpu.iowait.unwrap_or(0);
        let before = self.ticks.replace(Ticks {
            total,
            stolen,
            idle,
        })?;
        let passed = total.checked_sub(before.total).filter(|ticks| *ticks > 0)?;
        let share = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed as f64;
        let is_idle = share(idle, before.idle).min(1.0);
        Some((share(stolen, before.stolen), 1.0 - is_idle))
    }
}

/// Clock ticks since the machine's start.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    total: u64,
    stolen: u64,
    idle: u64,
}

/// Guests' time is part of user time.
fn total_ticks(cpu: &CpuTime) -> u64 {
    let later = [cpu.iowait, cpu.irq, cpu.softirq, cpu.steal];
    let later: u64 = later.iter().flatten().sum();
    cpu.user + cpu.nice + cpu.system + cpu.idle + later
}

/// Whether the error says that there is no descriptor left, in this process or in the system.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The hottest of `class/thermal/thermal_zone*/temp` and `class/hwmon/hwmon*/temp*_input`.
fn hottest(sys: &Path) -> Option<Temperature> {
    let class = sys.join("class");
    let zones = entries(&class.join("thermal"), "thermal_zone")
        .into_iter()
        .map(|zone| (zone.join("temp"), text(&zone.join("type"))));
    let chips = entries(&class.join("hwmon"), "hwmon")
        .into_iter()
        .flat_map(|chip| {
            let name = text(&chip.join("name")).unwrap_or_else(|| "hwmon".to_owned());
            entries(&chip, "temp").into_iter().filter_map(move |file| {
                let stem = file.file_name()?.to_str()?.strip_suffix("_input")?;
                let label = text(&chip.join(format!("{stem}_label")));
                let sensor = format!("{name}: {}", label.as_deref().unwrap_or(stem));
                Some((file, Some(sensor)))
            })
        });
    zones
        .chain(chips)
        .filter_map(|(file, sensor)| {
            let celsius = text(&file)?.parse::<f64>().ok()? / 1000.0;
            let sensor = sensor.unwrap_or_else(|| file.display().to_string());
            PLAUSIBLE_C
                .contains(&celsius)
                .then_some(Temperature { celsius, sensor })
        })
        .max_by(|one, other| one.celsius.total_cmp(&other.celsius))
}

/// Paths in a directory whose names begin with `prefix`; none where it cannot be read.
fn entries(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_bytes())
        })
        .map(|entry| entry.path())
        .collect()
}

/// A one-line file; none where it cannot be read.
pub(super) fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
