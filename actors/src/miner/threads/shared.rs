//! What the miner and its threads share: orders one way, blocks and troubles the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::BlockHash;
use crossbeam_utils::CachePadded;
use supervise::GenerationGuard;
use tokio::sync::{Notify, watch};

use super::super::dispatch::Dispatch;
use super::super::faults::{Inside, KernelFaults};
use super::super::sight::Counts;
use crate::latency::Latencies;
use crate::messages::{TipProvisional, TipValidated};
use crate::stats::{Registry, ThreadCounter};
use crate::submitter::Outbox;

/// Troubles kept for the miner to read.
const TROUBLES_KEPT: usize = 16;

/// Something that went wrong in a hashing thread, which goes on after a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The thread's index.
    pub thread: usize,
    /// What, in words.
    pub message: String,
}

/// What the miner and its threads share.
pub struct Shared {
    /// The orders.
    pub dispatch: Dispatch,
    /// Wakes the miner: something was found, or a thread panicked.
    pub news: Notify,
    pub(super) registry: Arc<Registry>,
    pub(super) outbox: Arc<Outbox>,
    troubles: Mutex<VecDeque<Trouble>>,
    /// Who of them is in a call of the kernel.
    pub(super) inside: Inside,
    pub(super) faults: KernelFaults,
    pub(super) standing: Option<Standing>,
    pub(super) latencies: Arc<Latencies>,
    block_limit: Option<u64>,
    /// Held while a block is counted and handed over, so that no two pass the limit at once.
    pub(super) finding: Mutex<()>,
}

/// What decides whether a block that a thread finds is still wanted.
#[derive(Debug)]
pub struct Standing {
    /// Whether the thread's incarnation was given up.
    pub guard: GenerationGuard,
    /// The tip of the day.
    pub tip: watch::Sender<Option<TipValidated>>,
    /// Or one ahead of it.
    pub ahead: watch::Sender<Option<TipProvisional>>,
}

impl Standing {
    /// A thread that was given up and comes back may do nothing but hand in a block, and only one that
    /// nobody else has found: on the tip of the day, which has no block of ours yet. Losing it would cost
    /// a reward. Handing it in is no effect: today's submitter decides what becomes of it.
    pub(super) fn wants(&self, parent: BlockHash, outbox: &Outbox) -> bool {
        let is_tip = || {
            let of_the_day = self.tip.borrow().as_ref().map(|tip| tip.hash);
            let ahead = self.ahead.borrow().as_ref().map(|ahead| ahead.tip.hash);
            of_the_day == Some(parent) || ahead == Some(parent)
        };
        let is_first = || {
            let latest = outbox.latest(Some(parent));
            latest.is_none_or(|found| found.job.prev() != parent)
        };
        self.guard.is_current() || (is_tip() && is_first())
    }
}

impl Shared {
    /// For `threads` threads of one incarnation of the miner.
    pub fn new(
        threads: usize,
        block_limit: Option<u64>,
        registry: Arc<Registry>,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self {
            dispatch: Dispatch::new(threads),
            news: Notify::new(),
            registry,
            outbox,
            troubles: Mutex::default(),
            inside: (0..threads).map(|_| CachePadded::default()).collect(),
            faults: KernelFaults::default(),
            standing: None,
            latencies: Arc::default(),
            block_limit,
            finding: Mutex::default(),
        }
    }

    /// The same, with what may be held against the kernel.
    #[must_use]
    pub fn with_faults(mut self, faults: KernelFaults, inside: Inside) -> Self {
        self.faults = faults;
        self.inside = inside;
        self
    }

    /// The same, for an incarnation that may be given up.
    #[must_use]
    pub fn with_standing(mut self, standing: Standing) -> Self {
        self.standing = Some(standing);
        self
    }

    /// The same, with where it is kept how long the threads take to the first hash for an order.
    #[must_use]
    pub fn with_latencies(mut self, latencies: Arc<Latencies>) -> Self {
        self.latencies = latencies;
        self
    }

    /// The counter of a thread.
    pub fn counter(&self, thread: usize) -> &ThreadCounter {
        &self.registry.threads[thread]
    }

    pub(super) fn limit_reached(&self) -> bool {
        let open = Counts::of(&self.registry).open();
        self.block_limit.is_some_and(|limit| open >= limit)
    }

    /// What went wrong since the last call, oldest first.
    pub fn take_troubles(&self) -> Vec<Trouble> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.drain(..).collect()
    }

    pub(super) fn report(&self, thread: usize, message: String) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() == TROUBLES_KEPT {
            troubles.pop_front();
        }
        troubles.push_back(Trouble { thread, message });
        drop(troubles);
        self.news.notify_one();
    }
}
