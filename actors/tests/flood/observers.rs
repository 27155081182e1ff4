//! stats and monitor: those that watch the board.

use std::sync::Arc;
use std::time::SystemTime;

use chain::Network;
use signalcore_actors::board::Board;
use signalcore_actors::messages::{MiningState, NodeState};
use signalcore_actors::monitor::{Gravity, Monitor};
use signalcore_actors::stats::{ChildView, Identity, Scribe, Stats, StatsFiles, StatsSettings};
use supervise::{ChildSpec, Supervisor};

use crate::support::{run, until_true};
use crate::{THREADS, ends, flood, resident};

const TIMES: u64 = 40_000;
/// What one value of the flood weighs.
const WEIGHT: usize = 4096;

fn identity() -> Identity {
    Identity {
        version: "1",
        network: Network::Regtest,
        node: "test".to_owned(),
        http: None,
    }
}

/// Everything that stats and monitor show, replaced by something else, and counted up.
fn pour(board: &Board, n: u64) {
    let text = |n: u64| format!("{n}{}", "x".repeat(WEIGHT));
    match n % 3 {
        0 => {
            _ = board
                .node_state
                .send_replace(NodeState::Absent { reason: text(n) });
        }
        1 => board.mining.send_modify(|view| {
            view.state = MiningState::NoJob { reason: text(n) };
        }),
        _ => {
            _ = board.children.send_replace(vec![ChildView {
                id: "child".to_owned(),
                state: text(n),
                generation: n,
                restarts: 0,
                last_exit: None,
                abandoned: 0,
            }]);
        }
    }
    board.registry.jobs.increment();
    board.registry.threads[0].hashes.add(n);
    let source = format!("part {n}");
    board
        .log
        .count(Gravity::Warning, &source, &text(n), SystemTime::now());
}

/// Nothing of the flood, which is over 600 MB, is left.
async fn stays_flat(tree: &Supervisor, board: &Board) {
    let (shared, before) = (board.clone(), resident());
    flood(tree, TIMES, move |n| pour(&shared, n)).await;
    let grown = resident().saturating_sub(before);
    let poured = THREADS * TIMES * WEIGHT as u64;
    assert!(grown < poured / 4, "{grown} bytes more after {poured}");
    assert_eq!(board.registry.jobs.get(), THREADS * TIMES);
    let log = board.log.status();
    assert_eq!(log.warnings, THREADS * TIMES);
    assert!(log.by_source.len() <= 65, "{}", log.by_source.len());
    let kept = log.last_warning.unwrap().message.len();
    assert!(kept < WEIGHT, "{kept}");
}

#[test]
fn stats_reads_what_is_there_when_it_looks_and_keeps_nothing_else() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let board = Board::new(1);
        let settings = StatsSettings {
            identity: identity(),
            files: Arc::new(StatsFiles {
                status: Scribe::start(dir.path().join("status.json")).unwrap(),
                totals: None,
            }),
        };
        let mut tree = Supervisor::builder("test");
        let shared = board.clone();
        tree.child(ChildSpec::new("stats"), move |incarnation| {
            Ok(Stats::new(settings.clone(), shared.clone(), incarnation))
        });
        let tree = tree.start().await.unwrap();
        stays_flat(&tree, &board).await;
        // And it goes on: the document shows the end of the flood.
        let last = THREADS * TIMES;
        until_true("the last counts in the document", || {
            let file = std::fs::read(dir.path().join("status.json")).unwrap_or_default();
            let warnings = || {
                let status: serde_json::Value = serde_json::from_slice(&file).ok()?;
                status["log"]["warnings"].as_u64()
            };
            warnings() == Some(last)
        })
        .await;
        ends(&tree).await;
    });
}

#[test]
fn monitor_shows_what_is_there_when_it_looks_and_keeps_nothing_else() {
    run(async {
        let board = Board::new(1);
        let mut tree = Supervisor::builder("test");
        let shared = board.clone();
        tree.child(ChildSpec::new("monitor"), move |_| {
            Ok(Monitor::new(identity(), shared.clone()))
        });
        let tree = tree.start().await.unwrap();
        stays_flat(&tree, &board).await;
        let shown = board.log.shown().map(|(_, at)| at);
        until_true("another line", || {
            board.log.shown().map(|(_, at)| at) > shown
        })
        .await;
        ends(&tree).await;
    });
}
