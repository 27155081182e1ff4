//! Many messages of one length at once, each in a lane of its own.

use super::compress::compress_scheduled;
use super::{IV, K, Word, compress, digest_block};

/// What hashing different messages in the lanes needs of a [`Word`].
pub(crate) trait BatchWord: Word {
    /// From a value for each lane.
    fn from_lanes(lane: impl FnMut(usize) -> u32) -> Self;
    /// The value in each lane, to as many as `lanes` holds.
    fn to_lanes(self, lanes: impl FnMut(usize, u32));
}

impl BatchWord for u32 {
    #[inline(always)]
    fn from_lanes(mut lane: impl FnMut(usize) -> u32) -> Self {
        lane(0)
    }
    #[inline(always)]
    fn to_lanes(self, mut lane: impl FnMut(usize, u32)) {
        lane(0, self);
    }
}

/// Double SHA-256 of messages of 64, 80, 96 or 112 bytes, which with their padding fill two blocks.
pub(super) fn hash<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    #[cfg(target_arch = "x86_64")]
    if crate::x86::hash_batch(messages, out) {
        return;
    }
    #[cfg(target_arch = "aarch64")]
    if crate::arm::hash_batch(messages, out) {
        return;
    }
    hash_lanes::<u32, LEN>(messages, out);
}

/// The second block of a message: its end, its padding and its length.
#[inline(always)]
pub(crate) fn second_block<const LEN: usize>(message: &[u8; LEN]) -> [u8; 64] {
    const {
        assert!(
            LEN >= 64 && LEN < 120,
            "the message and its padding fill two blocks"
        );
    };
    let mut block = [0; 64];
    block[..LEN - 64].copy_from_slice(&message[64..]);
    block[LEN - 64] = 0x80;
    block[62..].copy_from_slice(&(LEN as u16 * 8).to_be_bytes());
    block
}

/// The schedule of the second block of every 64-byte message, which is all padding, with the round constants added.
pub(crate) const PAIR_PADDING: [u32; 64] = {
    const fn sigma(x: u32, a: u32, b: u32, shift: u32) -> u32 {
        x.rotate_right(a) ^ x.rotate_right(b) ^ x >> shift
    }
    let mut w = [0_u32; 64];
    w[0] = 0x8000_0000;
    w[15] = 512;
    let mut i = 16;
    while i < 64 {
        w[i] = w[i - 16]
            .wrapping_add(sigma(w[i - 15], 7, 18, 3))
            .wrapping_add(w[i - 7])
            .wrapping_add(sigma(w[i - 2], 17, 19, 10));
        i += 1;
    }
    let mut i = 0;
    while i < 64 {
        w[i] = w[i].wrapping_add(K[i]);
        i += 1;
    }
    w
};

/// [`hash`] in the lanes of `W`; where messages run out, lanes idle.
#[inline(always)]
pub(crate) fn hash_lanes<W: BatchWord, const LEN: usize>(
    messages: &[[u8; LEN]],
    out: &mut [[u8; 32]],
) {
    for (messages, out) in messages.chunks(W::LANES).zip(out.chunks_mut(W::LANES)) {
        let message = |lane: usize| messages.get(lane).unwrap_or(&messages[0]);
        let word = |bytes: &[u8], i: usize| {
            u32::from_be_bytes([
                bytes[4 * i],
                bytes[4 * i + 1],
                bytes[4 * i + 2],
                bytes[4 * i + 3],
            ])
        };
        let mut state = IV.map(W::splat);
        compress(
            &mut state,
            std::array::from_fn(|i| W::from_lanes(|lane| word(message(lane), i))),
        );
        if LEN == 64 {
            compress_scheduled(&mut state, &PAIR_PADDING);
        } else {
            compress(
                &mut state,
                std::array::from_fn(|i| {
                    W::from_lanes(|lane| word(&second_block(message(lane)), i))
                }),
            );
        }
        let mut second = IV.map(W::splat);
        compress(&mut second, digest_block(state));
        store(second, out);
    }
}

/// Replaces each digest by its own SHA-256, in the lanes of `W`: the second half of a double hash.
#[inline(always)]
pub(crate) fn hash_digest_lanes<W: BatchWord>(digests: &mut [[u8; 32]]) {
    for digests in digests.chunks_mut(W::LANES) {
        let word = |lane: usize, i: usize| {
            let digest = digests.get(lane).unwrap_or(&digests[0]);
            u32::from_be_bytes(digest.as_chunks().0[i])
        };
        let first = std::array::from_fn(|i| W::from_lanes(|lane| word(lane, i)));
        let mut state = IV.map(W::splat);
        compress(&mut state, digest_block(first));
        store(state, digests);
    }
}

/// Writes out a digest from each lane, to as many as there is room for.
#[inline(always)]
fn store<W: BatchWord>(state: [W; 8], out: &mut [[u8; 32]]) {
    for (i, word) in state.into_iter().enumerate() {
        word.to_lanes(|lane, value| {
            if let Some(digest) = out.get_mut(lane) {
                digest[4 * i..4 * i + 4].copy_from_slice(&value.to_be_bytes());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    type Way<const LEN: usize> = fn(&[[u8; LEN]], &mut [[u8; 32]]);

    /// Every way to hash a batch that this CPU has, whether or not [`hash`] would choose it.
    fn ways<const LEN: usize>() -> Vec<(&'static str, Way<LEN>)> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            allow(unused_mut)
        )]
        let mut ways: Vec<(&'static str, Way<LEN>)> =
            vec![("chosen", hash), ("scalar", hash_lanes::<u32, LEN>)];
        #[cfg(target_arch = "x86_64")]
        {
            use crate::x86::{avx2, avx512, messages, shani, sse2};
            ways.push(("sse2", sse2::hash_batch));
            if avx512::is_supported() {
                // SAFETY: the CPU has the features that the function is compiled for.
                ways.push(("avx512", |messages, out| unsafe {
                    avx512::hash_batch(messages, out);
                }));
            }
            if avx2::is_supported() {
                // SAFETY: the CPU has the features that the function is compiled for.
                ways.push(("avx2", |messages, out| unsafe {
                    avx2::hash_batch(messages, out);
                }));
            }
            if shani::is_supported() {
                // SAFETY: the CPU has the features that the function is compiled for.
                ways.push(("shani", |messages, out| unsafe {
                    messages::hash_batch(messages, out);
                }));
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use crate::arm::{neon, sha2};
            if neon::is_supported() {
                // SAFETY: the core has the features that the function is compiled for.
                ways.push(("neon", |messages, out| unsafe {
                    neon::hash_batch(messages, out);
                }));
            }
            if sha2::is_supported() {
                // SAFETY: the core has the features that the function is compiled for.
                ways.push(("sha2", |messages, out| unsafe {
                    sha2::hash_batch(messages, out);
                }));
            }
        }
        ways
    }

    fn check<const LEN: usize>() {
        for count in (0..20).chain([31, 32, 33]) {
            let messages: Vec<[u8; LEN]> = (0..count)
                .map(|n: usize| std::array::from_fn(|i| (n * 89 + i * 13 + i * i * n) as u8))
                .collect();
            let expected: Vec<[u8; 32]> = messages
                .iter()
                .map(|message| Sha256::digest(Sha256::digest(message)).into())
                .collect();
            for (name, way) in ways::<LEN>() {
                let mut digests = vec![[0; 32]; count];
                way(&messages, &mut digests);
                assert!(
                    digests == expected,
                    "{count} messages of {LEN} bytes, {name}"
                );
            }
        }
    }

    #[test]
    fn every_way_hashes_every_lane_right() {
        check::<64>();
        check::<80>();
        check::<96>();
        check::<112>();
    }
}
