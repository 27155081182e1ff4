//! A process that was stopped as a whole has no child that hangs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signalcore_supervise::{ChildState, Liveness, Progress, Supervisor};

use crate::probe::{Probe, Which, quick, run, up};

const WITHIN: Duration = Duration::from_secs(1);
const IN_THE_PROCESS: &str = "SUPERVISE_TEST_HELD_UP";

/// What the process does: has one child with every probe, and reports on it once for each line it reads.
fn process() {
    run(async {
        let moves = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&moves);
        let often = Duration::from_millis(1);
        let spec = quick("child")
            .liveness(Liveness::thread(often, WITHIN))
            .liveness(Liveness::mailbox(often, WITHIN))
            .progress(Progress::new(WITHIN, move || read.load(Ordering::Relaxed)));
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(spec, move |incarnation| {
            let moves = Arc::clone(&moves);
            incarnation.thread("work", move |stop| {
                while !stop.is_set() {
                    moves.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            })?;
            Ok(Probe::new(incarnation))
        });
        let tree = tree.start().await.unwrap();
        loop {
            let line = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map(|_| line)
            });
            if line.await.unwrap().unwrap().is_empty() {
                return;
            }
            up(&actor, 1).await;
            let generation = actor.send(Which).await.unwrap();
            let child = &tree.children()[0];
            assert_eq!(child.state, ChildState::Up);
            let mut out = std::io::stdout();
            writeln!(
                out,
                "held-up generation {generation} abandoned {}",
                child.abandoned
            )
            .unwrap();
            out.flush().unwrap();
        }
    });
}

#[test]
fn a_process_that_is_stopped_and_continued_has_the_same_children() {
    if std::env::var_os(IN_THE_PROCESS).is_some() {
        return process();
    }
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "held_up::a_process_that_is_stopped_and_continued_has_the_same_children",
            "--nocapture",
        ])
        .env(IN_THE_PROCESS, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
    let mut ask = process.stdin.take().unwrap();
    let mut said = BufReader::new(process.stdout.take().unwrap());
    let mut report = || {
        ask.write_all(b"\n").unwrap();
        let mut line = String::new();
        while !line.contains("held-up") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it has ended");
        }
        line.split_once("held-up ").unwrap().1.trim().to_owned()
    };
    assert_eq!(report(), "generation 1 abandoned 0");
    for stopped in [3 * WITHIN, WITHIN + WITHIN / 5, WITHIN / 2] {
        for _ in 0..3 {
            kill(pid, Signal::SIGSTOP).unwrap();
            std::thread::sleep(stopped);
            kill(pid, Signal::SIGCONT).unwrap();
            // Long enough for whoever wants to judge.
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(report(), "generation 1 abandoned 0");
        }
    }
    drop(ask);
    assert!(process.wait().unwrap().success());
}
