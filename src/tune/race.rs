//! Every kernel measured, the fastest first, within a given time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use pow::Kernel;

use super::measure::{Clock, Measured, Meter};

/// Kernels take turns of this length: what disturbs the machine for a moment disturbs none of them for all of its time.
const TURN: Duration = Duration::from_micros(1_500);

/// A kernel and what it takes.
#[derive(Clone, Copy)]
pub struct Runner {
    /// The kernel.
    pub kernel: &'static dyn Kernel,
    /// What it takes at best.
    pub measured: Measured,
}

/// What came of a race.
#[derive(Default)]
pub struct Race {
    /// Those that ran, the fastest first.
    pub runners: Vec<Runner>,
    /// Those that panicked.
    pub failed: Vec<&'static dyn Kernel>,
}

/// Measures each kernel with so many header versions at once, in about `budget`. Each has at least one turn; one that is
/// hopelessly behind has no other.
///
/// # Panics
/// When there are no versions.
pub fn race(
    kernels: &[&'static dyn Kernel],
    versions: usize,
    budget: Duration,
    clock: &mut impl Clock,
) -> Race {
    let end = clock() + budget;
    let mut failed = Vec::new();
    let mut meters: Vec<Meter<'static>> = kernels
        .iter()
        .map(|kernel| Meter::new(*kernel, versions))
        .collect();
    let mut best = None;
    while !meters.is_empty() && (best.is_none() || clock() < end) {
        meters.retain_mut(|meter| {
            let done = |best| clock() >= end || meter.measured().is_hopeless(best);
            if best.is_some_and(done) {
                return true;
            }
            let ran = catch_unwind(AssertUnwindSafe(|| meter.run(TURN, clock))).is_ok();
            if !ran {
                failed.push(meter.kernel());
            }
            ran
        });
        let all = meters.iter().map(Meter::measured);
        best = all.min_by(|a, b| a.ns_per_hash.total_cmp(&b.ns_per_hash));
    }
    let mut runners: Vec<Runner> = meters
        .into_iter()
        .map(|meter| Runner {
            kernel: meter.kernel(),
            measured: meter.measured(),
        })
        .collect();
    // Stable: of equals, the one presumed faster stays first.
    runners.sort_by(|a, b| a.measured.ns_per_hash.total_cmp(&b.measured.ns_per_hash));
    Race { runners, failed }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ops::ControlFlow;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use pow::{Hit, NonceRange, ScanJob};

    use super::*;

    /// A kernel that hashes nothing and lets time pass instead.
    struct Fake {
        name: &'static str,
        /// The time, in nanoseconds, of all kernels of a race.
        now: &'static AtomicU64,
        /// Nanoseconds per hash; none: it panics.
        cost: Option<u64>,
        hashes: Mutex<u64>,
    }

    impl Kernel for Fake {
        fn name(&self) -> &'static str {
            self.name
        }

        fn is_supported(&self) -> bool {
            true
        }

        fn lanes(&self) -> u32 {
            4
        }

        fn scan(
            &self,
            job: &ScanJob,
            range: NonceRange,
            _: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> u64 {
            let hashes = range.count * job.versions().len() as u64;
            let cost = self.cost.expect("this one runs");
            self.now.fetch_add(hashes * cost, Ordering::Relaxed);
            *self.hashes.lock().unwrap() += hashes;
            hashes
        }
    }

    fn fakes(costs: &[(&'static str, Option<u64>)]) -> (Vec<&'static Fake>, &'static AtomicU64) {
        let now: &'static AtomicU64 = Box::leak(Box::default());
        let fakes = costs.iter().map(|&(name, cost)| {
            let hashes = Mutex::default();
            let fake = Fake {
                name,
                now,
                cost,
                hashes,
            };
            &*Box::leak(Box::new(fake))
        });
        (fakes.collect(), now)
    }

    fn run(fakes: &[&'static Fake], now: &'static AtomicU64, budget: Duration) -> Race {
        let kernels: Vec<&'static dyn Kernel> = fakes.iter().map(|fake| *fake as _).collect();
        let mut clock = || Duration::from_nanos(now.load(Ordering::Relaxed));
        race(&kernels, 64, budget, &mut clock)
    }

    #[test]
    fn the_fastest_comes_first_and_a_hopeless_one_takes_no_more_than_a_batch() {
        let (all, now) = fakes(&[
            ("hopeless", Some(7_500)),
            ("good", Some(30)),
            ("slow", Some(70)),
        ]);
        let race = run(&all, now, Duration::from_millis(40));
        let names: Vec<_> = race.runners.iter().map(|r| r.kernel.name()).collect();
        assert_eq!(names, ["good", "slow", "hopeless"]);
        assert_eq!(*all[0].hashes.lock().unwrap(), 4 * 64);
        let took = Duration::from_nanos(now.load(Ordering::Relaxed));
        assert!(took < Duration::from_millis(43), "{took:?}");
        assert!((race.runners[0].measured.ns_per_hash - 30.0).abs() < 1e-9);
    }

    #[test]
    fn each_has_a_turn_even_where_there_is_no_time() {
        let (all, now) = fakes(&[("one", Some(30)), ("two", Some(20))]);
        let race = run(&all, now, Duration::ZERO);
        let names: Vec<_> = race.runners.iter().map(|r| r.kernel.name()).collect();
        assert_eq!(names, ["two", "one"]);
    }

    #[test]
    fn one_that_panics_is_out_and_the_others_go_on() {
        let (all, now) = fakes(&[("broken", None), ("good", Some(30))]);
        let race = run(&all, now, Duration::from_millis(5));
        assert_eq!(race.runners.len(), 1);
        assert_eq!(race.failed[0].name(), "broken");
        assert_eq!(race.runners[0].kernel.name(), "good");
        let (none, now) = fakes(&[("broken", None)]);
        assert!(run(&none, now, Duration::from_millis(5)).runners.is_empty());
    }
}
