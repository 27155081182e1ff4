//! The witness commitment of BIP141.

use crate::block::Outcome;
use crate::block::decode::{Layout, Reader, Tx, bytes};
use crate::block::txid::wtxids;
use crate::job::{COMMITMENT_HEAD, commitment_hash};
use crate::merkle::merkle_root;

/// The shortest script that can hold a commitment.
const COMMITMENT_LEN: usize = COMMITMENT_HEAD.len() + 32;

/// What the coinbase commits to: its last output of the form counts.
pub(super) fn commitment_of<'a>(raw: &'a [u8], layout: &Layout) -> Option<&'a [u8; 32]> {
    let outputs = layout.outputs_of(layout.txs.first()?);
    let scripts = outputs
        .iter()
        .rev()
        .map(|output| bytes(raw, &output.script));
    let mut fitting = scripts
        .filter(|script| script.len() >= COMMITMENT_LEN && script.starts_with(&COMMITMENT_HEAD));
    fitting.next()?[COMMITMENT_HEAD.len()..].first_chunk()
}

/// The reserved value: the coinbase's only witness item, if it is one of 32 bytes.
fn reserved_value<'a>(raw: &'a [u8], coinbase: &Tx) -> Option<&'a [u8; 32]> {
    let witness = bytes(raw, coinbase.witness.as_ref()?);
    let mut reader = Reader::new(witness).ok()?;
    if reader.compact_size().ok()? != 1 || reader.compact_size().ok()? != 32 {
        return None;
    }
    reader.take(32).ok()?.first_chunk()
}

/// Checks the commitment; `txids` are those of all transactions.
///
/// Where it is not known whether segwit is active, only what would be wrong either way is: a
/// witness that is not committed to, and one that is not the one committed to.
pub(super) fn check_commitment(
    raw: &[u8],
    layout: &Layout,
    txids: &[[u8; 32]],
    segwit: Option<bool>,
) -> Outcome {
    let any_witness = layout.txs.iter().any(|tx| tx.witness.is_some());
    let commitment = if segwit == Some(false) {
        None
    } else {
        commitment_of(raw, layout)
    };
    let Some(commitment) = commitment else {
        return if any_witness {
            Outcome::failed("unexpected-witness")
        } else if segwit == Some(false) {
            Outcome::NotApplicable("segwit is not active at this height")
        } else {
            Outcome::Passed
        };
    };
    if segwit.is_none() && !any_witness {
        return Outcome::NotApplicable("without the height, segwit may not be active");
    }
    let Some(reserved) = reserved_value(raw, &layout.txs[0]) else {
        return Outcome::failed("bad-witness-nonce-size");
    };
    let mut leaves = wtxids(layout.txs.iter().map(|tx| (raw, tx)), txids);
    leaves[0] = [0; 32];
    let root = merkle_root(leaves).hash;
    let matches = commitment_hash(&root, reserved) == *commitment;
    Outcome::of(matches, "bad-witness-merkle-match")
}
