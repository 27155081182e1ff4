//! The hashing threads: plain threads that scan slices of the search space and look for a new order
//! between two of them.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use chain::Solved;
use pow::{Hit, Kernel, ScanJob};
use supervise::Incarnation;
use tokio::sync::Notify;

use super::dispatch::{Dispatch, Order, Scan, Work};
use super::partition::{Cursor, NONCES};
use super::sight::Counts;
use crate::messages::Solution;
use crate::stats::{Registry, ThreadCounter};
use crate::submitter::Outbox;

/// Time a slice should take: far below the millisecond within which threads switch jobs, far above
/// what it costs to look for a new order.
const SLICE: Duration = Duration::from_micros(200);

/// A parked thread looks around this often, so that it can be told to end.
const PARKED_LOOK: Duration = Duration::from_millis(50);

/// Troubles kept for the miner to read.
const TROUBLES_KEPT: usize = 16;

/// After a kernel's false report, a thread waits this long for another order.
const LIE_PAUSE: Duration = Duration::from_secs(1);

/// Extranonces per order, as a power of two: the orders of one job never scan the same ones.
const EXTRANONCE_BITS: u32 = 24;

/// Something that went wrong in a hashing thread, which goes on after a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The thread's index.
    pub thread: usize,
    /// What, in words.
    pub message: String,
}

/// What the miner and its threads share.
#[derive(Debug)]
pub struct Shared {
    /// The orders.
    pub dispatch: Dispatch,
    /// Wakes the miner: something was found, or a thread panicked.
    pub news: Notify,
    registry: Arc<Registry>,
    outbox: Arc<Outbox>,
    troubles: Mutex<VecDeque<Trouble>>,
    block_limit: Option<u64>,
    /// Held while a block is counted and handed over, so that no two pass the limit at once.
    finding: Mutex<()>,
}

impl Shared {
    /// For `threads` threads of the miner's incarnation `generation`, a number no other miner of this
    /// process has.
    pub fn new(
        generation: u64,
        threads: usize,
        block_limit: Option<u64>,
        registry: Arc<Registry>,
        outbox: Arc<Outbox>,
    ) -> Self {
        // Epochs, and with them extranonces, of two incarnations are apart.
        let first = generation << EXTRANONCE_BITS;
        Self {
            dispatch: Dispatch::new(first, threads),
            news: Notify::new(),
            registry,
            outbox,
            troubles: Mutex::default(),
            block_limit,
            finding: Mutex::default(),
        }
    }

    fn limit_reached(&self) -> bool {
        let open = Counts::of(&self.registry).open();
        self.block_limit.is_some_and(|limit| open >= limit)
    }

    /// What went wrong since the last call, oldest first.
    pub fn take_troubles(&self) -> Vec<Trouble> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.drain(..).collect()
    }

    fn report(&self, thread: usize, message: String) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() == TROUBLES_KEPT {
            troubles.pop_front();
        }
        troubles.push_back(Trouble { thread, message });
        drop(troubles);
        self.news.notify_one();
    }
}

/// The message that a panic was raised with.
fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

/// Starts the threads `hash-0`, `hash-1`, ... They belong to the incarnation: they end when it
/// ends, and it is not released before they have.
///
/// # Errors
/// If the system gives no thread.
pub fn start(
    shared: &Arc<Shared>,
    incarnation: &Incarnation,
    threads: usize,
    kernel: &'static dyn Kernel,
    nice: i32,
) -> io::Result<()> {
    for index in 0..threads {
        let mut worker = Worker::new(index, threads, kernel, Arc::clone(shared));
        incarnation.thread(&format!("hash-{index}"), move |stop| {
            renice(index, nice);
            worker.run(&|| stop.is_set());
            Ok(())
        })?;
    }
    Ok(())
}

/// Sets the calling thread's niceness. Failing to is no reason not to hash.
fn renice(index: usize, nice: i32) {
    if nice == 0 {
        return;
    }
    // On Linux, "no process" is the calling thread, and only that.
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!("hash-{index}: niceness {nice} could not be set: {error}");
    }
}

/// One hashing thread's state. It outlives the panics of its thread.
pub struct Worker {
    index: usize,
    threads: usize,
    kernel: &'static dyn Kernel,
    shared: Arc<Shared>,
    /// Where in which order's search space. What was taken is not taken again, even after a panic.
    place: Option<(u64, Cursor)>,
    /// Nonces per slice.
    slice: u64,
    /// Nonces per header; fewer than 2^32 in tests only.
    nonces: u64,
}

impl Worker {
    /// Thread `index` of `threads`.
    pub fn new(
        index: usize,
        threads: usize,
        kernel: &'static dyn Kernel,
        shared: Arc<Shared>,
    ) -> Self {
        let slice = u64::from(kernel.lanes()).max(1);
        Self {
            index,
            threads,
            kernel,
            shared,
            place: None,
            slice,
            nonces: NONCES,
        }
    }

    /// The same on headers with fewer nonces.
    #[cfg(test)]
    pub(crate) fn with_nonces(mut self, nonces: u64) -> Self {
        self.nonces = nonces;
        self
    }

    /// Works until `stop`. A panic is caught, reported and, after a pause that grows while they
    /// repeat, survived.
    pub fn run(&mut self, stop: &dyn Fn() -> bool) {
        const PAUSE: Duration = Duration::from_millis(50);
        const LONGEST: Duration = Duration::from_secs(5);
        let mut pause = PAUSE;
        while !stop() {
            let began = Instant::now();
            let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.work(stop))) else {
                return;
            };
            self.counter().panics.increment();
            let message = format!("panicked: {}", panic_message(&*payload));
            self.shared.report(self.index, message);
            pause = if began.elapsed() > 2 * LONGEST {
                PAUSE
            } else {
                (pause * 2).min(LONGEST)
            };
            let until = Instant::now() + pause;
            while !stop() && Instant::now() < until {
                std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
            }
        }
    }

    fn work(&mut self, stop: &dyn Fn() -> bool) {
        while !stop() {
            self.counter().rounds.increment();
            let order = self.shared.dispatch.current();
            self.shared.dispatch.adopt(self.index, order.epoch);
            match &order.work {
                Work::Scan(scan) if self.index < scan.threads && !scan.round.is_solved() => {
                    self.scan(&order, scan, stop);
                }
                _ => self
                    .shared
                    .dispatch
                    .wait_for_change(order.epoch, PARKED_LOOK),
            }
        }
    }

    /// Scans slices until there is a new order or the job is solved.
    fn scan(&mut self, order: &Order, scan: &Scan, stop: &dyn Fn() -> bool) {
        let mut prepared: Option<((u64, u32), ScanJob)> = None;
        let mut now = Instant::now();
        while !stop() && self.shared.dispatch.is_current(order.epoch) && !scan.round.is_solved() {
            let most = self.slice;
            let slice = self.cursor(order.epoch).take(most);
            let header = (slice.extranonce, scan.time.ntime(now));
            let job = match &mut prepared {
                Some((known, job)) if *known == header => &*job,
                other => {
                    let bytes = scan.job.header(header.0, header.1);
                    let job = ScanJob::new(&bytes, &scan.versions, scan.target);
                    &other.insert((header, job)).1
                }
            };
            let mut hit = None;
            let hashes = self.kernel.scan(job, slice.nonces, &mut |found| {
                hit = Some(found);
                ControlFlow::Break(())
            });
            let began = std::mem::replace(&mut now, Instant::now());
            let took = now.saturating_duration_since(began);
            let counter = self.counter();
            counter.hashes.add(hashes);
            counter
                .busy_ns
                .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            counter.rounds.increment();
            if let Some(hit) = hit {
                if !self.found(scan, header, hit, now) {
                    self.shared.dispatch.wait_for_change(order.epoch, LIE_PAUSE);
                    now = Instant::now();
                }
            } else if slice.nonces.count == most {
                self.slice = next_slice(most, took, self.kernel.lanes());
            }
        }
    }

    fn cursor(&mut self, epoch: u64) -> &mut Cursor {
        let stale = self.place.as_ref().is_none_or(|(known, _)| *known != epoch);
        if stale {
            self.place = None;
        }
        let (index, threads, nonces) = (self.index, self.threads, self.nonces);
        let (_, cursor) = self.place.get_or_insert_with(|| {
            let base = epoch << EXTRANONCE_BITS;
            (epoch, Cursor::new(base, index, threads, nonces))
        });
        cursor
    }

    /// Checks a hit in full, apart from the kernel, and hands the first of a round to the submitter.
    /// False where the hit is none.
    fn found(&self, scan: &Scan, (extranonce, ntime): (u64, u32), hit: Hit, at: Instant) -> bool {
        let solved = Solved {
            extranonce,
            ntime,
            version: hit.version,
            nonce: hit.nonce,
        };
        let header = scan.job.header_of(&solved);
        let digest = pow::sha256d(&header);
        if !scan.target.is_met_by(&digest) || !scan.job.target().is_met_by(&digest) {
            let message = format!(
                "kernel {} reported a solution that is none ({}); \
                 set mining.kernel = \"scalar\" and report this line",
                self.kernel.name(),
                hex::encode(header)
            );
            self.shared.report(self.index, message);
            return false;
        }
        let _one_at_a_time = self.shared.finding.lock();
        if self.shared.limit_reached() || !scan.round.solve() {
            return true;
        }
        self.shared.registry.blocks_found.increment();
        self.shared.outbox.push(Solution {
            job: Arc::clone(&scan.job),
            solved,
            hash: BlockHash::from_byte_array(digest),
            found_at: at,
            found_time: SystemTime::now(),
        });
        self.shared.news.notify_one();
        true
    }

    fn counter(&self) -> &ThreadCounter {
        &self.shared.registry.threads[self.index]
    }
}

/// The slice that would have taken [`SLICE`], at most twice and at least half of the last one, in whole batches.
fn next_slice(last: u64, took: Duration, lanes: u32) -> u64 {
    let lanes = u64::from(lanes).max(1);
    let ratio = SLICE.as_secs_f64() / took.as_secs_f64().max(1e-9);
    let wanted = (last as f64 * ratio.clamp(0.5, 2.0)) as u64;
    wanted.div_ceil(lanes).clamp(1, (1 << 31) / lanes) * lanes
}

#[cfg(test)]
mod tests;
