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
    let mut keys = Vec::new();
    for (index, tx) in layout.txs.iter().enumerate() {
        let fault =
            fault_of(layout, tx).or_else(|| inputs_fault(raw, layout, tx, index == 0, &mut keys));
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

fn inputs_fault(
    raw: &[u8],
    layout: &Layout,
    tx: &Tx,
    is_coinbase: bool,
    keys: &mut Vec<u64>,
) -> Option<&'static str> {
    let inputs = layout.inputs_of(tx);
    keys.clear();
    keys.extend(inputs.iter().map(|input| key(outpoint(raw, input))));
    // Equal outpoints have equal keys; where two keys are equal, the outpoints decide.
    let twice = any_twice(keys) && {
        let mut outpoints: Vec<_> = inputs.iter().map(|input| outpoint(raw, input)).collect();
        outpoints.sort_unstable();
        outpoints.array_windows().any(|[a, b]| a == b)
    };
    if twice {
        return Some("bad-txns-inputs-duplicate");
    }
    let any_null = !is_coinbase && inputs.iter().any(|input| is_null(outpoint(raw, input)));
    any_null.then_some("bad-txns-prevout-null")
}

/// Eight bytes that are seldom the same for two outpoints, be it outputs of one transaction.
fn key(outpoint: &[u8; 36]) -> u64 {
    let [hash @ .., i0, i1, i2, i3] = outpoint;
    let hash = hash.first_chunk().expect("32 bytes");
    u64::from_le_bytes(*hash) ^ u64::from(u32::from_le_bytes([*i0, *i1, *i2, *i3])) << 32
}

/// Whether a key stands twice among these, which may change places.
fn any_twice(keys: &mut [u64]) -> bool {
    if keys.len() <= FEW_INPUTS {
        let mut rest = &*keys;
        while let Some((this, others)) = rest.split_first() {
            if others.contains(this) {
                return true;
            }
            rest = others;
        }
        false
    } else {
        keys.sort_unstable();
        keys.array_windows().any(|[a, b]| a == b)
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::block::decode::push_compact_size;
    use proptest::prelude::*;

    /// The fault of a block of a coinbase and a transaction that spends these outpoints.
    fn fault_of_spending(outpoints: &[[u8; 36]]) -> Option<String> {
        let mut raw = vec![2, 0, 0, 0];
        push_compact_size(&mut raw, outpoints.len() as u64);
        for outpoint in outpoints {
            raw.extend(outpoint);
            raw.extend([0, 0xff, 0xff, 0xff, 0xff]);
        }
        raw.extend([1, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        raw.extend([0; 4]);
        let mut layout = Layout::of_transaction(&raw).unwrap();
        layout.txs.push(layout.txs[0].clone());
        match check_transactions(&raw, &layout) {
            Outcome::Failed(reason) => Some(reason),
            _ => None,
        }
    }

    fn outpoint(hash: u32, index: u32) -> [u8; 36] {
        let mut outpoint = [7; 36];
        outpoint[4..8].copy_from_slice(&hash.to_le_bytes());
        outpoint[32..].copy_from_slice(&index.to_le_bytes());
        outpoint
    }

    #[test]
    fn an_outpoint_that_is_spent_twice_is_found_among_few_and_many() {
        for count in [2, 3, FEW_INPUTS as u32, FEW_INPUTS as u32 + 1, 300] {
            let distinct: Vec<_> = (0..count).map(|n| outpoint(n / 5 * 977, n)).collect();
            assert_eq!(fault_of_spending(&distinct), None, "{count} inputs");
            for (one, other) in [
                (0, 1),
                (0, count - 1),
                (count - 2, count - 1),
                (count / 2, 0),
            ] {
                let mut twice = distinct.clone();
                twice[other as usize] = twice[one as usize];
                let fault = fault_of_spending(&twice);
                let expected = (one != other).then_some("bad-txns-inputs-duplicate");
                assert_eq!(
                    fault.as_deref(),
                    expected,
                    "{count} inputs, {one} and {other}"
                );
            }
        }
    }

    #[test]
    fn outpoints_that_only_share_a_key_may_both_be_spent() {
        let (one, other) = (outpoint(5, 8), outpoint(8, 5));
        assert_eq!(key(&one), key(&other));
        assert_eq!(fault_of_spending(&[one, other]), None);
        let many: Vec<_> = (0..100).map(|n| outpoint(n, n ^ 1)).collect();
        assert_eq!(fault_of_spending(&many), None);
    }

    proptest! {
        #[test]
        fn a_key_is_found_twice_where_it_is(keys in proptest::collection::vec(0_u64..200, 0..40)) {
            let twice = (1..keys.len()).any(|place| keys[..place].contains(&keys[place]));
            prop_assert_eq!(any_twice(&mut keys.clone()), twice);
        }
    }
}
