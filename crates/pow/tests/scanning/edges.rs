//! First and last lanes, versions and nonces, ranges that end, and scans that are told to stop.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use pow::{Kernel, NBits, NonceRange, Target};

use crate::oracle::{Search, header, hits, one_in_two_to_the, range, supported, versions, width};

/// A search of a header of random bytes.
fn search(seed: u64, count: i32, target: Target, range: NonceRange) -> Search {
    Search {
        header: header(seed),
        versions: versions(count),
        target,
        range,
    }
}

#[test]
fn every_lane_of_every_version_is_hashed_right() {
    // One hit in two and one in four: a lane that computes anything else misses some before long.
    for seed in 0..6 {
        for count in [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64] {
            for zero_bits in 1..=2 {
                let range = range(seed as u32 * 1009, 67);
                search(seed, count, one_in_two_to_the(zero_bits), range).check_every_kernel();
            }
        }
    }
}

#[test]
fn where_every_digest_is_a_hit_every_one_is_reported_once() {
    for count in [1, 16, 17] {
        search(1, count, Target::MAX, range(77, 67)).check_every_kernel();
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
        search(1, 5, target, range(12_345, 4_001)).check_every_kernel();
    }
}

#[test]
fn the_last_nonces_are_hashed_and_nothing_wraps() {
    for count in 1..=80 {
        let range = range(u32::MAX - (count - 1), u64::from(count));
        search(2, 3, one_in_two_to_the(1), range).check_every_kernel();
        search(2, 1, Target::MAX, range).check_every_kernel();
    }
}

#[test]
fn ranges_shorter_than_the_lanes_and_empty_ones() {
    for count in 0..70 {
        search(3, 2, one_in_two_to_the(1), range(1000, count)).check_every_kernel();
        search(3, 18, Target::MAX, range(1000, count)).check_every_kernel();
    }
}

#[test]
#[cfg(not(debug_assertions))]
fn a_range_past_the_last_nonce_is_cut_off() {
    let job = search(4, 2, one_in_two_to_the(1), range(0, 0)).job();
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
    let job = search(4, 2, one_in_two_to_the(1), range(0, 0)).job();
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
fn a_version_that_is_listed_twice_is_scanned_twice() {
    for versions in [vec![5, 5], vec![4, 5, 5, 5, 6], vec![9; 20]] {
        let search = Search {
            versions,
            ..search(8, 1, one_in_two_to_the(2), range(40, 40))
        };
        assert!(search.hits().values().all(|times| *times >= 1));
        search.check_every_kernel();
    }
}

#[test]
fn only_the_target_decides_between_digests_alike_in_the_top_word() {
    // A target equal to one digest is met by it; one less is not.
    let all = search(5, 3, Target::MAX, range(0, 1_500));
    let best = all
        .digests()
        .min_by_key(|(_, _, digest)| Target::from_le_bytes(*digest))
        .expect("4,500 digests");
    let exact = Target::from_le_bytes(best.2);
    for kernel in supported() {
        let search = |target| Search {
            target,
            ..all.clone()
        };
        search(exact).check(kernel, &hits([best]));
        search(crate::any_job::one_less(exact)).check(kernel, &hits([]));
    }
}

/// The hashes counted by a scan that is stopped at its hit number `after`, after which nothing may be reported.
fn hashes_until_break(kernel: &dyn Kernel, search: &Search, after: usize) -> u64 {
    let mut found = BTreeSet::new();
    let mut calls = 0;
    let hashes = kernel.scan(&search.job(), search.range, &mut |hit| {
        calls += 1;
        found.insert((hit.version, hit.nonce));
        if calls == after {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let name = kernel.name();
    assert_eq!(calls, after, "{name} does not stop at hit {after}");
    assert_eq!(found.len(), after, "{name} reports a hit twice");
    hashes
}

#[test]
fn a_break_ends_the_calls_and_the_scan_with_its_batch() {
    for count in [1, 3, 17, 33] {
        for kernel in supported() {
            // Each hash is a hit, so that calls are hashes. A kernel may take a few times its lanes as one batch.
            let batch = 4 * u64::from(width(kernel));
            let search = search(6, count, Target::MAX, range(300, 40));
            let all = search.hashes();
            for after in [1, 2, 7, 40, all - 1, all] {
                let until = |after: u64| hashes_until_break(kernel, &search, after as usize);
                let after = after.min(all);
                let hashes = until(after);
                let what = format!("{}, {count} versions, hit {after}: {hashes}", kernel.name());
                assert!(hashes >= after && hashes < after + batch, "{what}");
                assert_eq!(until(hashes), hashes, "the end of a batch; {what}");
            }
        }
    }
}

#[test]
fn a_break_at_a_rare_hit_ends_the_scan_long_before_its_range() {
    for count in [1, 16, 17] {
        for kernel in supported() {
            let search = search(9, count, one_in_two_to_the(5), range(0, 4_000));
            let hashes = hashes_until_break(kernel, &search, 2);
            assert!(
                (2..3_000).contains(&hashes),
                "{} goes on for {hashes} hashes of {count} versions",
                kernel.name()
            );
        }
    }
}
