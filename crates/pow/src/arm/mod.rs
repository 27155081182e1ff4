//! Hashing with the instructions of particular ARM cores in 64-bit mode, chosen at run time.

pub(crate) mod neon;
pub(crate) mod sha2;

use crate::sha256::Message;
use crate::sha256::many::hash_singly;

/// Double SHA-256 of one message; `None` where this core has no instructions that help.
pub(crate) fn sha256d(data: &[u8]) -> Option<[u8; 32]> {
    sha2::is_supported().then(|| {
        // SAFETY: the core has the features that the function is compiled for.
        unsafe { sha2::sha256d(data) }
    })
}

/// Double SHA-256 of messages of 64 to 119 bytes; `false`, and nothing done, where this core has no
/// instructions that help.
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) -> bool {
    if sha2::is_supported() {
        // SAFETY: the core has the features that the function is compiled for.
        unsafe { sha2::hash_batch(messages, out) };
    } else if neon::is_supported() {
        // SAFETY: the core has the features that the function is compiled for.
        unsafe { neon::hash_batch(messages, out) };
    } else {
        return false;
    }
    true
}

/// Double SHA-256 of messages of any lengths.
pub(crate) fn hash_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    if sha2::is_supported() {
        // SAFETY: the core has the features that the function is compiled for.
        unsafe { sha2::hash_many(messages, out) };
    } else if neon::is_supported() {
        // SAFETY: the core has the features that the function is compiled for.
        unsafe { neon::hash_many(messages, out) };
    } else {
        hash_singly(messages, out);
    }
}
