//! SHA-256 on ARMv8's SHA2 extension (`sha256h`, `sha256h2`, `sha256su0`, `sha256su1`), several
//! chains interleaved.
//!
//! `sha256h` and `sha256h2` do four rounds, each for one half of the state, and every four rounds
//! wait for the four before. Cores start a new one long before the last is done, so everything here
//! works on `N` states at once.

use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vdupq_n_u32, vld1q_u8, vld1q_u32, vreinterpretq_u8_u32,
    vreinterpretq_u32_u8, vrev32q_u8, vsetq_lane_u32, vsha256h2q_u32, vsha256hq_u32,
    vsha256su0q_u32, vsha256su1q_u32, vst1q_u8, vst1q_u32,
};
use std::arch::is_aarch64_feature_detected;
use std::array;

use crate::sha256::batch::{PAIR_PADDING, second_block};
use crate::sha256::many::{Chains, hash_chains};
use crate::sha256::{IV, K, Message, sha256d_with};
use crate::unroll::unroll;

/// Whether this core has what this module uses.
pub(crate) fn is_supported() -> bool {
    // Loads of bytes reverse the words as little-endian cores must.
    cfg!(target_endian = "little")
        && is_aarch64_feature_detected!("neon")
        && is_aarch64_feature_detected!("sha2")
}

/// `N` states, each in two registers with the word named first in the lowest lane.
#[derive(Clone, Copy)]
pub(crate) struct States<const N: usize> {
    abcd: [uint32x4_t; N],
    efgh: [uint32x4_t; N],
}

/// Four words, the first in the lowest lane.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn vector(words: [u32; 4]) -> uint32x4_t {
    // SAFETY: reads the four words of the array.
    unsafe { vld1q_u32(words.as_ptr()) }
}

/// Round constants `4 * group` to `4 * group + 3`.
#[inline]
#[target_feature(enable = "neon")]
fn constants(group: usize) -> uint32x4_t {
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
    #[target_feature(enable = "neon")]
    pub(crate) fn splat([a, b, c, d, e, f, g, h]: [u32; 8]) -> Self {
        Self {
            abcd: [vector([a, b, c, d]); N],
            efgh: [vector([e, f, g, h]); N],
        }
    }

    /// Adds a word to `a` and to `e` of each state.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn add_to_a_and_e(&mut self, words: [u32; N]) {
        for i in 0..N {
            let word = vsetq_lane_u32::<0>(words[i], vdupq_n_u32(0));
            self.abcd[i] = vaddq_u32(self.abcd[i], word);
            self.efgh[i] = vaddq_u32(self.efgh[i], word);
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn add(&mut self, other: &Self) {
        for i in 0..N {
            self.abcd[i] = vaddq_u32(self.abcd[i], other.abcd[i]);
            self.efgh[i] = vaddq_u32(self.efgh[i], other.efgh[i]);
        }
    }

    /// The words a to d and e to h: as digests, the first half of the block of the second hash.
    pub(crate) fn words(&self) -> [[uint32x4_t; N]; 2] {
        [self.abcd, self.efgh]
    }

    /// Four rounds; `wk` holds four message words plus their constants.
    #[inline]
    #[target_feature(enable = "neon,sha2")]
    pub(crate) fn four_rounds(&mut self, wk: [uint32x4_t; N]) {
        for i in 0..N {
            let abcd = self.abcd[i];
            self.abcd[i] = vsha256hq_u32(abcd, self.efgh[i], wk[i]);
            self.efgh[i] = vsha256h2q_u32(self.efgh[i], abcd, wk[i]);
        }
    }

    /// The words e to h that four more rounds would leave.
    #[inline]
    #[target_feature(enable = "neon,sha2")]
    pub(crate) fn efgh_after_four_rounds(&self, wk: [uint32x4_t; N]) -> [uint32x4_t; N] {
        let mut efgh = self.efgh;
        for i in 0..N {
            efgh[i] = vsha256h2q_u32(efgh[i], self.abcd[i], wk[i]);
        }
        efgh
    }

    /// Mixes in a block of each chain, given as sixteen message words by fours.
    #[inline]
    #[target_feature(enable = "neon,sha2")]
    fn compress(&mut self, mut w: [[uint32x4_t; N]; 4]) {
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
    #[target_feature(enable = "neon,sha2")]
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
    #[target_feature(enable = "neon,sha2")]
    fn to_words(self) -> [u32; 8] {
        let mut state = [0; 8];
        for (half, [words]) in state.as_chunks_mut::<4>().0.iter_mut().zip(self.words()) {
            // SAFETY: writes the four words of the array.
            unsafe { vst1q_u32(half.as_mut_ptr(), words) };
        }
        state
    }
}

/// Message words with the constants of their group added.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn add_constants<const N: usize>(
    mut words: [uint32x4_t; N],
    group: usize,
) -> [uint32x4_t; N] {
    for word in &mut words {
        *word = vaddq_u32(*word, constants(group));
    }
    words
}

/// Replaces the oldest four of the last sixteen message words, in `w[oldest % 4]`, by the next four.
#[inline]
#[target_feature(enable = "neon,sha2")]
pub(crate) fn expand<const N: usize>(w: &mut [[uint32x4_t; N]; 4], oldest: usize) {
    for i in 0..N {
        let [w0, w1, w2, w3] = array::from_fn(|age| w[(oldest + age) % 4][i]);
        w[oldest % 4][i] = vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);
    }
}

/// The message words of a block of each chain, by fours.
#[inline]
#[target_feature(enable = "neon")]
fn load<const N: usize>(blocks: [&[u8; 64]; N]) -> [[uint32x4_t; N]; 4] {
    let mut w = [[vdupq_n_u32(0); N]; 4];
    for (chain, block) in blocks.into_iter().enumerate() {
        for (group, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: reads the sixteen bytes of the array.
            let bytes = unsafe { vld1q_u8(bytes.as_ptr()) };
            w[group][chain] = vreinterpretq_u32_u8(vrev32q_u8(bytes));
        }
    }
    w
}

/// The digests as bytes.
#[inline]
#[target_feature(enable = "neon")]
fn store<const N: usize>(digests: &States<N>, out: &mut [[u8; 32]; N]) {
    let words = digests.words();
    for (chain, digest) in out.iter_mut().enumerate() {
        for (half, bytes) in digest.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let swapped = vrev32q_u8(vreinterpretq_u8_u32(words[half][chain]));
            // SAFETY: writes the sixteen bytes of the array.
            unsafe { vst1q_u8(bytes.as_mut_ptr(), swapped) };
        }
    }
}

/// Double SHA-256 of `N` messages of 64 to 119 bytes.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn hash_messages<const N: usize, const LEN: usize>(
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
    store(&hash_words(states.words()), out);
}

/// SHA-256 of `N` digests, given as words a to d and e to h.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn hash_words<const N: usize>([w0, w1]: [[uint32x4_t; N]; 2]) -> States<N> {
    let mut states = States::<N>::splat(IV);
    states.compress([
        w0,
        w1,
        [vector([0x8000_0000, 0, 0, 0]); N],
        [vector([0, 0, 0, 256]); N],
    ]);
    states
}

/// Replaces each digest by its own SHA-256.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn hash_digests<const N: usize>(digests: &mut [[u8; 32]; N]) {
    let blocks = digests.map(|digest| {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&digest);
        block
    });
    let [w0, w1, ..] = load(blocks.each_ref());
    store(&hash_words([w0, w1]), digests);
}

/// Double SHA-256 of messages of 64 to 119 bytes, four at a time.
#[target_feature(enable = "neon,sha2")]
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    let (fours, rest) = messages.as_chunks::<4>();
    let (fours_out, rest_out) = out.as_chunks_mut::<4>();
    for (messages, out) in fours.iter().zip(fours_out) {
        hash_messages(messages, out);
    }
    for (message, out) in rest.iter().zip(rest_out) {
        hash_messages(array::from_ref(message), array::from_mut(out));
    }
}

/// Double SHA-256 of one message of any length.
#[target_feature(enable = "neon,sha2")]
pub(crate) fn sha256d(data: &[u8]) -> [u8; 32] {
    let compress = |state: &mut [u32; 8], block: [u32; 16]| {
        let mut states = States::<1>::splat(*state);
        let mut w = [[vdupq_n_u32(0)]; 4];
        for (group, &words) in w.iter_mut().zip(block.as_chunks::<4>().0) {
            *group = [vector(words)];
        }
        states.compress(w);
        *state = states.to_words();
    };
    sha256d_with(compress, data)
}

/// Interleaved chains, each with a message of its own.
///
/// To be used in functions with the features of [`States`] only.
struct Interleaved(States<4>);

impl Chains<4> for Interleaved {
    #[inline(always)]
    fn start(&mut self, chain: usize) {
        // SAFETY: values of this type exist only where the SHA2 extension was found.
        let initial = unsafe { States::<1>::splat(IV) };
        self.0.abcd[chain] = initial.abcd[0];
        self.0.efgh[chain] = initial.efgh[0];
    }

    #[inline(always)]
    fn mix(&mut self, blocks: [&[u8; 64]; 4]) {
        // SAFETY: values of this type exist only where the SHA2 extension was found.
        unsafe { self.0.compress(load(blocks)) };
    }

    #[inline(always)]
    fn state(&self, chain: usize) -> [u32; 8] {
        let state = States {
            abcd: [self.0.abcd[chain]],
            efgh: [self.0.efgh[chain]],
        };
        // SAFETY: values of this type exist only where the SHA2 extension was found.
        unsafe { state.to_words() }
    }

    #[inline(always)]
    fn mix_one(state: &mut [u32; 8], block: &[u8; 64]) {
        // SAFETY: called where values of this type are, and so the SHA2 extension.
        unsafe {
            let mut states = States::<1>::splat(*state);
            states.compress(load([block]));
            *state = states.to_words();
        }
    }
}

/// Double SHA-256 of each message, in four chains.
#[target_feature(enable = "neon,sha2")]
pub(crate) fn hash_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    hash_chains(Interleaved(States::splat(IV)), messages, out);
    let (fours, rest) = out.as_chunks_mut::<4>();
    fours.iter_mut().for_each(|digests| hash_digests(digests));
    for digest in rest {
        hash_digests(array::from_mut(digest));
    }
}
