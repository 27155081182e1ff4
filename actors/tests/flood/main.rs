//! Every child, flooded: what comes in faster than it can be worked off neither piles up nor keeps the child
//! from answering, and what must not be lost is not lost.
//!
//! Between children there are cells, of which the latest value counts, and the queue of found blocks, from
//! which nothing leaves before it is in the journal. Mailboxes carry requests to stop and pings.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods
)]

mod api;
mod chain_followers;
mod observers;
#[path = "../miner/rig.rs"]
mod rig;
mod submitter;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use supervise::Supervisor;
use support::LIMIT;

/// Threads that flood at once.
const THREADS: u64 = 4;

/// Calls `pour` so many times on each of some threads, while every child answers pings all the time.
/// `pour` is given a number that no other call is given. The answer is how often was asked meanwhile.
async fn flood(tree: &Supervisor, times: u64, pour: impl Fn(u64) + Send + Sync + 'static) -> u64 {
    let pour = Arc::new(pour);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let pour = Arc::clone(&pour);
            thread::spawn(move || (thread * times..(thread + 1) * times).for_each(|n| pour(n)))
        })
        .collect();
    let mut pings = 0;
    loop {
        answers(tree).await;
        pings += 1;
        if threads.iter().all(thread::JoinHandle::is_finished) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for thread in threads {
        thread.join().unwrap();
    }
    pings
}

/// Every child takes a ping, and none was restarted.
async fn answers(tree: &Supervisor) {
    for ping in tree.ping_all(LIMIT).await {
        assert!(ping.answer.is_ok(), "{ping:?}");
    }
    for child in tree.children() {
        assert_eq!((child.restarts, child.abandoned), (0, 0), "{child:?}");
    }
}

async fn ends(tree: &Supervisor) {
    let report = tree.stop(LIMIT).await;
    assert!(report.is_clean(), "{report:?}");
}

/// Threads of this process.
fn threads() -> u64 {
    std::fs::read_dir("/proc/self/task").unwrap().count() as u64
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() * 1024
}
