//! Hashes of transactions where they lie.

use pow::Message;

use crate::block::decode::{Tx, bytes};

/// The hashes without witness; each transaction comes with the bytes that it is a layout of.
pub(crate) fn txids<'a>(txs: impl Iterator<Item = (&'a [u8], &'a Tx)>) -> Vec<[u8; 32]> {
    let messages: Vec<Message<'_>> = txs.map(|(raw, tx)| stripped(raw, tx)).collect();
    let mut hashes = vec![[0; 32]; messages.len()];
    pow::sha256d_many(&messages, &mut hashes);
    hashes
}

/// The hashes with witness of the same transactions, given those without.
pub(crate) fn wtxids<'a>(
    txs: impl Iterator<Item = (&'a [u8], &'a Tx)>,
    txids: &[[u8; 32]],
) -> Vec<[u8; 32]> {
    let with_witness = txs.enumerate().filter(|(_, (_, tx))| tx.witness.is_some());
    let (places, messages): (Vec<usize>, Vec<Message<'_>>) = with_witness
        .map(|(place, (raw, tx))| (place, Message::from(bytes(raw, &tx.whole))))
        .unzip();
    let mut hashes = vec![[0; 32]; messages.len()];
    pow::sha256d_many(&messages, &mut hashes);
    let mut all = txids.to_vec();
    for (place, hash) in places.into_iter().zip(hashes) {
        all[place] = hash;
    }
    all
}

/// The bytes that a transaction's id is the hash of.
fn stripped<'a>(raw: &'a [u8], tx: &Tx) -> Message<'a> {
    let whole = bytes(raw, &tx.whole);
    if tx.witness.is_none() {
        return whole.into();
    }
    let (version, lock_time) = (&whole[..4], &whole[whole.len() - 4..]);
    Message::of_pieces(version, bytes(raw, &tx.body), lock_time)
}
