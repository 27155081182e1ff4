//! Every kernel that this CPU runs finds exactly the hits of a naive loop.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use pow::{Kernel, KernelError, NBits, NonceRange, ScanJob, Target, kernel, kernels};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

mod common;

/// The genesis header of mainnet; its nonce is 2083236893.
const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e\
                       67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
const GENESIS_NONCE: u32 = 2_083_236_893;
const GENESIS_HASH: &str = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";

fn genesis() -> [u8; 80] {
    hex::decode(GENESIS)
        .expect("hex")
        .try_into()
        .expect("80 bytes")
}

fn supported() -> impl Iterator<Item = &'static dyn Kernel> {
    kernels()
        .iter()
        .copied()
        .filter(|kernel| kernel.is_supported())
}

fn reference(data: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(data)).into()
}

fn range(start: u32, count: u64) -> NonceRange {
    NonceRange { start, count }
}

/// The hits that `sha2` finds, as a set of version, nonce, digest.
fn naive(
    header: &[u8; 80],
    versions: &[i32],
    target: Target,
    range: NonceRange,
) -> BTreeSet<(i32, u32, [u8; 32])> {
    let mut hits = BTreeSet::new();
    for &version in versions {
        for nonce in
            (u64::from(range.start)..u64::from(range.start) + range.count).map(|n| n as u32)
        {
            let mut header = *header;
            header[..4].copy_from_slice(&version.to_le_bytes());
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            let digest = reference(&header);
            if target.is_met_by(&digest) {
                hits.insert((version, nonce, digest));
            }
        }
    }
    hits
}

/// The hits of a kernel; a hit reported twice is an error.
fn scanned(
    kernel: &dyn Kernel,
    job: &ScanJob,
    range: NonceRange,
) -> BTreeSet<(i32, u32, [u8; 32])> {
    let mut hits = BTreeSet::new();
    let hashes = kernel.scan(job, range, &mut |hit| {
        assert!(
            hits.insert((hit.version, hit.nonce, hit.digest)),
            "{} reports {hit:?} twice",
            kernel.name()
        );
        ControlFlow::Continue(())
    });
    assert_eq!(
        hashes,
        range.count * job.versions().len() as u64,
        "{} miscounts {range:?}",
        kernel.name()
    );
    hits
}

fn assert_all_kernels_agree(
    header: &[u8; 80],
    versions: &[i32],
    target: Target,
    range: NonceRange,
) {
    let job = ScanJob::new(header, versions, target);
    let expected = naive(header, versions, target, range);
    for kernel in supported() {
        assert!(
            scanned(kernel, &job, range) == expected,
            "{} differs from the naive loop on {} versions, {range:?}, target {target}",
            kernel.name(),
            versions.len(),
        );
    }
}

/// A header of pseudo-random bytes.
fn header(seed: u64) -> [u8; 80] {
    let mut bytes = [0; 80];
    for (i, chunk) in bytes.chunks_mut(32).enumerate() {
        let digest = reference(&[seed.to_le_bytes(), (i as u64).to_le_bytes()].concat());
        chunk.copy_from_slice(&digest[..chunk.len()]);
    }
    bytes
}

fn versions(count: i32) -> Vec<i32> {
    (0..count).map(|i| 0x2000_0000 | i << 13).collect()
}

#[test]
fn the_genesis_nonce_is_found() {
    let header = genesis();
    let target = Target::from_nbits(NBits(0x1d00_ffff)).expect("difficulty 1");
    let job = ScanJob::new(&header, &[1], target);
    for kernel in supported() {
        // The nonce in every lane, of whatever width.
        for offset in 0..70 {
            let hits = scanned(kernel, &job, range(GENESIS_NONCE - offset, 100));
            let (version, nonce, mut digest) = *hits.first().expect("the genesis nonce");
            digest.reverse();
            assert_eq!(
                (version, nonce, hits.len()),
                (1, GENESIS_NONCE, 1),
                "{}",
                kernel.name()
            );
            assert_eq!(hex::encode(digest), GENESIS_HASH);
        }
    }
}

#[test]
fn real_headers_are_found() {
    let Some(bytes) = common::testdata("headers/mainnet_0_32259.headers") else {
        return;
    };
    let (headers, rest) = bytes.as_chunks::<80>();
    assert!(rest.is_empty() && headers.len() == 32_260);
    for header in headers.iter().step_by(97) {
        let word =
            |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let (version, nonce) = (word(0).cast_signed(), word(76));
        let target = Target::from_nbits(NBits(word(72))).expect("a mined header's nBits");
        let job = ScanJob::new(header, &[7, version, 9], target);
        let start = nonce.saturating_sub(word(68) % 150);
        let window = range(start, 200.min((1 << 32) - u64::from(start)));
        for kernel in supported() {
            let hits = scanned(kernel, &job, window);
            let expected = BTreeSet::from([(version, nonce, reference(header))]);
            assert_eq!(hits, expected, "{}", kernel.name());
        }
    }
}

#[test]
fn every_lane_of_every_version_is_hashed_right() {
    // The largest target reports every digest, so each one is compared with `sha2`.
    for seed in 0..8 {
        for count in [1, 2, 3, 4, 5, 7, 8, 16, 17, 64] {
            assert_all_kernels_agree(
                &header(seed),
                &versions(count),
                Target::MAX,
                range(seed as u32 * 1009, 67),
            );
        }
    }
}

#[test]
fn targets_above_2_to_the_224_lose_no_hit() {
    for nbits in [
        0x207f_ffff,
        0x2100_ffff,
        0x2001_0000,
        0x1f7f_ffff,
        0x1e7f_ffff,
        0x1e00_8000,
    ] {
        let target = Target::from_nbits(NBits(nbits)).expect("usable");
        assert_all_kernels_agree(&header(1), &versions(5), target, range(12_345, 4_001));
    }
}

#[test]
fn the_last_nonces_are_hashed_and_nothing_wraps() {
    for count in 0..80 {
        let range = range((1_u64 << 32).wrapping_sub(count) as u32, count);
        if count == 0 {
            continue;
        }
        assert_all_kernels_agree(&header(2), &versions(3), Target::MAX, range);
    }
}

#[test]
fn ranges_shorter_than_the_lanes_and_empty_ones() {
    for count in 0..70 {
        assert_all_kernels_agree(&header(3), &versions(2), Target::MAX, range(1000, count));
    }
}

#[test]
#[cfg(not(debug_assertions))]
fn a_range_past_the_last_nonce_is_cut_off() {
    let job = ScanJob::new(&header(4), &versions(2), Target::MAX);
    for kernel in supported() {
        let hashes = kernel.scan(&job, range(u32::MAX - 9, 1 << 32), &mut |_| {
            ControlFlow::Continue(())
        });
        assert_eq!(hashes, 20, "{}", kernel.name());
    }
}

#[test]
#[cfg(debug_assertions)]
fn a_range_past_the_last_nonce_panics_in_debug_builds() {
    let job = ScanJob::new(&header(4), &versions(2), Target::MAX);
    for kernel in supported() {
        let scan = || {
            kernel.scan(&job, range(u32::MAX - 9, 11), &mut |_| {
                ControlFlow::Continue(())
            })
        };
        assert!(
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan)).is_err(),
            "{}",
            kernel.name()
        );
    }
}

#[test]
fn only_the_target_decides_between_digests_alike_in_the_top_word() {
    // A target equal to one digest is met by it; one less is not.
    let header = header(5);
    let best = |target| {
        let digests = naive(&header, &[3], target, range(0, 5_000));
        digests
            .into_iter()
            .min_by_key(|(_, _, d)| Target::from_le_bytes(*d))
            .expect("5,000 digests")
    };
    let (version, nonce, digest) = best(Target::MAX);
    let exact = Target::from_le_bytes(digest);
    let mut below = exact.to_be_bytes();
    let last = below.iter().rposition(|&byte| byte != 0).expect("not zero");
    below[last] -= 1;
    below[last + 1..].fill(0xff);
    for kernel in supported() {
        let job = ScanJob::new(&header, &[3], exact);
        assert_eq!(
            scanned(kernel, &job, range(0, 5_000)),
            BTreeSet::from([(version, nonce, digest)])
        );
        let job = ScanJob::new(&header, &[3], Target::from_be_bytes(below));
        assert_eq!(scanned(kernel, &job, range(0, 5_000)), BTreeSet::new());
    }
}

#[test]
fn a_break_stops_the_scan_within_its_batch() {
    let job = ScanJob::new(&header(6), &versions(64), Target::MAX);
    for kernel in supported() {
        for after in [1_u64, 2, 7, 100] {
            let mut calls = 0;
            let hashes = kernel.scan(&job, NonceRange::ALL, &mut |_| {
                calls += 1;
                if calls == after {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            assert_eq!(calls, after, "{} calls again after a break", kernel.name());
            let batch = u64::from(kernel.lanes()) * 64 * 4;
            assert!(
                (after..after + batch).contains(&hashes),
                "{}: {hashes} hashes",
                kernel.name()
            );
        }
    }
}

#[test]
fn a_job_shows_what_it_was_made_of() {
    let job = ScanJob::new(&genesis(), &[4, 1], Target::DIFFICULTY_1);
    assert_eq!(job.versions().collect::<Vec<_>>(), [4, 1]);
    assert_eq!(job.target(), Target::DIFFICULTY_1);
    assert_eq!(job.header(1, GENESIS_NONCE), genesis());
}

#[test]
fn kernels_are_found_by_name() {
    for known in kernels() {
        match kernel(known.name()) {
            Ok(found) => assert_eq!(found.name(), known.name()),
            Err(error) => {
                assert!(!known.is_supported());
                assert!(matches!(error, KernelError::Unsupported { .. }));
            }
        }
    }
    let first = supported().next().expect("the scalar kernel at least");
    assert_eq!(kernel("auto").expect("always there").name(), first.name());
    let names: BTreeSet<_> = kernels().iter().map(|k| k.name()).collect();
    assert_eq!(names.len(), kernels().len(), "names are unique");

    let error = kernel("gpu").err().expect("no such kernel");
    assert!(matches!(error, KernelError::Unknown { .. }));
    let message = error.to_string();
    assert!(
        message.contains("\"gpu\"") && message.contains("auto") && message.contains("scalar"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn all_kernels_give_the_hits_of_a_naive_loop(
        seed in any::<u64>(),
        zero_bits in 0_u32..12,
        target_low in any::<[u8; 32]>(),
        start in prop_oneof![any::<u32>(), (u32::MAX - 300)..=u32::MAX],
        count in 0_u64..300,
        versions in prop::collection::btree_set(any::<i32>(), 1..20),
    ) {
        let target = {
            let mut bytes = target_low;
            bytes[0] |= 0x80;
            let top = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> zero_bits;
            bytes[..4].copy_from_slice(&top.to_be_bytes());
            Target::from_be_bytes(bytes)
        };
        let count = count.min((1 << 32) - u64::from(start));
        let versions: Vec<i32> = versions.into_iter().collect();
        assert_all_kernels_agree(&header(seed), &versions, target, range(start, count));
    }
}
