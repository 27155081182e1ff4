//! The threads that measure, which outlive the actor that asks them.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::assess::Assessor;
use super::kinds::ResourceLimits;
use super::machine::{Machine, Roots};
use super::samples::{Disk, DiskState, Samples};
use crate::errand::Errand;

/// A disk that takes longer to say how much is free on it, or to take a small file, has stalled.
pub const STALL: Duration = Duration::from_secs(5);

/// Measures the machine and the disks, each on a thread of its own: none can hold up another, nor whoever asks.
///
/// It belongs to whoever builds the tree, and so does what was assessed: an alert survives the actor.
#[derive(Debug)]
pub struct Sensors {
    machine: Errand<(), Samples>,
    disks: Vec<DiskSensor>,
    known: Mutex<Samples>,
    assessor: Mutex<Assessor>,
}

#[derive(Debug)]
struct DiskSensor {
    path: PathBuf,
    errand: Errand<(), DiskState>,
    known: Mutex<DiskState>,
    /// For how long a write to it has been under way.
    writes: Option<UnderWay>,
}

/// For how long something has been under way; none while nothing is.
struct UnderWay(Box<dyn Fn(Instant) -> Option<Duration> + Send + Sync>);

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnderWay")
    }
}

impl Sensors {
    /// Starts the threads. `dirs` are the directories that are written to; those on one disk count once.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(roots: Roots, dirs: &[PathBuf], limits: ResourceLimits) -> io::Result<Self> {
        let mut seen = HashSet::new();
        let disks = dirs
            .iter()
            .filter(|dir| seen.insert(disk_of(dir)))
            .map(|dir| {
                let path = dir.clone();
                DiskSensor::start(dir, move || free(&path))
            })
            .collect::<io::Result<_>>()?;
        let mut machine = Machine::new(roots);
        Ok(Self {
            machine: Errand::start("sensors", move |()| machine.read())?,
            disks,
            known: Mutex::default(),
            assessor: Mutex::new(Assessor::new(limits)),
        })
    }

    /// Watches writes to the disk of `dir` as well: a local disk that stalls still says how much is free
    /// on it. `under_way`: for how long a write has been under way at that time.
    #[must_use]
    pub fn watching(
        mut self,
        dir: &Path,
        under_way: impl Fn(Instant) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        if let Some(disk) = self.disks.iter_mut().find(|disk| disk.path == dir) {
            disk.writes = Some(UnderWay(Box::new(under_way)));
        }
        self
    }

    /// What the threads have brought since the last time, and sends them again. Never blocks.
    pub fn look(&self, now: Instant) -> Samples {
        let mut known = lock(&self.known);
        if let Some(samples) = self.machine.take() {
            *known = samples;
        } else if self.machine.busy_for(now).is_some_and(|time| time > STALL) {
            *known = Samples::default();
        }
        self.machine.ask(());
        Samples {
            disks: self.disks.iter().map(|disk| disk.look(now)).collect(),
            ..known.clone()
        }
    }

    /// What was assessed so far.
    pub fn assessor(&self) -> MutexGuard<'_, Assessor> {
        lock(&self.assessor)
    }
}

impl DiskSensor {
    fn start(path: &Path, mut ask: impl FnMut() -> DiskState + Send + 'static) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            errand: Errand::start("disk", move |()| ask())?,
            known: Mutex::new(DiskState::Unknown),
            writes: None,
        })
    }

    fn look(&self, now: Instant) -> Disk {
        let mut known = lock(&self.known);
        if let Some(state) = self.errand.take() {
            *known = state;
        }
        let writing = self.writes.as_ref().and_then(|writes| writes.0(now));
        let state = match self.errand.busy_for(now).max(writing) {
            Some(time) if time > STALL => DiskState::Stalled(time),
            _ => *known,
        };
        self.errand.ask(());
        Disk {
            path: self.path.clone(),
            state,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tells one disk from another; the directory itself where that is not known.
fn disk_of(dir: &Path) -> Result<u64, PathBuf> {
    fs::metadata(dir)
        .map(|meta| meta.dev())
        .map_err(|_| dir.to_owned())
}

/// What this user may still write on the disk of a directory.
fn free(dir: &Path) -> DiskState {
    match rustix::fs::statvfs(dir) {
        // Some file systems make inodes as they need them, and say that there are none at all.
        Ok(stat) if stat.f_files > 0 && stat.f_favail == 0 => DiskState::NoFiles,
        Ok(stat) => DiskState::Free(stat.f_bavail.saturating_mul(stat.f_frsize)),
        Err(_) => DiskState::Unknown,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn until(mut look: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_mins(1);
        while !look() {
            assert!(Instant::now() < end, "waited in vain");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_disk_that_does_not_answer_holds_nobody_up_and_is_known_to_stall() {
        let (answer, answers) = mpsc::sync_channel(1);
        let sensor = DiskSensor::start(Path::new("/mnt/slow"), move || {
            answers.recv().unwrap_or(DiskState::Unknown)
        })
        .unwrap();
        let start = Instant::now();
        assert_eq!(
            sensor.look(start).state,
            DiskState::Unknown,
            "not asked yet"
        );
        answer.send(DiskState::Free(7)).unwrap();
        until(|| sensor.look(start).state == DiskState::Free(7));
        // It has been asked again, and does not answer: what was known holds until the deadline.
        assert_eq!(sensor.look(start).state, DiskState::Free(7));
        let later = Instant::now() + STALL + Duration::from_secs(1);
        assert!(
            matches!(sensor.look(later).state, DiskState::Stalled(time) if time > STALL),
            "it has stalled"
        );
        answer.send(DiskState::Free(5)).unwrap();
        until(|| sensor.look(Instant::now()).state == DiskState::Free(5));
    }

    #[test]
    fn a_disk_that_says_what_is_free_and_takes_nothing_stalls_too() {
        let mut sensor = DiskSensor::start(Path::new("/var"), || DiskState::Free(7)).unwrap();
        until(|| sensor.look(Instant::now()).state == DiskState::Free(7));
        let time = |seconds| UnderWay(Box::new(move |_| Some(Duration::from_secs(seconds))));
        sensor.writes = Some(time(5));
        assert_eq!(sensor.look(Instant::now()).state, DiskState::Free(7));
        sensor.writes = Some(time(6));
        let stalled = DiskState::Stalled(Duration::from_secs(6));
        assert_eq!(sensor.look(Instant::now()).state, stalled);
        sensor.writes = Some(UnderWay(Box::new(|_| None)));
        assert_eq!(sensor.look(Instant::now()).state, DiskState::Free(7));
    }

    #[test]
    fn directories_on_one_disk_are_asked_once_and_the_machine_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("log");
        fs::create_dir(&below).unwrap();
        let limits = ResourceLimits {
            memory_free_min: 0.0,
            disk_free_min_bytes: 0,
            descriptors_max: 1.0,
            temperature_max_c: 150.0,
            cpu_steal_max: 1.0,
        };
        let dirs = [dir.path().to_owned(), below];
        let sensors = Sensors::start(Roots::default(), &dirs, limits).unwrap();
        until(|| {
            let samples = sensors.look(Instant::now());
            assert_eq!(samples.disks.len(), 1);
            samples.memory.is_some() && matches!(samples.disks[0].state, DiskState::Free(_))
        });
    }
}
