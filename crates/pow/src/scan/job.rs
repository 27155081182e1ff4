//! A header prepared for scanning.

use super::Hit;
use crate::sha256::{IV, K, Word, compress, round, sha256d, small_sigma0, small_sigma1, words};
use crate::target::Target;

/// A header to scan, prepared for the kernels: all that does not depend on the nonce is computed once.
///
/// A header is hashed in two 64-byte chunks. The version is in the first, so each version has a
/// state of its own after it (the midstate); the second chunk, with the end of the merkle root,
/// time, nBits and nonce, is common to all of them, and so is its message schedule.
#[derive(Clone, Debug)]
pub struct ScanJob {
    header: [u8; 80],
    target: Target,
    versions: Vec<VersionState>,
    schedule: TailSchedule,
    filter: u32,
}

/// One header version of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionState {
    pub(crate) version: i32,
    /// The state after the first chunk.
    pub(crate) midstate: [u32; 8],
    /// The state after rounds 0 to 3 of the second chunk, named a to h, but for the nonce word,
    /// which is still to be added to `a` and to `e`.
    pub(crate) after_round_3: [u32; 8],
}

/// The parts of the second chunk's message schedule that no nonce changes.
///
/// Words 0 to 2 are the header's, 3 the nonce, 4 the padding bit, 5 to 14 zero, 15 the length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailSchedule {
    /// Words 0 to 2.
    pub(crate) words: [u32; 3],
    /// Word 16.
    pub(crate) w16: u32,
    /// Word 17.
    pub(crate) w17: u32,
}

/// Message word 4 of the second chunk: the padding's first bit.
pub(crate) const PADDING: u32 = 0x8000_0000;
/// Message word 15 of the second chunk: the header's length in bits.
pub(crate) const LENGTH: u32 = 640;

impl ScanJob {
    /// Prepares `header` (its version and nonce are ignored) for scanning with each of `versions`.
    ///
    /// # Panics
    /// When `versions` is empty.
    pub fn new(header: &[u8; 80], versions: &[i32], target: Target) -> Self {
        assert!(
            !versions.is_empty(),
            "a scan job needs at least one header version"
        );
        let mut tail = [0; 64];
        tail[..12].copy_from_slice(&header[64..76]);
        let tail = words(&tail);
        let versions = versions
            .iter()
            .map(|&version| VersionState::new(header, version, &tail))
            .collect();
        Self {
            header: *header,
            target,
            versions,
            schedule: TailSchedule::new(&tail),
            filter: filter(target),
        }
    }

    /// The target that a hit meets.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The versions that are scanned, in the order given.
    pub fn versions(&self) -> impl ExactSizeIterator<Item = i32> + '_ {
        self.versions.iter().map(|state| state.version)
    }

    /// The header with this version and nonce.
    pub fn header(&self, version: i32, nonce: u32) -> [u8; 80] {
        let mut header = self.header;
        header[..4].copy_from_slice(&version.to_le_bytes());
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        header
    }

    /// Hashes one header in full.
    pub(crate) fn check(&self, version: i32, nonce: u32) -> Option<Hit> {
        let digest = sha256d(&self.header(version, nonce));
        self.target.is_met_by(&digest).then_some(Hit {
            version,
            nonce,
            digest,
        })
    }

    pub(crate) fn version_states(&self) -> &[VersionState] {
        &self.versions
    }

    pub(crate) fn schedule(&self) -> &TailSchedule {
        &self.schedule
    }

    /// Bits that are zero in the last word of every digest that meets the target.
    ///
    /// The last word of the state is the top of the digest as a number, bytes reversed. Kernels
    /// look at these bits alone and [`check`](Self::check) what passes: every hit passes, and
    /// where the target is below 2^224 one in 2^32 hashes does.
    pub(crate) fn filter(&self) -> u32 {
        self.filter
    }
}

fn filter(target: Target) -> u32 {
    let top = target.top_word();
    u32::MAX
        .checked_shl(32 - top.leading_zeros())
        .unwrap_or(0)
        .swap_bytes()
}

impl VersionState {
    fn new(header: &[u8; 80], version: i32, tail: &[u32; 16]) -> Self {
        let mut first = [0; 64];
        first.copy_from_slice(&header[..64]);
        first[..4].copy_from_slice(&version.to_le_bytes());
        let mut midstate = IV;
        compress(&mut midstate, words(&first));

        let mut s = midstate;
        for i in 0..4 {
            round(&mut s, i, tail[i].wrapping_add(K[i])); // word 3, the nonce, is zero here
        }
        // After four rounds the word named `a` sits at index 4.
        s.rotate_left(4);
        Self {
            version,
            midstate,
            after_round_3: s,
        }
    }
}

impl TailSchedule {
    fn new(tail: &[u32; 16]) -> Self {
        let w16 = tail[0].wrapping_add(small_sigma0(tail[1]));
        let w17 = tail[1]
            .wrapping_add(small_sigma0(tail[2]))
            .wrapping_add(small_sigma1(LENGTH));
        Self {
            words: [tail[0], tail[1], tail[2]],
            w16,
            w17,
        }
    }

    /// Message words 16 to 31 for one nonce word per lane.
    #[inline(always)]
    pub(crate) fn words_16_to_31<W: Word>(&self, nonce: W) -> [W; 16] {
        let &Self {
            words: [_, _, w2],
            w16,
            w17,
        } = self;
        let w18 = W::splat(w2.wrapping_add(small_sigma1(w16))).add(small_sigma0(nonce));
        let w19 = W::splat(small_sigma0(PADDING).wrapping_add(small_sigma1(w17))).add(nonce);
        let w20 = W::splat(PADDING).add(small_sigma1(w18));
        let w21 = small_sigma1(w19);
        let w22 = W::splat(LENGTH).add(small_sigma1(w20));
        let w23 = W::splat(w16).add(small_sigma1(w21));
        let w24 = W::splat(w17).add(small_sigma1(w22));
        let w25 = w18.add(small_sigma1(w23));
        let w26 = w19.add(small_sigma1(w24));
        let w27 = w20.add(small_sigma1(w25));
        let w28 = w21.add(small_sigma1(w26));
        let w29 = w22.add(small_sigma1(w27));
        let w30 = W::splat(small_sigma0(LENGTH))
            .add(w23)
            .add(small_sigma1(w28));
        let w31 = W::splat(LENGTH.wrapping_add(small_sigma0(w16)))
            .add(w24)
            .add(small_sigma1(w29));
        let (w16, w17) = (W::splat(w16), W::splat(w17));
        [
            w16, w17, w18, w19, w20, w21, w22, w23, w24, w25, w26, w27, w28, w29, w30, w31,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256::expand;

    #[test]
    fn precomputed_schedule_is_the_plain_one() {
        let header: [u8; 80] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        let job = ScanJob::new(&header, &[1], Target::MAX);
        let nonce = 0x1234_5678_u32;
        let mut tail = [0; 64];
        tail[..12].copy_from_slice(&header[64..76]);
        tail[12..16].copy_from_slice(&nonce.to_le_bytes());
        tail[16] = 0x80;
        tail[62..].copy_from_slice(&640_u16.to_be_bytes());
        let mut w = words(&tail);
        for i in 0..16 {
            expand(&mut w, i);
        }
        assert_eq!(job.schedule.words_16_to_31(nonce.swap_bytes()), w);
    }

    #[test]
    fn filter_passes_every_hit_and_little_else() {
        let with_top = |top: u32| {
            let mut bytes = [0xff; 32];
            bytes[..4].copy_from_slice(&top.to_be_bytes());
            filter(Target::from_be_bytes(bytes)).swap_bytes()
        };
        assert_eq!(with_top(0), 0xffff_ffff);
        assert_eq!(with_top(1), 0xffff_fffe);
        assert_eq!(with_top(2), 0xffff_fffc);
        assert_eq!(with_top(0x0000_ffff), 0xffff_0000);
        assert_eq!(with_top(0x7fff_ff00), 0x8000_0000);
        assert_eq!(with_top(0x8000_0000), 0);
        assert_eq!(with_top(u32::MAX), 0);
    }

    #[test]
    #[should_panic(expected = "at least one header version")]
    fn a_job_without_versions_is_refused() {
        ScanJob::new(&[0; 80], &[], Target::MAX);
    }
}
