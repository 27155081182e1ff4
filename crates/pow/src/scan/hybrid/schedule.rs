//! The schedule of the second hash, cut into units.

use std::arch::x86_64::{
    __m256i, _mm256_load_si256, _mm256_setzero_si256, _mm256_store_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::LANES;
use super::memory::{Constants, Flight, Register};
use crate::sha256::{Word, small_sigma0, small_sigma1};
use crate::x86::avx2::Avx2Word;

/// A part of the schedules.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// Message words 0 and 1, 4 and 5 (or 2 and 3, 6 and 7), from the digests.
    Digest { low: bool },
    /// Message word 0 to where round 0 wants it.
    Start,
    /// Words `2 * i + 1` and the next, ready for the rounds.
    Pairs(usize),
    /// Word 16 and the pair that it ends.
    Word16,
    /// What words `i` and `i + 1` are made of, but for sigma1 of the second before.
    Begin(usize),
    /// Words `i` and `i + 1`, kept and made ready for the rounds.
    End(usize),
}

/// The first word that is done in the step after that of the words before.
const CUT: usize = 37;

/// The units of both halves of the schedule, in the slots of a step: `true` for those of the older batch.
pub(super) const PLAN: [Option<(bool, Unit)>; 120] = {
    let mut newer = [Unit::Start; 64];
    let mut older = [Unit::Start; 64];
    let (mut n, mut o) = (8, 0);
    newer[0] = Unit::Digest { low: true };
    newer[1] = Unit::Digest { low: false };
    newer[2] = Unit::Start;
    newer[3] = Unit::Pairs(0);
    newer[4] = Unit::Pairs(1);
    newer[5] = Unit::Pairs(2);
    newer[6] = Unit::Pairs(3);
    newer[7] = Unit::Word16;
    let mut i = 17;
    while i < 60 {
        let begins = i < 23 || i >= 31;
        if i < CUT {
            if begins {
                newer[n] = Unit::Begin(i);
                n += 1;
            }
            newer[n] = Unit::End(i);
            n += 1;
        } else {
            if begins {
                older[o] = Unit::Begin(i);
                o += 1;
            }
            older[o] = Unit::End(i);
            o += 1;
        }
        i += 2;
    }
    // Both at an even pace.
    let mut plan = [None; 120];
    let (mut at_newer, mut at_older) = (0, 0);
    while at_newer + at_older < n + o {
        let slot = (at_newer + at_older) * 120 / (n + o);
        if at_older == o || (at_newer < n && at_newer * o <= at_older * n) {
            plan[slot] = Some((false, newer[at_newer]));
            at_newer += 1;
        } else {
            plan[slot] = Some((true, older[at_older]));
            at_older += 1;
        }
    }
    plan
};

/// What is done in a slot, as a number.
const fn kind(slot: usize) -> u8 {
    match PLAN[slot] {
        None => NOTHING,
        Some((_, Unit::Digest { low: true })) => DIGEST_LOW,
        Some((_, Unit::Digest { low: false })) => DIGEST_HIGH,
        Some((_, Unit::Start)) => START,
        Some((_, Unit::Pairs(_))) => PAIRS,
        Some((_, Unit::Word16)) => WORD_16,
        Some((_, Unit::Begin(_))) => BEGIN,
        Some((_, Unit::End(_))) => END,
    }
}

const NOTHING: u8 = 0;
const DIGEST_LOW: u8 = 1;
const DIGEST_HIGH: u8 = 2;
const START: u8 = 3;
const PAIRS: u8 = 4;
const WORD_16: u8 = 5;
const BEGIN: u8 = 6;
const END: u8 = 7;

/// The pair or the first word that is done in a slot.
const fn index(slot: usize) -> usize {
    match PLAN[slot] {
        Some((_, Unit::Pairs(i) | Unit::Begin(i) | Unit::End(i))) => i,
        _ => 0,
    }
}

/// The schedule of a batch.
#[derive(Clone, Copy)]
pub(super) struct Schedule<'a> {
    pub(super) flight: *mut Flight,
    pub(super) constants: &'a Constants,
}

impl Schedule<'_> {
    #[inline(always)]
    unsafe fn word(self, i: usize) -> Avx2Word {
        // SAFETY: as for `run`.
        unsafe { (&(*self.flight).words)[i % 32].load() }
    }

    #[inline(always)]
    unsafe fn keep(self, i: usize, value: Avx2Word) {
        // SAFETY: as for `run`.
        unsafe { (&mut (*self.flight).words)[i % 32].store(value) }
    }

    /// Makes words `2 * pair + 1` and the next ready for the rounds.
    #[inline(always)]
    unsafe fn pair(self, pair: usize, even: Avx2Word, odd: Avx2Word) {
        let i = 2 * pair + 1;
        // SAFETY: as for `run`.
        unsafe {
            let (k_even, k_odd) = (self.constants.k[i].load(), self.constants.k[i + 1].load());
            (&mut (*self.flight).pairs)[pair].store(even.add(k_even), odd.add(k_odd));
        }
    }

    /// Word `i` but for sigma1 of the second before. Words 10 to 14 are zero.
    #[inline(always)]
    unsafe fn begun(self, i: usize) -> Avx2Word {
        let constants = self.constants;
        // SAFETY: as for `run`.
        unsafe {
            let older = if i == 31 {
                constants.w22.load()
            } else {
                self.word(i - 16)
            };
            let sum = small_sigma0(self.word(i - 15)).add(older);
            match i {
                17 => sum.add(constants.w17.load()),
                18..22 => sum,
                22 => sum.add(constants.w22.load()),
                _ => sum.add(self.word(i - 7)),
            }
        }
    }

    /// Word `i`.
    #[inline(always)]
    unsafe fn ended(self, i: usize) -> Avx2Word {
        let constants = self.constants;
        // SAFETY: as for `run`.
        unsafe {
            let begun = match i {
                23 => self.word(16).add(self.word(7)).add(constants.w23.load()),
                24 => self.word(17).add(constants.w24.load()),
                25..30 => self.word(i - 7),
                30 => self.word(23).add(constants.w30.load()),
                _ => self.word(i),
            };
            if i == 17 {
                begun
            } else {
                small_sigma1(self.word(i - 2)).add(begun)
            }
        }
    }

    /// Does the unit of a slot, if there is one.
    ///
    /// The compiler makes a function of each slot, and leaves out of it what belongs to other kinds of unit as long as
    /// the kind is a constant number: a match on the unit itself takes it minutes.
    ///
    /// # Safety
    /// The flight is there, nobody else uses it, and the CPU has AVX2.
    #[inline(always)]
    pub(super) unsafe fn run<const SLOT: usize>(self) {
        let Self { flight, constants } = self;
        let i = const { index(SLOT) };
        // SAFETY: the flight is there, the CPU has AVX2.
        unsafe {
            match const { kind(SLOT) } {
                DIGEST_LOW => {
                    let [a, b, e, f] = transposed(&raw const (*flight).abef);
                    self.keep(0, a);
                    self.keep(1, b);
                    self.keep(4, e);
                    self.keep(5, f);
                }
                DIGEST_HIGH => {
                    let [c, d, g, h] = transposed(&raw const (*flight).cdgh);
                    self.keep(2, c);
                    self.keep(3, d);
                    self.keep(6, g);
                    self.keep(7, h);
                }
                START => {
                    let to: *mut __m256i = (&raw mut (*flight).start).cast();
                    let (zero, word) = (_mm256_setzero_si256(), self.word(0).0);
                    _mm256_store_si256(to, _mm256_unpacklo_epi32(zero, word));
                    _mm256_store_si256(to.add(1), _mm256_unpackhi_epi32(zero, word));
                }
                PAIRS if i == 3 => self.pair(3, self.word(7), constants.w24.load()),
                PAIRS => self.pair(i, self.word(2 * i + 1), self.word(2 * i + 2)),
                WORD_16 => {
                    let w16 = small_sigma0(self.word(1)).add(self.word(0));
                    self.keep(16, w16);
                    self.pair(7, constants.w22.load(), w16);
                }
                BEGIN => {
                    let (even, odd) = (self.begun(i), self.begun(i + 1));
                    self.keep(i, even);
                    self.keep(i + 1, odd);
                }
                END => {
                    let (even, odd) = (self.ended(i), self.ended(i + 1));
                    self.keep(i, even);
                    self.keep(i + 1, odd);
                    self.pair((i - 1) / 2, even, odd);
                }
                _ => {}
            }
        }
    }
}

/// From the registers of eight chains to vectors of eight words, the highest word of the register first.
#[inline(always)]
unsafe fn transposed(registers: *const [Register; LANES]) -> [Avx2Word; 4] {
    // SAFETY: four aligned vectors.
    unsafe {
        let rows: *const __m256i = registers.cast();
        let (r0, r1) = (_mm256_load_si256(rows), _mm256_load_si256(rows.add(1)));
        let (r2, r3) = (
            _mm256_load_si256(rows.add(2)),
            _mm256_load_si256(rows.add(3)),
        );
        let (low01, low23) = (_mm256_unpacklo_epi32(r0, r1), _mm256_unpacklo_epi32(r2, r3));
        let (high01, high23) = (_mm256_unpackhi_epi32(r0, r1), _mm256_unpackhi_epi32(r2, r3));
        [
            Avx2Word(_mm256_unpackhi_epi64(high01, high23)),
            Avx2Word(_mm256_unpacklo_epi64(high01, high23)),
            Avx2Word(_mm256_unpackhi_epi64(low01, low23)),
            Avx2Word(_mm256_unpacklo_epi64(low01, low23)),
        ]
    }
}
