//! The search space, divided among the threads without overlap.
//!
//! A header is determined by its job and by (extranonce, version, ntime, nonce). A thread takes an extranonce
//! that nobody else in this process has had or will have, for whatever job, and goes through its nonces
//! once, with all versions at each nonce; then it takes another. Jobs, targets and timestamps change on
//! the way and do not matter: no two slices of a process share an extranonce and a nonce.
//!
//! Where a process begins to count is left to chance, so that neither its successor nor another instance with the same
//! address and the same node does its work again.

use std::hash::{BuildHasher as _, RandomState};

use pow::NonceRange;

/// Nonces in a header.
pub const NONCES: u64 = 1 << 32;

/// Where this process begins to count extranonces: 64 bits from the system's source of randomness. A process uses
/// one for each thread and for each 2^32 nonces of it, thousands in a year.
pub fn first_extranonce() -> u64 {
    // The standard library's only use of that source.
    RandomState::new().hash_one(())
}

/// A piece of the search space: one extranonce, some nonces, every version of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The coinbase's extranonce.
    pub extranonce: u64,
    /// The nonces.
    pub nonces: NonceRange,
}

/// One thread's place in the search space.
#[derive(Debug, Clone)]
pub struct Cursor {
    extranonce: u64,
    next_nonce: u64,
    nonces: u64,
}

impl Cursor {
    /// Nowhere yet. Of each extranonce it takes the first `nonces` nonces: [`NONCES`], or fewer so that a
    /// test can exhaust them.
    pub fn new(nonces: u64) -> Self {
        let nonces = nonces.clamp(1, NONCES);
        Self {
            extranonce: 0,
            next_nonce: nonces,
            nonces,
        }
    }

    /// Takes the next slice, of at most `most` nonces (at least one): never empty, never one that
    /// was taken before. Where the nonces of an extranonce are used up, `fresh` gives another.
    pub fn take(&mut self, most: u64, fresh: impl FnOnce() -> u64) -> Slice {
        if self.next_nonce == self.nonces {
            self.extranonce = fresh();
            self.next_nonce = 0;
        }
        let count = most.max(1).min(self.nonces - self.next_nonce);
        // Below 2^32: it is not at the end.
        let start = self.next_nonce as u32;
        self.next_nonce += count;
        Slice {
            extranonce: self.extranonce,
            nonces: NonceRange { start, count },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn slice(extranonce: u64, start: u32, count: u64) -> Slice {
        let nonces = NonceRange { start, count };
        Slice { extranonce, nonces }
    }

    #[test]
    fn the_last_nonce_is_scanned_and_then_a_new_extranonce_begins() {
        let mut cursor = Cursor::new(NONCES);
        let first = cursor.take(NONCES - 1, || 100);
        assert_eq!(first, slice(100, 0, NONCES - 1));
        assert_eq!(cursor.take(1_000, || 101), slice(100, u32::MAX, 1));
        assert_eq!(cursor.take(1_000, || 102), slice(102, 0, 1_000));
    }

    #[test]
    fn a_request_for_nothing_still_gets_ahead() {
        let mut cursor = Cursor::new(2);
        assert_eq!(cursor.take(0, || 7), slice(7, 0, 1));
        assert_eq!(cursor.take(0, || 8), slice(7, 1, 1));
        assert_eq!(cursor.take(0, || 9), slice(9, 0, 1));
    }

    #[test]
    fn two_processes_begin_far_apart() {
        let (one, other) = (first_extranonce(), first_extranonce());
        // By chance it would fail once in 2^32 runs.
        assert!(one.abs_diff(other) > 1 << 31, "{one} {other}");
    }

    proptest! {
        #[test]
        fn no_extranonce_and_nonce_comes_twice_and_none_is_left_out(
            threads in 1_usize..6,
            nonces in 1_u64..40,
            base in any::<u64>(),
            turns in prop::collection::vec((0_usize..6, 0_u64..60), 1..200),
        ) {
            let mut next = base;
            let mut cursors = vec![Cursor::new(nonces); threads];
            // How far each extranonce was scanned, and by whom last.
            let mut scanned = HashMap::<u64, u64>::new();
            let mut last = vec![None; threads];
            for (thread, size) in turns {
                let thread = thread % threads;
                let slice = cursors[thread].take(size, || {
                    next = next.wrapping_add(1);
                    next
                });
                let place = scanned.entry(slice.extranonce).or_default();
                prop_assert_eq!(u64::from(slice.nonces.start), *place, "twice, or one left out");
                prop_assert!(slice.nonces.count >= 1);
                *place += slice.nonces.count;
                prop_assert!(*place <= nonces);
                last[thread] = Some(slice.extranonce);
            }
            for (extranonce, end) in scanned {
                prop_assert!(end == nonces || last.contains(&Some(extranonce)), "not to its end");
            }
        }
    }
}
