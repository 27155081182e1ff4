//! `bench validate`: how fast headers and a block are held against the rules, on one thread.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use chain::{
    BlockContext, DEFAULT_COVERAGE_MIN, DEFAULT_LEVEL, HeaderWindow, Network, Report, Verdict,
    check_block, header_bytes, header_from_bytes, verify_headers,
};
use devnode::{Devnode, DevnodeConfig};
use serde::Serialize;

use super::time_of;
use crate::cli::BenchValidate;
use crate::output::Output;

/// Fewest passes, however long they take.
const PASSES: u32 = 3;
/// Transactions of the block that is made here: about 1 MB.
const TRANSACTIONS: usize = 4_500;
/// Coins they spend, before they spend one another.
const COINS: usize = 100;

#[derive(Debug, Serialize)]
struct Document {
    headers: HeaderFigures,
    block: BlockFigures,
}

#[derive(Debug, Serialize)]
struct HeaderFigures {
    count: usize,
    /// From bytes in memory to the verdict, every rule.
    elapsed_s: f64,
    ns_per_header: f64,
    /// One more on top of a window of the others.
    one_more_ns: f64,
    /// What of `elapsed_s` hashing alone takes.
    hashing_s: f64,
    verdict: Verdict,
    network: Network,
    source: String,
}

#[derive(Debug, Serialize)]
struct BlockFigures {
    bytes: usize,
    transactions: u64,
    /// From bytes in memory to the verdict, every check.
    elapsed_s: f64,
    verdict: Verdict,
    network: Network,
    source: String,
}

/// What is verified, and where it comes from.
struct Input {
    network: Network,
    height: Option<u32>,
    bytes: Vec<u8>,
    source: String,
}

/// Runs the command.
///
/// # Errors
/// A file that cannot be read, or that breaks the rules: nothing is measured on it.
pub fn run(options: &BenchValidate, output: Output) -> anyhow::Result<()> {
    let time = time_of(options.seconds)?;
    let headers = match &options.headers {
        Some(file) => Input::read(file, options.network, Some(options.start_height))?,
        None => regtest_headers(),
    };
    let block = match &options.block {
        Some(file) => Input::read(file, options.network, options.height)?,
        None => regtest_block()?,
    };
    let document = Document {
        headers: measure_headers(headers, time)?,
        block: measure_block(block, time)?,
    };
    output.result(&document, || text(&document))
}

impl Input {
    fn read(file: &Path, network: Network, height: Option<u32>) -> anyhow::Result<Self> {
        let source = file.display().to_string();
        let bytes = std::fs::read(file)
            .with_context(|| format!("cannot read {source}; give an existing file"))?;
        Ok(Self {
            network,
            height,
            bytes,
            source,
        })
    }

    /// A file that breaks the rules is no measure of verifying.
    fn expect_sound(&self, report: &Report) -> anyhow::Result<()> {
        if let Some(failure) = &report.first_failure {
            bail!(
                "{} is not measured: {} ({}) by the rules of {}; is it of another network, or does it begin \
                 at another height?",
                self.source,
                report.verdict,
                failure.reason,
                self.network
            );
        }
        Ok(())
    }
}

/// As many headers as a daemon verifies, of regtest's difficulty: two hashes each.
fn regtest_headers() -> Input {
    let network = Network::Regtest;
    let target = network.params().pow_limit;
    let mut last = *network.genesis_header();
    let mut bytes = header_bytes(&last).to_vec();
    for _ in 1..DEFAULT_LEVEL {
        let mut header = Header {
            version: Version::from_consensus(4),
            prev_blockhash: last.block_hash(),
            time: last.time + 600,
            ..last
        };
        while !target.is_met_by(header.block_hash().as_byte_array()) {
            header.nonce = header.nonce.wrapping_add(1);
        }
        bytes.extend_from_slice(&header_bytes(&header));
        last = header;
    }
    Input {
        network,
        height: Some(0),
        bytes,
        source: "made here".to_owned(),
    }
}

/// A block of signed transactions, from a node in this process.
fn regtest_block() -> anyhow::Result<Input> {
    let made = || -> anyhow::Result<_> {
        let home = tempfile::tempdir()?;
        let mut config = DevnodeConfig::new(home.path());
        config.zmq_listen = None;
        let node = Devnode::start_blocking(config)?;
        node.fund(COINS)?;
        node.fill_mempool(TRANSACTIONS)?;
        let hash = node.generate(1)?.pop();
        let block = hash.and_then(|hash| node.raw_block(&hash));
        let height = node.tip().height;
        Ok((block.context("the node does not give it out")?, height))
    };
    let (bytes, height) = made().context("cannot make a block to verify; give one with --block")?;
    Ok(Input {
        network: Network::Regtest,
        height: Some(height),
        bytes,
        source: "made here".to_owned(),
    })
}

fn measure_headers(input: Input, time: Duration) -> anyhow::Result<HeaderFigures> {
    let (network, start) = (input.network, input.height.unwrap_or(0));
    let (level, coverage) = (DEFAULT_LEVEL, DEFAULT_COVERAGE_MIN);
    // Files may be from any time.
    let now = Some(u32::MAX);
    let verify = || verify_headers(network, start, &input.bytes, level, coverage, now);
    let report = verify();
    input.expect_sound(&report)?;
    let elapsed = fastest(time, verify);

    let raw = input.bytes.as_chunks::<80>().0;
    let mut digests = vec![[0; 32]; raw.len()];
    let hashing = fastest(time, || pow::sha256d_80(raw, &mut digests));

    let headers: Vec<Header> = raw.iter().map(header_from_bytes).collect();
    let one_more = one_more(&input, headers, time)?;
    Ok(HeaderFigures {
        count: raw.len(),
        elapsed_s: elapsed.as_secs_f64(),
        ns_per_header: elapsed.as_nanos() as f64 / raw.len() as f64,
        one_more_ns: one_more.as_nanos() as f64,
        hashing_s: hashing.as_secs_f64(),
        verdict: report.verdict,
        network,
        source: input.source,
    })
}

/// The time that the last of the headers takes, on top of a window of the others.
fn one_more(input: &Input, mut headers: Vec<Header>, time: Duration) -> anyhow::Result<Duration> {
    let (start, now) = (input.height.unwrap_or(0), Some(u32::MAX));
    let last = headers.pop().filter(|_| !headers.is_empty());
    let last = last.context("two headers are the fewest to measure on")?;
    let mut window = HeaderWindow::anchored(input.network, DEFAULT_LEVEL, start, headers, now)?;
    let below = window.tip().hash;
    let (mut best, began) = (Duration::MAX, Instant::now());
    while began.elapsed() < time || best == Duration::MAX {
        let started = Instant::now();
        window.connect(&[last], now)?;
        best = best.min(started.elapsed());
        window.rewind_to(&below)?;
    }
    Ok(best)
}

fn measure_block(input: Input, time: Duration) -> anyhow::Result<BlockFigures> {
    let context = BlockContext {
        height: input.height,
        ..BlockContext::new(input.network)
    };
    let report = check_block(&input.bytes, &context);
    input.expect_sound(&report.report)?;
    let elapsed = fastest(time, || check_block(&input.bytes, &context));
    Ok(BlockFigures {
        bytes: input.bytes.len(),
        transactions: transactions(&input.bytes),
        elapsed_s: elapsed.as_secs_f64(),
        verdict: report.verdict(),
        network: input.network,
        source: input.source,
    })
}

/// How many transactions a sound block has: a number of variable length behind the header.
fn transactions(block: &[u8]) -> u64 {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    match block[80] {
        0xfd => number(&block[81..83]),
        0xfe => number(&block[81..85]),
        count => u64::from(count),
    }
}

/// The fastest pass in about `time`.
fn fastest<T>(time: Duration, mut pass: impl FnMut() -> T) -> Duration {
    let (mut best, began, mut passes) = (Duration::MAX, Instant::now(), 0);
    while passes < PASSES || began.elapsed() < time {
        let started = Instant::now();
        std::hint::black_box(pass());
        best = best.min(started.elapsed());
        passes += 1;
    }
    best
}

fn text(document: &Document) -> String {
    let Document { headers, block } = document;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} headers of {} ({}): {:.3} ms, {:.0} ns each, of which hashing {:.0} ns; one more {:.0} ns",
        headers.count,
        headers.network,
        headers.source,
        headers.elapsed_s * 1e3,
        headers.ns_per_header,
        headers.hashing_s * 1e9 / headers.count as f64,
        headers.one_more_ns,
    );
    let _ = writeln!(
        text,
        "block of {} ({}), {} bytes, {} transactions: {:.3} ms, {:.2} GB/s",
        block.network,
        block.source,
        block.bytes,
        block.transactions,
        block.elapsed_s * 1e3,
        block.bytes as f64 / block.elapsed_s / 1e9,
    );
    text
}
