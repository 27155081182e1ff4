//! Blocks in, by submission or on demand, and the tip moved by hand.

use std::sync::Arc;

use bitcoin::address::NetworkUnchecked;
use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::{Address, Network};
use serde::Serialize;

use super::args::Args;
use super::chain_info::{difficulty, target_text};
use super::json::{self, Coins, Float};
use crate::envelope::{RpcError, RpcResult};
use crate::error::DevnodeError;
use crate::index::Index;
use crate::node::Node;

/// How many blocks `networkhashps` looks back.
const HASHRATE_WINDOW: u32 = 120;

pub(super) fn submit_block(node: &Node, args: &Args) -> RpcResult {
    let decode_failed = || RpcError::new(RpcError::DECODE, "Block decode failed");
    let raw = hex::decode(args.string(0)).map_err(|_| decode_failed())?;
    match node.world().submit_raw(&raw) {
        None => Err(decode_failed()),
        Some(verdict) => json::result(&verdict),
    }
}

pub(super) fn submit_header(node: &Node, args: &Args) -> RpcResult {
    let header: Header = hex::decode(args.string(0))
        .ok()
        .and_then(|raw| deserialize(raw.get(..80)?).ok())
        .ok_or_else(|| RpcError::new(RpcError::DECODE, "Block header decode failed"))?;
    let mut world = node.world();
    if world.index().get(&header.prev_blockhash).is_none() {
        return Err(RpcError::new(
            RpcError::VERIFY,
            format!(
                "Must submit previous header ({}) first",
                header.prev_blockhash
            ),
        ));
    }
    match world.accept_header(&header, true) {
        Ok(_) => json::null(),
        Err(reject) => Err(RpcError::new(RpcError::VERIFY, reject.reason)),
    }
}

pub(super) fn generate_to_address(node: &Node, args: &Args) -> RpcResult {
    let blocks = args.integer(0)?.unwrap_or_default();
    let blocks = u32::try_from(blocks).unwrap_or_default();
    let address = args
        .string(1)
        .parse::<Address<NetworkUnchecked>>()
        .ok()
        .and_then(|address| address.require_network(Network::Regtest).ok())
        .ok_or_else(|| RpcError::new(RpcError::NOT_FOUND, "Error: Invalid address"))?;
    let hashes = node
        .generate(blocks, &address.script_pubkey())
        .map_err(|error| RpcError::new(RpcError::MISC, test_block_validity(error)))?;
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    json::result(&hashes)
}

fn test_block_validity(error: DevnodeError) -> String {
    match error {
        DevnodeError::OwnBlock { reason } => validity_text(&reason),
        other => other.to_string(),
    }
}

/// How Bitcoin Core words that a block of its own making does not pass.
pub(super) fn validity_text(reason: &str) -> String {
    let detail = match reason {
        "time-too-new" => ", block timestamp too far in the future",
        _ => "",
    };
    format!("TestBlockValidity failed: {reason}{detail}")
}

pub(super) fn invalidate_block(node: &Node, args: &Args) -> RpcResult {
    let hash = args.block_hash(0, "blockhash")?;
    node.world().invalidate(hash).map_err(|_| not_found())?;
    json::null()
}

pub(super) fn reconsider_block(node: &Node, args: &Args) -> RpcResult {
    let hash = args.block_hash(0, "blockhash")?;
    node.world().reconsider(hash).map_err(|_| not_found())?;
    json::null()
}

fn not_found() -> RpcError {
    RpcError::new(RpcError::NOT_FOUND, "Block not found")
}

#[derive(Serialize)]
struct MiningInfo {
    blocks: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    currentblockweight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currentblocktx: Option<usize>,
    bits: String,
    difficulty: Float,
    target: String,
    networkhashps: Float,
    pooledtx: usize,
    blockmintxfee: Coins,
    chain: &'static str,
    next: NextBlock,
    warnings: [String; 0],
}

#[derive(Serialize)]
struct NextBlock {
    height: u32,
    bits: String,
    difficulty: Float,
    target: String,
}

pub(super) fn mining_info(node: &Node, _: &Args) -> RpcResult {
    let world = node.world();
    let index = world.index();
    // Regtest never retargets: the next block's bits are this one's.
    let bits = index.tip().header.bits.to_consensus();
    let template = world.template.as_ref();
    json::result(&MiningInfo {
        blocks: index.height(),
        currentblockweight: template.map(|template| template.weight),
        currentblocktx: template.map(|template| template.transactions.len()),
        bits: format!("{bits:08x}"),
        difficulty: difficulty(bits),
        target: target_text(bits),
        networkhashps: Float(network_hashrate(index)),
        pooledtx: world.mempool().len(),
        blockmintxfee: Coins(1),
        chain: chain::Network::Regtest.core_name(),
        next: NextBlock {
            height: index.height() + 1,
            bits: format!("{bits:08x}"),
            difficulty: difficulty(bits),
            target: target_text(bits),
        },
        warnings: [],
    })
}

/// Work over time of the last blocks, in hashes per second; 0 where no time has passed.
fn network_hashrate(index: &Index) -> f64 {
    let top = index.height();
    let bottom = top.saturating_sub(HASHRATE_WINDOW);
    let entry = |height| index.active_hash(height).map(|hash| index.known(&hash));
    let times = (bottom..=top)
        .filter_map(entry)
        .map(|entry| entry.header.time);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return 0.0;
    };
    let work = match (entry(bottom), entry(top)) {
        (Some(bottom), Some(top)) => (top.work - bottom.work).to_f64(),
        _ => 0.0,
    };
    if last > first {
        work / f64::from(last - first)
    } else {
        0.0
    }
}

/// The proposal mode of `getblocktemplate`.
pub(super) fn propose(node: &Arc<Node>, hexdata: &str) -> RpcResult {
    use bitcoin::consensus::Decodable as _;
    let raw = hex::decode(hexdata).ok();
    let block = raw.and_then(|raw| bitcoin::Block::consensus_decode(&mut raw.as_slice()).ok());
    match block {
        Some(block) => json::result(&node.world().propose(&block)),
        None => Err(RpcError::new(RpcError::DECODE, "Block decode failed")),
    }
}
