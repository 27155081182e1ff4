//! Whole messages on the SHA extensions, four at a time.
//!
//! Within each group of four rounds one chain goes after the other: the fewest registers are in use,
//! and the CPU finds the independent chains by itself.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_loadu_si128, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128,
};
use std::array;

use super::shani::{States, constants, next_words, vector};
use crate::sha256::batch::PAIR_PADDING;
use crate::sha256::many::{Chains, hash_chains};
use crate::sha256::{IV, Message, sha256d_with};
use crate::unroll::unroll;

/// How many chains are the fastest.
pub(crate) const CHAINS: usize = 4;

impl<const N: usize> States<N> {
    /// Mixes in a block of each chain; `words(group, chain)` gives four message words.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn compress(&mut self, words: impl Fn(usize, usize) -> __m128i) {
        let before = *self;
        let mut w = [[_mm_setzero_si128(); N]; 4];
        unroll!(group in 4 => {
            for chain in 0..N {
                w[group][chain] = words(group, chain);
                self.four_rounds_of(chain, _mm_add_epi32(w[group][chain], constants(group)));
            }
        });
        unroll!(group in 12 => {
            for chain in 0..N {
                let next = next_words(array::from_fn(|age| w[(group + age) % 4][chain]));
                w[group % 4][chain] = next;
                self.four_rounds_of(chain, _mm_add_epi32(next, constants(4 + group)));
            }
        });
        self.add(&before);
    }

    /// Four rounds of one chain; `wk` holds four message words plus their constants.
    #[inline]
    #[target_feature(enable = "sha,sse4.1")]
    fn four_rounds_of(&mut self, chain: usize, wk: __m128i) {
        let (abef, cdgh) = (self.abef[chain], self.cdgh[chain]);
        let half = _mm_sha256rnds2_epu32(cdgh, abef, wk);
        self.abef[chain] = _mm_sha256rnds2_epu32(abef, half, _mm_shuffle_epi32(wk, 0x0e));
        self.cdgh[chain] = half;
    }

    /// Mixes in a block whose schedule, constants added, is the same for all chains.
    #[inline]
    #[target_feature(enable = "sha,sse4.1")]
    fn compress_scheduled(&mut self, schedule: &[u32; 64]) {
        let before = *self;
        for &wk in schedule.as_chunks::<4>().0 {
            self.four_rounds([vector(wk); N]);
        }
        self.add(&before);
    }
}

impl States<1> {
    /// The state's words, a to h.
    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    fn to_words(self) -> [u32; 8] {
        let mut state = [0; 8];
        for (half, [words]) in state.as_chunks_mut::<4>().0.iter_mut().zip(self.words()) {
            // SAFETY: writes the four words of the array, which need no alignment.
            unsafe { _mm_storeu_si128(half.as_mut_ptr().cast(), words) };
        }
        state
    }
}

/// Reverses the bytes of each word.
#[inline]
#[target_feature(enable = "ssse3")]
fn swap_bytes(words: __m128i) -> __m128i {
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    _mm_shuffle_epi8(words, order)
}

/// Message words `4 * group` to `4 * group + 3` of bytes that have as many.
#[inline]
#[target_feature(enable = "ssse3")]
fn load(bytes: &[u8], group: usize) -> __m128i {
    let bytes = &bytes.as_chunks::<16>().0[group];
    // SAFETY: reads the sixteen bytes of the array, which need no alignment.
    swap_bytes(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// SHA-256 of `N` digests, the first half of whose words `words(half, chain)` gives.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_digest_words<const N: usize>(
    words: impl Fn(usize, usize) -> __m128i,
    out: &mut [[u8; 32]; N],
) {
    let mut states = States::<N>::splat(IV);
    states.compress(|group, chain| match group {
        0 | 1 => words(group, chain),
        2 => vector([0x8000_0000, 0, 0, 0]),
        _ => vector([0, 0, 0, 256]),
    });
    let words = states.words();
    for (chain, digest) in out.iter_mut().enumerate() {
        for (half, bytes) in digest.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            // SAFETY: writes the sixteen bytes of the array, which need no alignment.
            unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), swap_bytes(words[half][chain])) };
        }
    }
}

/// Double SHA-256 of `N` messages of 64, 80, 96 or 112 bytes.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_messages<const N: usize, const LEN: usize>(
    messages: &[[u8; LEN]; N],
    out: &mut [[u8; 32]; N],
) {
    const { assert!(LEN >= 64 && LEN < 120 && LEN.is_multiple_of(16)) };
    let mut states = States::<N>::splat(IV);
    states.compress(|group, chain| load(&messages[chain], group));
    if LEN == 64 {
        states.compress_scheduled(&PAIR_PADDING);
    } else {
        states.compress(|group, chain| {
            let bytes_left = LEN - 64;
            let padding = u32::from(bytes_left == 16 * group) << 31;
            match group {
                _ if 16 * group < bytes_left => load(&messages[chain], 4 + group),
                3 => vector([padding, 0, 0, LEN as u32 * 8]),
                _ => vector([padding, 0, 0, 0]),
            }
        });
    }
    let words = states.words();
    hash_digest_words(|half, chain| words[half][chain], out);
}

/// Double SHA-256 of messages of 64, 80, 96 or 112 bytes, four at a time.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    let (fours, rest) = messages.as_chunks::<CHAINS>();
    let (fours_out, rest_out) = out.as_chunks_mut::<CHAINS>();
    for (messages, out) in fours.iter().zip(fours_out) {
        hash_messages(messages, out);
    }
    for (message, out) in rest.iter().zip(rest_out) {
        hash_messages(array::from_ref(message), array::from_mut(out));
    }
}

/// Replaces each digest by its own SHA-256, four at a time.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_digests(digests: &mut [[u8; 32]]) {
    let (fours, rest) = digests.as_chunks_mut::<CHAINS>();
    for digests in fours {
        let first = *digests;
        hash_digest_words(|half, chain| load(&first[chain], half), digests);
    }
    for digest in rest {
        let first = *digest;
        hash_digest_words(|half, _| load(&first, half), array::from_mut(digest));
    }
}

/// Interleaved chains, each with a message of its own.
///
/// To be used in functions with the features of [`States`] only, into which all is inlined.
struct Interleaved<const N: usize>(States<N>);

impl<const N: usize> Chains<N> for Interleaved<N> {
    #[inline(always)]
    fn start(&mut self, chain: usize) {
        // SAFETY: values of this type exist only where the SHA extensions were found.
        let initial = unsafe { States::<1>::splat(IV) };
        self.0.abef[chain] = initial.abef[0];
        self.0.cdgh[chain] = initial.cdgh[0];
    }

    #[inline(always)]
    fn mix(&mut self, blocks: [&[u8; 64]; N]) {
        // SAFETY: values of this type exist only where the SHA extensions were found.
        unsafe { mix(&mut self.0, blocks) };
    }

    #[inline(always)]
    fn state(&self, chain: usize) -> [u32; 8] {
        let state = States {
            abef: [self.0.abef[chain]],
            cdgh: [self.0.cdgh[chain]],
        };
        // SAFETY: values of this type exist only where the SHA extensions were found.
        unsafe { state.to_words() }
    }

    #[inline(always)]
    fn mix_one(state: &mut [u32; 8], block: &[u8; 64]) {
        // SAFETY: called where values of this type are, and so the SHA extensions.
        unsafe {
            let mut states = States::<1>::splat(*state);
            mix(&mut states, [block]);
            *state = states.to_words();
        }
    }
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn mix<const N: usize>(states: &mut States<N>, blocks: [&[u8; 64]; N]) {
    states.compress(|group, chain| load(blocks[chain], group));
}

/// Double SHA-256 of each message, in `N` chains.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn hash_many<const N: usize>(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    hash_chains(Interleaved::<N>(States::splat(IV)), messages, out);
    hash_digests(out);
}

/// Double SHA-256 of one message of any length.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn sha256d(data: &[u8]) -> [u8; 32] {
    let compress = |state: &mut [u32; 8], block: [u32; 16]| {
        let mut states = States::<1>::splat(*state);
        let (words, _) = block.as_chunks::<4>();
        states.compress(|group, _| vector(words[group]));
        *state = states.to_words();
    };
    sha256d_with(compress, data)
}
