//! What a hashing thread does: it scans slices of the search space, and looks for a new order between
//! two of them.

mod shared;

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use chain::Solved;
use pow::{Hit, Kernel, ScanJob};

use super::dispatch::{Order, Scan, Work};
use super::faults::{Strikes, ThreadFault};
use super::partition::{Cursor, NONCES};
use crate::messages::Solution;
use crate::stats::{Misdeed, ThreadCounter};
pub use shared::{Shared, Standing};

/// Time a slice should take: far below the millisecond within which threads switch jobs, far above
/// what it costs to look for a new order.
const SLICE: Duration = Duration::from_micros(200);

/// A parked thread looks around this often, so that it can be told to end.
const PARKED_LOOK: Duration = Duration::from_millis(50);

/// After a kernel's false report, a thread waits this long for another order.
const LIE_PAUSE: Duration = Duration::from_secs(1);

/// The unit of the pauses after panics.
const PAUSE: Duration = Duration::from_millis(50);

/// The message that a panic was raised with.
fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

/// How a turn of a worker ended without a failure of the miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It was asked to stop.
    Over,
    /// It panicked, or ended unasked. It may go on, after a pause, in the same thread or better in another.
    Failed,
}

/// One hashing thread's state. It outlives the panics of its thread.
pub struct Worker {
    index: usize,
    kernel: &'static dyn Kernel,
    shared: Arc<Shared>,
    /// Where in the search space. What was taken is not taken again, even after a panic.
    cursor: Cursor,
    /// Nonces per slice.
    slice: u64,
    strikes: Strikes,
    /// The epoch of the last order that it has computed a hash for.
    begun: u64,
    /// After a panic it pauses until then.
    pause: Option<Instant>,
    pause_unit: Duration,
}

impl Worker {
    /// Thread `index`.
    pub fn new(index: usize, kernel: &'static dyn Kernel, shared: Arc<Shared>) -> Self {
        let slice = u64::from(kernel.lanes()).max(1);
        Self {
            index,
            kernel,
            shared,
            cursor: Cursor::new(NONCES),
            slice,
            strikes: Strikes::new(Instant::now()),
            begun: 0,
            pause: None,
            pause_unit: PAUSE,
        }
    }

    /// The same on headers with fewer nonces.
    #[cfg(test)]
    pub(crate) fn with_nonces(mut self, nonces: u64) -> Self {
        self.cursor = Cursor::new(nonces);
        self
    }

    /// The same, never given up, and with short pauses.
    #[cfg(test)]
    pub(crate) fn with_patience(mut self) -> Self {
        self.strikes = self.strikes.with_limit(u32::MAX);
        self.pause_unit = Duration::from_millis(1);
        self
    }

    /// Works until `stop` or to the first failure: a panic, which is caught, or an end unasked. After one it
    /// begins with a pause, that grows while they repeat.
    ///
    /// # Errors
    /// When it fails again and again. The kernel is blamed if it was the kernel's doing.
    pub fn run(&mut self, stop: &dyn Fn() -> bool) -> Result<Turn, ThreadFault> {
        if let Some(until) = self.pause.take() {
            while !stop() && Instant::now() < until {
                // It lives, and is not to be taken for one that hangs.
                self.counter().rounds.increment();
                std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
            }
            self.strikes.resume(Instant::now());
        }
        let ended = catch_unwind(AssertUnwindSafe(|| self.work(stop)));
        self.counter().set_parent(None);
        let in_kernel = self.shared.inside[self.index].swap(false, Ordering::Relaxed);
        let message = match ended {
            Ok(ended) if stop() => return ended.map(|()| Turn::Over),
            Ok(ended) => {
                ended?;
                "ended without being asked to".to_owned()
            }
            Err(payload) => {
                self.counter().panics.increment();
                let place = if in_kernel { " in kernel " } else { "" };
                let kernel = if in_kernel { self.kernel.name() } else { "" };
                format!("panicked{place}{kernel}: {}", panic_message(&*payload))
            }
        };
        let times = self.strike(message, in_kernel)?;
        self.pause = Some(Instant::now() + self.pause_unit * (1 << times.min(6)));
        Ok(Turn::Failed)
    }

    /// Notes a failure; how many there were in a row.
    fn strike(&mut self, message: String, of_kernel: bool) -> Result<u32, ThreadFault> {
        let (times, too_many) = self.strikes.strike(Instant::now());
        if !too_many {
            self.shared.report(self.index, message);
            return Ok(times);
        }
        if of_kernel {
            self.shared.faults.blame(self.kernel.name(), &message);
        }
        Err(ThreadFault {
            thread: self.index,
            times,
            last: message,
        })
    }

    fn work(&mut self, stop: &dyn Fn() -> bool) -> Result<(), ThreadFault> {
        while !stop() {
            self.counter().rounds.increment();
            match self.counter().take_order() {
                None => {}
                Some(Misdeed::Panic) => panic!("ordered"),
                Some(Misdeed::Exit) => return Ok(()),
                Some(Misdeed::Hang(time)) => std::thread::sleep(time),
            }
            let order = self.shared.dispatch.current();
            self.shared.dispatch.adopt(self.index, order.epoch);
            match &order.work {
                Work::Scan(scan) if self.index < scan.threads && !scan.round.is_solved() => {
                    self.counter().set_parent(Some(scan.job.prev()));
                    self.scan(&order, scan, stop)?;
                    self.counter().set_parent(None);
                }
                _ => self
                    .shared
                    .dispatch
                    .wait_for_change(order.epoch, PARKED_LOOK),
            }
        }
        Ok(())
    }

    /// Scans slices until there is a new order, the job is solved, or it is to go round for a fault.
    fn scan(
        &mut self,
        order: &Order,
        scan: &Scan,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), ThreadFault> {
        let mut prepared: Option<((u64, u32), ScanJob)> = None;
        let mut now = Instant::now();
        while !stop()
            && self.shared.dispatch.is_current(order.epoch)
            && !scan.round.is_solved()
            && !self.counter().is_to_fail()
        {
            let most = self.slice;
            let extranonces = &self.shared.registry.extranonces;
            let slice = self.cursor.take(most, || extranonces.next());
            let header = (slice.extranonce, scan.time.ntime(now));
            let job = match &mut prepared {
                Some((known, job)) if *known == header => &*job,
                other => {
                    let bytes = scan.job.header(header.0, header.1);
                    let job = ScanJob::new(&bytes, &scan.versions, scan.target);
                    &other.insert((header, job)).1
                }
            };
            if std::mem::replace(&mut self.begun, order.epoch) != order.epoch {
                order.begin(Instant::now(), &self.shared.latencies);
            }
            let mut hit = None;
            let inside = &self.shared.inside[self.index];
            inside.store(true, Ordering::Relaxed);
            let hashes = self.kernel.scan(job, slice.nonces, &mut |found| {
                hit = Some(found);
                ControlFlow::Break(())
            });
            inside.store(false, Ordering::Relaxed);
            let began = std::mem::replace(&mut now, Instant::now());
            let took = now.saturating_duration_since(began);
            let counter = self.counter();
            counter.hashes.add(hashes);
            counter
                .busy_ns
                .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            counter.rounds.increment();
            if let Some(hit) = hit {
                if let Err(lie) = self.found(scan, header, hit, now) {
                    self.strike(lie, true)?;
                    self.shared.dispatch.wait_for_change(order.epoch, LIE_PAUSE);
                    now = Instant::now();
                    self.strikes.resume(now);
                }
            } else if slice.nonces.count == most {
                self.slice = next_slice(most, took, self.kernel.lanes());
            }
        }
        Ok(())
    }

    /// Checks a hit in full, apart from the kernel, and hands the first of a round to the submitter.
    ///
    /// # Errors
    /// In words, where the hit is none.
    fn found(
        &self,
        scan: &Scan,
        (extranonce, ntime): (u64, u32),
        hit: Hit,
        at: Instant,
    ) -> Result<(), String> {
        let solved = Solved {
            extranonce,
            ntime,
            version: hit.version,
            nonce: hit.nonce,
        };
        let header = scan.job.header_of(&solved);
        let digest = pow::sha256d(&header);
        if !scan.target.is_met_by(&digest) || !scan.job.target().is_met_by(&digest) {
            return Err(format!(
                "kernel {} reported a solution that is none ({}); \
                 set mining.kernel = \"scalar\" and report this line",
                self.kernel.name(),
                hex::encode(header)
            ));
        }
        let hash = BlockHash::from_byte_array(digest);
        let _one_at_a_time = self.shared.finding.lock();
        if self.shared.limit_reached() || !scan.round.solve() {
            return Ok(());
        }
        let (height, prev) = (scan.job.height(), scan.job.prev());
        let standing = self.shared.standing.as_ref();
        if standing.is_some_and(|standing| !standing.wants(prev, &self.shared.outbox)) {
            tracing::warn!(
                %hash, height, %prev,
                "a block came from a thread that was given up, and its work is over: it is not used"
            );
            return Ok(());
        }
        self.shared.registry.blocks_found.increment();
        self.shared.outbox.push(Solution {
            job: Arc::clone(&scan.job),
            solved,
            hash,
            found_at: at,
            found_time: SystemTime::now(),
        });
        self.shared.news.notify_one();
        Ok(())
    }

    fn counter(&self) -> &ThreadCounter {
        self.shared.counter(self.index)
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
mod space_tests;
#[cfg(test)]
mod tests;
