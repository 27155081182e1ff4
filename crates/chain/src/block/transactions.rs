//! Rules for transactions that need nothing but the block.

use crate::block::decode::{Input, Layout, Tx, bytes};
use crate::block::script::legacy_sigops;
use crate::block::{MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, Outcome, WITNESS_SCALE_FACTOR};

/// All coins there will ever be, in satoshis.
const MAX_MONEY: i64 = 21_000_000 * 100_000_000;
/// Lock times below are heights, those from here on Unix times.
const LOCKTIME_THRESHOLD: u32 = 500_000_000;
/// The sequence of an input that does not ask for the lock time.
const SEQUENCE_FINAL: u32 = u32::MAX;

/// Up to this many inputs are compared each with each.
const FEW_INPUTS: usize = 12;

fn outpoint<'a>(raw: &'a [u8], input: &Input) -> &'a [u8; 36] {
    let at = input.prevout as usize;
    raw[at..]
        .first_chunk()
        .expect("the decoder has read the 36 bytes")
}

fn is_null(outpoint: &[u8; 36]) -> bool {
    outpoint[..32] == [0; 32] && outpoint[32..] == [0xff; 4]
}

fn is_coinbase(raw: &[u8], layout: &Layout, tx: &Tx) -> bool {
    matches!(layout.inputs_of(tx), [input] if is_null(outpoint(raw, input)))
}

/// The first transaction and no other is a coinbase, with a script of 2 to 100 bytes.
pub(super) fn check_coinbase(raw: &[u8], layout: &Layout) -> Outcome {
    let Some((first, rest)) = layout.txs.split_first() else {
        return Outcome::failed("bad-cb-missing");
    };
    if !is_coinbase(raw, layout, first) {
        return Outcome::failed("bad-cb-missing");
    }
    if rest.iter().any(|tx| is_coinbase(raw, layout, tx)) {
        return Outcome::failed("bad-cb-multiple");
    }
    let script = &layout.inputs_of(first)[0].script;
    Outcome::of((2..=100).contains(&script.len()), "bad-cb-length")
}

/// Core's `CheckTransaction` for each.
pub(super) fn check_transactions(raw: &[u8], layout: &Layout) -> Outcome {
    let mut sorted = Vec::new();
    for (index, tx) in layout.txs.iter().enumerate() {
        let fault =
            fault_of(layout, tx).or_else(|| inputs_fault(raw, layout, tx, index == 0, &mut sorted));
        if let Some(reason) = fault {
            return Outcome::failed(reason);
        }
    }
    Outcome::Passed
}

fn fault_of(layout: &Layout, tx: &Tx) -> Option<&'static str> {
    if tx.inputs.is_empty() {
        return Some("bad-txns-vin-empty");
    }
    if tx.outputs.is_empty() {
        return Some("bad-txns-vout-empty");
    }
    if tx.stripped_size() * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT {
        return Some("bad-txns-oversize");
    }
    let mut total = 0_i64;
    for output in layout.outputs_of(tx) {
        if output.value < 0 {
            return Some("bad-txns-vout-negative");
        }
        if output.value > MAX_MONEY {
            return Some("bad-txns-vout-toolarge");
        }
        total += output.value;
        if total > MAX_MONEY {
            return Some("bad-txns-txouttotal-toolarge");
        }
    }
    None
}

fn inputs_fault<'a>(
    raw: &'a [u8],
    layout: &Layout,
    tx: &Tx,
    is_coinbase: bool,
    sorted: &mut Vec<&'a [u8; 36]>,
) -> Option<&'static str> {
    let inputs = layout.inputs_of(tx);
    let twice = if inputs.len() <= FEW_INPUTS {
        inputs.iter().enumerate().any(|(index, input)| {
            let this = outpoint(raw, input);
            inputs[..index]
                .iter()
                .any(|other| outpoint(raw, other) == this)
        })
    } else {
        sorted.clear();
        sorted.extend(inputs.iter().map(|input| outpoint(raw, input)));
        sorted.sort_unstable();
        sorted.array_windows().any(|[a, b]| a == b)
    };
    if twice {
        return Some("bad-txns-inputs-duplicate");
    }
    let any_null = !is_coinbase && inputs.iter().any(|input| is_null(outpoint(raw, input)));
    any_null.then_some("bad-txns-prevout-null")
}

/// Signature operations that stand in scripts of the block itself.
pub(super) fn check_sigops(raw: &[u8], layout: &Layout) -> Outcome {
    let scripts = layout.inputs.iter().map(|input| &input.script);
    let scripts = scripts.chain(layout.outputs.iter().map(|output| &output.script));
    let sigops: u32 = scripts.map(|span| legacy_sigops(bytes(raw, span))).sum();
    let cost = sigops.saturating_mul(WITNESS_SCALE_FACTOR as u32);
    Outcome::of(cost <= MAX_BLOCK_SIGOPS_COST, "bad-blk-sigops")
}

/// Whether lock times have passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finality {
    Final,
    NotFinal,
    /// Depends on what was not given.
    Unknown,
}

/// Whether every transaction may be in a block of this height, whose lock times in seconds are
/// compared with `cutoff`.
pub(super) fn finality(layout: &Layout, height: Option<u32>, cutoff: Option<u32>) -> Finality {
    let mut unknown = false;
    for tx in &layout.txs {
        let reached = match tx.lock_time {
            0 => continue,
            lock if lock < LOCKTIME_THRESHOLD => height.map(|height| lock < height),
            lock => cutoff.map(|cutoff| lock < cutoff),
        };
        if reached == Some(true) {
            continue;
        }
        let ignored = layout
            .inputs_of(tx)
            .iter()
            .all(|input| input.sequence == SEQUENCE_FINAL);
        match reached {
            _ if ignored => {}
            None => unknown = true,
            Some(_) => return Finality::NotFinal,
        }
    }
    if unknown {
        Finality::Unknown
    } else {
        Finality::Final
    }
}
