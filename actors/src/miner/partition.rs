//! The search space of one job, divided among the threads without overlap.
//!
//! A header is determined by (extranonce, version, ntime, nonce). Thread `i` of `n` has the
//! extranonces `i`, `i + n`, `i + 2n`, ... of a job; within each it goes through the nonces once,
//! with all versions at each nonce. The timestamp follows the clock and does not matter to the
//! partition: no two slices share an extranonce and a nonce.

use pow::NonceRange;

/// Nonces in a header.
pub const NONCES: u64 = 1 << 32;

/// A piece of the search space: one extranonce, some nonces, every version of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The coinbase's extranonce.
    pub extranonce: u64,
    /// The nonces.
    pub nonces: NonceRange,
}

/// One thread's place in its share of a job's search space.
#[derive(Debug, Clone)]
pub struct Cursor {
    extranonce: u64,
    stride: u64,
    next_nonce: u64,
    nonces: u64,
}

impl Cursor {
    /// The share of thread `index` of `threads`, of the extranonces from `base` on, each with the
    /// first `nonces` nonces: [`NONCES`], or fewer so that a test can exhaust them.
    ///
    /// # Panics
    /// When `index` is not below `threads`.
    pub fn new(base: u64, index: usize, threads: usize, nonces: u64) -> Self {
        assert!(index < threads, "thread {index} of {threads}");
        Self {
            extranonce: base.wrapping_add(index as u64),
            stride: threads as u64,
            next_nonce: 0,
            nonces: nonces.clamp(1, NONCES),
        }
    }

    /// Takes the next slice, of at most `most` nonces (at least one): never empty, never one that
    /// was taken before. A new extranonce begins where the nonces of the last are used up.
    pub fn take(&mut self, most: u64) -> Slice {
        if self.next_nonce == self.nonces {
            self.extranonce = self.extranonce.wrapping_add(self.stride);
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
    use std::collections::HashSet;

    #[test]
    fn the_last_nonce_is_scanned_and_then_a_new_extranonce_begins() {
        let mut cursor = Cursor::new(100, 1, 3, NONCES);
        let first = cursor.take(NONCES - 1);
        assert_eq!(
            first.nonces,
            NonceRange {
                start: 0,
                count: NONCES - 1
            }
        );
        let last = cursor.take(1_000);
        assert_eq!(
            last,
            Slice {
                extranonce: 101,
                nonces: NonceRange {
                    start: u32::MAX,
                    count: 1
                }
            }
        );
        let next = cursor.take(1_000);
        assert_eq!(
            next,
            Slice {
                extranonce: 104,
                nonces: NonceRange {
                    start: 0,
                    count: 1_000
                }
            }
        );
    }

    #[test]
    fn a_request_for_nothing_still_gets_ahead() {
        let mut cursor = Cursor::new(0, 0, 1, 2);
        assert_eq!(
            [cursor.take(0).nonces.start, cursor.take(0).nonces.start],
            [0, 1]
        );
        assert_eq!(cursor.take(0).extranonce, 1);
    }

    proptest! {
        #[test]
        fn no_extranonce_and_nonce_comes_twice_and_none_is_left_out(
            threads in 1_usize..6,
            nonces in 1_u64..40,
            base in any::<u64>(),
            sizes in prop::collection::vec(0_u64..60, 1..30),
        ) {
            let mut seen = HashSet::new();
            for index in 0..threads {
                let mut cursor = Cursor::new(base, index, threads, nonces);
                let mut last = None;
                for &size in &sizes {
                    let slice = cursor.take(size);
                    last = Some(slice);
                    for nonce in 0..slice.nonces.count {
                        let point = (slice.extranonce, u64::from(slice.nonces.start) + nonce);
                        prop_assert!(point.1 < nonces);
                        prop_assert!(seen.insert(point), "twice: {point:?}");
                    }
                }
                // Everything before the last slice, in this thread's extranonces, was scanned.
                let last = last.expect("at least one size");
                let mut extranonce = base.wrapping_add(index as u64);
                while extranonce != last.extranonce {
                    for nonce in 0..nonces {
                        prop_assert!(seen.contains(&(extranonce, nonce)));
                    }
                    extranonce = extranonce.wrapping_add(threads as u64);
                }
            }
        }
    }
}
