//! Hashes of transactions where they lie.

use crate::block::decode::{Tx, bytes};

/// The hash without witness. `scratch` is room to put the parts of a transaction with witness
/// together; its contents do not matter.
pub(crate) fn txid(raw: &[u8], tx: &Tx, scratch: &mut Vec<u8>) -> [u8; 32] {
    let whole = bytes(raw, &tx.whole);
    if tx.witness.is_none() {
        return pow::sha256d(whole);
    }
    scratch.clear();
    scratch.extend_from_slice(&whole[..4]);
    scratch.extend_from_slice(bytes(raw, &tx.body));
    scratch.extend_from_slice(&whole[whole.len() - 4..]);
    pow::sha256d(scratch)
}

/// The hash with witness, given the one without.
pub(crate) fn wtxid(raw: &[u8], tx: &Tx, txid: &[u8; 32]) -> [u8; 32] {
    if tx.witness.is_none() {
        *txid
    } else {
        pow::sha256d(bytes(raw, &tx.whole))
    }
}
