//! Each resource as one rising number, its limits, and the words about it.

use std::time::Duration;

use super::assess::Level;
use super::kinds::{Resource, ResourceLimits};
use super::reserve::RESERVE;
use super::samples::{DiskState, Samples};

/// So many degrees above the limit are critical, and as many below it are the way back.
const HEAT_STEP_C: f64 = 5.0;
/// CPU time must be stolen for this long to be worth an alert: neighbours come and go.
const STEAL_LASTS: Duration = Duration::from_secs(30);

/// A measure. The higher the worse.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) resource: Resource,
    /// Which of several; empty where there is one.
    pub(super) subject: String,
    value: f64,
    low: f64,
    critical: f64,
    /// So far below a limit it counts as left.
    margin: f64,
    /// How long it must last before it counts.
    pub(super) enter_after: Duration,
    /// What was measured, in words.
    pub(super) measured: String,
    limit: String,
    advice: &'static str,
}

impl Gauge {
    /// What the value amounts to by itself.
    pub(super) fn reached(&self) -> Level {
        self.level(0.0)
    }

    /// What the value amounts to where it was worse before.
    pub(super) fn held(&self) -> Level {
        self.level(self.margin)
    }

    fn level(&self, margin: f64) -> Level {
        if self.value > self.critical - margin {
            Level::Critical
        } else if self.value > self.low - margin {
            Level::Low
        } else {
            Level::Fine
        }
    }

    /// What was measured, what the limit is, what to do.
    pub(super) fn message(&self, level: Level) -> String {
        if level == Level::Fine {
            return self.measured.clone();
        }
        format!("{}; limit {}; {}", self.measured, self.limit, self.advice)
    }
}

/// Everything that was measured.
pub(super) fn gauges(samples: &Samples, limits: &ResourceLimits) -> Vec<Gauge> {
    let mut gauges = Vec::new();
    gauges.extend(memory(samples, limits));
    gauges.extend(disks(samples, limits));
    gauges.extend(descriptors(samples, limits));
    gauges.extend(temperature(samples, limits));
    gauges.extend(steal(samples, limits));
    gauges
}

fn memory(samples: &Samples, limits: &ResourceLimits) -> Option<Gauge> {
    let memory = samples.memory.as_ref()?;
    let min = limits.memory_free_min;
    Some(Gauge {
        resource: Resource::Memory,
        subject: String::new(),
        value: 1.0 - memory.share(),
        low: 1.0 - min,
        critical: 1.0 - limits.memory_critical(),
        margin: min / 4.0,
        enter_after: Duration::ZERO,
        measured: format!(
            "{} of {} left ({})",
            bytes(memory.available),
            bytes(memory.limit),
            memory.of
        ),
        limit: format!(
            "{:.1} % (resources.memory_free_min), half of it is critical",
            100.0 * min
        ),
        advice: "end what needs memory on this machine, or raise the limit of the service (MemoryMax)",
    })
}

fn disks(samples: &Samples, limits: &ResourceLimits) -> Vec<Gauge> {
    let min = limits.disk_free_min_bytes as f64;
    let gauge = |disk: &super::samples::Disk| {
        let path = disk.path.display();
        let (value, measured) = match disk.state {
            DiskState::Free(free) => (-(free as f64), format!("{} left for {path}", bytes(free))),
            DiskState::NoFiles => (
                f64::INFINITY,
                format!("not one inode, and so no new file, is left for {path}"),
            ),
            DiskState::Stalled(time) => (
                f64::INFINITY,
                format!(
                    "the disk of {path} has not answered for {} s",
                    time.as_secs()
                ),
            ),
            DiskState::Unknown => return None,
        };
        Some(Gauge {
            resource: Resource::Disk,
            subject: path.to_string(),
            value,
            low: -min,
            critical: -min / 8.0,
            margin: min / 10.0,
            enter_after: Duration::ZERO,
            measured,
            limit: format!(
                "{} (resources.disk_free_min_mb), an eighth of it is critical",
                bytes(limits.disk_free_min_bytes)
            ),
            advice: "free some space, or see to the mount; found blocks are submitted without it, and \
                     kept in memory until they can be written",
        })
    };
    samples.disks.iter().filter_map(gauge).collect()
}

fn descriptors(samples: &Samples, limits: &ResourceLimits) -> Option<Gauge> {
    let descriptors = samples.descriptors?;
    let limit = descriptors.limit?;
    let max = limits.descriptors_max;
    if max >= 1.0 {
        return None;
    }
    let share = |share: f64| share * limit as f64;
    // Clients are turned away at the reserve: a small limit is told by what is left, not by a share.
    let left = |left: u64| limit.saturating_sub(left) as f64;
    let low = share(max).min(left(RESERVE + RESERVE / 4));
    let critical = share(f64::midpoint(max, 1.0)).min(left(RESERVE / 2));
    Some(Gauge {
        resource: Resource::Descriptors,
        subject: String::new(),
        value: descriptors.used as f64,
        low,
        critical,
        margin: share(0.05),
        enter_after: Duration::ZERO,
        measured: format!("{} of {limit} in use", descriptors.used),
        limit: format!("{low:.0} (resources.descriptors_max), {critical:.0} is critical"),
        advice: "see who connects, or raise the limit (LimitNOFILE of the service, ulimit -n)",
    })
}

fn temperature(samples: &Samples, limits: &ResourceLimits) -> Option<Gauge> {
    let hottest = samples.temperature.as_ref()?;
    let max = limits.temperature_max_c;
    Some(Gauge {
        resource: Resource::Temperature,
        subject: String::new(),
        value: hottest.celsius,
        low: max,
        critical: max + HEAT_STEP_C,
        margin: HEAT_STEP_C,
        enter_after: Duration::ZERO,
        measured: format!(
            "{:.0} degrees Celsius at {}",
            hottest.celsius, hottest.sensor
        ),
        limit: format!(
            "{max:.0} (resources.temperature_max_c), {:.0} is critical",
            max + HEAT_STEP_C
        ),
        advice: "see to the cooling, or set fewer mining.threads",
    })
}

fn steal(samples: &Samples, limits: &ResourceLimits) -> Option<Gauge> {
    let stolen = samples.cpu_steal?;
    let max = limits.cpu_steal_max;
    Some(Gauge {
        resource: Resource::CpuSteal,
        subject: String::new(),
        value: stolen,
        low: max,
        critical: f64::INFINITY,
        margin: max / 4.0,
        enter_after: STEAL_LASTS,
        measured: format!("the hypervisor gives {:.0} % to others", 100.0 * stolen),
        limit: format!("{:.0} % (resources.cpu_steal_max)", 100.0 * max),
        advice: "ask for a machine with less contention; hashing is that much slower",
    })
}

/// A size as people read it.
fn bytes(n: u64) -> String {
    const MIB: f64 = 1_048_576.0;
    let mib = n as f64 / MIB;
    if mib >= 10_240.0 {
        format!("{:.1} GiB", mib / 1024.0)
    } else if mib >= 10.0 {
        format!("{mib:.0} MiB")
    } else {
        format!("{mib:.1} MiB")
    }
}
