//! SHA-256 on the SHA extensions (`sha256rnds2`, `sha256msg1`, `sha256msg2`), several chains interleaved.
//!
//! `sha256rnds2` does two rounds with a latency of four cycles, and the CPU can start one each cycle:
//! only four or more independent hashes keep it busy. So everything here works on `N` states at once.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_set_epi32, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi32,
};
use std::array;

use crate::sha256::K;

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
        w[oldest % 4][i] = next_words(array::from_fn(|age| w[(oldest + age) % 4][i]));
    }
}

/// The four message words after the last sixteen.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) fn next_words([w0, w1, w2, w3]: [__m128i; 4]) -> __m128i {
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    _mm_sha256msg2_epu32(sum, w3)
}
