//! The order that the hashing threads follow, switched by epoch.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chain::Job;
use crossbeam_utils::CachePadded;
use pow::Target;

use super::clock::TimeRule;
use crate::latency::Latencies;

/// What the threads are to do.
#[derive(Debug)]
pub struct Order {
    /// Which order this is; each one has a higher epoch than the one before.
    pub epoch: u64,
    /// What it says.
    pub work: Work,
    given_at: Instant,
    /// How many threads are to begin with it.
    threads: usize,
    /// How many of them have.
    begun: AtomicUsize,
}

impl Order {
    fn new(epoch: u64, work: Work, threads: usize) -> Self {
        let threads = match &work {
            Work::Park => 0,
            Work::Scan(scan) => scan.threads.min(threads),
        };
        Self {
            epoch,
            work,
            given_at: Instant::now(),
            threads,
            begun: AtomicUsize::new(0),
        }
    }

    /// One of the threads that it is for is about to compute its first hash for it, at `now`; each says
    /// so once. The first and the last of them end a time that is kept.
    pub fn begin(&self, now: Instant, latencies: &Latencies) {
        let nth = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        if nth == 1
            && let Work::Scan(scan) = &self.work
            && let Some(heard_at) = scan.heard_at
        {
            let took = now.saturating_duration_since(heard_at);
            latencies.tip_to_hash.record(took);
        }
        if nth == self.threads {
            let took = now.saturating_duration_since(self.given_at);
            latencies.job_switch.record(took);
        }
    }
}

/// One of two things.
#[derive(Debug)]
pub enum Work {
    /// Wait for the next order.
    Park,
    /// Scan this.
    Scan(Scan),
}

/// A job and how to scan it. The first solution of its round ends it for all threads.
#[derive(Debug)]
pub struct Scan {
    /// The job.
    pub job: Arc<Job>,
    /// The header versions, at least one: several share most of a hash's work (BIP 320).
    pub versions: Vec<i32>,
    /// The target to scan against: the job's own or a harder one.
    pub target: Target,
    /// Which timestamps.
    pub time: TimeRule,
    /// Shared by all orders of which one solution is wanted.
    pub round: Arc<Round>,
    /// How many threads scan; the others wait for the next order.
    pub threads: usize,
    /// When the tip was first heard of, where this is the first job on a new one.
    pub heard_at: Option<Instant>,
}

/// One block to be found: on one tip, by whichever job.
///
/// A job may be replaced while a thread is at its last slice of the old one. What it finds there
/// counts as well, and ends the new job too.
#[derive(Debug, Default)]
pub struct Round {
    solved: AtomicBool,
}

impl Round {
    /// Whether a thread has found it.
    pub fn is_solved(&self) -> bool {
        self.solved.load(Ordering::Acquire)
    }

    /// Marks it found; true for the first who does.
    pub fn solve(&self) -> bool {
        !self.solved.swap(true, Ordering::AcqRel)
    }
}

impl Scan {
    /// Scan `job` with these of its versions, at least one, against `target` on every thread.
    pub fn new(
        job: Arc<Job>,
        versions: &[i32],
        target: Target,
        time: TimeRule,
        round: Arc<Round>,
    ) -> Self {
        Self {
            job,
            versions: versions.to_vec(),
            target,
            time,
            round,
            threads: usize::MAX,
            heard_at: None,
        }
    }

    /// The same as the first on a tip that was first heard of at that moment, if at any.
    #[must_use]
    pub fn on_news_of(mut self, heard_at: Option<Instant>) -> Self {
        self.heard_at = heard_at;
        self
    }

    /// The same for the first `threads` threads only.
    #[must_use]
    pub fn on(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }
}

/// Publishes orders to the threads. One publisher, any number of threads.
#[derive(Debug)]
pub struct Dispatch {
    /// The epoch of `order`, where a thread can look at it for the price of a load.
    epoch: AtomicU64,
    order: ArcSwap<Order>,
    lock: Mutex<()>,
    changed: Condvar,
    /// The epoch that each thread follows, on cache lines of its own.
    adopted: Box<[CachePadded<AtomicU64>]>,
}

impl Dispatch {
    /// For this many threads. The first order is to park, with the epoch 1.
    pub fn new(threads: usize) -> Self {
        Self {
            epoch: AtomicU64::new(1),
            order: ArcSwap::from_pointee(Order::new(1, Work::Park, threads)),
            lock: Mutex::new(()),
            changed: Condvar::new(),
            adopted: (0..threads).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Gives a new order and wakes parked threads. Returns its epoch.
    pub fn publish(&self, work: Work) -> u64 {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        let order = Order::new(epoch, work, self.adopted.len());
        self.order.store(Arc::new(order));
        // After the order: who sees the epoch finds the order that belongs to it, or a later one.
        self.epoch.store(epoch, Ordering::Release);
        drop(guard);
        self.changed.notify_all();
        epoch
    }

    /// The order of the moment.
    pub fn current(&self) -> Arc<Order> {
        self.order.load_full()
    }

    /// Whether there has been no order since the one of this epoch.
    pub fn is_current(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::Acquire) == epoch
    }

    /// Waits until there is another order than that of `epoch`, at most for `limit`.
    pub fn wait_for_change(&self, epoch: u64, limit: Duration) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // A poisoned lock guards nothing: there is no state to be half-written.
        drop(
            self.changed
                .wait_timeout_while(guard, limit, |()| self.is_current(epoch))
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// A thread says that it follows the order of this epoch from now on, and no earlier one.
    pub fn adopt(&self, thread: usize, epoch: u64) {
        self.adopted[thread].store(epoch, Ordering::Release);
    }

    /// The epoch that every thread follows, or has already left behind.
    #[cfg(test)]
    pub fn adopted_by_all(&self) -> u64 {
        self.adopted
            .iter()
            .map(|epoch| epoch.load(Ordering::Acquire))
            .min()
            .unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Chain, time};
    use super::*;
    use chain::Network;

    #[test]
    fn epochs_rise_and_the_order_belongs_to_the_epoch() {
        let dispatch = Dispatch::new(1);
        assert!(dispatch.is_current(1));
        assert_eq!(dispatch.publish(Work::Park), 2);
        assert!(!dispatch.is_current(1));
        assert_eq!(dispatch.current().epoch, 2);
    }

    #[test]
    fn a_parked_thread_wakes_at_the_next_order_and_not_before() {
        let dispatch = Dispatch::new(1);
        dispatch.wait_for_change(1, Duration::from_millis(1));
        assert!(dispatch.is_current(1), "nothing was ordered");
        let long = Duration::from_mins(10);
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| dispatch.wait_for_change(1, long));
            dispatch.publish(Work::Park);
        });
        // And an order that came before the wait is not waited for.
        dispatch.wait_for_change(1, long);
        assert!(started.elapsed() < long);
    }

    #[test]
    fn the_first_hash_on_a_tip_and_the_last_thread_on_an_order_end_their_times() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let scan = |heard_at| {
            let job = Arc::clone(&Chain::new(Network::Regtest).solve(start).job);
            let (target, time) = (job.target(), time(start));
            let versions = job.versions().to_vec();
            let scan = Scan::new(job, &versions, target, time, Arc::default());
            Work::Scan(scan.on(2).on_news_of(heard_at))
        };
        let latencies = Latencies::default();
        let mut order = Order::new(1, scan(Some(start)), 3);
        order.given_at = at(8);
        order.begin(at(10), &latencies);
        let tip = latencies.tip_to_hash.quantiles().expect("the first hash");
        assert!((tip.longest / 0.01 - 1.0).abs() < 0.02, "{tip:?}");
        assert!(latencies.job_switch.quantiles().is_none(), "one is late");
        order.begin(at(13), &latencies);
        let switch = latencies.job_switch.quantiles().expect("two of two");
        assert!((switch.longest / 0.005 - 1.0).abs() < 0.02, "{switch:?}");

        let refreshed = Order::new(2, scan(None), 3);
        refreshed.begin(at(20), &latencies);
        let known = latencies.status();
        assert_eq!(known.tip_to_hash_s.expect("that of before").n, 1);
        assert_eq!(known.job_switch_s.expect("that of before").n, 1);
    }

    #[test]
    fn all_have_adopted_what_the_slowest_has() {
        let dispatch = Dispatch::new(2);
        dispatch.adopt(0, 9);
        assert_eq!(dispatch.adopted_by_all(), 0);
        dispatch.adopt(1, 8);
        assert_eq!(dispatch.adopted_by_all(), 8);
    }
}
