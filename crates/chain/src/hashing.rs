//! Headers in bulk: to bytes, to hashes, to work.

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use pow::{NBits, Target, Work};

/// Headers hashed at a time: enough to fill every lane, little enough to stay in the first cache.
pub(crate) const BATCH: usize = 64;

/// A header as it is hashed and sent.
pub fn header_bytes(header: &Header) -> [u8; 80] {
    let mut raw = [0; 80];
    raw[..4].copy_from_slice(&header.version.to_consensus().to_le_bytes());
    raw[4..36].copy_from_slice(header.prev_blockhash.as_byte_array());
    raw[36..68].copy_from_slice(header.merkle_root.as_byte_array());
    raw[68..72].copy_from_slice(&header.time.to_le_bytes());
    raw[72..76].copy_from_slice(&header.bits.to_consensus().to_le_bytes());
    raw[76..].copy_from_slice(&header.nonce.to_le_bytes());
    raw
}

/// A header from its eighty bytes.
pub fn header_from_bytes(raw: &[u8; 80]) -> Header {
    let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    let hash = |at: usize| {
        let mut hash = [0; 32];
        hash.copy_from_slice(&raw[at..at + 32]);
        hash
    };
    Header {
        version: bitcoin::block::Version::from_consensus(word(0).cast_signed()),
        prev_blockhash: bitcoin::BlockHash::from_byte_array(hash(4)),
        merkle_root: bitcoin::TxMerkleNode::from_byte_array(hash(36)),
        time: word(68),
        bits: bitcoin::CompactTarget::from_consensus(word(72)),
        nonce: word(76),
    }
}

/// Hands each header with its hash to `each`, in order, until that fails. The hashes are made a batch
/// at a time and put at the end of `hashes`.
pub(crate) fn hash_each<E>(
    headers: &[Header],
    hashes: &mut Vec<[u8; 32]>,
    mut each: impl FnMut(&Header, &[u8; 32]) -> Result<(), E>,
) -> Result<(), E> {
    hashes.reserve(headers.len());
    let mut raw = [[0; 80]; BATCH];
    for batch in headers.chunks(BATCH) {
        for (header, bytes) in batch.iter().zip(&mut raw) {
            *bytes = header_bytes(header);
        }
        let start = hashes.len();
        hashes.resize(start + batch.len(), [0; 32]);
        pow::sha256d_80(&raw[..batch.len()], &mut hashes[start..]);
        for (header, hash) in batch.iter().zip(&hashes[start..]) {
            each(header, hash)?;
        }
    }
    Ok(())
}

/// Adds up the work of headers, and keeps that of the nBits seen last: most headers in a row have
/// the same, and the work of new ones takes a long division.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkSum {
    last: (u32, Work),
}

impl WorkSum {
    /// The work of these headers by the targets that they name; those that name none count nothing.
    pub fn of(&mut self, headers: &[Header]) -> Work {
        let mut sum = Work::ZERO;
        for header in headers {
            let bits = header.bits.to_consensus();
            if bits != self.last.0 {
                let target = Target::from_nbits(NBits(bits));
                self.last = (bits, target.map_or(Work::ZERO, Target::work));
            }
            sum += self.last.1;
        }
        sum
    }
}

/// The work of these headers by the targets that they name; those that name none count nothing.
pub fn work_of(headers: &[Header]) -> Work {
    WorkSum::default().of(headers)
}
