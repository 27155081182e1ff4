//! How a foreground run ends, and what does not end it.
#![allow(clippy::unwrap_used)]

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn start(temp: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(["run", "--demo"])
        .args(args)
        .env("TMPDIR", temp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(temp.join("log")).unwrap())
        .spawn()
        .unwrap()
}

fn log(temp: &Path) -> String {
    std::fs::read_to_string(temp.join("log")).unwrap()
}

fn until(what: &str, temp: &Path, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !look() {
        assert!(
            Instant::now() < deadline,
            "waited in vain for: {what}\n{}",
            log(temp)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn sigint_stops_everything_in_order_and_prints_the_summary() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = start(temp.path(), &["--json"]);
    until("a block", temp.path(), || {
        log(temp.path()).contains("block accepted")
    });
    signal(&child, "INT");
    // The same request again, as a process group gets it.
    signal(&child, "INT");
    until("the end", temp.path(), || {
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(
        child.wait().unwrap().code(),
        Some(0),
        "{}",
        log(temp.path())
    );
    let mut stdout = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    let summary: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    assert!(summary["blocks_accepted"].as_u64().unwrap() >= 1);
    let text = log(temp.path());
    let stopped = |child: &str| {
        text.find(&format!(
            "stopped on request supervisor=signalcore child={child} "
        ))
        .unwrap_or_else(|| panic!("{child} stopped\n{text}"))
    };
    assert!(stopped("monitor") < stopped("miner") && stopped("miner") < stopped("submitter"));
    assert!(stopped("submitter") < stopped("stats"));
    let left: Vec<_> = std::fs::read_dir(temp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["log"], "the demo's home is gone");
}

#[test]
fn a_hangup_and_a_reader_that_went_away_do_not_stop_the_work() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = start(temp.path(), &[]);
    drop(child.stdout.take());
    until("mining", temp.path(), || {
        log(temp.path()).contains("mining: paced")
    });
    signal(&child, "HUP");
    until("the hangup is noted", temp.path(), || {
        log(temp.path()).contains("SIGHUP")
    });
    let blocks = log(temp.path()).matches("block accepted").count();
    until("another block", temp.path(), || {
        log(temp.path()).matches("block accepted").count() > blocks
    });
    signal(&child, "TERM");
    until("the end", temp.path(), || {
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(
        child.wait().unwrap().code(),
        Some(0),
        "{}",
        log(temp.path())
    );
}
