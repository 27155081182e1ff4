//! The hybrid kernels: rounds on the SHA extensions, message schedules in vectors of eight words, in one
//! stream of instructions.
//!
//! `sha256rnds2` does two rounds, and the CPU can start one each cycle. A hash needs sixty of them:
//! thirty for rounds 4 to 63 of the header's second chunk, thirty for rounds 1 to 60 of the second
//! hash. All else is made to fit beside them, on the units that they leave idle.
//!
//! A batch is one nonce with eight header versions. These have the second chunk in common, so its
//! schedule is computed once, for eight nonces at a time, and costs next to nothing with many
//! versions. The second hash of each has a schedule of its own: the eight of a batch fill a vector.
//!
//! Four batches are in flight. A [`step`] takes the newest through the first hash, does the first
//! half of the schedule of the one before, the second half of that before it, and takes the oldest
//! through the second hash. So no two things that a step does wait for each other. It consists of
//! 120 slots: in each, four chains of `sha256rnds2` advance by two rounds, after a [`Unit`] of the
//! schedules if there is one. A unit takes its operands from memory and leaves its results there.
//!
//! That is for CPUs of AMD's Zen 3: SHA instructions know nothing of the upper halves of vector
//! registers, and while any is in use they cost hundreds of cycles there. Between a unit and the
//! rounds [`clear_upper_halves`] does that, which is only possible when nothing is kept in registers.

mod memory;
mod schedule;

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_castpd_si128, _mm_loaddup_pd, _mm_loadl_epi64, _mm_set_epi32,
    _mm_sha256rnds2_epu32, _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm256_load_si256,
};
use std::array;
use std::ops::ControlFlow;

use self::memory::{Flight, LANE, PLACE, Space, Version};
use self::schedule::{PLAN, Schedule};
use super::job::VersionState;
use super::lanes::ScanWord;
use super::{Hit, NonceRange, ScanJob};
use crate::sha256::{IV, Word};
use crate::unroll::unroll;
use crate::x86::avx2::Avx2Word;

/// Header versions in a batch.
pub(super) const LANES: usize = 8;

/// Four chains, each in the two registers that `sha256rnds2` wants, named from the highest word down.
struct States {
    abef: [__m128i; 4],
    cdgh: [__m128i; 4],
}

/// [`Kernel::scan`](super::Kernel::scan). In the last batch of a nonce lanes idle unless the versions are
/// a multiple of eight.
///
/// # Safety
/// The CPU has AVX2 and the SHA extensions, and the caller is compiled for them.
#[inline(always)]
pub(crate) unsafe fn scan(
    job: &ScanJob,
    range: NonceRange,
    on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
) -> u64 {
    let states = job.version_states();
    let versions: Vec<Version> = (0..states.len().next_multiple_of(LANES))
        .map(|i| Version::new(&states[i.min(states.len() - 1)]))
        .collect();
    let mut space = Box::new(Space::new());
    let mut in_flight = [None; 3];
    let (mut hashes, mut turn) = (0, 0);
    // Three steps without a batch of their own bring the last three through.
    for next in batches(range, versions.len()).map(Some).chain([None; 3]) {
        let batch = next.unwrap_or_default();
        if let Some(first) = batch.first_of_eight {
            space.load_tail(job, first);
        }
        let lanes = &versions[batch.first_version..][..LANES];
        // SAFETY: as for this function.
        let found = unsafe { step(&mut space, turn, &batch, lanes, job.filter()) };
        turn = (turn + 1) % 4;

        let [finished, before, newer] = in_flight;
        in_flight = [before, newer, next];
        let Some(batch) = finished else { continue };
        let in_batch = &states[batch.first_version..];
        let in_batch = &in_batch[..in_batch.len().min(LANES)];
        hashes += in_batch.len() as u64;
        if found != 0 && report(job, in_batch, batch.nonce, found, on_hit).is_break() {
            break;
        }
    }
    hashes
}

/// One nonce with eight versions.
#[derive(Clone, Copy, Default)]
struct Batch {
    nonce: u32,
    /// Where the nonce's message words are among those of eight nonces.
    place: usize,
    /// The first of the eight nonces, when these are new.
    first_of_eight: Option<u32>,
    first_version: usize,
}

/// All batches of a range, with so many versions.
#[inline(always)]
fn batches(range: NonceRange, versions: usize) -> impl Iterator<Item = Batch> {
    let count = range.clamped_count();
    (0..count).step_by(LANES).flat_map(move |done| {
        let first = range.start.wrapping_add(done as u32);
        let nonces = (count - done).min(LANES as u64) as usize;
        // Lane 0 is in place 0, and so the first of all.
        let places = (0..LANES).filter(move |&place| LANE[place] < nonces);
        places.flat_map(move |place| {
            (0..versions)
                .step_by(LANES)
                .map(move |first_version| Batch {
                    nonce: first.wrapping_add(LANE[place] as u32),
                    place,
                    first_of_eight: (place == 0 && first_version == 0).then_some(first),
                    first_version,
                })
        })
    })
}

/// Checks the versions whose bit is set in `found` with this nonce.
#[cold]
#[inline(never)]
fn report(
    job: &ScanJob,
    versions: &[VersionState],
    nonce: u32,
    found: u32,
    on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
) -> ControlFlow<()> {
    versions
        .iter()
        .enumerate()
        .filter(|(chain, _)| found >> chain & 1 == 1)
        .filter_map(|(_, state)| job.check(state.version, nonce))
        .try_for_each(on_hit)
}

/// Brings four batches on by one step. Returns a bit for each chain of the oldest whose last digest
/// word has none of the bits of `filter`.
#[inline(always)]
unsafe fn step(
    space: &mut Space,
    turn: usize,
    batch: &Batch,
    versions: &[Version],
    filter: u32,
) -> u32 {
    let versions: &[Version; LANES] = versions.try_into().expect("a batch of versions");
    let base: *mut Space = space;
    // SAFETY: four different flights of the space, each used for one thing.
    unsafe {
        let constants = &(*base).constants;
        let flights: *mut Flight = (&raw mut (*base).flights).cast();
        let at = |age: usize| flights.add((turn + 4 - age) % 4);
        let (newest, newer, older, oldest) = (at(0), at(1), at(2), at(3));
        let tail: *const u64 = (&raw const (*base).tail).cast::<u64>().add(batch.place);
        let nonce = batch.nonce.swap_bytes().cast_signed();
        let nonce = _mm_set_epi32(nonce, 0, nonce, 0);

        macro_rules! slot {
            ($slot:expr, $states:ident, $pairs:expr) => {
                if let Some((second, _)) = PLAN[$slot] {
                    ordered(base, &mut $states);
                    Schedule {
                        flight: if second { older } else { newer },
                        constants,
                    }
                    .run::<{ $slot }>();
                    clear_upper_halves(base, &mut $states);
                }
                let pairs: [*const u64; 4] = $pairs;
                for i in 0..4 {
                    let wk = _mm_loadl_epi64(pairs[i].cast());
                    let abef = _mm_sha256rnds2_epu32($states.cdgh[i], $states.abef[i], wk);
                    $states.cdgh[i] = $states.abef[i];
                    $states.abef[i] = abef;
                }
            };
        }
        macro_rules! first_hash {
            ($half:literal) => {
                let chains = &versions[4 * $half..][..4];
                let mut states = States {
                    abef: array::from_fn(|i| _mm_add_epi32(chains[i].abef.load(), nonce)),
                    cdgh: array::from_fn(|i| chains[i].cdgh.load()),
                };
                unroll!(pair in 30 => {
                    slot!(30 * $half + pair, states, [tail.add(LANES * pair); 4]);
                });
                ordered(base, &mut states);
                for i in 0..4 {
                    let to = PLACE[4 * $half + i];
                    let abef = _mm_add_epi32(states.abef[i], chains[i].middle_abef.load());
                    let cdgh = _mm_add_epi32(states.cdgh[i], chains[i].middle_cdgh.load());
                    (*newest).abef[to].store(abef);
                    (*newest).cdgh[to].store(cdgh);
                }
            };
        }
        macro_rules! second_hash {
            ($half:literal) => {
                let mut states = States {
                    abef: array::from_fn(|i| {
                        let start = _mm_loaddup_pd((&raw const (*oldest).start[4 * $half + i]).cast());
                        _mm_add_epi32(constants.start_abef.load(), _mm_castpd_si128(start))
                    }),
                    cdgh: [constants.start_cdgh.load(); 4],
                };
                unroll!(pair in 30 => {
                    let pairs: *const u64 = (&raw const (*oldest).pairs[pair].0[4 * $half]);
                    slot!(60 + 30 * $half + pair, states, [pairs, pairs.add(1), pairs.add(2), pairs.add(3)]);
                });
                ordered(base, &mut states);
                // `e` of round 60, the second lowest word of the register, becomes the last of the digest.
                let [r0, r1, r2, r3] = states.abef;
                let last = _mm_unpackhi_epi64(_mm_unpacklo_epi32(r0, r1), _mm_unpacklo_epi32(r2, r3));
                (*base).last[$half].store(last);
            };
        }
        first_hash!(0);
        first_hash!(1);
        second_hash!(0);
        second_hash!(1);
        let last = Avx2Word(_mm256_load_si256((&raw const (*base).last).cast()));
        last.add(Avx2Word::splat(IV[7]))
            .and(Avx2Word::splat(filter))
            .zero_lanes()
    }
}

/// Nothing crosses this point: no round that was begun before, no access to memory.
#[inline(always)]
unsafe fn ordered(space: *mut Space, states: &mut States) {
    let States {
        abef: [a, b, c, d],
        cdgh: [e, f, g, h],
    } = states;
    // SAFETY: it does nothing.
    unsafe {
        asm!(
            "/* {0} {1} {2} {3} {4} {5} {6} {7} {8} */",
            inout(xmm_reg) *a, inout(xmm_reg) *b, inout(xmm_reg) *c, inout(xmm_reg) *d,
            inout(xmm_reg) *e, inout(xmm_reg) *f, inout(xmm_reg) *g, inout(xmm_reg) *h,
            in(reg) space,
            options(nostack, preserves_flags)
        );
    }
}

/// Ends 256-bit code before SHA instructions. Nothing crosses this point.
#[inline(always)]
unsafe fn clear_upper_halves(space: *mut Space, states: &mut States) {
    let States {
        abef: [a, b, c, d],
        cdgh: [e, f, g, h],
    } = states;
    // SAFETY: the CPU has AVX2. All sixteen registers that change are named, eight as the states,
    // which fit the lower halves.
    unsafe {
        asm!(
            "vzeroupper /* {0} {1} {2} {3} {4} {5} {6} {7} {8} {9} {10} {11} {12} {13} {14} {15} {16} */",
            inout(xmm_reg) *a, inout(xmm_reg) *b, inout(xmm_reg) *c, inout(xmm_reg) *d,
            inout(xmm_reg) *e, inout(xmm_reg) *f, inout(xmm_reg) *g, inout(xmm_reg) *h,
            lateout(xmm_reg) _, lateout(xmm_reg) _, lateout(xmm_reg) _, lateout(xmm_reg) _,
            lateout(xmm_reg) _, lateout(xmm_reg) _, lateout(xmm_reg) _, lateout(xmm_reg) _,
            in(reg) space,
            options(nostack, preserves_flags)
        );
    }
}
