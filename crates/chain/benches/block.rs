//! How fast whole blocks are checked, from raw bytes to verdict.
//!
//! Mainnet block 702861 always; with `SIGNALCORE_TESTDATA` also 413567, the block of Bitcoin
//! Core's own benchmark, and 866342.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use chain::{BlockContext, Network, Verdict, check_block};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn block(c: &mut Criterion) {
    let mut blocks = vec![(
        702_861,
        bitcoin_test_data::blocks::mainnet_702861().to_vec(),
    )];
    if let Some(folder) = std::env::var_os("SIGNALCORE_TESTDATA") {
        for height in [413_567, 866_342] {
            let path = std::path::Path::new(&folder).join(format!("blocks/mainnet_{height}.block"));
            blocks.push((height, std::fs::read(path).unwrap()));
        }
    }
    let mut group = c.benchmark_group("block");
    for (height, raw) in blocks {
        let context = BlockContext {
            height: Some(height),
            ..BlockContext::new(Network::Main)
        };
        group.throughput(Throughput::Bytes(raw.len() as u64));
        group.bench_function(format!("check {height}"), |b| {
            b.iter(|| {
                let report = check_block(black_box(&raw), &context);
                assert_eq!(report.verdict(), Verdict::Authentic);
            });
        });
        group.bench_function(format!("double SHA-256 of the bytes of {height}"), |b| {
            b.iter(|| pow::sha256d(black_box(&raw)));
        });
    }
    group.finish();
}

criterion_group!(benches, block);
criterion_main!(benches);
