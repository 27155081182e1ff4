//! What a scan must find, by `sha2` alone, and how a kernel is held against it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use pow::{Kernel, NonceRange, ScanJob, Target, kernels};
use sha2::{Digest, Sha256};

/// Version, nonce, digest.
pub type Found = (i32, u32, [u8; 32]);

/// How often each hit is there: a version that is listed twice is scanned twice.
pub type Hits = BTreeMap<Found, usize>;

/// A header to scan, and where.
#[derive(Clone, Debug)]
pub struct Search {
    pub header: [u8; 80],
    pub versions: Vec<i32>,
    pub target: Target,
    pub range: NonceRange,
}

impl Search {
    /// Every digest there is, whatever the target.
    pub fn digests(&self) -> impl Iterator<Item = Found> + '_ {
        let nonces = u64::from(self.range.start)..u64::from(self.range.start) + self.range.count;
        self.versions.iter().flat_map(move |&version| {
            nonces.clone().map(move |nonce| {
                let nonce = u32::try_from(nonce).expect("the range does not wrap");
                let mut header = self.header;
                header[..4].copy_from_slice(&version.to_le_bytes());
                header[76..].copy_from_slice(&nonce.to_le_bytes());
                (version, nonce, sha256d(&header))
            })
        })
    }

    /// The digests that meet the target.
    pub fn hits(&self) -> Hits {
        hits(
            self.digests()
                .filter(|(_, _, digest)| self.target.is_met_by(digest)),
        )
    }

    /// Versions times nonces.
    pub fn hashes(&self) -> u64 {
        self.versions.len() as u64 * self.range.count
    }

    pub fn job(&self) -> ScanJob {
        ScanJob::new(&self.header, &self.versions, self.target)
    }

    /// Every kernel finds what `sha2` finds.
    pub fn check_every_kernel(&self) {
        let expected = self.hits();
        for kernel in supported() {
            self.check(kernel, &expected);
        }
    }

    /// The kernel finds exactly these hits, counts its hashes, and where it does not, the message says at what lane of
    /// what version.
    pub fn check(&self, kernel: &dyn Kernel, expected: &Hits) {
        let mut got = Vec::new();
        let hashes = kernel.scan(&self.job(), self.range, &mut |hit| {
            got.push((hit.version, hit.nonce, hit.digest));
            ControlFlow::Continue(())
        });
        let got = hits(got);
        let times = |hits: &Hits, found| hits.get(found).copied().unwrap_or(0);
        for found in expected.keys().chain(got.keys()) {
            assert!(
                times(&got, found) == times(expected, found),
                "{} reports {} times what is there {} times: {}",
                kernel.name(),
                times(&got, found),
                times(expected, found),
                self.place(kernel, found),
            );
        }
        assert_eq!(
            hashes,
            self.hashes(),
            "{} miscounts {} versions, {:?}",
            kernel.name(),
            self.versions.len(),
            self.range
        );
    }

    fn place(&self, kernel: &dyn Kernel, &(version, nonce, digest): &Found) -> String {
        let places: Vec<usize> = (0..self.versions.len())
            .filter(|&i| self.versions[i] == version)
            .collect();
        let offset = nonce.wrapping_sub(self.range.start);
        format!(
            "version {version:#010x} at {places:?} of {} versions, nonce {nonce} at lane {} of batch {} of {:?}, \
             digest {}, target {}",
            self.versions.len(),
            offset % kernel.lanes(),
            offset / kernel.lanes(),
            self.range,
            Target::from_le_bytes(digest),
            self.target,
        )
    }
}

pub fn hits(found: impl IntoIterator<Item = Found>) -> Hits {
    let mut hits = Hits::new();
    for found in found {
        *hits.entry(found).or_default() += 1;
    }
    hits
}

pub fn sha256d(data: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(data)).into()
}

pub fn supported() -> impl Iterator<Item = &'static dyn Kernel> {
    kernels()
        .iter()
        .copied()
        .filter(|kernel| kernel.is_supported())
}

/// At least as many nonces as any kernel has side by side.
pub fn width(kernel: &dyn Kernel) -> u32 {
    kernel.lanes().max(16)
}

pub fn range(start: u32, count: u64) -> NonceRange {
    NonceRange { start, count }
}

/// A header of pseudo-random bytes.
pub fn header(seed: u64) -> [u8; 80] {
    let mut bytes = [0; 80];
    for (i, chunk) in bytes.chunks_mut(32).enumerate() {
        let digest = sha256d(&[seed.to_le_bytes(), (i as u64).to_le_bytes()].concat());
        chunk.copy_from_slice(&digest[..chunk.len()]);
    }
    bytes
}

/// So many versions that differ in the bits of BIP320.
pub fn versions(count: i32) -> Vec<i32> {
    (0..count).map(|i| 0x2000_0000 | i << 13).collect()
}

/// The target that one digest in 2^`zero_bits` meets.
pub fn one_in_two_to_the(zero_bits: u32) -> Target {
    let mut bytes = [0xff; 32];
    bytes[..4].copy_from_slice(&(u32::MAX >> zero_bits).to_be_bytes());
    Target::from_be_bytes(bytes)
}
