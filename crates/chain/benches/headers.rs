//! How fast headers are verified: a cold window of 16,000, and one new header.
//!
//! `SIGNALCORE_TESTDATA` names a folder with `headers/mainnet_0_32259.headers`; without it the
//! headers are mined at regtest's difficulty, which takes the same path but for the retargets.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use chain::{HeaderWindow, Network, Verdict, check_header, header_bytes, verify_headers};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LEVEL: u32 = 16_000;

fn real() -> Option<(Network, Vec<u8>)> {
    let folder = std::env::var_os("SIGNALCORE_TESTDATA")?;
    let path = std::path::Path::new(&folder).join("headers/mainnet_0_32259.headers");
    Some((Network::Main, std::fs::read(path).unwrap()))
}

fn mined() -> (Network, Vec<u8>) {
    let mut last = *Network::Regtest.genesis_header();
    let target = Network::Regtest.params().pow_limit;
    let mut data = header_bytes(&last).to_vec();
    for _ in 0..LEVEL + 2_016 {
        let mut header = Header {
            version: bitcoin::block::Version::from_consensus(4),
            prev_blockhash: last.block_hash(),
            time: last.time + 600,
            ..last
        };
        while !target.is_met_by(header.block_hash().as_byte_array()) {
            header.nonce = header.nonce.wrapping_add(1);
        }
        data.extend_from_slice(&header_bytes(&header));
        last = header;
    }
    (Network::Regtest, data)
}

fn headers(c: &mut Criterion) {
    let (network, data) = real().unwrap_or_else(mined);
    let all: Vec<Header> = data
        .as_chunks::<80>()
        .0
        .iter()
        .map(chain::header_from_bytes)
        .collect();
    let level = LEVEL as usize;

    let mut group = c.benchmark_group("headers");
    group.throughput(Throughput::Elements(u64::from(LEVEL)));
    group.bench_function("hash 16000", |b| {
        let raw = &data.as_chunks::<80>().0[..level];
        let mut out = vec![[0; 32]; level];
        b.iter(|| pow::sha256d_80(black_box(raw), &mut out));
    });
    group.bench_function("verify 16000 from memory", |b| {
        let raw = &data[..level * 80];
        b.iter(|| {
            let report = verify_headers(network, 0, black_box(raw), LEVEL, 0.7, Some(u32::MAX));
            assert_eq!(report.verdict, Verdict::Authentic);
        });
    });
    group.bench_function("window of 16000, cold", |b| {
        b.iter(|| {
            let mut window = HeaderWindow::from_genesis(network, LEVEL);
            window
                .connect(black_box(&all[1..level]), Some(u32::MAX))
                .unwrap();
            window
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut window = HeaderWindow::from_genesis(network, LEVEL);
    window.connect(&all[1..=level], None).unwrap();
    let below = all[level].prev_blockhash;
    group.bench_function("one new header in the window, and back", |b| {
        b.iter(|| {
            window.rewind_to(&below).unwrap();
            window
                .connect(black_box(&all[level..=level]), Some(u32::MAX))
                .unwrap()
        });
    });
    group.bench_function("one header, stateless", |b| {
        let (params, below) = (network.params(), &all[..level]);
        b.iter(|| check_header(params, black_box(&all[level]), LEVEL, below, None).unwrap());
    });
    group.finish();
}

criterion_group!(benches, headers);
criterion_main!(benches);
