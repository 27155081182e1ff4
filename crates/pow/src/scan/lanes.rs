//! The scan, generic over [`Word`]: a nonce in each lane, all lanes on one version at a time.

use std::ops::ControlFlow;

use super::job::{LENGTH, PADDING, TailSchedule, VersionState};
use super::{Hit, NonceRange, ScanJob};
use crate::sha256::{IV, K, Word, digest_block, expand, round};
use crate::unroll::unroll;

/// What a scan needs of a [`Word`] beyond hashing.
pub(crate) trait ScanWord: Word {
    /// Consecutive nonces from `first`, wrapping, as the message words that hold them.
    fn nonce_words(first: u32) -> Self;
    /// Bit `i` is set when lane `i` is zero.
    fn zero_lanes(self) -> u32;
}

impl ScanWord for u32 {
    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        first.swap_bytes()
    }
    #[inline(always)]
    fn zero_lanes(self) -> u32 {
        u32::from(self == 0)
    }
}

/// [`Kernel::scan`](super::Kernel::scan) with the lanes of `W`.
#[inline(always)]
pub(crate) fn scan<W: ScanWord>(
    job: &ScanJob,
    range: NonceRange,
    on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
) -> u64 {
    let count = range.clamped_count();
    let filter = W::splat(job.filter());
    let (mut done, mut hashes) = (0, 0);
    while done < count {
        let first = range.start.wrapping_add(done as u32);
        let lanes = (count - done).min(W::LANES as u64);
        let in_range = u32::MAX >> (32 - lanes);
        let nonces = W::nonce_words(first);
        let schedule = second_chunk_schedule(job.schedule(), nonces);
        for version in job.version_states() {
            hashes += lanes;
            let digest_end = last_digest_word(first_hash(version, nonces, &schedule));
            let candidates = digest_end.and(filter).zero_lanes() & in_range;
            if candidates != 0 && report(job, version.version, first, candidates, on_hit).is_break()
            {
                return hashes;
            }
        }
        done += lanes;
    }
    hashes
}

/// Checks the lanes whose bit is set in `candidates`, lane 0 being nonce `first`.
#[cold]
#[inline(never)]
pub(crate) fn report(
    job: &ScanJob,
    version: i32,
    first: u32,
    candidates: u32,
    on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
) -> ControlFlow<()> {
    (0..u32::BITS)
        .filter(|lane| candidates >> lane & 1 == 1)
        .filter_map(|lane| job.check(version, first.wrapping_add(lane)))
        .try_for_each(on_hit)
}

/// Message words 16 to 63 of the second chunk, with their round constants added.
#[inline(always)]
pub(crate) fn second_chunk_schedule<W: Word>(tail: &TailSchedule, nonces: W) -> [W; 48] {
    let mut w = tail.words_16_to_31(nonces);
    let mut wk = w;
    unroll!(i in 16 => { wk[i] = w[i].add(W::splat(K[16 + i])); });
    let mut all = [nonces; 48];
    all[..16].copy_from_slice(&wk);
    for group in 1..3 {
        unroll!(i in 16 => {
            expand(&mut w, i);
            all[16 * group + i] = w[i].add(W::splat(K[16 + 16 * group + i]));
        });
    }
    all
}

/// The digest words of the first hash: the second chunk mixed into a version's midstate.
#[inline(always)]
fn first_hash<W: Word>(version: &VersionState, nonces: W, wk: &[W; 48]) -> [W; 8] {
    let mut s = version.after_round_3.map(W::splat);
    s[0] = s[0].add(nonces);
    s[4] = s[4].add(nonces);
    // Rounds 4 to 15: padding, zeros, length. The state's names start afresh at round 4.
    unroll!(i in 12 => { round(&mut s, i, W::splat(TAIL_WK[i])); });
    for group in 0..3 {
        unroll!(i in 16 => { round(&mut s, i + 12, wk[16 * group + i]); });
    }
    // Sixty rounds on, the word named `a` sits at index 4.
    std::array::from_fn(|i| s[(i + 4) % 8].add(W::splat(version.midstate[i])))
}

/// Message words 4 to 15 of the second chunk, with their round constants added.
pub(crate) const TAIL_WK: [u32; 12] = {
    let mut wk = [0; 12];
    let mut i = 0;
    while i < 12 {
        wk[i] = K[4 + i];
        i += 1;
    }
    wk[0] = wk[0].wrapping_add(PADDING);
    wk[11] = wk[11].wrapping_add(LENGTH);
    wk
};

/// The last word of the second hash, which is decided by round 60: `h` at the end is `e` of three rounds before.
#[inline(always)]
fn last_digest_word<W: Word>(digest: [W; 8]) -> W {
    let mut w = digest_block(digest);
    let mut s = IV.map(W::splat);
    unroll!(i in 16 => {
        round(&mut s, i, w[i].add(W::splat(K[i])));
        expand(&mut w, i);
    });
    unroll!(i in 16 => {
        round(&mut s, i, w[i].add(W::splat(K[16 + i])));
        expand(&mut w, i);
    });
    unroll!(i in 16 => {
        round(&mut s, i, w[i].add(W::splat(K[32 + i])));
        if i < 13 {
            expand(&mut w, i);
        }
    });
    unroll!(i in 13 => {
        round(&mut s, i, w[i].add(W::splat(K[48 + i])));
    });
    // After 61 rounds the word named `a` sits at index 3, and `e` at 7.
    s[7].add(W::splat(IV[7]))
}
