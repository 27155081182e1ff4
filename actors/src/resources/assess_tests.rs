#![allow(clippy::unwrap_used)]

use super::*;
use crate::resources::samples::{Descriptors, Disk, DiskState, Memory, Temperature};

const LIMITS: ResourceLimits = ResourceLimits {
    memory_free_min: 0.05,
    disk_free_min_bytes: 256 << 20,
    descriptors_max: 0.8,
    temperature_max_c: 90.0,
    cpu_steal_max: 0.2,
};

/// An assessor and a clock that goes on by a second with each sample.
struct Bench {
    assessor: Assessor,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            assessor: Assessor::new(LIMITS),
            now: Instant::now(),
        }
    }

    fn see(&mut self, samples: &Samples) -> Assessment {
        self.now += Duration::from_secs(1);
        self.assessor.assess(samples, self.now)
    }

    /// The same for so many seconds; what was said meanwhile, and the last assessment.
    fn see_for(&mut self, samples: &Samples, seconds: u64) -> (Vec<Note>, Assessment) {
        let mut notes = Vec::new();
        let mut last = Assessment::default();
        for _ in 0..seconds {
            last = self.see(samples);
            notes.append(&mut last.notes);
        }
        (notes, last)
    }
}

fn memory(share: f64) -> Samples {
    Samples {
        memory: Some(Memory {
            available: (share * 1e9) as u64,
            limit: 1_000_000_000,
            of: "the machine".to_owned(),
        }),
        ..Samples::default()
    }
}

fn disk(state: DiskState) -> Samples {
    Samples {
        disks: vec![Disk {
            path: "/var/lib/signalcore".into(),
            state,
        }],
        ..Samples::default()
    }
}

fn descriptors(used: u64) -> Samples {
    Samples {
        descriptors: Some(Descriptors {
            used,
            limit: Some(1000),
        }),
        ..Samples::default()
    }
}

fn heat(celsius: f64) -> Samples {
    Samples {
        temperature: Some(Temperature {
            celsius,
            sensor: "coretemp: Package id 0".to_owned(),
        }),
        ..Samples::default()
    }
}

fn stolen(share: f64) -> Samples {
    Samples {
        cpu_steal: Some(share),
        ..Samples::default()
    }
}

fn outcome(samples: &Samples) -> (usize, bool, Degradation) {
    let mut bench = Bench::new();
    let (_, seen) = bench.see_for(samples, 31);
    let critical = seen.alerts.iter().any(|alert| alert.critical);
    (seen.alerts.len(), critical, seen.degradation)
}

#[test]
fn each_shortage_leads_to_its_step_and_no_other() {
    let mib = |n: u64| DiskState::Free(n << 20);
    for (samples, expected) in [
        (memory(0.051), (0, false, Degradation::None)),
        (memory(0.049), (1, false, Degradation::Trimmed)),
        (memory(0.024), (1, true, Degradation::Parked)),
        (disk(mib(257)), (0, false, Degradation::None)),
        (disk(mib(255)), (1, false, Degradation::Trimmed)),
        (disk(mib(31)), (1, true, Degradation::Trimmed)),
        (disk(mib(0)), (1, true, Degradation::Trimmed)),
        (
            disk(DiskState::Stalled(Duration::from_secs(5))),
            (1, true, Degradation::Trimmed),
        ),
        (disk(DiskState::NoFiles), (1, true, Degradation::Trimmed)),
        (descriptors(800), (0, false, Degradation::None)),
        (descriptors(801), (1, false, Degradation::Trimmed)),
        (descriptors(1000), (1, true, Degradation::Trimmed)),
        (heat(90.0), (0, false, Degradation::None)),
        (heat(90.1), (1, false, Degradation::Eased)),
        (heat(95.1), (1, true, Degradation::Parked)),
        (stolen(0.19), (0, false, Degradation::None)),
        (stolen(1.0), (1, false, Degradation::None)),
        (disk(DiskState::Unknown), (0, false, Degradation::None)),
        (Samples::default(), (0, false, Degradation::None)),
    ] {
        assert_eq!(outcome(&samples), expected, "{samples:?}");
    }
}

#[test]
fn a_small_limit_of_descriptors_counts_by_what_is_left() {
    let used = |used| Samples {
        descriptors: Some(Descriptors {
            used,
            limit: Some(110),
        }),
        ..Samples::default()
    };
    for (samples, expected) in [
        (used(70), (0, false, Degradation::None)),
        // Clients are turned away at 78: that is said before.
        (used(71), (1, false, Degradation::Trimmed)),
        (used(95), (1, true, Degradation::Trimmed)),
    ] {
        assert_eq!(outcome(&samples), expected, "{samples:?}");
    }
}

#[test]
fn the_worst_of_several_decides() {
    let mut samples = heat(91.0);
    samples.disks = disk(DiskState::Free(0)).disks;
    let seen = Bench::new().see(&samples);
    assert_eq!(seen.alerts.len(), 2);
    assert_eq!(seen.degradation, Degradation::Eased);
}

#[test]
fn a_shortage_begins_at_once_and_ends_when_it_was_gone_for_long() {
    let mut bench = Bench::new();
    assert_eq!(bench.see(&heat(91.0)).degradation, Degradation::Eased);
    // Below the limit and within the margin: it lasts.
    let (notes, seen) = bench.see_for(&heat(86.0), 300);
    assert_eq!((notes, seen.degradation), (vec![], Degradation::Eased));
    // Beyond the margin, and back before the time is over.
    let (_, seen) = bench.see_for(&heat(84.0), 29);
    assert_eq!(seen.degradation, Degradation::Eased);
    bench.see(&heat(86.0));
    let (_, seen) = bench.see_for(&heat(84.0), 30);
    assert_eq!(seen.degradation, Degradation::Eased);
    let seen = bench.see(&heat(84.0));
    assert_eq!(seen.degradation, Degradation::None);
    assert!(seen.alerts.is_empty());
    assert!(
        seen.notes
            .iter()
            .all(|note| note.loudness == Loudness::Info)
    );
    assert!(seen.notes[0].text.contains("no longer scarce"), "{seen:?}");
}

#[test]
fn from_critical_the_way_back_is_by_low() {
    let mut bench = Bench::new();
    assert_eq!(bench.see(&heat(96.0)).degradation, Degradation::Parked);
    let (_, seen) = bench.see_for(&heat(91.0), 31);
    assert_eq!(seen.degradation, Degradation::Parked, "within the margin");
    let (notes, seen) = bench.see_for(&heat(89.5), 31);
    assert_eq!(seen.degradation, Degradation::Eased);
    assert!(!seen.alerts[0].critical);
    assert!(notes[0].text.contains("no longer critical"), "{notes:?}");
}

#[test]
fn entering_repeating_and_leaving_are_said_and_nothing_else_is() {
    let mut bench = Bench::new();
    let seen = bench.see(&disk(DiskState::Free(200 << 20)));
    assert_eq!(seen.notes.len(), 2, "the shortage and the step");
    assert!(
        seen.notes
            .iter()
            .all(|note| note.loudness == Loudness::Warn)
    );
    for part in [
        "200 MiB left for /var/lib/signalcore",
        "limit 256 MiB (resources.disk_free_min_mb)",
        "free some space",
    ] {
        assert!(seen.notes[0].text.contains(part), "{part}: {seen:?}");
        assert!(seen.alerts[0].message.contains(part), "{part}: {seen:?}");
    }
    let (notes, _) = bench.see_for(&disk(DiskState::Free(199 << 20)), 599);
    assert_eq!(notes, vec![], "once");
    let again = bench.see(&disk(DiskState::Free(198 << 20))).notes;
    assert_eq!(again.len(), 1, "again after the interval");
    assert!(again[0].text.contains("198 MiB"), "{again:?}");
    let worse = bench.see(&disk(DiskState::Free(1 << 20))).notes;
    assert_eq!(worse.len(), 1, "the step is the same");
    assert_eq!(worse[0].loudness, Loudness::Error);
}

#[test]
fn stolen_cpu_time_must_last() {
    let mut bench = Bench::new();
    let (_, seen) = bench.see_for(&stolen(0.5), 30);
    assert!(seen.alerts.is_empty());
    bench.see(&stolen(0.1));
    let (_, seen) = bench.see_for(&stolen(0.5), 30);
    assert!(seen.alerts.is_empty(), "a new start");
    assert_eq!(bench.see(&stolen(0.5)).alerts.len(), 1);
}

#[test]
fn what_cannot_be_measured_for_a_while_is_as_it_was_and_then_forgotten() {
    let mut bench = Bench::new();
    assert_eq!(bench.see(&heat(99.0)).degradation, Degradation::Parked);
    let (notes, seen) = bench.see_for(&Samples::default(), 299);
    assert_eq!((notes, seen.degradation), (vec![], Degradation::Parked));
    let seen = bench.see(&Samples::default());
    assert_eq!(seen.degradation, Degradation::None);
    assert!(
        seen.notes[0].text.contains("no longer be measured"),
        "{seen:?}"
    );
}

#[test]
fn limits_at_the_end_of_their_range_switch_a_rule_off() {
    let off = ResourceLimits {
        memory_free_min: 0.0,
        disk_free_min_bytes: 0,
        descriptors_max: 1.0,
        temperature_max_c: 150.0,
        cpu_steal_max: 1.0,
    };
    let mut assessor = Assessor::new(off);
    let mut samples = memory(0.0);
    samples.disks = disk(DiskState::Free(0)).disks;
    samples.descriptors = descriptors(1000).descriptors;
    samples.cpu_steal = Some(1.0);
    let start = Instant::now();
    for second in 0..60 {
        let seen = assessor.assess(&samples, start + Duration::from_secs(second));
        assert_eq!(seen.alerts, vec![]);
    }
}

#[test]
fn eased_leaves_half_of_the_threads_and_at_least_one() {
    let threads = |step: Degradation| [0, 1, 2, 3, 8].map(|n| step.threads(n));
    assert_eq!(threads(Degradation::None), [0, 1, 2, 3, 8]);
    assert_eq!(threads(Degradation::Trimmed), [0, 1, 2, 3, 8]);
    assert_eq!(threads(Degradation::Eased), [0, 1, 1, 1, 4]);
    assert_eq!(threads(Degradation::Parked), [0; 5]);
}

#[test]
fn the_table_in_the_documentation_is_the_rule() {
    let docs = include_str!("../../../docs/operations.md");
    for (resource, critical, row) in [
        (Resource::Memory, false, "| memory | low"),
        (Resource::Memory, true, "| memory | critical"),
        (Resource::Disk, false, "| disk | low"),
        (Resource::Disk, true, "| disk | critical"),
        (Resource::Descriptors, false, "| descriptors | low"),
        (Resource::Descriptors, true, "| descriptors | critical"),
        (Resource::Temperature, false, "| temperature | low"),
        (Resource::Temperature, true, "| temperature | critical"),
        (Resource::CpuSteal, false, "| CPU steal | low"),
    ] {
        let line = docs.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("no row {row}"));
        let step = format!("{:?}", resource.step(critical)).to_lowercase();
        assert!(line.ends_with(&format!("| {step} |")), "{line} is {step}");
    }
}
