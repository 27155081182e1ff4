//! What all runs over one data directory did together, kept in `statistics.json`.
//!
//! The file is replaced whole every ten seconds and at the end. What a crash leaves uncounted of blocks
//! is in the journal of found blocks, and is added from there at the next start; of hashes and time it is
//! lost, ten seconds at most. A file that cannot be used is set aside, never overwritten, and the count
//! of blocks is made anew from the journal, which keeps settled blocks for 30 days. (A database of
//! metrics, once there is one, will be the better source.)

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::file::set_aside;
use super::registry::Registry;
use super::status::BlocksStatus;
use crate::submitter::journal::{BlockEnd, JournalEntry};

/// Version of the file's form.
const VERSION: u32 = 1;

/// Counts over all runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Since when there is counting: the first run, or when a file that could not be used was replaced.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// When these were the counts.
    #[serde(with = "time::serde::rfc3339")]
    pub as_of: OffsetDateTime,
    /// Starts of the program, this one included.
    pub runs: u64,
    /// Restarts of children.
    pub restarts: u64,
    /// Seconds that the program ran.
    pub uptime_s: f64,
    /// Hashes computed.
    pub hashes: u64,
    /// Verifications that passed: headers, blocks, templates, solutions.
    pub verifications_passed: u64,
    /// Verifications that failed.
    pub verifications_failed: u64,
    /// Blocks.
    pub blocks: BlocksStatus,
    /// Files of statistics that could not be used, and were set aside.
    pub set_aside: u64,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    /// Whether the program stopped on request after this was written.
    stopped: bool,
    #[serde(flatten)]
    totals: Totals,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The system does not give it.
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Garbage(serde_json::Error),
    /// Another version of this program wrote it.
    #[error("it has version {0}, and this program knows version {VERSION}")]
    Version(u64),
}

/// What the counts of earlier runs come from.
#[derive(Debug)]
pub struct Opened {
    /// The counts of all runs before this one; this start is counted.
    pub past: Totals,
    /// False: a file that cannot be used is still in its place, and must not be overwritten.
    pub may_write: bool,
}

impl Totals {
    fn none(now: OffsetDateTime) -> Self {
        Self {
            since: now,
            as_of: now,
            runs: 0,
            restarts: 0,
            uptime_s: 0.0,
            hashes: 0,
            verifications_passed: 0,
            verifications_failed: 0,
            blocks: BlocksStatus {
                found: 0,
                accepted: 0,
                rejected: 0,
                stale: 0,
            },
            set_aside: 0,
        }
    }

    /// Reads the counts of earlier runs at the start of the program, after the journal was opened.
    /// `journal` reads it, and is asked only where it is needed. What is wrong is said, and mended.
    pub fn open(
        path: &Path,
        journal: impl FnOnce() -> Vec<JournalEntry>,
        now: SystemTime,
    ) -> Opened {
        let now = OffsetDateTime::from(now);
        let mut may_write = true;
        let mut past = match read(path) {
            Ok(Some(file)) if file.stopped => file.totals,
            Ok(Some(file)) => {
                let mut totals = file.totals;
                let as_of = totals.as_of;
                totals.add_blocks(&journal(), Some(as_of));
                totals
            }
            Ok(None) => {
                let mut totals = Self::none(now);
                totals.add_blocks(&journal(), None);
                totals
            }
            Err(damage) => {
                let mut totals = Self::none(now);
                totals.add_blocks(&journal(), None);
                let BlocksStatus {
                    found, accepted, ..
                } = totals.blocks;
                let rebuilt = format!(
                    "blocks are counted anew from the journal ({found} found, {accepted} accepted), hashes \
                     and time begin at zero"
                );
                let aside = set_aside(path, now);
                let path = path.display();
                match aside {
                    Ok(aside) => tracing::warn!(
                        "the statistics of earlier runs, {path}, cannot be used: {damage}. The file is set \
                         aside as {}; {rebuilt}",
                        aside.display()
                    ),
                    Err(error) => {
                        may_write = false;
                        tracing::warn!(
                            "the statistics of earlier runs, {path}, cannot be used: {damage}. It could not be \
                             set aside either ({error}) and is left alone: nothing is saved in this run; \
                             move it away. {rebuilt}"
                        );
                    }
                }
                totals
            }
        };
        past.runs += 1;
        past.set_aside = past.set_aside.max(count_set_aside(path));
        Opened { past, may_write }
    }

    /// These, and what the registry of this run has counted; `restarts` of children.
    #[must_use]
    pub fn with_run(&self, registry: &Registry, restarts: u64, now: SystemTime) -> Self {
        let run = |count: &super::Counter| count.get();
        Self {
            as_of: OffsetDateTime::from(now),
            restarts: self.restarts + restarts,
            uptime_s: self.uptime_s + registry.started_at.elapsed().as_secs_f64(),
            hashes: self.hashes.saturating_add(registry.hashes()),
            verifications_passed: self.verifications_passed + run(&registry.verifications_passed),
            verifications_failed: self.verifications_failed + run(&registry.verifications_failed),
            blocks: BlocksStatus {
                found: self.blocks.found + run(&registry.blocks_found),
                accepted: self.blocks.accepted
                    + run(&registry.blocks_accepted)
                    + run(&registry.earlier_accepted),
                rejected: self.blocks.rejected
                    + run(&registry.blocks_rejected)
                    + run(&registry.earlier_rejected),
                stale: self.blocks.stale
                    + run(&registry.blocks_stale)
                    + run(&registry.earlier_stale),
            },
            ..self.clone()
        }
    }

    /// The file's content. `stopped`: nothing will be counted after it.
    pub fn document(&self, stopped: bool) -> Vec<u8> {
        let document = Document {
            version: VERSION,
            stopped,
            totals: self.clone(),
        };
        // Numbers and times: nothing in it can fail to be written.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Adds what the journal has of blocks found or settled after a time; all of them without one.
    fn add_blocks(&mut self, journal: &[JournalEntry], after: Option<OffsetDateTime>) {
        let counts = |at: SystemTime| after.is_none_or(|after| OffsetDateTime::from(at) > after);
        for entry in journal {
            self.blocks.found += u64::from(counts(entry.found_at));
            if !entry.settled_at.is_some_and(counts) {
                continue;
            }
            // A block is counted once, as what it was settled: a reorganisation afterwards changes no count.
            match entry.settled_as {
                Some(BlockEnd::Accepted) => self.blocks.accepted += 1,
                Some(BlockEnd::Rejected) => self.blocks.rejected += 1,
                Some(BlockEnd::Stale | BlockEnd::Superseded) => self.blocks.stale += 1,
                None => {}
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<Document>, Damage> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Damage::Unreadable(error)),
    };
    // The version first: of another one nothing else is known.
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(Damage::Garbage)?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version != u64::from(VERSION) => Err(Damage::Version(version)),
        _ => serde_json::from_value(value)
            .map(Some)
            .map_err(Damage::Garbage),
    }
}

fn count_set_aside(path: &Path) -> u64 {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return 0;
    };
    let prefix = format!("{}.corrupt-", name.display());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_bytes())
        })
        .count() as u64
}

#[cfg(test)]
#[path = "totals_tests.rs"]
mod tests;
