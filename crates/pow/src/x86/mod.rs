//! Hashing with the instructions of particular x86-64 CPUs, chosen at run time.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod messages;
pub(crate) mod shani;
pub(crate) mod sse2;

use crate::sha256::Message;

/// Double SHA-256 of one message; `None` where this CPU has no instructions that help.
pub(crate) fn sha256d(data: &[u8]) -> Option<[u8; 32]> {
    shani::is_supported().then(|| {
        // SAFETY: the CPU has the features that the function is compiled for.
        unsafe { messages::sha256d(data) }
    })
}

/// Double SHA-256 of messages of 64, 80, 96 or 112 bytes; `false`, and nothing done, where this CPU has no
/// instructions that help.
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) -> bool {
    if shani::is_supported() {
        // SAFETY: the CPU has the features that the function is compiled for.
        unsafe { messages::hash_batch(messages, out) };
    } else if avx512::is_supported() {
        // SAFETY: the CPU has the features that the function is compiled for.
        unsafe { avx512::hash_batch(messages, out) };
    } else if avx2::is_supported() {
        // SAFETY: the CPU has the features that the function is compiled for.
        unsafe { avx2::hash_batch(messages, out) };
    } else {
        sse2::hash_batch(messages, out);
    }
    true
}

/// Double SHA-256 of messages of any lengths.
pub(crate) fn hash_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    if shani::is_supported() {
        // SAFETY: the CPU has the features that the function is compiled for.
        unsafe { messages::hash_many::<{ messages::CHAINS }>(messages, out) };
    } else if avx512::is_supported() {
        // SAFETY: the CPU has the features that the function is compiled for.
        unsafe { avx512::hash_many(messages, out) };
    } else if avx2::is_supported() {
        // SAFETY: the CPU has the features that the function is compiled for.
        unsafe { avx2::hash_many(messages, out) };
    } else {
        sse2::hash_many(messages, out);
    }
}
