//! The coinbase transaction, cut open where the extranonce goes.

use bitcoin::Script;

use crate::block::decode::push_compact_size;
use crate::block::script::height_push;
use crate::job::JobError;
use crate::template::Template;

/// The longest script that a coinbase may have.
pub(crate) const MAX_SCRIPT: usize = 100;

/// A mark that a miner leaves in its coinbases, such as `/signalcore/`.
///
/// At most [`MAX_LEN`](Self::MAX_LEN) bytes, so that the coinbase's script stays within its 100
/// whatever the height.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CoinbaseTag(Vec<u8>);

/// A tag that is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("coinbase tag of {0} bytes is too long; it may have {max} bytes at most", max = CoinbaseTag::MAX_LEN)]
pub struct TagTooLong(pub usize);

impl CoinbaseTag {
    /// The most bytes that a tag may have.
    pub const MAX_LEN: usize = 60;

    /// A tag of this text; empty for none.
    ///
    /// # Errors
    /// [`TagTooLong`] over [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn new(text: &str) -> Result<Self, TagTooLong> {
        if text.len() > Self::MAX_LEN {
            return Err(TagTooLong(text.len()));
        }
        Ok(Self(text.as_bytes().to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a coinbase transaction is made of.
pub(crate) struct CoinbaseParts<'a> {
    pub height: u32,
    /// Data that the template wants in the script.
    pub aux: &'a [u8],
    pub consumer: u16,
    pub tag: &'a CoinbaseTag,
    pub value: u64,
    pub payout: &'a Script,
    /// The root of the witness tree with the reserved value, where a commitment is wanted.
    pub commitment: Option<[u8; 32]>,
}

/// A coinbase transaction without its extranonce.
#[derive(Clone, Debug)]
pub(crate) struct Coinbase {
    /// Without witness, up to the extranonce.
    head: Vec<u8>,
    /// From behind the extranonce up to the lock time.
    tail: Vec<u8>,
    has_witness: bool,
}

/// Bytes of the script that tell one consumer's solutions from another's, and one of its
/// extranonces from another.
const EXTRANONCE_LEN: usize = 2 + 8;
/// The reserved value that the witness commitment is made with, and the coinbase's only witness.
pub(crate) const WITNESS_RESERVED: [u8; 32] = [0; 32];
/// An output script with this start commits to the witnesses (BIP141).
pub(crate) const COMMITMENT_HEAD: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

impl Coinbase {
    /// How long the script would be.
    pub fn script_len(height: u32, aux: &[u8], tag: &CoinbaseTag) -> usize {
        let tag_len = if tag.0.is_empty() { 0 } else { 1 + tag.0.len() };
        height_push(height).len() + aux.len() + 1 + EXTRANONCE_LEN + tag_len
    }

    /// Puts the parts together. The caller has made sure that the script is not too long.
    ///
    /// The lock time is the height below and the sequence says so: always final, and what BIP54
    /// proposes to ask for.
    pub fn new(parts: &CoinbaseParts<'_>) -> Self {
        let script_len = Self::script_len(parts.height, parts.aux, parts.tag);
        debug_assert!((2..=MAX_SCRIPT).contains(&script_len));
        let mut head = Vec::with_capacity(64);
        head.extend_from_slice(&2_u32.to_le_bytes());
        head.push(1);
        head.extend_from_slice(&[0; 32]);
        head.extend_from_slice(&u32::MAX.to_le_bytes());
        head.push(script_len as u8);
        head.extend_from_slice(&height_push(parts.height));
        head.extend_from_slice(parts.aux);
        head.push(EXTRANONCE_LEN as u8);
        head.extend_from_slice(&parts.consumer.to_be_bytes());

        let mut tail = Vec::with_capacity(192);
        if !parts.tag.0.is_empty() {
            tail.push(parts.tag.0.len() as u8);
            tail.extend_from_slice(&parts.tag.0);
        }
        tail.extend_from_slice(&(u32::MAX - 1).to_le_bytes());
        tail.push(1 + u8::from(parts.commitment.is_some()));
        push_output(&mut tail, parts.value, parts.payout.as_bytes());
        if let Some(root) = &parts.commitment {
            push_output(&mut tail, 0, &[COMMITMENT_HEAD.as_slice(), root].concat());
        }
        tail.extend_from_slice(&parts.height.saturating_sub(1).to_le_bytes());
        Self {
            head,
            tail,
            has_witness: parts.commitment.is_some(),
        }
    }

    /// The transaction without witness, of which its id is the hash.
    pub fn stripped(&self, extranonce: u64) -> Vec<u8> {
        [self.head.as_slice(), &extranonce.to_be_bytes(), &self.tail].concat()
    }

    /// The transaction as it goes into a block.
    pub fn full(&self, extranonce: u64) -> Vec<u8> {
        let stripped = self.stripped(extranonce);
        if !self.has_witness {
            return stripped;
        }
        let (before_lock_time, lock_time) = stripped.split_at(stripped.len() - 4);
        let mut full = Vec::with_capacity(stripped.len() + 36);
        full.extend_from_slice(&before_lock_time[..4]);
        full.extend_from_slice(&[0, 1]);
        full.extend_from_slice(&before_lock_time[4..]);
        full.extend_from_slice(&[1, 32]);
        full.extend_from_slice(&WITNESS_RESERVED);
        full.extend_from_slice(lock_time);
        full
    }

    pub fn weight(&self) -> u64 {
        (4 * self.stripped_len() + self.witness_len()) as u64
    }

    /// In bytes, as it goes into a block.
    pub fn size(&self) -> u64 {
        (self.stripped_len() + self.witness_len()) as u64
    }

    fn stripped_len(&self) -> usize {
        self.head.len() + 8 + self.tail.len()
    }

    fn witness_len(&self) -> usize {
        if self.has_witness { 2 + 2 + 32 } else { 0 }
    }
}

fn push_output(out: &mut Vec<u8>, value: u64, script: &[u8]) {
    out.extend_from_slice(&value.to_le_bytes());
    push_compact_size(out, script.len() as u64);
    out.extend_from_slice(script);
}

/// The hash that an output commits to: over the witness root and the reserved value.
pub(crate) fn commitment_hash(witness_root: &[u8; 32], reserved: &[u8; 32]) -> [u8; 32] {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(witness_root);
    pair[32..].copy_from_slice(reserved);
    pow::sha256d(&pair)
}

/// What the template wants in the coinbase script.
pub(super) fn aux_bytes(template: &Template) -> Result<Vec<u8>, JobError> {
    let mut bytes = Vec::new();
    for (name, text) in &template.coinbaseaux {
        let data = hex::decode(text).map_err(|_| JobError::Aux { name: name.clone() })?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The tag, unless what the template wants in the script leaves no room for it.
pub(super) fn fitting_tag(
    height: u32,
    aux: &[u8],
    tag: &CoinbaseTag,
    notes: &mut Vec<String>,
) -> Result<CoinbaseTag, JobError> {
    if Coinbase::script_len(height, aux, tag) <= MAX_SCRIPT {
        return Ok(tag.clone());
    }
    let none = CoinbaseTag::default();
    let bare = Coinbase::script_len(height, aux, &none);
    if bare > MAX_SCRIPT {
        return Err(JobError::ScriptTooLong(bare));
    }
    notes.push("coinbase tag left out to make room for the template's coinbaseaux".to_owned());
    Ok(none)
}
