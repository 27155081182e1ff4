//! What has to be remembered between two looks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use super::look::{Look, ThreadLook};
use crate::messages::MiningState;

/// Rates are measured over this time.
const WINDOW: Duration = Duration::from_secs(10);
/// Scanning time in the window below which a rate says nothing.
const LEAST_SCANNED: Duration = Duration::from_millis(500);
/// Restarts are remembered for this long.
pub(super) const RESTARTS_REMEMBERED: Duration = Duration::from_mins(5);
/// No more samples and restarts than these are kept.
const BOUND: usize = 64;

/// A value and since when it is the same.
#[derive(Debug, Clone)]
pub(super) struct Steady<T> {
    value: T,
    since: Instant,
}

impl<T: PartialEq> Steady<T> {
    fn new(value: T, now: Instant) -> Self {
        Self { value, since: now }
    }

    fn observe(&mut self, value: T, now: Instant) {
        if self.value != value {
            *self = Self::new(value, now);
        }
    }

    /// For how long it has been the same.
    pub(super) fn held(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// What is remembered of a hashing thread.
#[derive(Debug, Clone)]
struct ThreadMemory {
    rounds: Steady<u64>,
    samples: VecDeque<(Instant, ThreadLook)>,
    best_hs: f64,
}

impl ThreadMemory {
    fn new(thread: ThreadLook, now: Instant) -> Self {
        Self {
            rounds: Steady::new(thread.rounds, now),
            samples: VecDeque::from([(now, thread)]),
            best_hs: 0.0,
        }
    }

    fn observe(&mut self, thread: ThreadLook, now: Instant) {
        self.rounds.observe(thread.rounds, now);
        self.samples.push_back((now, thread));
        // One sample from before the window begins it.
        while self.samples.len() > BOUND
            || self
                .samples
                .get(1)
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
        {
            self.samples.pop_front();
        }
        if let Some(rate) = self.rate_hs() {
            self.best_hs = self.best_hs.max(rate);
        }
    }

    /// Hashes per second of scanning over the window; none where it hardly scanned.
    fn rate_hs(&self) -> Option<f64> {
        let (_, first) = self.samples.front()?;
        let (_, last) = self.samples.back()?;
        let scanned = Duration::from_nanos(last.busy_ns.saturating_sub(first.busy_ns));
        if scanned < LEAST_SCANNED {
            return None;
        }
        Some(last.hashes.saturating_sub(first.hashes) as f64 / scanned.as_secs_f64())
    }
}

/// A hashing thread's rate against what it can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ThreadRate {
    pub(super) thread: usize,
    pub(super) rate_hs: f64,
    /// What it can do: the tuned rate, or else the best that it has shown.
    pub(super) able_hs: f64,
}

impl ThreadRate {
    /// The share of what it can do: 1 is all of it.
    pub(super) fn share(&self) -> f64 {
        if self.able_hs > 0.0 {
            self.rate_hs / self.able_hs
        } else {
            1.0
        }
    }
}

/// What is remembered. It outlives the child that looks, so that a restart forgets nothing.
#[derive(Debug, Default)]
pub struct Memory {
    validated: Option<Steady<Option<BlockHash>>>,
    job: Option<Steady<Option<BlockHash>>>,
    /// When the validated tip was the one seen.
    tips_agreed: Option<Instant>,
    /// When the job was on the validated tip.
    job_agreed: Option<Instant>,
    verifications: Option<Steady<u64>>,
    hashes: Option<Steady<u64>>,
    /// Since when the miner has no job.
    jobless: Option<Instant>,
    /// Since when the threads scan.
    scanning: Option<Instant>,
    /// Since when found blocks wait.
    backlog: Option<Instant>,
    threads: Vec<ThreadMemory>,
    restarts: HashMap<Arc<str>, u64>,
    restarted: VecDeque<(Instant, Arc<str>)>,
}

impl Memory {
    /// Takes note of what there is. Looks come in order of time, about once a second.
    pub fn observe(&mut self, look: &Look) {
        let now = look.now;
        let validated = look.tip_validated.map(|(hash, _)| hash);
        steady(&mut self.validated, validated, now);
        steady(&mut self.job, look.job_parent, now);
        steady(&mut self.verifications, look.verifications, now);
        steady(
            &mut self.hashes,
            look.threads.iter().map(|thread| thread.hashes).sum(),
            now,
        );
        if validated.is_some() && validated == look.tip_seen {
            self.tips_agreed = Some(now);
        }
        if look.job_parent.is_some() && look.job_parent == validated {
            self.job_agreed = Some(now);
        }
        let jobless = matches!(look.mining, MiningState::NoJob { .. });
        since(&mut self.jobless, jobless, now);
        since(
            &mut self.scanning,
            look.mining == MiningState::Scanning,
            now,
        );
        since(&mut self.backlog, look.outbox > 0, now);
        // A reload may have taken threads away.
        self.threads.truncate(look.threads.len());
        for (index, thread) in look.threads.iter().enumerate() {
            match self.threads.get_mut(index) {
                Some(memory) => memory.observe(*thread, now),
                None => self.threads.push(ThreadMemory::new(*thread, now)),
            }
        }
        for child in &look.children {
            let known = self.restarts.insert(Arc::clone(&child.id), child.restarts);
            if known.is_some_and(|known| child.restarts > known) {
                self.restarted.push_back((now, Arc::clone(&child.id)));
            }
        }
        while self.restarted.len() > BOUND
            || self
                .restarted
                .front()
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) > RESTARTS_REMEMBERED)
        {
            self.restarted.pop_front();
        }
    }

    /// For how long the validated tip has neither been the node's nor moved.
    pub(super) fn tip_behind(&self, now: Instant) -> Duration {
        stuck(self.tips_agreed, self.validated.as_ref(), now)
    }

    /// For how long the job has neither been on the validated tip nor moved.
    pub(super) fn job_behind(&self, now: Instant) -> Duration {
        // A tip that was validated a moment ago has no job yet.
        stuck(self.job_agreed, self.job.as_ref(), now).min(
            self.validated
                .as_ref()
                .map_or(Duration::ZERO, |tip| tip.held(now)),
        )
    }

    /// For how long no verification has ended.
    pub(super) fn no_verification(&self, now: Instant) -> Duration {
        held(self.verifications.as_ref(), now)
    }

    /// For how long nothing was hashed although the threads were to scan.
    pub(super) fn scanning_in_vain(&self, now: Instant) -> Duration {
        age(self.scanning, now).min(held(self.hashes.as_ref(), now))
    }

    /// For how long the miner has had no job.
    pub(super) fn jobless(&self, now: Instant) -> Duration {
        age(self.jobless, now)
    }

    /// For how long found blocks have waited for the submitter.
    pub(super) fn backlog(&self, now: Instant) -> Duration {
        age(self.backlog, now)
    }

    /// Hashing threads that have not gone round for this long.
    pub(super) fn standing_still(
        &self,
        at_least: Duration,
        now: Instant,
    ) -> Vec<(usize, Duration)> {
        self.threads
            .iter()
            .enumerate()
            .map(|(index, thread)| (index, thread.rounds.held(now)))
            .filter(|(_, held)| *held >= at_least)
            .collect()
    }

    /// The thread that is furthest below what it can do, of those that scan.
    pub(super) fn slowest(&self, tuned_hs: Option<f64>) -> Option<ThreadRate> {
        let rates = self.threads.iter().enumerate().filter_map(|(thread, of)| {
            Some(ThreadRate {
                thread,
                rate_hs: of.rate_hs()?,
                able_hs: tuned_hs.unwrap_or(of.best_hs),
            })
        });
        rates.min_by(|a, b| a.share().total_cmp(&b.share()))
    }

    /// Restarts within the time for which they are remembered, oldest first.
    pub(super) fn restarted(&self) -> &VecDeque<(Instant, Arc<str>)> {
        &self.restarted
    }
}

fn steady<T: PartialEq>(cell: &mut Option<Steady<T>>, value: T, now: Instant) {
    match cell {
        Some(known) => known.observe(value, now),
        None => *cell = Some(Steady::new(value, now)),
    }
}

fn since(cell: &mut Option<Instant>, is_so: bool, now: Instant) {
    if is_so {
        cell.get_or_insert(now);
    } else {
        *cell = None;
    }
}

fn held<T: PartialEq>(cell: Option<&Steady<T>>, now: Instant) -> Duration {
    cell.map_or(Duration::ZERO, |steady| steady.held(now))
}

fn age(since: Option<Instant>, now: Instant) -> Duration {
    since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
}

/// The time since things last agreed, or since the one that lags last moved.
fn stuck<T: PartialEq>(
    agreed: Option<Instant>,
    lagging: Option<&Steady<T>>,
    now: Instant,
) -> Duration {
    let unmoved = held(lagging, now);
    agreed.map_or(unmoved, |agreed| {
        unmoved.min(now.saturating_duration_since(agreed))
    })
}
