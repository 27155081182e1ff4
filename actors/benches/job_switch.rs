//! How long the hashing threads take to switch to new work: from its publication to the first hash on it by
//! the last of them, over the miner's own orders. `cargo bench -p signalcore-actors --bench job_switch`
//!
//! Where other programs load the machine they are what is measured, unless the threads go before them:
//! `cargo bench -p signalcore-actors --bench job_switch -- -20` (niceness; 0 and 10 by default) with a privilege.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

#[path = "../tests/miner/rig.rs"]
mod rig;

use std::time::Duration;

use rig::{Rig, hopeless, run, within};
use signalcore_actors::latency::Quantiles;
use signalcore_actors::miner::MinerSettings;

const SWITCHES: u64 = 1_000;

fn main() {
    // `cargo test --all-targets` runs this too, and has no use for figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut niceness: Vec<i32> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    if niceness.is_empty() {
        niceness = vec![0, 10];
    }
    println!("threads  nice      p50      p99  longest   switches");
    for threads in [1, 2] {
        for &nice in &niceness {
            let times = run(switches(MinerSettings {
                threads,
                nice,
                ..hopeless()
            }));
            let us = |seconds: f64| format!("{:.0} us", seconds * 1e6);
            println!(
                "{threads:7} {nice:5} {:>8} {:>8} {:>8} {:10}",
                us(times.p50),
                us(times.p99),
                us(times.longest),
                times.n
            );
        }
    }
}

/// Publishes one template after the other, each when all threads are on the one before.
async fn switches(settings: MinerSettings) -> Quantiles {
    let rig = Rig::mining(settings).await;
    rig.hashing().await;
    let times = || rig.board.latencies.job_switch.quantiles();
    let count = || times().map_or(0, |times| times.n);
    // Before the hash rate is known, orders come in pairs.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = count();
    while count() < first + SWITCHES {
        let before = count();
        rig.publish_template();
        within("the switch", async {
            while count() == before {
                // Longer than a slice, so that switches come at any moment of it.
                tokio::time::sleep(Duration::from_micros(1_300)).await;
            }
        })
        .await;
    }
    let times = times().unwrap();
    rig.stop().await;
    times
}
