//! The mempool.

use std::collections::HashSet;

use bitcoin::consensus::deserialize;
use bitcoin::{Transaction, Txid};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::args::Args;
use super::json::{self, Coins};
use crate::envelope::{RpcError, RpcResult};
use crate::mempool::{Mempool, PoolTx};
use crate::node::Node;

/// Bitcoin Core's default relay fees since v30, in satoshis per 1000 virtual bytes.
const RELAY_FEE: Coins = Coins(100);

#[derive(Serialize)]
struct MempoolInfo {
    loaded: bool,
    size: usize,
    bytes: u64,
    usage: u64,
    total_fee: Coins,
    maxmempool: u64,
    mempoolminfee: Coins,
    minrelaytxfee: Coins,
    incrementalrelayfee: Coins,
    unbroadcastcount: usize,
    permitbaremultisig: bool,
    maxdatacarriersize: u32,
    limitclustercount: u32,
    limitclustersize: u32,
    optimal: bool,
}

pub(super) fn mempool_info(node: &Node, _: &Args) -> RpcResult {
    let world = node.world();
    let pool = world.mempool();
    json::result(&MempoolInfo {
        loaded: true,
        size: pool.len(),
        bytes: pool.iter().map(PoolTx::vsize).sum(),
        // What Bitcoin Core needs per transaction of this kind, roughly.
        usage: pool.iter().map(|entry| 1_000 + entry.weight / 4).sum(),
        total_fee: Coins(pool.iter().map(|entry| entry.fee).sum()),
        maxmempool: 300_000_000,
        mempoolminfee: RELAY_FEE,
        minrelaytxfee: RELAY_FEE,
        incrementalrelayfee: RELAY_FEE,
        unbroadcastcount: pool.len(),
        permitbaremultisig: true,
        maxdatacarriersize: 100_000,
        limitclustercount: 64,
        limitclustersize: 101_000,
        optimal: true,
    })
}

#[derive(Serialize)]
struct WithSequence {
    txids: Vec<String>,
    mempool_sequence: u64,
}

pub(super) fn raw_mempool(node: &Node, args: &Args) -> RpcResult {
    let world = node.world();
    let pool = world.mempool();
    if args.boolean(0) == Some(true) {
        return json::result(&Everything(pool));
    }
    let txids = pool.iter().map(|entry| entry.txid.to_string()).collect();
    if args.boolean(1) == Some(true) {
        return json::result(&WithSequence {
            txids,
            mempool_sequence: pool.sequence(),
        });
    }
    json::result(&txids)
}

/// The verbose form: an object keyed by id, in the mempool's order.
struct Everything<'a>(&'a Mempool);

impl Serialize for Everything<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for entry in self.0.iter() {
            map.serialize_entry(&entry.txid.to_string(), &Verbose::of(self.0, entry))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Verbose {
    vsize: u64,
    weight: u64,
    time: u32,
    height: u32,
    descendantcount: usize,
    descendantsize: u64,
    ancestorcount: usize,
    ancestorsize: u64,
    wtxid: String,
    chunkweight: u64,
    fees: Fees,
    depends: Vec<String>,
    spentby: Vec<String>,
    unbroadcast: bool,
}

#[derive(Serialize)]
struct Fees {
    base: Coins,
    modified: Coins,
    ancestor: Coins,
    descendant: Coins,
    chunk: Coins,
}

impl Verbose {
    fn of(pool: &Mempool, entry: &PoolTx) -> Self {
        let up = relatives(pool, entry, Mempool::parents_of);
        let down = relatives(pool, entry, Mempool::children_of);
        let size = |set: &[&PoolTx]| set.iter().map(|entry| entry.vsize()).sum();
        let fee = |set: &[&PoolTx]| Coins(set.iter().map(|entry| entry.fee).sum());
        let texts = |ids: Vec<Txid>| ids.iter().map(ToString::to_string).collect();
        Self {
            vsize: entry.vsize(),
            weight: entry.weight,
            time: entry.time,
            height: entry.height,
            descendantcount: down.len(),
            descendantsize: size(&down),
            ancestorcount: up.len(),
            ancestorsize: size(&up),
            wtxid: entry.wtxid.to_string(),
            // Transactions are not grouped for mining here: each is a chunk of its own.
            chunkweight: entry.weight,
            fees: Fees {
                base: Coins(entry.fee),
                modified: Coins(entry.fee),
                ancestor: fee(&up),
                descendant: fee(&down),
                chunk: Coins(entry.fee),
            },
            depends: texts(pool.parents_of(entry)),
            spentby: texts(pool.children_of(entry)),
            unbroadcast: true,
        }
    }
}

/// The transaction and everything above or below it in the mempool.
fn relatives<'a>(
    pool: &'a Mempool,
    entry: &'a PoolTx,
    next: impl Fn(&Mempool, &PoolTx) -> Vec<Txid>,
) -> Vec<&'a PoolTx> {
    let mut seen = HashSet::from([entry.txid]);
    let mut found = vec![entry];
    let mut position = 0;
    while position < found.len() {
        for txid in next(pool, found[position]) {
            if let Some(relative) = pool.get(&txid).filter(|_| seen.insert(txid)) {
                found.push(relative);
            }
        }
        position += 1;
    }
    found
}

pub(super) fn send_raw_transaction(node: &Node, args: &Args) -> RpcResult {
    let tx: Transaction = hex::decode(args.string(0))
        .ok()
        .and_then(|raw| deserialize(&raw).ok())
        .ok_or_else(|| {
            RpcError::new(
                RpcError::DECODE,
                "TX decode failed. Make sure the tx has at least one input.",
            )
        })?;
    let txid = tx.compute_txid();
    let mut world = node.world();
    if world.mempool().get(&txid).is_some() {
        // Sent again: no error.
        return json::result(&txid.to_string());
    }
    if world.coins.has_output_of(&tx, txid) {
        return Err(RpcError::new(
            RpcError::ALREADY_IN_CHAIN,
            "Transaction outputs already in utxo set",
        ));
    }
    match world.accept_transaction(tx) {
        Ok(txid) => json::result(&txid.to_string()),
        Err(reject) => {
            let code = match &*reject.reason {
                "bad-txns-inputs-missingorspent" => RpcError::VERIFY,
                _ => RpcError::REJECTED,
            };
            Err(RpcError::new(code, reject.reason))
        }
    }
}
