//! `bench latency`: a whole daemon beside an embedded node, with blocks found by either in turn.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use actors::board::Board;
use actors::latency::{LatencyStatus, Quantiles};
use actors::messages::TipSource;
use actors::miner::{Interval, PaceMode, Pacing};
use anyhow::Context as _;
use bitcoin::consensus::deserialize;
use bitcoin::{Block, Weight};
use devnode::Devnode;
use nix::sys::statfs::{self, FsType, statfs};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::daemon::with_daemon;
use super::stalls::Stalls;
use super::time_of;
use crate::cli::BenchLatency;
use crate::demo::Demo;
use crate::output::Output;

/// How many blocks there are, unless asked for.
const BLOCKS: u32 = 200;
/// The same with full blocks, of which each takes a while to prepare.
const BLOCKS_FULL: u32 = 30;
/// Mean time in seconds to a block of ours: enough for everything that follows a new tip to be over.
const PACE_S: f64 = 0.1;
/// The same with full blocks: most are found after the template with all transactions has come.
const PACE_FULL_S: f64 = 3.0;
/// Between a block of ours and one of the node's.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a block of the node's may take to become the verified tip.
const LONGEST: Duration = Duration::from_secs(30);

/// How long the machine is looked at by itself.
const QUIET: Duration = Duration::from_secs(3);

/// Transactions that fill a block, and then some.
const FULL: usize = 7_200;
/// A block that is heavier is full, as far as it is up to the node: it keeps room for coinbase and header.
const FULL_WEIGHT: Weight = Weight::from_wu(3_980_000);
/// Coins that these can spend side by side.
const COINS: usize = 100;

#[derive(Debug, Serialize)]
struct Document {
    tip_to_hash_s: Option<Quantiles>,
    job_switch_s: Option<Quantiles>,
    solve_to_submit_s: Option<Quantiles>,
    /// What the journal was written to.
    journal_filesystem: String,
    threads: usize,
    /// What the machine did by itself, before anything else ran.
    stalls: Stalls,
    blocks: Blocks,
}

#[derive(Debug, Default, Serialize)]
struct Blocks {
    /// Found by us and accepted.
    found: u64,
    /// Those of them that are full: found when all transactions were in the job.
    full: u64,
    /// Made by the node.
    received: u64,
    /// Those of them that were first heard of over ZMQ.
    notified: u64,
    /// Transactions of the largest that we found, the coinbase included.
    transactions: usize,
}

impl Blocks {
    /// Takes a look at the blocks of ours above this height.
    fn look(&mut self, node: &Devnode, above: u32) -> anyhow::Result<()> {
        for height in above + 1..=node.tip().height {
            let raw = node
                .block_hash(height)
                .and_then(|hash| node.raw_block(&hash));
            let raw = raw.context("the embedded node has lost a block")?;
            let block: Block = deserialize(&raw)?;
            self.full += u64::from(block.weight() > FULL_WEIGHT);
            self.transactions = self.transactions.max(block.txdata.len());
        }
        Ok(())
    }
}

/// Runs the command.
///
/// # Errors
/// A time that is none, a directory that cannot be written, no daemon, nothing measured at all.
pub fn run(options: &BenchLatency, output: Output) -> anyhow::Result<()> {
    let limit = time_of(options.seconds)?;
    let stalls = Stalls::look(QUIET);
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let usual = if options.full { BLOCKS_FULL } else { BLOCKS };
    let count = options.blocks.unwrap_or(usual);
    // All of them now: the node has nothing else to do once it is measured.
    let transactions = if options.full {
        count as usize * FULL
    } else {
        0
    };
    let demo = Demo::start_in(&dir, COINS, transactions)?;
    let mut settings = demo.settings()?;
    let mining = settings.mining.as_mut();
    let mining = mining.context("the demo does not mine: a fault of this program")?;
    mining.pacing = Some(Pacing {
        mode: PaceMode::Work,
        interval: Interval::Fixed(if options.full { PACE_FULL_S } else { PACE_S }),
    });
    if let Some(threads) = options.threads {
        mining.threads = usize::from(threads);
    }
    let threads = mining.threads;
    let document = with_daemon(&settings, async |board: &Board| {
        let mut blocks = Blocks::default();
        let rounds = rounds(board, demo.node(), count, options.full, &mut blocks);
        // What there is by then is shown.
        if let Ok(failed) = timeout(limit, rounds).await {
            failed?;
        }
        blocks.found = board.registry.blocks_accepted.get();
        let LatencyStatus {
            tip_to_hash_s,
            job_switch_s,
            solve_to_submit_s,
        } = board.latencies.status();
        Ok(Document {
            tip_to_hash_s,
            job_switch_s,
            solve_to_submit_s,
            journal_filesystem: filesystem(&dir)?,
            threads,
            stalls,
            blocks,
        })
    })?;
    output.result(&document, || text(&document))
}

/// One block of ours and one of the node's, in turn. Where they are to be `full`, others of ours do not count.
async fn rounds(
    board: &Board,
    node: &Devnode,
    count: u32,
    full: bool,
    blocks: &mut Blocks,
) -> anyhow::Result<()> {
    let ours = |blocks: &Blocks| if full { blocks.full } else { blocks.found };
    let mut height = node.tip().height;
    while ours(blocks) + blocks.received < u64::from(count) {
        found(board, blocks.found).await;
        blocks.found = board.registry.blocks_accepted.get();
        blocks.look(node, height)?;
        height = node.tip().height;
        if ours(blocks) <= blocks.received {
            continue;
        }
        sleep(PAUSE).await;
        node.generate(1)
            .context("the embedded node cannot make a block")?;
        blocks.received += 1;
        height = node.tip().height;
        let mut tips = board.tip_validated.subscribe();
        let seen = tips.wait_for(|tip| tip.as_ref().is_some_and(|tip| tip.height >= height));
        timeout(LONGEST, seen)
            .await
            .context("the daemon does not see the embedded node's blocks; -v shows why")??;
        let seen = board.tip_seen.borrow();
        blocks.notified += u64::from(seen.as_ref().is_some_and(|tip| is_zmq(tip.source)));
    }
    Ok(())
}

fn is_zmq(source: TipSource) -> bool {
    use TipSource::{ZmqHashblock, ZmqRawblock, ZmqSequence};
    matches!(source, ZmqHashblock | ZmqRawblock | ZmqSequence)
}

/// Resolves when more than `before` blocks of ours are accepted.
async fn found(board: &Board, before: u64) {
    let mut settled = board.settled.subscribe();
    // The board outlives this wait.
    let _ = settled
        .wait_for(|_| board.registry.blocks_accepted.get() > before)
        .await;
}

/// The name of the file system that a directory is on, or its number where we have none for it.
fn filesystem(dir: &Path) -> anyhow::Result<String> {
    let names = [
        (statfs::EXT4_SUPER_MAGIC, "ext4"),
        (statfs::XFS_SUPER_MAGIC, "xfs"),
        (statfs::BTRFS_SUPER_MAGIC, "btrfs"),
        (statfs::TMPFS_MAGIC, "tmpfs"),
        (statfs::OVERLAYFS_SUPER_MAGIC, "overlay"),
        (statfs::NFS_SUPER_MAGIC, "nfs"),
        (FsType(0x2fc1_2fc1), "zfs"),
        (FsType(0xf2f5_2010), "f2fs"),
    ];
    let kind = statfs(dir)
        .with_context(|| format!("cannot tell the file system of {}", dir.display()))?
        .filesystem_type();
    let name = names.iter().find(|(known, _)| *known == kind);
    Ok(name.map_or_else(|| format!("{:#x}", kind.0), |(_, name)| (*name).to_owned()))
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    for (name, times) in [
        ("new tip to first hash", document.tip_to_hash_s),
        ("new work to the last thread", document.job_switch_s),
        ("solution to submission", document.solve_to_submit_s),
    ] {
        let times = times.map_or_else(|| "none".to_owned(), |times| times.to_string());
        let _ = writeln!(text, "{name:30}{times}");
    }
    let stalls = document.stalls.in_words();
    let _ = writeln!(text, "{:30}{stalls}", "the machine by itself");
    let blocks = &document.blocks;
    let _ = writeln!(
        text,
        "{} blocks found, {} of them full, and {} received, {} of them over ZMQ, of up to {} transactions; {} hashing threads; \
         journal on {}",
        blocks.found,
        blocks.full,
        blocks.received,
        blocks.notified,
        blocks.transactions,
        document.threads,
        document.journal_filesystem
    );
    text
}
