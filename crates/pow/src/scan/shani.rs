//! The kernel on the SHA extensions: four nonces interleaved, one schedule for all versions.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_and_si128, _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_movemask_ps,
    _mm_set1_epi32, _mm_setzero_si128, _mm_unpacklo_epi32, _mm_unpacklo_epi64,
};
use std::ops::ControlFlow;

use super::job::{LENGTH, PADDING, TailSchedule, VersionState};
use super::lanes::report;
use super::{Hit, Kernel, NonceRange, ScanJob};
use crate::sha256::IV;
use crate::x86::shani::{States, add_constants, expand, is_supported, vector};

/// For CPUs with `sha`, `sse4.1` and `ssse3`.
pub(crate) struct ShaNi;

/// Interleaved chains.
const N: usize = 4;

impl Kernel for ShaNi {
    fn name(&self) -> &'static str {
        "shani"
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
        assert!(self.is_supported(), "this CPU has no SHA extensions");
        // SAFETY: the CPU has the features that `scan` is compiled for, as was just checked.
        unsafe { scan(job, range, on_hit) }
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
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
        let mut schedule = [[_mm_setzero_si128(); N]; 12];
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
struct ScheduleExpansion([[__m128i; N]; 4]);

impl ScheduleExpansion {
    #[inline]
    #[target_feature(enable = "sse4.1")]
    fn new(tail: &TailSchedule, nonces: [u32; N]) -> Self {
        let [w0, w1, w2] = tail.words;
        let zero = [_mm_setzero_si128(); N];
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
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn next(&mut self, group: usize) -> [__m128i; N] {
        expand(&mut self.0, group);
        add_constants(self.0[group % 4], 4 + group)
    }
}

/// The states after the first hash: the second chunk mixed into a version's midstate.
///
/// `schedule` gives each group of four message words with their constants, from word 16 on.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn first_hash(
    version: &VersionState,
    nonces: [u32; N],
    mut schedule: impl FnMut(usize) -> [__m128i; N],
) -> States<N> {
    let mut states = States::splat(version.after_round_3);
    states.add_to_a_and_e(nonces);
    states.four_rounds(add_constants([vector([PADDING, 0, 0, 0]); N], 1));
    states.four_rounds(add_constants([_mm_setzero_si128(); N], 2));
    states.four_rounds(add_constants([vector([0, 0, 0, LENGTH]); N], 3));
    for group in 0..12 {
        states.four_rounds(schedule(group));
    }
    states.add(&States::splat(version.midstate));
    states
}

/// The last word of each second hash, in four lanes. It is decided by round 60.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn last_digest_words(digests: &States<N>) -> __m128i {
    let [w0, w1] = digests.words();
    let mut w = [
        w0,
        w1,
        [vector([0x8000_0000, 0, 0, 0]); N],
        [vector([0, 0, 0, 256]); N],
    ];
    let mut states = States::<N>::splat(IV);
    for group in 0..4 {
        states.four_rounds(add_constants(w[group], group));
    }
    for group in 0..11 {
        expand(&mut w, group);
        states.four_rounds(add_constants(w[group % 4], 4 + group));
    }
    expand(&mut w, 15);
    states.two_rounds(add_constants(w[3], 15));
    // After round 61, `f` is the `e` of round 60, which becomes the last word.
    let [f0, f1, f2, f3] = *states.abef();
    let f = _mm_unpacklo_epi64(_mm_unpacklo_epi32(f0, f1), _mm_unpacklo_epi32(f2, f3));
    _mm_add_epi32(f, _mm_set1_epi32(IV[7].cast_signed()))
}

/// A bit for each lane that has none of the bits of `filter`.
#[inline]
#[target_feature(enable = "sse4.1")]
fn zero_lanes(words: __m128i, filter: u32) -> u32 {
    let masked = _mm_and_si128(words, _mm_set1_epi32(filter.cast_signed()));
    _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(
        masked,
        _mm_setzero_si128(),
    )))
    .cast_unsigned()
}
