//! What a kernel takes at best, and how fast this core's clock is.
//!
//! The least of many short slices is taken: what else the machine does makes a slice longer and never shorter, and
//! a slice is short enough to be left alone now and then. Averages over wall-clock time, which is what the hashing
//! threads get, are 5 to 10 % lower on a machine that is shared.

use std::hint::black_box;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use pow::{Kernel, NonceRange, ScanJob, Target};

/// No slice is made longer than this on purpose.
const SLICE: Duration = Duration::from_micros(200);

/// Slower than the best by this factor is hopeless: some kernels are on some CPUs, by a factor of a hundred.
const HOPELESS: f64 = 5.0;

/// Rounds to a slice of the chain that gives the clock, and its dependent operations to a round.
const ROUNDS: u32 = 1_000;
const OPERATIONS: u32 = 64;

/// Slices of that chain: some milliseconds in all.
const CHAIN_SLICES: u32 = 150;

/// Clocks that CPUs have, in Hz.
const PLAUSIBLE_HZ: Range<f64> = 4e8..8e9;

/// Time that has passed since some fixed moment.
pub trait Clock: FnMut() -> Duration {}

impl<F: FnMut() -> Duration> Clock for F {}

/// The monotonic clock of the system.
pub fn wall_clock() -> impl Clock {
    let start = Instant::now();
    move || start.elapsed()
}

/// What a kernel takes at best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Nanoseconds per hash in the fastest slice; infinite where there was none.
    pub ns_per_hash: f64,
    /// Hashes of all slices.
    pub hashes: u64,
}

impl Measured {
    /// Hashes per second of one thread that nothing disturbs.
    pub fn hashrate_hs(self) -> f64 {
        1e9 / self.ns_per_hash
    }

    /// Core cycles per hash at a clock of `clock_hz`.
    pub fn cycles_per_hash(self, clock_hz: f64) -> f64 {
        self.ns_per_hash * clock_hz / 1e9
    }

    /// Whether it is so much slower than `best` that there is no use in measuring on.
    pub fn is_hopeless(self, best: Self) -> bool {
        self.ns_per_hash > HOPELESS * best.ns_per_hash
    }
}

/// Measures `kernel` on the calling thread for about `time`, at least one slice, with so many header versions at once.
///
/// # Panics
/// When this CPU cannot run the kernel, or there are no versions.
pub fn hashes(kernel: &dyn Kernel, versions: usize, time: Duration) -> Measured {
    let mut clock = wall_clock();
    let mut meter = Meter::new(kernel, versions);
    meter.run(time, &mut clock);
    meter.measured()
}

/// Measures one kernel, a slice at a time.
pub struct Meter<'a> {
    kernel: &'a dyn Kernel,
    job: ScanJob,
    /// Nonces in the next slice.
    nonces: u64,
    measured: Measured,
}

impl<'a> Meter<'a> {
    /// Nothing is measured yet.
    ///
    /// # Panics
    /// When there are no versions.
    pub fn new(kernel: &'a dyn Kernel, versions: usize) -> Self {
        let header = std::array::from_fn(|i| (i * 151 + 17) as u8);
        let versions: Vec<i32> = (0_i32..)
            .take(versions)
            .map(|roll| 0x2000_0000 | roll << 13)
            .collect();
        Self {
            kernel,
            // Nothing meets this target.
            job: ScanJob::new(&header, &versions, Target::from_be_bytes([0; 32])),
            // One batch: a kernel that is hopeless here shows it in some milliseconds.
            nonces: u64::from(kernel.lanes()).max(1),
            measured: Measured {
                ns_per_hash: f64::INFINITY,
                hashes: 0,
            },
        }
    }

    /// The kernel.
    pub fn kernel(&self) -> &'a dyn Kernel {
        self.kernel
    }

    /// What was measured so far.
    pub fn measured(&self) -> Measured {
        self.measured
    }

    /// Slices until `time` has passed, at least one.
    ///
    /// # Panics
    /// When this CPU cannot run the kernel.
    pub fn run(&mut self, time: Duration, clock: &mut impl Clock) {
        let end = clock() + time;
        loop {
            self.slice(clock);
            if clock() >= end {
                return;
            }
        }
    }

    /// One slice. The first ones grow.
    ///
    /// # Panics
    /// When this CPU cannot run the kernel.
    pub fn slice(&mut self, clock: &mut impl Clock) {
        let range = NonceRange {
            start: 0,
            count: self.nonces,
        };
        let began = clock();
        let hashes = self.kernel.scan(black_box(&self.job), range, &mut |_| {
            ControlFlow::Continue(())
        });
        let took = clock().saturating_sub(began);
        self.measured.hashes += hashes;
        // A clock that did not move says nothing.
        if !took.is_zero() {
            let ns = took.as_nanos() as f64 / hashes as f64;
            self.measured.ns_per_hash = self.measured.ns_per_hash.min(ns);
        }
        if took * 2 <= SLICE {
            self.nonces = (self.nonces * 2).min(NonceRange::ALL.count);
        }
    }
}

/// The clock of the core that the calling thread runs on, in Hz, whatever its nominal clock is; takes some
/// milliseconds. None where it cannot be told: without optimisation, or on a CPU unlike those we know.
pub fn clock_hz() -> Option<f64> {
    if cfg!(debug_assertions) {
        return None;
    }
    let mut clock = wall_clock();
    let (a, b) = (
        black_box(0x9e37_79b9_7f4a_7c15),
        black_box(0xd1b5_4a32_d192_ed03),
    );
    clock_from(CHAIN_SLICES, &mut clock, || {
        black_box(chain(black_box(1), a, b));
    })
}

/// The clock, where `slice` takes [`ROUNDS`] times [`OPERATIONS`] cycles at best.
fn clock_from(slices: u32, clock: &mut impl Clock, mut slice: impl FnMut()) -> Option<f64> {
    let least = (0..slices)
        .map(|_| {
            let began = clock();
            slice();
            clock().saturating_sub(began)
        })
        .min()?;
    let hz = f64::from(ROUNDS * OPERATIONS) / least.as_secs_f64();
    PLAUSIBLE_HZ.contains(&hz).then_some(hz)
}

/// Additions and exclusive ors in turn, each of which needs the one before and takes a cycle on every CPU that we
/// know. No rule of algebra makes them fewer.
#[inline(never)]
fn chain(mut x: u64, a: u64, b: u64) -> u64 {
    macro_rules! twice {
        ($($body:tt)*) => { $($body)* $($body)* };
    }
    for _ in 0..ROUNDS {
        twice! { twice! { twice! { twice! { twice! { x = x.wrapping_add(a) ^ b; } } } } }
    }
    x
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use pow::Hit;

    use super::*;

    /// A kernel that hashes nothing and lets time pass instead.
    #[derive(Default)]
    struct Fake {
        /// The time, in nanoseconds.
        now: AtomicU64,
        /// Nanoseconds per hash.
        cost: AtomicU64,
        /// Hashes of each call.
        calls: Mutex<Vec<u64>>,
    }

    impl Fake {
        fn costing(ns: u64) -> Self {
            Self {
                cost: ns.into(),
                ..Self::default()
            }
        }

        fn clock(&self) -> impl Clock {
            || Duration::from_nanos(self.now.load(Ordering::Relaxed))
        }
    }

    impl Kernel for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }

        fn is_supported(&self) -> bool {
            true
        }

        fn lanes(&self) -> u32 {
            8
        }

        fn scan(
            &self,
            job: &ScanJob,
            range: NonceRange,
            _: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> u64 {
            let hashes = range.count * job.versions().len() as u64;
            let cost = self.cost.load(Ordering::Relaxed);
            self.now.fetch_add(hashes * cost, Ordering::Relaxed);
            self.calls.lock().expect("one thread").push(hashes);
            hashes
        }
    }

    #[test]
    fn slices_begin_with_one_batch_and_grow_to_a_fifth_of_a_millisecond() {
        let fake = Fake::costing(30);
        let mut meter = Meter::new(&fake, 4);
        meter.run(Duration::from_millis(20), &mut fake.clock());
        let calls = fake.calls.lock().expect("one thread");
        assert_eq!(calls[..4], [32, 64, 128, 256]);
        let longest = Duration::from_nanos(30 * calls.iter().max().expect("some"));
        assert!(longest <= SLICE && longest * 2 > SLICE, "{longest:?}");
        assert_eq!(meter.measured().hashes, calls.iter().sum::<u64>());
    }

    #[test]
    fn the_fastest_slice_counts() {
        let fake = Fake::costing(30);
        let mut meter = Meter::new(&fake, 1);
        for cost in [50, 20, 90] {
            fake.cost.store(cost, Ordering::Relaxed);
            meter.slice(&mut fake.clock());
        }
        let measured = meter.measured();
        assert!((measured.ns_per_hash - 20.0).abs() < 1e-9);
        assert!((measured.hashrate_hs() - 5e7).abs() < 1e-3);
        assert!((measured.cycles_per_hash(3e9) - 60.0).abs() < 1e-9);
    }

    #[test]
    fn a_slice_of_a_clock_that_stands_still_says_nothing() {
        let fake = Fake::costing(0);
        let mut meter = Meter::new(&fake, 1);
        meter.slice(&mut fake.clock());
        assert!(meter.measured().ns_per_hash.is_infinite());
        assert!(meter.measured().hashrate_hs() < 1e-9);
    }

    #[test]
    fn only_what_is_far_behind_is_hopeless() {
        let taking = |ns_per_hash| Measured {
            ns_per_hash,
            hashes: 1,
        };
        assert!(!taking(100.0).is_hopeless(taking(30.0)));
        assert!(taking(160.0).is_hopeless(taking(30.0)));
        assert!(!taking(30.0).is_hopeless(taking(f64::INFINITY)));
    }

    #[test]
    fn every_kernel_of_this_cpu_is_measured_for_real() {
        for kernel in pow::kernels().iter().filter(|k| k.is_supported()) {
            let measured = hashes(*kernel, 4, Duration::from_millis(2));
            assert!(measured.hashrate_hs() > 0.0, "{}", kernel.name());
            assert_eq!(measured.hashes % 4, 0);
        }
    }

    #[test]
    fn the_clock_is_that_of_the_fastest_slice_and_none_where_no_cpu_has_it() {
        let clock = |slices: [u64; 3]| {
            let now = Cell::new(0);
            let mut slices = slices.into_iter();
            clock_from(3, &mut || Duration::from_nanos(now.get()), || {
                now.set(now.get() + slices.next().unwrap_or_default());
            })
        };
        // 64,000 operations.
        let hz = clock([40_000, 16_000, 20_000]).expect("plausible");
        assert!((hz - 4e9).abs() < 1.0, "{hz}");
        assert_eq!(clock([40_000, 0, 20_000]), None, "no time passed");
        assert_eq!(clock([7_000, 7_000, 7_000]), None, "9 GHz");
        assert_eq!(clock([320_000, 320_000, 320_000]), None, "not optimised");
    }

    #[test]
    fn the_chain_does_every_operation() {
        let (a, b) = (3, 10);
        let mut expected = 1_u64;
        for _ in 0..ROUNDS * OPERATIONS / 2 {
            expected = (expected + a) ^ b;
        }
        assert_eq!(chain(1, a, b), expected);
    }
}
