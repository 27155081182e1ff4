//! The log book: how many errors and warnings there were, the line that is shown, and whether anybody
//! is shown anything. It belongs to no incarnation, so that what it says outlives each of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::line::Line;
use crate::stats::Counter;
use crate::submitter::rfc3339;

/// More sources than there are parts of the program; what comes beyond is counted as one.
const MAX_SOURCES: usize = 64;
/// Longest remembered message, in bytes.
const MAX_MESSAGE: usize = 500;

/// What was logged and shown in this run.
#[derive(Debug)]
pub struct LogBook {
    errors: Counter,
    warnings: Counter,
    /// Lines that did not get into the log file.
    pub lost: Counter,
    /// Lines that did not get onto stderr.
    pub unshown: Counter,
    /// Status lines said, by all incarnations of the monitor.
    lines: Counter,
    since: SystemTime,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    sources: BTreeMap<String, SourceCount>,
    last_error: Option<LoggedMessage>,
    last_warning: Option<LoggedMessage>,
    silent: Option<Silence>,
    shown: Option<(Line, Instant)>,
}

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// Something is wrong and the program copes.
    Warning,
    /// Something failed.
    Error,
}

/// What one part of the program logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    /// Errors.
    pub errors: u64,
    /// Warnings.
    pub warnings: u64,
}

/// The last of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedMessage {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Which part of the program.
    pub source: String,
    /// What it said.
    pub message: String,
}

/// Since when, and why, stderr shows no more than errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// When, RFC 3339 in UTC.
    pub since: String,
    /// Why.
    pub reason: String,
}

/// The book as the `status` document shows it: `log`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Errors of this run.
    pub errors: u64,
    /// Warnings of this run.
    pub warnings: u64,
    /// The same by part of the program.
    pub by_source: BTreeMap<String, SourceCount>,
    /// The last error.
    pub last_error: Option<LoggedMessage>,
    /// The last warning.
    pub last_warning: Option<LoggedMessage>,
    /// Lines that did not get into the log file.
    pub lines_lost: u64,
    /// Lines that did not get onto stderr because nobody read it fast enough.
    pub lines_unshown: u64,
    /// Status lines said so far.
    pub status_lines: u64,
    /// Since when they are counted, RFC 3339 in UTC.
    pub since: String,
    /// Set while stderr shows no more than errors.
    pub silent: Option<Silence>,
}

impl Default for LogBook {
    fn default() -> Self {
        Self {
            errors: Counter::default(),
            warnings: Counter::default(),
            lost: Counter::default(),
            unshown: Counter::default(),
            lines: Counter::default(),
            since: SystemTime::now(),
            pages: Mutex::default(),
        }
    }
}

impl LogBook {
    /// Counts a message of `source`.
    pub fn count(&self, gravity: Gravity, source: &str, message: &str, at: SystemTime) {
        let logged = LoggedMessage {
            at: rfc3339(at),
            source: source.to_owned(),
            message: beginning(message, MAX_MESSAGE).to_owned(),
        };
        let mut pages = self.pages();
        let known = pages.sources.contains_key(source) || pages.sources.len() < MAX_SOURCES;
        let name = if known { source } else { "others" };
        let counts = pages.sources.entry(name.to_owned()).or_default();
        match gravity {
            Gravity::Error => {
                counts.errors += 1;
                pages.last_error = Some(logged);
                self.errors.increment();
            }
            Gravity::Warning => {
                counts.warnings += 1;
                pages.last_warning = Some(logged);
                self.warnings.increment();
            }
        }
    }

    /// Errors and warnings so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.errors.get(), self.warnings.get())
    }

    /// A status line was logged.
    pub fn said(&self) {
        self.lines.increment();
    }

    /// Puts up the line for whoever watches.
    pub fn show(&self, line: Line, now: Instant) {
        self.pages().shown = Some((line, now));
    }

    /// Takes the line down.
    pub fn take_down(&self) {
        self.pages().shown = None;
    }

    /// The line that is up, and since when.
    pub fn shown(&self) -> Option<(Line, Instant)> {
        self.pages().shown.clone()
    }

    /// From now on stderr shows no more than errors. False where that was so already; the first reason
    /// stays.
    pub fn fall_silent(&self, reason: &str, at: SystemTime) -> bool {
        let mut pages = self.pages();
        if pages.silent.is_some() {
            return false;
        }
        pages.silent = Some(Silence {
            since: rfc3339(at),
            reason: reason.to_owned(),
        });
        true
    }

    /// Whether, since when and why stderr is silent.
    pub fn silence(&self) -> Option<Silence> {
        self.pages().silent.clone()
    }

    /// Everything, for the status document.
    pub fn status(&self) -> LogStatus {
        let pages = self.pages();
        LogStatus {
            errors: self.errors.get(),
            warnings: self.warnings.get(),
            by_source: pages.sources.clone(),
            last_error: pages.last_error.clone(),
            last_warning: pages.last_warning.clone(),
            lines_lost: self.lost.get(),
            lines_unshown: self.unshown.get(),
            status_lines: self.lines.get(),
            since: rfc3339(self.since),
            silent: pages.silent.clone(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing in here panics half way through a change.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStatus {
    /// "2 warnings, 1 error"; none where there was neither.
    pub fn in_words(&self) -> Option<String> {
        let counted = |count: u64, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            more => Some(format!("{more} {what}s")),
        };
        let parts: Vec<String> = [
            counted(self.warnings, "warning"),
            counted(self.errors, "error"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The beginning of `text`, at most `most` bytes, cut between characters.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn errors_and_warnings_are_counted_by_who_logged_them_and_the_last_is_kept() {
        let book = LogBook::default();
        book.count(Gravity::Warning, "node", "absent", at(1));
        book.count(Gravity::Warning, "miner", "slow", at(2));
        book.count(Gravity::Error, "miner", "panicked", at(3));
        assert_eq!(book.totals(), (1, 2));
        let status = book.status();
        assert_eq!(status.in_words().unwrap(), "2 warnings, 1 error");
        let miner = status.by_source["miner"];
        assert_eq!((miner.errors, miner.warnings), (1, 1));
        assert_eq!(status.last_warning.unwrap().message, "slow");
        let error = status.last_error.unwrap();
        assert_eq!(
            (error.source.as_str(), error.at.as_str()),
            ("miner", "2027-01-15T08:00:03.000Z")
        );
        assert_eq!(LogBook::default().status().in_words(), None);
    }

    #[test]
    fn neither_many_sources_nor_long_messages_make_the_book_grow() {
        let book = LogBook::default();
        for source in 0..1_000 {
            let message = "ä".repeat(10_000);
            book.count(Gravity::Error, &source.to_string(), &message, at(0));
        }
        let status = book.status();
        assert_eq!(status.by_source.len(), MAX_SOURCES + 1);
        assert_eq!(status.by_source["others"].errors, 1_000 - 64);
        assert!(status.last_error.unwrap().message.len() <= MAX_MESSAGE);
    }

    #[test]
    fn silence_is_fallen_into_once_and_keeps_its_first_reason() {
        let book = LogBook::default();
        assert_eq!(book.silence(), None);
        assert!(book.fall_silent("SIGHUP", at(5)));
        assert!(!book.fall_silent("broken pipe", at(6)));
        let silence = book.silence().unwrap();
        assert_eq!(silence.reason, "SIGHUP");
        assert_eq!(silence.since, "2027-01-15T08:00:05.000Z");
    }
}
