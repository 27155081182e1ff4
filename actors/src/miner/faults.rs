//! What is held against a kernel or a hashing thread: panics, false reports, calls that do not return.
//!
//! One failure is survived: it is counted and said, and another thread goes on in its place after a pause. One
//! that fails again and again makes the miner fail. Where its kernel is to blame, the miner's next incarnation uses
//! another one: mining more slowly beats not mining.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use pow::Kernel;

/// A thread that fails this often in a row is given up.
const STRIKES: u32 = 5;

/// A thread that went on without failing for this long starts over.
const FORGIVEN: Duration = Duration::from_secs(10);

/// Why a thread is given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hash-{thread} failed {times} times in a row, at last: {last}")]
pub struct ThreadFault {
    /// The thread's index.
    pub thread: usize,
    /// How often.
    pub times: u32,
    /// The last failure, in words.
    pub last: String,
}

/// Failures of one thread in a row.
#[derive(Debug, Clone, Copy)]
pub struct Strikes {
    count: u32,
    resumed: Instant,
    limit: u32,
}

impl Strikes {
    /// None so far.
    pub fn new(now: Instant) -> Self {
        Self {
            count: 0,
            resumed: now,
            limit: STRIKES,
        }
    }

    /// The same with another limit.
    #[cfg(test)]
    pub fn with_limit(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// A failure. The answer is how many there were in a row, and whether that is too many.
    pub fn strike(&mut self, now: Instant) -> (u32, bool) {
        let forgiven = now.saturating_duration_since(self.resumed) > FORGIVEN;
        self.count = if forgiven { 1 } else { self.count + 1 };
        self.resumed = now;
        (self.count, self.count >= self.limit)
    }

    /// The thread goes on.
    pub fn resume(&mut self, now: Instant) {
        self.resumed = now;
    }
}

/// Marks, one per thread of an incarnation: whether the thread is in a call of the kernel. Each is set and
/// cleared thousands of times a second, on a cache line of its own.
pub type Inside = Arc<[CachePadded<AtomicBool>]>;

/// Kernels that are not used any more in this process, and why. Clones share it, so that it outlives the
/// miner's incarnations.
#[derive(Debug, Clone, Default)]
pub struct KernelFaults {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    blamed: Vec<(&'static str, String)>,
    /// The kernel of the latest incarnation, and who is in a call of it.
    latest: Option<(&'static str, Inside)>,
}

impl KernelFaults {
    /// Holds something against a kernel; the first reason counts.
    pub fn blame(&self, kernel: &'static str, why: &str) {
        self.lock().blame(kernel, why);
    }

    /// What is held against a kernel, if anything.
    pub fn against(&self, kernel: &str) -> Option<String> {
        let inner = self.lock();
        let found = inner.blamed.iter().find(|(name, _)| *name == kernel);
        found.map(|(_, why)| why.clone())
    }

    /// The kernel for the next incarnation: `wanted`, or the first of `next`, or else of all that there are, that
    /// nothing is held against. None where something is held against all of them.
    ///
    /// Called when the last incarnation has been released or given up: a thread of it that is still in a call
    /// of the kernel hangs there, and that is held against the kernel too.
    pub fn choose(
        &self,
        wanted: &'static dyn Kernel,
        next: &[&'static dyn Kernel],
    ) -> Option<&'static dyn Kernel> {
        let mut inner = self.lock();
        if let Some((kernel, inside)) = inner.latest.take()
            && let Some(thread) = inside.iter().position(|mark| mark.load(Ordering::Relaxed))
        {
            inner.blame(
                kernel,
                &format!("hash-{thread} did not come back from a call of it"),
            );
        }
        let all = next.iter().chain(pow::kernels()).copied();
        let candidates = std::iter::once(wanted).chain(all);
        let blamed = |kernel: &&dyn Kernel| {
            let mut names = inner.blamed.iter().map(|(name, _)| *name);
            names.any(|name| name == kernel.name())
        };
        candidates
            .filter(|kernel| kernel.is_supported())
            .find(|kernel| !blamed(kernel))
    }

    /// An incarnation begins to use a kernel with `threads` threads.
    pub fn begin(&self, kernel: &'static dyn Kernel, threads: usize) -> Inside {
        let inside: Inside = (0..threads).map(|_| CachePadded::default()).collect();
        self.lock().latest = Some((kernel.name(), Arc::clone(&inside)));
        inside
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change is one step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn blame(&mut self, kernel: &'static str, why: &str) {
        if !self.blamed.iter().any(|(name, _)| *name == kernel) {
            self.blamed.push((kernel, why.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn failures_in_a_row_are_too_many_and_those_far_apart_are_not() {
        let start = Instant::now();
        let mut strikes = Strikes::new(start);
        let results: Vec<_> = (1..=5)
            .map(|nth| strikes.strike(start + Duration::from_secs(nth)))
            .collect();
        assert_eq!(
            results,
            [(1, false), (2, false), (3, false), (4, false), (5, true)]
        );

        let mut strikes = Strikes::new(start);
        for nth in 1..=100 {
            let now = start + nth * (FORGIVEN + Duration::from_secs(1));
            assert_eq!(strikes.strike(now), (1, false));
        }
        // The pause before it goes on is no time in which it did well.
        let mut strikes = Strikes::new(start);
        let mut now = start;
        for nth in 1..=5 {
            assert_eq!(strikes.strike(now), (nth, nth == 5));
            now += 2 * FORGIVEN;
            strikes.resume(now);
        }
    }

    #[test]
    fn a_kernel_that_is_blamed_gives_way_to_the_fastest_that_is_not() {
        let faults = KernelFaults::default();
        let supported: Vec<_> = pow::kernels()
            .iter()
            .copied()
            .filter(|kernel| kernel.is_supported())
            .collect();
        let name = |kernel: Option<&dyn Kernel>| kernel.map(Kernel::name);
        for expected in &supported {
            let chosen = faults.choose(supported[0], &[]);
            assert_eq!(name(chosen), Some(expected.name()));
            faults.clone().blame(expected.name(), "it panics");
            faults.blame(expected.name(), "again");
            assert_eq!(
                faults.against(expected.name()).as_deref(),
                Some("it panics")
            );
        }
        assert_eq!(name(faults.choose(supported[0], &supported)), None);
    }

    #[test]
    fn the_next_best_by_measurement_takes_the_place_of_a_blamed_kernel() {
        let faults = KernelFaults::default();
        let scalar = pow::kernel("scalar").unwrap();
        let wanted = pow::kernel("auto").unwrap();
        faults.blame(wanted.name(), "it panics");
        let chosen = faults.choose(wanted, &[wanted, scalar]);
        let expected = (wanted.name() != scalar.name()).then_some("scalar");
        assert_eq!(chosen.map(Kernel::name), expected);
    }

    #[test]
    fn a_thread_that_is_left_in_a_call_is_held_against_its_kernel() {
        let faults = KernelFaults::default();
        let kernel = pow::kernel("auto").unwrap();
        for left in [false, true] {
            let inside = faults.begin(faults.choose(kernel, &[]).unwrap(), 3);
            inside[2].store(left, Ordering::Relaxed);
        }
        assert_eq!(faults.against(kernel.name()), None, "not asked yet");
        let next = faults.choose(kernel, &[]);
        assert_ne!(next.map(Kernel::name), Some(kernel.name()));
        let why = faults.against(kernel.name()).unwrap();
        assert!(why.contains("hash-2"), "{why}");
    }
}
