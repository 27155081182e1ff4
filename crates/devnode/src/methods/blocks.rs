//! One block or header.

use bitcoin::consensus::deserialize;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Block, BlockHash, Transaction};
use serde::Serialize;
use serde_json::Value;

use super::args::Args;
use super::chain_info::{difficulty, target_text};
use super::json::{self, Float};
use super::transaction::Verbose as VerboseTx;
use crate::envelope::{RpcError, RpcResult};
use crate::index::Entry;
use crate::node::Node;
use crate::rules;
use crate::world::World;

#[derive(Serialize)]
struct Header {
    hash: String,
    confirmations: i64,
    height: u32,
    version: i32,
    #[serde(rename = "versionHex")]
    version_hex: String,
    merkleroot: String,
    time: u32,
    mediantime: u32,
    nonce: u32,
    bits: String,
    target: String,
    difficulty: Float,
    chainwork: String,
    #[serde(rename = "nTx")]
    transactions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    previousblockhash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nextblockhash: Option<String>,
}

impl Header {
    fn of(world: &World, hash: &BlockHash, entry: &Entry) -> Self {
        let index = world.index();
        let header = &entry.header;
        let bits = header.bits.to_consensus();
        let active = index.is_active(hash);
        let next = index.active_hash(entry.height + 1).filter(|_| active);
        Self {
            hash: hash.to_string(),
            confirmations: if active {
                i64::from(index.height() - entry.height) + 1
            } else {
                -1
            },
            height: entry.height,
            version: header.version.to_consensus(),
            version_hex: format!("{:08x}", header.version.to_consensus()),
            merkleroot: header.merkle_root.to_string(),
            time: header.time,
            mediantime: index.median_time(hash),
            nonce: header.nonce,
            bits: format!("{bits:08x}"),
            target: target_text(bits),
            difficulty: difficulty(bits),
            chainwork: entry.work.to_string(),
            transactions: entry.body.as_ref().map_or(0, |body| body.transactions),
            previousblockhash: (entry.height > 0).then(|| header.prev_blockhash.to_string()),
            nextblockhash: next.map(|hash| hash.to_string()),
        }
    }
}

pub(super) fn header(node: &Node, args: &Args) -> RpcResult {
    let hash = args.block_hash(0, "hash")?;
    let world = node.world();
    let entry = world.index().get(&hash).ok_or_else(not_found)?;
    if args.boolean(1) == Some(false) {
        return json::result(&serialize_hex(&entry.header));
    }
    json::result(&Header::of(&world, &hash, entry))
}

#[derive(Serialize)]
struct VerboseBlock {
    #[serde(flatten)]
    header: Header,
    strippedsize: usize,
    size: usize,
    weight: u64,
    coinbase_tx: CoinbaseTx,
    tx: Vec<Tx>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Tx {
    Id(String),
    Whole(Box<VerboseTx>),
}

/// What miners look at in a coinbase, whatever the verbosity.
#[derive(Serialize)]
struct CoinbaseTx {
    version: i32,
    locktime: u32,
    sequence: u32,
    coinbase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness: Option<String>,
}

impl CoinbaseTx {
    fn of(coinbase: &Transaction) -> Option<Self> {
        let input = coinbase.input.first()?;
        Some(Self {
            version: coinbase.version.0,
            locktime: coinbase.lock_time.to_consensus_u32(),
            sequence: input.sequence.to_consensus_u32(),
            coinbase: input.script_sig.to_hex_string(),
            witness: input.witness.nth(0).map(hex::encode),
        })
    }
}

pub(super) fn block(node: &Node, args: &Args) -> RpcResult {
    let hash = args.block_hash(0, "blockhash")?;
    let verbosity = match args.get(1) {
        Value::Null => 1,
        Value::Bool(verbose) => i64::from(*verbose),
        Value::Number(_) => args.integer(1)?.unwrap_or(1),
        _ => {
            return Err(RpcError::new(
                RpcError::TYPE,
                "JSON value is not an integer as expected",
            ));
        }
    };
    let world = node.world();
    let entry = world.index().get(&hash).ok_or_else(not_found)?;
    let raw = world.index().raw_block(&hash).ok_or_else(|| {
        RpcError::new(RpcError::MISC, "Block not available (not fully downloaded)")
    })?;
    if verbosity <= 0 {
        return json::result(&hex::encode(&raw));
    }
    let block: Block = deserialize(&raw).map_err(|error| internal(&error.to_string()))?;
    let mut header = Header::of(&world, &hash, entry);
    let (next, undo) = (header.nextblockhash.take(), world.undo.get(&hash));
    let transactions = block.txdata.iter().map(|tx| {
        if verbosity == 1 {
            Tx::Id(tx.compute_txid().to_string())
        } else {
            let spent = |outpoint: &_| undo.and_then(|undo| undo.spent_output(outpoint, &block));
            Tx::Whole(Box::new(VerboseTx::of(tx, spent)))
        }
    });
    let verbose = VerboseBlock {
        strippedsize: rules::stripped_size(&block),
        size: raw.len(),
        weight: block.weight().to_wu(),
        coinbase_tx: block
            .txdata
            .first()
            .and_then(CoinbaseTx::of)
            .ok_or_else(|| internal("a block without coinbase"))?,
        tx: transactions.collect(),
        header: Header {
            nextblockhash: next,
            ..header
        },
    };
    json::result(&verbose)
}

fn not_found() -> RpcError {
    RpcError::new(RpcError::NOT_FOUND, "Block not found")
}

fn internal(error: &str) -> RpcError {
    RpcError::new(RpcError::INTERNAL, error)
}
