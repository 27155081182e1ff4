//! How a foreground run ends, and what does not end it.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use common::until;
use tempfile::TempDir;

/// A running demo with a temporary directory of its own, which also holds its log. Killed when dropped.
struct Demo {
    child: Child,
    temp: TempDir,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_signalcore"))
            // Without a terminal nothing would be said.
            .args(["run", "--demo", "-v"])
            .args(args)
            .env("TMPDIR", temp.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(temp.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, temp }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.temp.path().join("log")).unwrap()
    }

    /// The log file in the demo's home; empty while there is none.
    fn log_file(&self) -> String {
        let home = fs::read_dir(self.temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.is_dir());
        home.and_then(|home| fs::read_to_string(home.join("data/log/signalcore.log")).ok())
            .unwrap_or_default()
    }

    fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    fn until_said(&self, text: &str, times: usize) {
        until(text, || (self.count(text) >= times).then_some(()));
    }

    fn signal(&self, name: &str) {
        common::program::signal(self.child.id(), name);
    }

    /// Waits for the end; the exit code must be 0.
    fn ends_well(&mut self) {
        let status = until("the end", || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended already where all went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn sigint_stops_everything_in_order_and_prints_the_summary() {
    let mut demo = Demo::start(&["--json"]);
    demo.until_said("block accepted", 1);
    demo.signal("INT");
    // The same request again, as a process group gets it.
    demo.signal("INT");
    demo.ends_well();

    let mut stdout = String::new();
    demo.child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    let summary: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    assert!(
        summary["blocks_accepted"].as_u64().unwrap() >= 1,
        "{summary}"
    );

    let log = demo.log();
    let stopped = |child: &str| {
        log.find(&format!(
            "stopped on request supervisor=signalcore child={child} "
        ))
        .unwrap_or_else(|| panic!("{child} stopped\n{log}"))
    };
    assert!(stopped("monitor") < stopped("miner") && stopped("miner") < stopped("submitter"));
    assert!(stopped("submitter") < stopped("stats"));
    let left: Vec<_> = fs::read_dir(demo.temp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["log"], "the demo's home is gone");
}

#[test]
fn a_hangup_and_a_reader_that_went_away_do_not_stop_the_work() {
    let mut demo = Demo::start(&[]);
    drop(demo.child.stdout.take());
    demo.until_said("mining: paced", 1);
    demo.signal("HUP");
    until("the log file says so", || {
        demo.log_file().contains("SIGHUP").then_some(())
    });
    let shown = demo.log();
    let accepted = || demo.log_file().matches("block accepted").count();
    let before = accepted();
    until("the work goes on", || (accepted() > before).then_some(()));
    assert_eq!(demo.log(), shown, "nobody is told anything any more");
    demo.signal("TERM");
    demo.ends_well();
}
