//! `health-check`: whether the running instance works on its node's tip.
//!
//! The answer is there within two seconds, whatever hangs on the other side. Nothing but 0 to 3 is ever
//! exited with (0 or 1 with `--container`): who cannot be asked, or is asked for a component that does not
//! exist, is UNKNOWN.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use actors::api::{Reply, Request, SocketError, ask};
use actors::health::{Component, Condition, HealthReport};
use procfs::LockType;

use crate::cli::{Global, HealthCheck};
use crate::config::{self, Settings};
use crate::exit::Exit;
use crate::output::Output;

/// Runs the command.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(options: &HealthCheck, global: &Global, output: Output) -> anyhow::Result<Exit> {
    let whole = match config::load(global.config.as_deref()) {
        Ok(settings) => report(&settings),
        Err(error) => HealthReport::of_the_whole(
            Condition::Unknown,
            format!("cannot tell which instance to ask: {error}"),
        ),
    };
    let report = match &options.component {
        Some(name) => narrowed(whole, name),
        None => whole,
    };
    output.result(&report, || text(&report))?;
    Ok(Exit::Health(exit_code(report.status, options.container)))
}

fn exit_code(status: Condition, container: bool) -> u8 {
    if container {
        u8::from(!matches!(status, Condition::Ok | Condition::Warning))
    } else {
        status.exit_code()
    }
}

/// What the instance says, or what it means that it says nothing.
fn report(settings: &Settings) -> HealthReport {
    match ask(&settings.control_socket(), &Request::Health) {
        Ok(Reply::Health(report)) => *report,
        Ok(Reply::Error(reason) | Reply::Done(reason)) => {
            HealthReport::of_the_whole(Condition::Unknown, format!("no report: {reason}"))
        }
        Ok(Reply::Status(_) | Reply::Resubmitted(_)) => HealthReport::of_the_whole(
            Condition::Unknown,
            "another question was answered; are both of the same version?",
        ),
        Err(error) => unanswered(&error, &settings.data_dir.join("lock")),
    }
}

fn unanswered(error: &SocketError, lock: &Path) -> HealthReport {
    match error {
        SocketError::Silent { .. } => api_fails(format!("hangs: {error}")),
        SocketError::Absent { .. } if is_held(lock) => HealthReport::of_the_whole(
            Condition::Unknown,
            format!(
                "an instance holds {} and does not listen: it starts or stops",
                lock.display()
            ),
        ),
        SocketError::Absent { .. } => HealthReport::of_the_whole(
            Condition::Unknown,
            format!(
                "no instance runs with this configuration; start one, or give its --config ({error})"
            ),
        ),
        other => api_fails(other.to_string()),
    }
}

/// It listens, so the program is there, and the part that answers is not.
fn api_fails(message: String) -> HealthReport {
    let mut report = HealthReport::default();
    report.set("api", Component::critical(message));
    report.conclude();
    report
}

/// One component alone. If nobody answered, that is what there is to say of it.
fn narrowed(whole: HealthReport, name: &str) -> HealthReport {
    if let Some(report) = whole.only(name) {
        return report;
    }
    if whole.components.len() <= 1 {
        return whole;
    }
    let names: Vec<&str> = whole.components.keys().map(String::as_str).collect();
    HealthReport::of_the_whole(
        Condition::Unknown,
        format!(
            "there is no component {name}; there are {}",
            names.join(", ")
        ),
    )
}

/// Whether anybody holds the lock, without taking it: not even for a moment, in which an instance that
/// starts would be refused.
fn is_held(lock: &Path) -> bool {
    let Ok(inode) = std::fs::metadata(lock).map(|file| file.ino()) else {
        return false;
    };
    procfs::locks().is_ok_and(|locks| {
        locks
            .iter()
            .any(|held| held.lock_type == LockType::FLock && held.inode == inode)
    })
}

/// The verdict, then a line for each component, worst first.
fn text(report: &HealthReport) -> String {
    let mut text = format!("{}: {}\n", report.status, report.message);
    let components = report.in_order();
    let width = components.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or_default();
    for (name, component) in components {
        let latency = component
            .latency_s
            .map_or_else(String::new, |latency| format!("{:.1} ms", latency * 1e3));
        let _ = writeln!(
            text,
            "{:8}  {name:width$}  {latency:>9}  {}",
            component.status, component.message
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> HealthReport {
        let mut report = HealthReport::default();
        report.set("node", Component::critical("absent"));
        report.set(
            "miner",
            Component::ok("scanning").measured(Some(std::time::Duration::from_micros(1_500))),
        );
        report.conclude();
        report
    }

    #[test]
    fn the_table_is_aligned_and_the_worst_stands_first() {
        assert_eq!(
            text(&two()),
            "CRITICAL: node: absent\n\
             CRITICAL  node              absent\n\
             OK        miner     1.5 ms  scanning\n"
        );
    }

    #[test]
    fn a_container_is_told_healthy_or_not() {
        let codes = [
            (Condition::Ok, 0, 0),
            (Condition::Warning, 1, 0),
            (Condition::Critical, 2, 1),
            (Condition::Unknown, 3, 1),
        ];
        for (condition, plain, container) in codes {
            assert_eq!(exit_code(condition, false), plain);
            assert_eq!(exit_code(condition, true), container);
        }
    }

    #[test]
    fn one_component_alone_decides_and_an_unknown_one_is_unknown() {
        assert_eq!(narrowed(two(), "miner").status, Condition::Ok);
        let unknown = narrowed(two(), "minre");
        assert_eq!(unknown.status, Condition::Unknown);
        assert!(
            unknown.message.contains("miner, node"),
            "{}",
            unknown.message
        );
    }

    #[test]
    fn where_nobody_answers_a_component_is_what_the_whole_is() {
        let silent = api_fails("hangs".to_owned());
        assert_eq!(narrowed(silent, "miner").status, Condition::Critical);
        let absent = HealthReport::of_the_whole(Condition::Unknown, "no instance runs");
        assert_eq!(narrowed(absent, "miner").message, "no instance runs");
    }

    #[test]
    fn a_lock_is_seen_held_without_being_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        assert!(!is_held(&path));
        let file = std::fs::File::create(&path).expect("a file");
        assert!(!is_held(&path));
        file.lock().expect("locked");
        assert!(is_held(&path));
    }
}
