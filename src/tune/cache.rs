//! `autotune.json`: what was measured, for as long as it holds.

use std::fs;
use std::io;
use std::path::Path;

use actors::messages::KernelSource;
use actors::stats::{replace_file, set_aside};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use tracing::{info, warn};

use super::key::Key;

/// Version of the file's form.
const VERSION: u32 = 1;
/// So long a measurement holds.
const VALID: Duration = Duration::hours(24);
/// One from further in the future tells that a clock was wrong.
const AHEAD: Duration = Duration::minutes(5);

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Autotune {
    version: u32,
    /// What it holds for.
    pub key: Key,
    /// Who measured: [`KernelSource::Start`] or [`KernelSource::Tune`].
    pub source: KernelSource,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub measured_at: OffsetDateTime,
    /// The kernel to use.
    pub kernel: String,
    /// The number of threads to use, and what each of them did; only `tune` measures that.
    pub threads: Option<Threads>,
    /// Every kernel that ran, the fastest first.
    pub kernels: Vec<Figure>,
}

/// How many threads hash most, and with what at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threads {
    /// How many.
    pub count: usize,
    /// Header versions that each scans at once.
    pub versions: usize,
    /// Hashes per second of each, on average, with all of them running.
    pub thread_hs: f64,
}

/// What a kernel does at best on one thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name.
    pub kernel: String,
    /// Hashes per second.
    pub hashrate_hs: f64,
    /// Core cycles per hash; null where the core's clock could not be told.
    pub cycles_per_hash: Option<f64>,
}

/// Why there is nothing to go by.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is no file.
    Absent,
    /// It does not hold, or no longer; why, in words.
    Outdated(String),
    /// It is not what was written; what is wrong, in words.
    Damaged(String),
}

impl Autotune {
    /// What was measured now.
    pub fn new(
        key: Key,
        source: KernelSource,
        now: OffsetDateTime,
        kernel: &str,
        threads: Option<Threads>,
        kernels: Vec<Figure>,
    ) -> Self {
        Self {
            version: VERSION,
            key,
            source,
            measured_at: now,
            kernel: kernel.to_owned(),
            threads,
            kernels,
        }
    }

    /// Reads the file and holds it against the key of this machine.
    ///
    /// # Errors
    /// Why there is nothing to go by.
    pub fn read(path: &Path, key: &Key, now: OffsetDateTime) -> Result<Self, Unfit> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unfit::Absent),
            Err(error) => return Err(Unfit::Damaged(format!("it cannot be read: {error}"))),
        };
        let known: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Unfit::Damaged(format!("it is damaged: {error}")))?;
        if known.version != VERSION {
            return Err(Unfit::Damaged(format!("it has version {}", known.version)));
        }
        if let Some(difference) = known.key.difference(key) {
            return Err(Unfit::Outdated(difference));
        }
        let age = now - known.measured_at;
        if age > VALID {
            let hours = age.whole_hours();
            return Err(Unfit::Outdated(format!("it is {hours} hours old")));
        }
        if age < -AHEAD {
            return Err(Unfit::Outdated("it is from the future".to_owned()));
        }
        Ok(known)
    }

    /// The same, and what is wrong is said; a file that is damaged is set aside, so that a new one takes its place.
    pub fn look(path: &Path, key: &Key, now: OffsetDateTime) -> Option<Self> {
        match Self::read(path, key, now) {
            Ok(known) => return Some(known),
            Err(Unfit::Absent) => {}
            Err(Unfit::Outdated(why)) => info!("{} is not used: {why}", path.display()),
            Err(Unfit::Damaged(why)) => {
                let what = path.display();
                match set_aside(path, now) {
                    Ok(aside) => warn!(
                        "{what} cannot be used: {why}. It is set aside as {}",
                        aside.display()
                    ),
                    Err(error) => {
                        warn!("{what} cannot be used: {why}. It could not be set aside: {error}");
                    }
                }
            }
        }
        None
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// The operating system's, with the path in its message.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        replace_file(path, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-03-01 12:00 UTC);

    fn key() -> Key {
        Key {
            cpu: "a CPU".into(),
            microcode: Some("0x1".into()),
            program: "1.0.0".into(),
            build: None,
            kernels: vec!["scalar".into()],
            configuration: "2 CPUs".into(),
        }
    }

    fn autotune() -> Autotune {
        let threads = Threads {
            count: 2,
            versions: 64,
            thread_hs: 3e7,
        };
        let figure = Figure {
            kernel: "scalar".into(),
            hashrate_hs: 3.1e7,
            cycles_per_hash: None,
        };
        let source = KernelSource::Tune;
        Autotune::new(key(), source, NOW, "scalar", Some(threads), vec![figure])
    }

    #[test]
    fn what_was_written_is_read_for_a_day_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("autotune.json");
        assert_eq!(Autotune::read(&path, &key(), NOW), Err(Unfit::Absent));
        autotune().write(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        for age in [-AHEAD, Duration::ZERO, VALID].map(|age| NOW + age) {
            assert_eq!(Autotune::read(&path, &key(), age), Ok(autotune()), "{age}");
        }
        for (now, words) in [
            (NOW + VALID + Duration::SECOND, "24 hours old"),
            (NOW - AHEAD - Duration::SECOND, "the future"),
        ] {
            let unfit = Autotune::read(&path, &key(), now).unwrap_err();
            assert!(
                matches!(&unfit, Unfit::Outdated(why) if why.contains(words)),
                "{unfit:?}"
            );
        }
    }

    #[test]
    fn what_holds_for_something_else_is_not_used_and_stays_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("autotune.json");
        autotune().write(&path).unwrap();
        let mut other = key();
        other.cpu = "another CPU".into();
        assert_eq!(Autotune::look(&path, &other, NOW), None);
        assert_eq!(Autotune::look(&path, &key(), NOW), Some(autotune()));
    }

    #[test]
    fn a_damaged_one_is_set_aside_and_makes_room_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("autotune.json");
        let other_version = serde_json::to_string(&autotune()).unwrap().replacen(
            "\"version\":1",
            "\"version\":2",
            1,
        );
        for content in ["", "{\"version\":1}", "\0\0\0", &other_version] {
            fs::write(&path, content).unwrap();
            assert_eq!(Autotune::look(&path, &key(), NOW), None);
            assert!(!path.exists(), "{content:?}");
            autotune().write(&path).unwrap();
            assert!(Autotune::look(&path, &key(), NOW).is_some());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5);
    }
}
