//! What the chain looks like as a whole.

use pow::{NBits, Target};
use serde::Serialize;

use super::args::Args;
use super::json::{self, Float};
use crate::envelope::{RpcError, RpcResult};
use crate::index::{Entry, Fault, Index};
use crate::node::Node;

/// Transactions per second that Bitcoin Core assumes on regtest when it guesses its progress.
const GUESSED_TX_RATE: f64 = 0.001;

#[derive(Serialize)]
struct BlockchainInfo {
    chain: &'static str,
    blocks: u32,
    headers: u32,
    bestblockhash: String,
    bits: String,
    target: String,
    difficulty: Float,
    time: u32,
    mediantime: u32,
    verificationprogress: Float,
    initialblockdownload: bool,
    chainwork: String,
    size_on_disk: u64,
    pruned: bool,
    warnings: [String; 0],
}

pub(super) fn blockchain_info(node: &Node, _: &Args) -> RpcResult {
    let world = node.world();
    let index = world.index();
    let tip = index.tip();
    let bits = tip.header.bits.to_consensus();
    json::result(&BlockchainInfo {
        chain: chain::Network::Regtest.core_name(),
        blocks: tip.height,
        headers: index.best_header().height,
        bestblockhash: index.tip_hash().to_string(),
        bits: format!("{bits:08x}"),
        target: target_text(bits),
        difficulty: difficulty(bits),
        time: tip.header.time,
        mediantime: index.median_time(&index.tip_hash()),
        verificationprogress: Float(progress(index, world.clock.now())),
        initialblockdownload: world.in_ibd(),
        chainwork: tip.work.to_string(),
        size_on_disk: index.size_on_disk(),
        pruned: false,
        warnings: [],
    })
}

/// Bitcoin Core's `GuessVerificationProgress`.
fn progress(index: &Index, now: u32) -> f64 {
    let tip = index.tip();
    let best = index.best_header();
    let age = if now.abs_diff(tip.header.time) <= 2 * 3_600 && best.height >= tip.height {
        // Close to now it counts blocks rather than seconds.
        f64::from(best.height - tip.height) * 600.0
    } else {
        f64::from(now) - f64::from(tip.header.time)
    };
    let done = tip.chain_transactions as f64;
    (done / (done + age * GUESSED_TX_RATE)).min(1.0)
}

pub(super) fn best_block_hash(node: &Node, _: &Args) -> RpcResult {
    json::result(&node.world().index().tip_hash().to_string())
}

pub(super) fn block_count(node: &Node, _: &Args) -> RpcResult {
    json::result(&node.world().index().height())
}

pub(super) fn block_hash(node: &Node, args: &Args) -> RpcResult {
    let height = args
        .integer(0)?
        .and_then(|height| u32::try_from(height).ok());
    let hash = height.and_then(|height| node.world().index().active_hash(height));
    match hash {
        Some(hash) => json::result(&hash.to_string()),
        None => Err(RpcError::new(
            RpcError::PARAMETER,
            "Block height out of range",
        )),
    }
}

#[derive(Serialize)]
struct ChainTip {
    height: u32,
    hash: String,
    branchlen: u32,
    status: &'static str,
}

pub(super) fn chain_tips(node: &Node, _: &Args) -> RpcResult {
    let world = node.world();
    let index = world.index();
    let mut tips: Vec<ChainTip> = index
        .tips()
        .into_iter()
        .map(|hash| {
            let entry = index.known(&hash);
            ChainTip {
                height: entry.height,
                hash: hash.to_string(),
                branchlen: entry.height - index.branch(&hash).fork_height(),
                status: if index.is_active(&hash) {
                    "active"
                } else {
                    side_status(entry)
                },
            }
        })
        .collect();
    tips.sort_by(|a, b| b.height.cmp(&a.height).then_with(|| a.hash.cmp(&b.hash)));
    json::result(&tips)
}

fn side_status(entry: &Entry) -> &'static str {
    match entry.fault {
        Fault::Failed | Fault::Descendant => "invalid",
        Fault::None if entry.chain_transactions == 0 => "headers-only",
        Fault::None if entry.was_connected => "valid-fork",
        Fault::None => "valid-headers",
    }
}

/// A compact target as 64 digits.
pub(super) fn target_text(bits: u32) -> String {
    // Bits in the chain were checked when they came.
    Target::from_nbits(NBits(bits)).map_or_else(|_| String::new(), |target| target.to_string())
}

/// Difficulty in Bitcoin Core's arithmetic (`GetDifficulty`), to the last digit.
pub(super) fn difficulty(bits: u32) -> Float {
    let exponent = 29 - (bits >> 24).cast_signed();
    Float(f64::from(0xffff) / f64::from(bits & 0x00ff_ffff) * 256_f64.powi(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regtests_difficulty_is_the_one_that_bitcoin_core_prints() {
        let text = |bits| {
            json::result(&difficulty(bits))
                .expect("a number")
                .get()
                .to_owned()
        };
        assert_eq!(text(0x207f_ffff), "4.656542373906925e-10");
        assert_eq!(text(0x1d00_ffff), "1");
    }
}
