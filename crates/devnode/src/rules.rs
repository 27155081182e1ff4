//! What makes a block acceptable before its coins are looked at, in Bitcoin Core's order and words.
//!
//! Header rules are `chain`'s. Body rules are written here, on the `bitcoin` crate alone: blocks that
//! `chain` assembles are judged by code that shares no mistake with it, and the answer must tell
//! what `submitblock` tells, mutation included.

use std::collections::HashSet;

use bitcoin::block::Header;
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::script::PushBytesBuf;
use bitcoin::{Block, Script, ScriptBuf, Transaction};
use chain::Params;
use pow::{NBits, Target};

use crate::coins::MAX_MONEY;
use crate::index::Branch;
use crate::reject::Reject;

/// The limit of a block's weight, and four times that of its size without witnesses.
pub(crate) const MAX_WEIGHT: usize = 4_000_000;
/// The limit of a block's signature operations, in the unit that counts witness ones once.
pub(crate) const MAX_SIGOPS: usize = 80_000;
const WITNESS_SCALE: usize = 4;
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Proof of work against the header's own target, which must be one of the network's.
pub(crate) fn check_proof_of_work(params: &Params, header: &Header) -> Result<(), Reject> {
    let digest = header.block_hash().to_byte_array();
    match Target::from_nbits(NBits(header.bits.to_consensus())) {
        Ok(target) if target <= params.pow_limit && target.is_met_by(&digest) => Ok(()),
        _ => Err(Reject::invalid("high-hash")),
    }
}

/// All header rules but proof of work, for a child of `branch`'s tip.
pub(crate) fn check_header_context(
    params: &Params,
    header: &Header,
    height: u32,
    branch: &Branch<'_>,
    now: Option<u32>,
) -> Result<(), Reject> {
    let required = chain::next_bits(params, height, branch, header.time)
        .map_err(|reject| Reject::invalid(reject.reason()))?;
    if required != NBits(header.bits.to_consensus()) {
        return Err(Reject::invalid("bad-diffbits"));
    }
    let median = chain::median_time_past(branch, height - 1).unwrap_or(u32::MAX);
    if header.time <= median {
        return Err(Reject::invalid("time-too-old"));
    }
    if now.is_some_and(|now| header.time > now.saturating_add(chain::MAX_FUTURE_S)) {
        return Err(Reject::passing("time-too-new"));
    }
    let version = header.version.to_consensus();
    if version < params.min_version(height) {
        return Err(Reject::invalid(format!("bad-version(0x{version:08x})")));
    }
    Ok(())
}

/// All header rules, by `chain`, for a child of `branch`'s tip.
pub(crate) fn check_header(
    params: &Params,
    header: &Header,
    height: u32,
    branch: &Branch<'_>,
    now: Option<u32>,
) -> Result<(), Reject> {
    chain::check_header(params, header, height, branch, now).map_err(|reject| {
        if reject.is_passing() {
            Reject::passing(reject.reason())
        } else {
            Reject::invalid(reject.reason())
        }
    })
}

/// What a block must be whatever its parent (Bitcoin Core's `CheckBlock`, proof of work apart).
pub(crate) fn check_block(block: &Block) -> Result<(), Reject> {
    check_merkle_root(block)?;
    let stripped = stripped_size(block);
    if block.txdata.is_empty()
        || block.txdata.len() * WITNESS_SCALE > MAX_WEIGHT
        || stripped * WITNESS_SCALE > MAX_WEIGHT
    {
        return Err(Reject::invalid("bad-blk-length"));
    }
    if !block.txdata[0].is_coinbase() {
        return Err(Reject::invalid("bad-cb-missing"));
    }
    if block.txdata[1..].iter().any(Transaction::is_coinbase) {
        return Err(Reject::invalid("bad-cb-multiple"));
    }
    for tx in &block.txdata {
        check_transaction(tx)?;
    }
    let sigops: usize = block
        .txdata
        .iter()
        .map(|tx| tx.total_sigop_cost(|_| None))
        .sum();
    if sigops > MAX_SIGOPS {
        return Err(Reject::invalid("bad-blk-sigops"));
    }
    Ok(())
}

/// The root in the header, and no repeated pair (CVE-2012-2459), which would give the same root.
fn check_merkle_root(block: &Block) -> Result<(), Reject> {
    let mut level: Vec<[u8; 32]> = block
        .txdata
        .iter()
        .map(|tx| tx.compute_txid().to_byte_array())
        .collect();
    let mut repeated = false;
    while level.len() > 1 {
        repeated |= level.chunks_exact(2).any(|pair| pair[0] == pair[1]);
        level = level
            .chunks(2)
            .map(|pair| {
                let mut joined = [0_u8; 64];
                joined[..32].copy_from_slice(&pair[0]);
                joined[32..].copy_from_slice(pair.last().unwrap_or(&pair[0]));
                sha256d::Hash::hash(&joined).to_byte_array()
            })
            .collect();
    }
    let root = level.first().copied().unwrap_or_default();
    if root != block.header.merkle_root.to_byte_array() {
        return Err(Reject::passing("bad-txnmrklroot"));
    }
    if repeated {
        return Err(Reject::passing("bad-txns-duplicate"));
    }
    Ok(())
}

fn check_transaction(tx: &Transaction) -> Result<(), Reject> {
    if tx.input.is_empty() {
        return Err(Reject::invalid("bad-txns-vin-empty"));
    }
    if tx.output.is_empty() {
        return Err(Reject::invalid("bad-txns-vout-empty"));
    }
    if tx.base_size() * WITNESS_SCALE > MAX_WEIGHT {
        return Err(Reject::invalid("bad-txns-oversize"));
    }
    let mut sum = 0_u64;
    for output in &tx.output {
        let value = output.value.to_sat();
        if value > i64::MAX as u64 {
            return Err(Reject::invalid("bad-txns-vout-negative"));
        }
        if value > MAX_MONEY {
            return Err(Reject::invalid("bad-txns-vout-toolarge"));
        }
        sum += value;
        if sum > MAX_MONEY {
            return Err(Reject::invalid("bad-txns-txouttotal-toolarge"));
        }
    }
    let mut seen = HashSet::new();
    if !tx
        .input
        .iter()
        .all(|input| seen.insert(input.previous_output))
    {
        return Err(Reject::invalid("bad-txns-inputs-duplicate"));
    }
    if tx.is_coinbase() {
        if !(2..=100).contains(&tx.input[0].script_sig.len()) {
            return Err(Reject::invalid("bad-cb-length"));
        }
    } else if tx.input.iter().any(|input| input.previous_output.is_null()) {
        return Err(Reject::invalid("bad-txns-prevout-null"));
    }
    Ok(())
}

/// What a block must be on its parent (`ContextualCheckBlock`).
pub(crate) fn check_block_context(
    params: &Params,
    block: &Block,
    height: u32,
    branch: &Branch<'_>,
) -> Result<(), Reject> {
    let median = chain::median_time_past(branch, height - 1).unwrap_or_default();
    if !block.txdata.iter().all(|tx| is_final(tx, height, median)) {
        return Err(Reject::invalid("bad-txns-nonfinal"));
    }
    let coinbase = &block.txdata[0];
    if !coinbase.input[0]
        .script_sig
        .as_bytes()
        .starts_with(height_script(height).as_bytes())
    {
        return Err(Reject::invalid("bad-cb-height"));
    }
    check_witness_commitment(block, params.segwit_active(height))?;
    if block.weight().to_wu() as usize > MAX_WEIGHT {
        return Err(Reject::invalid("bad-blk-weight"));
    }
    Ok(())
}

/// Whether lock times let a transaction into a block at `height` after `median` (BIP113).
pub(crate) fn is_final(tx: &Transaction, height: u32, median: u32) -> bool {
    const THRESHOLD: u32 = 500_000_000;
    let lock = tx.lock_time.to_consensus_u32();
    let against = if lock < THRESHOLD { height } else { median };
    lock == 0 || lock < against || tx.input.iter().all(|input| input.sequence.is_final())
}

/// How a coinbase's script begins (BIP34): the height as the shortest push.
pub(crate) fn height_script(height: u32) -> ScriptBuf {
    bitcoin::script::Builder::new()
        .push_int(i64::from(height))
        .into_script()
}

/// The commitment that counts: the last output that looks like one.
fn commitment(coinbase: &Transaction) -> Option<[u8; 32]> {
    let script = coinbase.output.iter().rev().find_map(|output| {
        let script: &Script = &output.script_pubkey;
        (script.len() >= 38 && script.as_bytes().starts_with(&COMMITMENT_PREFIX)).then_some(script)
    })?;
    script.as_bytes().get(6..38)?.try_into().ok()
}

/// Whether a coinbase carries a commitment without the nonce that it needs.
pub(crate) fn lacks_witness_nonce(block: &Block) -> bool {
    block
        .txdata
        .first()
        .is_some_and(|coinbase| commitment(coinbase).is_some() && !has_witness(coinbase))
}

fn has_witness(tx: &Transaction) -> bool {
    tx.input.iter().any(|input| !input.witness.is_empty())
}

fn check_witness_commitment(block: &Block, segwit: bool) -> Result<(), Reject> {
    let coinbase = &block.txdata[0];
    if segwit && let Some(committed) = commitment(coinbase) {
        let witness = &coinbase.input[0].witness;
        let nonce: [u8; 32] = match (witness.len(), witness.nth(0)) {
            (1, Some(nonce)) => nonce.try_into().ok(),
            _ => None,
        }
        .ok_or_else(|| Reject::passing("bad-witness-nonce-size"))?;
        return if witness_commitment(block, nonce) == committed {
            Ok(())
        } else {
            Err(Reject::passing("bad-witness-merkle-match"))
        };
    }
    if block.txdata.iter().any(has_witness) {
        return Err(Reject::passing("unexpected-witness"));
    }
    Ok(())
}

/// The commitment that a block's witnesses ask for (BIP141).
fn witness_commitment(block: &Block, nonce: [u8; 32]) -> [u8; 32] {
    // With a coinbase there is a root.
    let root = block
        .witness_root()
        .map_or([0; 32], bitcoin::WitnessMerkleNode::to_byte_array);
    Block::compute_witness_commitment(&bitcoin::WitnessMerkleNode::from_byte_array(root), &nonce)
        .to_byte_array()
}

/// The script of the output that commits to `hash`.
pub(crate) fn commitment_script(hash: [u8; 32]) -> ScriptBuf {
    let mut payload = PushBytesBuf::new();
    // Thirty-six bytes: a push of any length below 2^32 fits.
    let _ = payload.extend_from_slice(&COMMITMENT_PREFIX[2..]);
    let _ = payload.extend_from_slice(&hash);
    ScriptBuf::new_op_return(payload)
}

/// The size without witnesses, in bytes.
pub(crate) fn stripped_size(block: &Block) -> usize {
    let count = bitcoin::consensus::encode::VarInt(block.txdata.len() as u64).size();
    80 + count
        + block
            .txdata
            .iter()
            .map(Transaction::base_size)
            .sum::<usize>()
}
