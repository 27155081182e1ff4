//! SHA-256 on the SHA extensions (`sha256rnds2`, `sha256msg1`, `sha256msg2`), several chains interleaved.
//!
//! `sha256rnds2` does two rounds with a latency of four cycles, and the CPU can start one each cycle:
//! only four or more independent hashes keep it busy. So everything here works on `N` states at once.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi32,
    _mm_set_epi64x, _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32,
    _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128,
};
use std::array;

use crate::sha256::batch::{PAIR_PADDING, second_block};
use crate::sha256::{IV, K, sha256d_with};
use crate::unroll::unroll;

/// Whether this CPU has what this module uses.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3")
}

/// `N` states, each in the two registers that `sha256rnds2` wants, named from the highest word down.
#[derive(Clone, Copy)]
pub(crate) struct States<const N: usize> {
    pub(crate) abef: [__m128i; N],
    pub(crate) cdgh: [__m128i; N],
}

/// Four words, the first in the lowest lane.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(crate) fn vector([w0, w1, w2, w3]: [u32; 4]) -> __m128i {
    _mm_set_epi32(
        w3.cast_signed(),
        w2.cast_signed(),
        w1.cast_signed(),
        w0.cast_signed(),
    )
}

/// Round constants `4 * group` to `4 * group + 3`.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(crate) fn constants(group: usize) -> __m128i {
    vector([
        K[4 * group],
        K[4 * group + 1],
        K[4 * group + 2],
        K[4 * group + 3],
    ])
}

impl<const N: usize> States<N> {
    /// The same state `N` times, from its words named a to h.
    #[inline]
    #[target_feature(enable = "sse4.1")]
    pub(crate) fn splat([a, b, c, d, e, f, g, h]: [u32; 8]) -> Self {
        Self {
            abef: [vector([f, e, b, a]); N],
            cdgh: [vector([h, g, d, c]); N],
        }
    }

    /// Adds a word to `a` and to `e` of each state.
    #[inline]
    #[target_feature(enable = "sse4.1")]
    pub(crate) fn add_to_a_and_e(&mut self, words: [u32; N]) {
        for i in 0..N {
            self.abef[i] = _mm_add_epi32(self.abef[i], vector([0, words[i], 0, words[i]]));
        }
    }

    #[inline]
    #[target_feature(enable = "sse4.1")]
    pub(crate) fn add(&mut self, other: &Self) {
        for i in 0..N {
            self.abef[i] = _mm_add_epi32(self.abef[i], other.abef[i]);
            self.cdgh[i] = _mm_add_epi32(self.cdgh[i], other.cdgh[i]);
        }
    }

    /// The digests' words, a to d and e to h: the first half of the block of the second hash.
    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    pub(crate) fn words(&self) -> [[__m128i; N]; 2] {
        let mut words = [[_mm_setzero_si128(); N]; 2];
        for i in 0..N {
            let feba = _mm_shuffle_epi32(self.abef[i], 0x1b);
            let dchg = _mm_shuffle_epi32(self.cdgh[i], 0xb1);
            words[0][i] = _mm_blend_epi16(feba, dchg, 0xf0);
            words[1][i] = _mm_alignr_epi8(dchg, feba, 8);
        }
        words
    }

    /// Two rounds; `wk` holds the two message words plus their constants in its low half.
    #[inline]
    #[target_feature(enable = "sha")]
    pub(crate) fn two_rounds(&mut self, wk: [__m128i; N]) {
        for i in 0..N {
            let abef = _mm_sha256rnds2_epu32(self.cdgh[i], self.abef[i], wk[i]);
            self.cdgh[i] = self.abef[i];
            self.abef[i] = abef;
        }
    }

    /// Four rounds; `wk` holds four message words plus their constants.
    #[inline]
    #[target_feature(enable = "sha,sse4.1")]
    pub(crate) fn four_rounds(&mut self, wk: [__m128i; N]) {
        self.two_rounds(wk);
        let mut high = wk;
        for wk in &mut high {
            *wk = _mm_shuffle_epi32(*wk, 0x0e);
        }
        self.two_rounds(high);
    }

    /// Mixes in a block of each chain, given as sixteen message words by fours.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn compress(&mut self, mut w: [[__m128i; N]; 4]) {
        let before = *self;
        unroll!(group in 4 => {
            self.four_rounds(add_constants(w[group], group));
        });
        unroll!(group in 12 => {
            expand(&mut w, group);
            self.four_rounds(add_constants(w[group % 4], 4 + group));
        });
        self.add(&before);
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

    /// The registers that hold f, e, b, a of each state, from the lowest word up.
    pub(crate) fn abef(&self) -> &[__m128i; N] {
        &self.abef
    }
}

/// Message words with the constants of their group added.
#[inline]
#[target_feature(enable = "sse4.1")]
pub(crate) fn add_constants<const N: usize>(mut words: [__m128i; N], group: usize) -> [__m128i; N] {
    for word in &mut words {
        *word = _mm_add_epi32(*word, constants(group));
    }
    words
}

/// Replaces the oldest four of the last sixteen message words, in `w[0]`, by the next four.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn expand<const N: usize>(w: &mut [[__m128i; N]; 4], oldest: usize) {
    for i in 0..N {
        let [w0, w1, w2, w3] = array::from_fn(|age| w[(oldest + age) % 4][i]);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
        w[oldest % 4][i] = _mm_sha256msg2_epu32(sum, w3);
    }
}

/// Reverses the bytes of each word.
#[inline]
#[target_feature(enable = "ssse3")]
fn swap_bytes(words: __m128i) -> __m128i {
    _mm_shuffle_epi8(
        words,
        _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203),
    )
}

/// The message words of a block of each chain, by fours.
#[inline]
#[target_feature(enable = "ssse3")]
fn load<const N: usize>(blocks: [&[u8; 64]; N]) -> [[__m128i; N]; 4] {
    let mut w = [[_mm_setzero_si128(); N]; 4];
    for (chain, block) in blocks.into_iter().enumerate() {
        for (group, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: reads the sixteen bytes of the array, which need no alignment.
            let words = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
            w[group][chain] = swap_bytes(words);
        }
    }
    w
}

/// Double SHA-256 of `N` messages of 64 to 119 bytes.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_chains<const N: usize, const LEN: usize>(
    messages: &[[u8; LEN]; N],
    out: &mut [[u8; 32]; N],
) {
    let mut states = States::<N>::splat(IV);
    let first: [&[u8; 64]; N] =
        array::from_fn(|i| messages[i].first_chunk().expect("64 bytes or more"));
    states.compress(load(first));
    if LEN == 64 {
        states.compress_scheduled(&PAIR_PADDING);
    } else {
        let second: [[u8; 64]; N] = array::from_fn(|i| second_block(&messages[i]));
        states.compress(load(second.each_ref()));
    }
    let [w0, w1] = states.words();
    let mut states = States::<N>::splat(IV);
    states.compress([
        w0,
        w1,
        [vector([0x8000_0000, 0, 0, 0]); N],
        [vector([0, 0, 0, 256]); N],
    ]);
    let words = states.words();
    for (chain, digest) in out.iter_mut().enumerate() {
        for (half, bytes) in digest.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            // SAFETY: writes the sixteen bytes of the array, which need no alignment.
            unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), swap_bytes(words[half][chain])) };
        }
    }
}

/// Double SHA-256 of messages of 64 to 119 bytes, four at a time.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    let (fours, rest) = messages.as_chunks::<4>();
    let (fours_out, rest_out) = out.as_chunks_mut::<4>();
    for (messages, out) in fours.iter().zip(fours_out) {
        hash_chains(messages, out);
    }
    for (message, out) in rest.iter().zip(rest_out) {
        hash_chains(array::from_ref(message), array::from_mut(out));
    }
}

/// Double SHA-256 of one message of any length.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn sha256d(data: &[u8]) -> [u8; 32] {
    let compress = |state: &mut [u32; 8], block: [u32; 16]| {
        let mut states = States::<1>::splat(*state);
        let words = |group: usize| {
            [vector([
                block[group],
                block[group + 1],
                block[group + 2],
                block[group + 3],
            ])]
        };
        states.compress([words(0), words(4), words(8), words(12)]);
        for (half, [words]) in state.as_chunks_mut::<4>().0.iter_mut().zip(states.words()) {
            // SAFETY: writes the four words of the array, which need no alignment.
            unsafe { _mm_storeu_si128(half.as_mut_ptr().cast(), words) };
        }
    };
    sha256d_with(compress, data)
}
