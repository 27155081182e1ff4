//! How fast the disk of found blocks is, and how much room it has.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use actors::resources::ResourceLimits;
use nix::sys::statvfs::statvfs;

use super::report::Finding;
use crate::config::Settings;
use crate::instance;

/// Writes that are timed, unless they take longer than this together.
const WRITES: usize = 100;
const LONGEST: Duration = Duration::from_secs(2);
/// Bytes of a write: a header, a coinbase and their frame.
const RECORD: usize = 512;

/// What the disk showed.
#[derive(Debug, Clone)]
struct Disk {
    /// Times of writes until they were on disk, in order of length; at least one.
    writes: Vec<Duration>,
    /// Bytes that this user may still write.
    free: u64,
}

/// Writes to a file of its own in `data_dir`, which is made if it is missing.
pub fn try_disk(settings: &Settings) -> Finding {
    let dir = &settings.data_dir;
    let disk = instance::directory(dir, "data_dir").and_then(|()| Ok(Disk::measure(dir)?));
    match disk {
        Ok(disk) => disk.assess(dir, settings.journal_deadline, settings.resources),
        Err(error) => Finding::failed(format!("{}: {error:#}", dir.display())).but(format!(
            "give this user {}, or configure another data_dir: found blocks and what tune measures are kept there",
            dir.display()
        )),
    }
}

impl Disk {
    fn measure(dir: &Path) -> io::Result<Self> {
        let mut file = tempfile::Builder::new().prefix(".tune-").tempfile_in(dir)?;
        let started = Instant::now();
        let mut writes = Vec::with_capacity(WRITES);
        while writes.len() < WRITES && (writes.is_empty() || started.elapsed() < LONGEST) {
            let began = Instant::now();
            file.write_all(&[0x5a; RECORD])?;
            file.as_file().sync_data()?;
            writes.push(began.elapsed());
        }
        writes.sort();
        let space = statvfs(dir)?;
        Ok(Self {
            writes,
            free: space
                .blocks_available()
                .saturating_mul(space.fragment_size()),
        })
    }

    /// The time that this share of the writes did not exceed.
    fn percentile(&self, share: f64) -> Duration {
        let last = self.writes.len() - 1;
        self.writes[(last as f64 * share).round() as usize]
    }

    fn assess(&self, dir: &Path, deadline: Duration, limits: ResourceLimits) -> Finding {
        let (p50, p99) = (self.percentile(0.5), self.percentile(0.99));
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        let dir = dir.display();
        let mut finding = Finding::success(format!(
            "{dir}: a write is on disk after {} (p50), {} (p99) of {}; {} MB free",
            ms(p50),
            ms(p99),
            self.writes.len(),
            self.free / 1_000_000
        ));
        if p99 > deadline {
            finding = finding.but(format!(
                "the disk of {dir} takes {} at worst, and a found block waits only {} for it (journal.deadline_s): \
                 put data_dir on a faster disk",
                ms(p99),
                ms(deadline)
            ));
        }
        if self.free < limits.disk_free_min_bytes {
            finding = finding.but(format!(
                "free some space on the disk of {dir}: less is left than resources.disk_free_min_mb"
            ));
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tune::report::Status;

    const LIMITS: ResourceLimits = ResourceLimits {
        memory_free_min: 0.0,
        disk_free_min_bytes: 1_000_000,
        descriptors_max: 1.0,
        temperature_max_c: 150.0,
        cpu_steal_max: 1.0,
    };
    const DEADLINE: Duration = Duration::from_millis(250);

    fn disk(free: u64, slowest: Duration) -> Disk {
        let mut writes: Vec<_> = (1..=99).map(Duration::from_millis).collect();
        writes.extend([slowest, slowest]);
        Disk { writes, free }
    }

    #[test]
    fn percentiles_are_those_of_the_writes() {
        let disk = disk(0, Duration::from_millis(200));
        assert_eq!(disk.percentile(0.5), Duration::from_millis(51));
        assert_eq!(disk.percentile(0.99), Duration::from_millis(200));
        let one = Disk {
            writes: vec![DEADLINE],
            free: 0,
        };
        assert_eq!(one.percentile(0.99), DEADLINE);
    }

    #[test]
    fn a_disk_that_is_slower_than_the_journal_waits_or_full_is_a_reservation() {
        let dir = Path::new("/var/lib/x");
        let assess = |free, ms| {
            let disk = disk(free, Duration::from_millis(ms));
            disk.assess(dir, DEADLINE, LIMITS)
        };
        assert_eq!(assess(2_000_000, 200).status, Status::Success);
        let slow = assess(2_000_000, 300);
        assert_eq!(slow.status, Status::Partial);
        assert!(slow.advice[0].contains("journal.deadline_s"), "{slow:?}");
        let full = assess(500_000, 200);
        assert!(full.advice[0].contains("disk_free_min_mb"), "{full:?}");
    }

    #[test]
    fn a_real_disk_is_written_to_and_nothing_is_left_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::measure(dir.path()).unwrap();
        assert!(!disk.writes.is_empty() && disk.free > 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(Disk::measure(Path::new("/nonexistent")).is_err());
    }
}
