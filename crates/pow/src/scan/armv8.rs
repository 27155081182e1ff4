//! The kernel on ARMv8's SHA2 extension: four nonces interleaved, one schedule for all versions.

use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vaddvq_u32, vandq_u32, vceqzq_u32, vcombine_u32, vdupq_n_u32,
    vget_high_u32, vzip2q_u32,
};
use std::ops::ControlFlow;

use super::job::{LENGTH, PADDING, TailSchedule, VersionState};
use super::lanes::{TAIL_WK, report};
use super::{Hit, Kernel, NonceRange, ScanJob};
use crate::arm::sha2::{States, add_constants, expand, is_supported, vector};
use crate::sha256::IV;
use crate::unroll::unroll;

/// For 64-bit ARM cores with `sha2`.
pub(crate) struct ArmV8;

/// Interleaved chains: with their messages they fill the 32 registers.
const N: usize = 4;

impl Kernel for ArmV8 {
    fn name(&self) -> &'static str {
        "armv8"
    }

    fn is_supported(&self) -> bool {
        is_supported()
    }

    fn lanes(&self) -> u32 {
        N as u32
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        assert!(self.is_supported(), "this core has no SHA2 extension");
        // SAFETY: the core has the features that `scan` is compiled for, as was just checked.
        unsafe { scan(job, range, on_hit) }
    }
}

#[target_feature(enable = "neon,sha2")]
fn scan(job: &ScanJob, range: NonceRange, on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>) -> u64 {
    let count = range.clamped_count();
    let (mut done, mut hashes) = (0, 0);
    while done < count {
        let first = range.start.wrapping_add(done as u32);
        let lanes = (count - done).min(N as u64);
        let in_range = u32::MAX >> (32 - lanes);
        let nonces = std::array::from_fn(|i| first.wrapping_add(i as u32).swap_bytes());
        let mut check = |version: &VersionState, digests: &States<N>| {
            hashes += lanes;
            match zero_lanes(last_digest_words(digests), job.filter()) & in_range {
                0 => ControlFlow::Continue(()),
                candidates => report(job, version.version, first, candidates, on_hit),
            }
        };
        // The first version expands the second chunk's schedule, the others take it as it is.
        let (first_version, others) = job
            .version_states()
            .split_first()
            .expect("a job has a version");
        let mut schedule = [[vdupq_n_u32(0); N]; 12];
        let mut expansion = ScheduleExpansion::new(job.schedule(), nonces);
        let digests = first_hash(first_version, nonces, |group| {
            schedule[group] = expansion.next(group);
            schedule[group]
        });
        let mut flow = check(first_version, &digests);
        for version in others {
            if flow.is_break() {
                break;
            }
            flow = check(
                version,
                &first_hash(version, nonces, |group| schedule[group]),
            );
        }
        if flow.is_break() {
            break;
        }
        done += lanes;
    }
    hashes
}

/// The second chunk's message words from 16 on, by fours, for each nonce word.
struct ScheduleExpansion([[uint32x4_t; N]; 4]);

impl ScheduleExpansion {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(tail: &TailSchedule, nonces: [u32; N]) -> Self {
        let [w0, w1, w2] = tail.words;
        let zero = [vdupq_n_u32(0); N];
        let mut w = [
            zero,
            [vector([PADDING, 0, 0, 0]); N],
            zero,
            [vector([0, 0, 0, LENGTH]); N],
        ];
        for i in 0..N {
            w[0][i] = vector([w0, w1, w2, nonces[i]]);
        }
        Self(w)
    }

    /// Words `16 + 4 * group` and on with their constants; groups come in order.
    #[inline]
    #[target_feature(enable = "neon,sha2")]
    fn next(&mut self, group: usize) -> [uint32x4_t; N] {
        expand(&mut self.0, group);
        add_constants(self.0[group % 4], 4 + group)
    }
}

/// The states after the first hash: the second chunk mixed into a version's midstate.
///
/// `schedule` gives each group of four message words with their constants, from word 16 on.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn first_hash(
    version: &VersionState,
    nonces: [u32; N],
    mut schedule: impl FnMut(usize) -> [uint32x4_t; N],
) -> States<N> {
    let mut states = States::splat(version.after_round_3);
    states.add_to_a_and_e(nonces);
    for &wk in TAIL_WK.as_chunks::<4>().0 {
        states.four_rounds([vector(wk); N]);
    }
    unroll!(group in 12 => { states.four_rounds(schedule(group)); });
    states.add(&States::splat(version.midstate));
    states
}

/// The last word of each second hash, in four lanes.
///
/// Round 60 decides it. The instructions do four rounds at a time, but the half of the state that
/// has the word needs one of the two.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn last_digest_words(digests: &States<N>) -> uint32x4_t {
    let [w0, w1] = digests.words();
    let mut w = [
        w0,
        w1,
        [vector([0x8000_0000, 0, 0, 0]); N],
        [vector([0, 0, 0, 256]); N],
    ];
    let mut states = States::<N>::splat(IV);
    unroll!(group in 4 => {
        states.four_rounds(add_constants(w[group], group));
    });
    unroll!(group in 11 => {
        expand(&mut w, group);
        states.four_rounds(add_constants(w[group % 4], 4 + group));
    });
    expand(&mut w, 11);
    let [e0, e1, e2, e3] = states.efgh_after_four_rounds(add_constants(w[3], 15));
    let (h01, h23) = (vzip2q_u32(e0, e1), vzip2q_u32(e2, e3));
    let h = vcombine_u32(vget_high_u32(h01), vget_high_u32(h23));
    vaddq_u32(h, vdupq_n_u32(IV[7]))
}

/// A bit for each lane that has none of the bits of `filter`.
#[inline]
#[target_feature(enable = "neon")]
fn zero_lanes(words: uint32x4_t, filter: u32) -> u32 {
    let masked = vandq_u32(words, vdupq_n_u32(filter));
    vaddvq_u32(vandq_u32(vceqzq_u32(masked), vector([1, 2, 4, 8])))
}
