//! What header and block checks take at best: the least of many short slices, which interruptions
//! by the rest of a shared machine do not reach.
//!
//! `cargo bench -p signalcore-chain --bench least [-- SECONDS_PER_FIGURE]`, with real chain data in
//! the folder named by `SIGNALCORE_TESTDATA`; without it, only the block that comes with the tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "prints its table"
)]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bitcoin::Block;
use bitcoin::block::Header;
use chain::{BlockContext, HeaderWindow, Network, Verdict, check_block, verify_headers};

const LEVEL: usize = 16_000;

/// Prints the least time that `work` takes in so many seconds of trying, and its median.
fn measure(seconds: f64, what: &str, mut work: impl FnMut()) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut times = Vec::new();
    while Instant::now() < end || times.len() < 5 {
        let start = Instant::now();
        work();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (least, median) = (us(times[0]), us(times[times.len() / 2]));
    println!("{what:<44}{least:>12.2}{median:>12.2}");
}

fn main() {
    let seconds = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(2.0);
    let folder = std::env::var_os("SIGNALCORE_TESTDATA").map(PathBuf::from);
    println!("{:<44}{:>12}{:>12}", "us", "least", "median");
    if let Some(folder) = &folder {
        let data = std::fs::read(folder.join("headers/mainnet_0_32259.headers")).unwrap();
        headers(seconds, &data);
    }
    let mut blocks = vec![(
        702_861,
        bitcoin_test_data::blocks::mainnet_702861().to_vec(),
    )];
    if let Some(folder) = &folder {
        for height in [413_567, 866_342] {
            let path = folder.join(format!("blocks/mainnet_{height}.block"));
            blocks.push((height, std::fs::read(path).unwrap()));
        }
    }
    for (height, raw) in blocks {
        block(seconds, height, &raw);
    }
}

fn headers(seconds: f64, data: &[u8]) {
    let now = Some(u32::MAX);
    let raw = &data.as_chunks::<80>().0[..=LEVEL];
    let all: Vec<Header> = raw.iter().map(chain::header_from_bytes).collect();

    let mut digests = vec![[0; 32]; LEVEL];
    measure(seconds, "16,000 headers: hash", || {
        pow::sha256d_80(black_box(&raw[..LEVEL]), &mut digests);
    });
    measure(seconds, "16,000 headers: verify from bytes", || {
        let data = black_box(&data[..80 * LEVEL]);
        let report = verify_headers(Network::Main, 0, data, LEVEL as u32, 0.7, now);
        assert_eq!(report.verdict, Verdict::Authentic);
    });
    measure(seconds, "16,000 headers: a window from nothing", || {
        let mut window = HeaderWindow::from_genesis(Network::Main, LEVEL as u32);
        window.connect(black_box(&all[1..LEVEL]), now).unwrap();
        black_box(window);
    });
    let mut window = HeaderWindow::from_genesis(Network::Main, LEVEL as u32);
    window.connect(&all[1..LEVEL], now).unwrap();
    let below = all[LEVEL].prev_blockhash;
    measure(seconds, "one more header, a hundred times", || {
        for _ in 0..100 {
            window.rewind_to(&below).unwrap();
            window.connect(black_box(&all[LEVEL..]), now).unwrap();
        }
    });
}

fn block(seconds: f64, height: u32, raw: &[u8]) {
    let context = BlockContext {
        height: Some(height),
        ..BlockContext::new(Network::Main)
    };
    measure(seconds, &format!("block {height}: parse and check"), || {
        let report = check_block(black_box(raw), &context);
        assert_eq!(report.verdict(), Verdict::Authentic);
    });
    measure(
        seconds,
        &format!("block {height}: bitcoin crate, parse"),
        || {
            let block: Block = bitcoin::consensus::deserialize(black_box(raw)).unwrap();
            black_box(block);
        },
    );
}
