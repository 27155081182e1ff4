//! What the hybrids keep in memory, and how it lies there.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_load_si128, _mm_store_si128, _mm256_load_si256, _mm256_store_si256,
    _mm256_unpackhi_epi32, _mm256_unpacklo_epi32,
};
use std::ptr;

use super::LANES;
use crate::scan::ScanJob;
use crate::scan::job::VersionState;
use crate::scan::lanes::{ScanWord, TAIL_WK, second_chunk_schedule};
use crate::sha256::{IV, K};
use crate::x86::avx2::Avx2Word;

/// The same word of the eight lanes.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Row([u32; LANES]);

/// One register of a chain.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Register(pub(super) [u32; 4]);

/// One message word and the next, with their constants, for each chain, as `sha256rnds2` takes them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Pairs(pub(super) [u64; LANES]);

/// The lane of each chain: storing the interleaved words of two vectors leaves them in this order.
pub(super) const LANE: [usize; LANES] = [0, 1, 4, 5, 2, 3, 6, 7];

/// Where the registers of each chain are kept, so that rows of two make the lanes when transposed.
pub(super) const PLACE: [usize; LANES] = [0, 2, 1, 3, 4, 6, 5, 7];

/// One header version, in registers.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Version {
    /// After rounds 0 to 3 of the second chunk, but for the nonce.
    pub(super) abef: Register,
    pub(super) cdgh: Register,
    /// After the first chunk.
    pub(super) middle_abef: Register,
    pub(super) middle_cdgh: Register,
}

/// A batch on its way.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Flight {
    /// The digests of the first hash, by [`PLACE`].
    pub(super) abef: [Register; LANES],
    pub(super) cdgh: [Register; LANES],
    /// Message word 0 of the second hash where it stands in half a register.
    pub(super) start: [[u32; 2]; LANES],
    /// Message words of the second hash, word `i` in row `i % 32`.
    pub(super) words: [Row; 32],
    /// Words `2 * i + 1` and `2 * i + 2`.
    pub(super) pairs: [Pairs; 30],
}

/// Message words that no nonce changes, sums of them, and round constants, in all lanes.
#[repr(C, align(64))]
pub(super) struct Constants {
    pub(super) k: [Row; 64],
    /// sigma1 of word 15.
    pub(super) w17: Row,
    /// Word 15.
    pub(super) w22: Row,
    /// sigma0 of word 8.
    pub(super) w23: Row,
    /// Word 8.
    pub(super) w24: Row,
    /// sigma0 of word 15.
    pub(super) w30: Row,
    /// The state after round 0 of the second hash, but for message word 0.
    pub(super) start_abef: Register,
    pub(super) start_cdgh: Register,
}

/// What the step works in.
///
/// A page's alignment, and all in one place: what a step loads and what it stores shall not look alike in the low
/// bits of the address by the chance of where memory was given.
#[repr(C, align(4096))]
pub(super) struct Space {
    pub(super) constants: Constants,
    pub(super) flights: [Flight; 4],
    /// The second chunk's message words from 4 on, for eight nonces.
    pub(super) tail: [Pairs; 30],
    /// The last digest word of each chain, but for the constant that ends the hash.
    pub(super) last: [Register; 2],
}

impl Row {
    #[inline(always)]
    pub(super) fn load(&self) -> Avx2Word {
        // SAFETY: rows are aligned, and there are some only where AVX2 was found.
        Avx2Word(unsafe { _mm256_load_si256(ptr::from_ref(self).cast()) })
    }

    #[inline(always)]
    pub(super) fn store(&mut self, word: Avx2Word) {
        // SAFETY: as above.
        unsafe { _mm256_store_si256(ptr::from_mut(self).cast(), word.0) }
    }
}

impl Register {
    #[inline(always)]
    pub(super) fn load(&self) -> __m128i {
        // SAFETY: registers are aligned; SSE2 is part of x86-64.
        unsafe { _mm_load_si128(ptr::from_ref(self).cast()) }
    }

    #[inline(always)]
    pub(super) fn store(&mut self, value: __m128i) {
        // SAFETY: as above.
        unsafe { _mm_store_si128(ptr::from_mut(self).cast(), value) }
    }
}

impl Pairs {
    /// The same two words for all chains.
    const fn constant(even: u32, odd: u32) -> Self {
        Self([even as u64 | (odd as u64) << 32; LANES])
    }

    #[inline(always)]
    pub(super) fn store(&mut self, even: Avx2Word, odd: Avx2Word) {
        let to: *mut __m256i = ptr::from_mut(self).cast();
        // SAFETY: pairs are aligned and two vectors long, and there are some only where AVX2 was found.
        unsafe {
            _mm256_store_si256(to, _mm256_unpacklo_epi32(even.0, odd.0));
            _mm256_store_si256(to.add(1), _mm256_unpackhi_epi32(even.0, odd.0));
        }
    }
}

const SECOND_HASH_PADDING: u32 = 0x8000_0000;
const SECOND_HASH_LENGTH: u32 = 256;

const CONSTANTS: Constants = {
    const fn row(value: u32) -> Row {
        Row([value; LANES])
    }
    const fn sigma0(x: u32) -> u32 {
        x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3
    }
    let mut k = [row(0); 64];
    let mut i = 0;
    while i < 64 {
        k[i] = row(K[i]);
        i += 1;
    }
    let [a, b, c, d, e, f, g, h] = IV;
    let sigma1_e = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let sigma0_a = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let t1 = h
        .wrapping_add(sigma1_e)
        .wrapping_add(g ^ (e & (f ^ g)))
        .wrapping_add(K[0]);
    let new_a = t1
        .wrapping_add(sigma0_a)
        .wrapping_add((a & b) ^ (a & c) ^ (b & c));
    let w15 = SECOND_HASH_LENGTH;
    Constants {
        k,
        w17: row(w15.rotate_right(17) ^ w15.rotate_right(19) ^ w15 >> 10),
        w22: row(w15),
        w23: row(sigma0(SECOND_HASH_PADDING)),
        w24: row(SECOND_HASH_PADDING),
        w30: row(sigma0(w15)),
        start_abef: Register([e, d.wrapping_add(t1), a, new_a]),
        start_cdgh: Register([g, f, c, b]),
    }
};

impl Space {
    pub(super) fn new() -> Self {
        let mut flight = Flight {
            abef: [Register([0; 4]); LANES],
            cdgh: [Register([0; 4]); LANES],
            start: [[0; 2]; LANES],
            words: [Row([0; LANES]); 32],
            pairs: [Pairs([0; LANES]); 30],
        };
        // Words 9 to 14 of the second hash are zero.
        for i in 4..7 {
            flight.pairs[i] = Pairs::constant(K[2 * i + 1], K[2 * i + 2]);
        }
        let mut tail = [Pairs([0; LANES]); 30];
        for (pairs, wk) in tail.iter_mut().zip(TAIL_WK.as_chunks::<2>().0) {
            *pairs = Pairs::constant(wk[0], wk[1]);
        }
        Self {
            constants: CONSTANTS,
            flights: [flight; 4],
            tail,
            last: [Register([0; 4]); 2],
        }
    }

    /// Fills in the second chunk's schedule for eight nonces from `first` on.
    #[inline(always)]
    pub(super) fn load_tail(&mut self, job: &ScanJob, first: u32) {
        let schedule = second_chunk_schedule(job.schedule(), Avx2Word::nonce_words(first));
        for (pairs, &[even, odd]) in self.tail[6..].iter_mut().zip(schedule.as_chunks::<2>().0) {
            pairs.store(even, odd);
        }
    }
}

impl Version {
    pub(super) fn new(state: &VersionState) -> Self {
        let [a, b, c, d, e, f, g, h] = state.after_round_3;
        let [ma, mb, mc, md, me, mf, mg, mh] = state.midstate;
        Self {
            abef: Register([f, e, b, a]),
            cdgh: Register([h, g, d, c]),
            middle_abef: Register([mf, me, mb, ma]),
            middle_cdgh: Register([mh, mg, md, mc]),
        }
    }
}
