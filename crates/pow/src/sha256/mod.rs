//! SHA-256 (FIPS 180-4) and the double SHA-256 of Bitcoin.

pub(crate) mod batch;
mod compress;
pub(crate) mod many;
mod word;

pub use many::{Message, sha256d_many};

pub(crate) use compress::{compress, expand, round};
pub(crate) use word::{Word, small_sigma0, small_sigma1};

/// Round constants.
pub(crate) const K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Initial state.
pub(crate) const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The message words of a block's 64 bytes.
pub(crate) fn words(block: &[u8; 64]) -> [u32; 16] {
    let (chunks, _) = block.as_chunks::<4>();
    std::array::from_fn(|i| u32::from_be_bytes(chunks[i]))
}

/// The bytes of a digest, from its state words.
pub(crate) fn digest_bytes(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

/// The one block of the second hash: a digest, its padding and its length.
#[inline(always)]
pub(crate) fn digest_block<W: Word>(digest: [W; 8]) -> [W; 16] {
    let [a, b, c, d, e, f, g, h] = digest;
    let (zero, padding, length) = (W::splat(0), W::splat(0x8000_0000), W::splat(256));
    [
        a, b, c, d, e, f, g, h, padding, zero, zero, zero, zero, zero, zero, length,
    ]
}

/// Double SHA-256 of any number of bytes, by the fastest means of this CPU.
pub fn sha256d(data: &[u8]) -> [u8; 32] {
    #[cfg(target_arch = "x86_64")]
    if let Some(digest) = crate::x86::sha256d(data) {
        return digest;
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(digest) = crate::arm::sha256d(data) {
        return digest;
    }
    sha256d_with(compress, data)
}

/// Double SHA-256 of many 80-byte block headers: `out[i]` is the hash of `headers[i]`.
///
/// # Panics
/// When the two slices differ in length.
pub fn sha256d_80(headers: &[[u8; 80]], out: &mut [[u8; 32]]) {
    assert_eq!(headers.len(), out.len(), "one digest per header");
    batch::hash(headers, out);
}

/// Double SHA-256 of many 64-byte pairs of digests: one level of a merkle tree.
///
/// # Panics
/// When the two slices differ in length.
pub fn sha256d_64(pairs: &[[u8; 64]], out: &mut [[u8; 32]]) {
    assert_eq!(pairs.len(), out.len(), "one digest per pair");
    batch::hash(pairs, out);
}

/// Double SHA-256 over a given compression function.
pub(crate) fn sha256d_with(
    mut compress: impl FnMut(&mut [u32; 8], [u32; 16]),
    data: &[u8],
) -> [u8; 32] {
    let mut state = IV;
    let (blocks, rest) = data.as_chunks::<64>();
    for block in blocks {
        compress(&mut state, words(block));
    }

    let mut last = [0; 64];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    if rest.len() >= 56 {
        compress(&mut state, words(&last));
        last = [0; 64];
    }
    last[56..].copy_from_slice(&(data.len() as u64 * 8).to_be_bytes());
    compress(&mut state, words(&last));

    let mut second = IV;
    compress(&mut second, digest_block(state));
    digest_bytes(second)
}
