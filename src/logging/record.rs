//! An event of the log as text: the same for the file and for whoever watches, but for what stands
//! before it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use actors::submitter::rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// Longest text of one record, in bytes; what is beyond is cut and said to be.
const MAX_TEXT: usize = 8 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: SystemTime,
    /// How grave.
    pub level: Level,
    /// Where in the code, as a module path.
    pub target: String,
    /// The child it is about, where it names one.
    child: Option<String>,
    /// What happened. Never a control character but the end of a line.
    pub message: String,
    /// What it happened to: ` name=value` for each.
    pub fields: String,
}

impl Record {
    /// Takes an event down.
    pub fn of(event: &Event<'_>, at: SystemTime) -> Self {
        let metadata = event.metadata();
        let mut record = Self {
            at,
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            child: None,
            message: String::new(),
            fields: String::new(),
        };
        event.record(&mut record);
        record
    }

    /// A record of our own making.
    pub fn new(level: Level, target: &str, message: &str, at: SystemTime) -> Self {
        let mut record = Self {
            at,
            level,
            target: target.to_owned(),
            child: None,
            message: String::new(),
            fields: String::new(),
        };
        push(&mut record.message, message);
        record
    }

    /// The part of the program that it concerns: a child of the tree or a crate.
    pub fn source(&self) -> &str {
        if let Some(child) = &self.child {
            return child;
        }
        let target = self.target.as_str();
        let part = ["signalcore_actors::", "signalcore::"]
            .into_iter()
            .find_map(|ours| target.strip_prefix(ours))
            .unwrap_or_else(|| target.strip_prefix("signalcore_").unwrap_or(target));
        match part.split("::").next().unwrap_or(part) {
            "supervise" => "supervisor",
            "commands" => "signalcore",
            other => other,
        }
    }

    /// The line of the log file: when, how grave, who, what.
    pub fn for_file(&self) -> String {
        let mut line = format!(
            "{} {:>5} {}: {}{}",
            rfc3339(self.at),
            self.level,
            self.source(),
            self.message,
            self.fields
        );
        indent(&mut line);
        line
    }

    /// A line for somebody who reads it now. `whole`: with the date, with who says it, and with hashes in
    /// full; otherwise as short as a reader of the moment wants it.
    pub fn for_eyes(&self, color: bool, whole: bool) -> String {
        let mut at = rfc3339(self.at);
        let mut source = String::new();
        let (mut message, mut fields) = (Cow::from(&self.message), Cow::from(&self.fields));
        if whole {
            source = format!("{}: ", self.source());
        } else {
            at = at.split_off(at.find('T').map_or(0, |date| date + 1));
            message = shortened(&self.message);
            fields = shortened(&self.fields);
        }
        let level = self.level;
        let mut line = if color {
            let tint = tint(level);
            format!(
                "\x1b[2m{at}\x1b[0m \x1b[{tint}m{level:>5}\x1b[0m \x1b[2m{source}\x1b[0m{message}\x1b[2m{fields}\x1b[0m"
            )
        } else {
            format!("{at} {level:>5} {source}{message}{fields}")
        };
        indent(&mut line);
        line
    }

    /// For the journal, which brings the time itself: a priority before each line, as sd-daemon(3) has it.
    pub fn for_journal(&self) -> String {
        let priority = match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let mut text = String::new();
        for line in format!("{}: {}{}", self.source(), self.message, self.fields).lines() {
            let _ = writeln!(text, "<{priority}>{line}");
        }
        text
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, &value);
    }
}

impl Record {
    fn take(&mut self, field: &Field, value: &dyn fmt::Display) {
        match field.name() {
            "message" => push(&mut self.message, &value.to_string()),
            // What an event of the `log` crate brings along.
            "log.target" => self.target = value.to_string(),
            name if name.starts_with("log.") => {}
            name => {
                let value = value.to_string();
                if name == "child" {
                    self.child = Some(value.clone());
                }
                let _ = write!(self.fields, " {name}=");
                push(&mut self.fields, &value);
            }
        }
    }
}

/// Appends text that may have come from anywhere, a node or a peer: a control character in it could
/// repaint a terminal or end a line that goes on.
fn push(to: &mut String, text: &str) {
    let room = MAX_TEXT.saturating_sub(to.len());
    let kept = &text[..text.floor_char_boundary(room)];
    for character in kept.chars() {
        match character {
            '\n' | '\t' => to.push(character),
            control if control.is_control() => {
                let _ = write!(to, "{}", control.escape_unicode());
            }
            other => to.push(other),
        }
    }
    if kept.len() < text.len() {
        let _ = write!(to, " ... ({} bytes more)", text.len() - kept.len());
    }
}

/// The text with every hash cut to its ends: what tells blocks apart for a reader.
fn shortened(text: &str) -> Cow<'_, str> {
    const DIGITS: usize = 64;
    let mut short = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let digits = rest[start..]
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len() - start);
        let (run, end) = (&rest[start..start + digits], start + digits);
        short.push_str(&rest[..start]);
        if digits == DIGITS {
            let _ = write!(short, "{}...{}", &run[..8], &run[DIGITS - 6..]);
        } else {
            short.push_str(run);
        }
        rest = &rest[end..];
    }
    if short.len() + rest.len() == text.len() {
        return Cow::from(text);
    }
    short.push_str(rest);
    Cow::from(short)
}

/// Sets the further lines of a message off, so that none of them passes for a record of its own.
fn indent(line: &mut String) {
    if line.contains('\n') {
        *line = line.trim_end().replace('\n', "\n    ");
    }
    line.push('\n');
}

fn tint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "1;31",
        Level::WARN => "33",
        Level::INFO => "32",
        Level::DEBUG => "34",
        Level::TRACE => "35",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record(level: Level, target: &str, message: &str) -> Record {
        let at = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        Record::new(level, target, message, at)
    }

    #[test]
    fn the_file_says_when_how_grave_who_and_what() {
        let record = record(Level::WARN, "signalcore_actors::miner::plan", "no job");
        assert_eq!(
            record.for_file(),
            "2027-01-15T08:00:00.000Z  WARN miner: no job\n"
        );
        assert_eq!(
            record.for_eyes(false, false),
            "08:00:00.000Z  WARN no job\n"
        );
    }

    #[test]
    fn a_reader_of_the_moment_sees_the_ends_of_a_hash_and_the_file_has_it_whole() {
        let hash = "0000000c5d1e8a1f0b9e2c4d6a8b0c1d2e3f405162738495a6b7c8d9ea3a5f70";
        let record = record(Level::INFO, "x", &format!("tip {hash}, face of 1"));
        let line = "08:00:00.000Z  INFO tip 0000000c...3a5f70, face of 1\n";
        assert_eq!(record.for_eyes(false, false), line);
        assert!(record.for_eyes(false, true).contains(hash));
        assert!(record.for_file().contains(hash));
        assert_eq!(shortened("ö ab"), "ö ab");
    }

    #[test]
    fn every_line_of_a_journal_entry_has_its_priority_and_no_time() {
        let record = record(Level::ERROR, "signalcore_node::lane", "one\ntwo");
        assert_eq!(record.for_journal(), "<3>node: one\n<3>two\n");
        let entry = |level| self::record(level, "x", "y").for_journal();
        assert_eq!(entry(Level::WARN), "<4>x: y\n");
        assert_eq!(entry(Level::INFO), "<6>x: y\n");
        assert_eq!(entry(Level::TRACE), "<7>x: y\n");
    }

    #[test]
    fn what_a_stranger_says_can_neither_repaint_a_terminal_nor_forge_a_record() {
        let record = record(
            Level::INFO,
            "signalcore_node",
            "\x1b[2Jgone\r\n2027-01-15T08:00:00.000Z ERROR",
        );
        let line = record.for_file();
        assert!(!line.contains('\x1b') && !line.contains('\r'), "{line:?}");
        assert!(line.contains("\\u{1b}[2Jgone\\u{d}\n    2027"), "{line:?}");
    }

    #[test]
    fn an_endless_message_is_cut_and_says_so() {
        let record = record(Level::INFO, "x", &"ö".repeat(100_000));
        let line = record.for_file();
        assert!(line.len() < MAX_TEXT + 100, "{}", line.len());
        assert!(line.contains("bytes more)"));
    }

    #[test]
    fn a_source_is_the_child_that_is_named_or_the_part_that_speaks() {
        let source = |target| record(Level::INFO, target, "").source().to_owned();
        assert_eq!(source("signalcore_actors::miner::plan"), "miner");
        assert_eq!(source("signalcore_supervise::tree"), "supervisor");
        assert_eq!(source("signalcore::commands::run"), "signalcore");
        assert_eq!(source("signalcore::logging::file"), "logging");
        assert_eq!(source("signalcore_node::lane"), "node");
        assert_eq!(source("signalcore"), "signalcore");
        assert_eq!(source("zeromq::util"), "zeromq");
    }
}
