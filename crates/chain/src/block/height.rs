//! The height that a coinbase begins with (BIP34), read from the first bytes of a block.

use super::decode::{DecodeError, Reader};
use super::script::height_push;
use crate::params::Params;

/// So many bytes of a block decide [`names_height`]: header, counts, and the longest script that a coinbase may have.
pub const NAMES_HEIGHT_WITHIN: usize = 256;

/// Whether the coinbase of a raw block, of which the first [`NAMES_HEIGHT_WITHIN`] bytes are enough, begins with
/// the height that the block is to have, where BIP34 asks for it.
pub fn names_height(raw: &[u8], height: u32, params: &Params) -> bool {
    let raw = &raw[..raw.len().min(NAMES_HEIGHT_WITHIN)];
    height < params.bip34_height
        || coinbase_script(raw).is_ok_and(|script| script.starts_with(&height_push(height)))
}

/// The script of the first input of the first transaction; without one, nothing.
fn coinbase_script(raw: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(raw)?;
    reader.take(80)?;
    reader.compact_size()?;
    reader.take(4)?;
    let mut inputs = reader.compact_size()?;
    if inputs == 0 && reader.u8()? != 0 {
        inputs = reader.compact_size()?;
    }
    if inputs == 0 {
        return Ok(&[]);
    }
    reader.take(36)?;
    let length = reader.compact_size()?;
    reader.take(usize::try_from(length).unwrap_or(usize::MAX))
}
