//! What the journal's callers and its two threads share.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bitcoin::BlockHash;
use tokio::sync::watch;

use super::block::{Body, BodyId, FoundBlock};
use super::entry::Entry;
use super::files::Files;
use super::frame::Stream;
use super::recent::Recent;
use super::record::Record;
use super::recover::Place;

/// Hashes of settled blocks that are remembered, so that none is taken for a new one.
const SETTLED_REMEMBERED: usize = 4096;
/// Past this many operations that the disk does not take, those of settled blocks are forgotten.
const BACKLOG: usize = 1024;

/// Records that go to disk together.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) seq: u64,
    pub(super) hash: BlockHash,
    pub(super) records: Vec<Record>,
    /// Whether somebody waits for the fsync.
    pub(super) urgent: bool,
}

/// A block whose fate is open.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: Entry,
    /// The block itself, if it was found by this process.
    pub(super) block: Option<FoundBlock>,
    /// The operation that makes it durable; 0: it is.
    pub(super) seq: u64,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) held: HashMap<BlockHash, Held>,
    settled: HashSet<BlockHash>,
    settled_order: VecDeque<BlockHash>,
    /// Settled ones that may still be moved.
    pub(super) recent: Vec<Recent>,
    pub(super) bodies: HashMap<BodyId, Place>,
    /// Files of jobs that a found block refers to.
    pub(super) jobs_kept: BTreeSet<u64>,
    /// All files of jobs, the one being written included.
    pub(super) jobs: BTreeSet<u64>,
    ops: VecDeque<Arc<Op>>,
    next_seq: u64,
    wanted_body: Option<Arc<Body>>,
    /// Somebody waits for what is written to be fsynced.
    flush: bool,
    closing: bool,
}

impl Inner {
    pub(super) fn is_settled(&self, hash: &BlockHash) -> bool {
        self.settled.contains(hash)
    }

    pub(super) fn remember_settled(&mut self, hash: BlockHash) {
        if self.settled.insert(hash) {
            self.settled_order.push_back(hash);
        }
        if self.settled_order.len() > SETTLED_REMEMBERED {
            self.settled_order
                .pop_front()
                .map(|oldest| self.settled.remove(&oldest));
        }
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.next_seq
    }
}

/// Operations for the writer.
pub(super) struct Batch {
    pub(super) ops: Vec<Arc<Op>>,
    /// Whether what is written must be fsynced now.
    pub(super) flush: bool,
    pub(super) closing: bool,
}

#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    for_writer: Condvar,
    for_jobs: Condvar,
    /// Last operation that is on disk.
    pub(super) durable: watch::Sender<u64>,
    /// Why nothing gets to disk; none while writing works.
    pub(super) trouble: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner: Mutex::new(inner),
            for_writer: Condvar::new(),
            for_jobs: Condvar::new(),
            durable: watch::Sender::new(0),
            trouble: watch::Sender::new(None),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic runs between two steps of a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues records and returns their number.
    pub(super) fn push(
        &self,
        inner: &mut Inner,
        hash: BlockHash,
        records: Vec<Record>,
        urgent: bool,
    ) -> u64 {
        inner.next_seq += 1;
        let seq = inner.next_seq;
        inner.ops.push_back(Arc::new(Op {
            seq,
            hash,
            records,
            urgent,
        }));
        self.for_writer.notify_one();
        seq
    }

    /// With a disk that takes nothing, what concerns settled blocks need not wait in memory for ever.
    pub(super) fn limit_backlog(inner: &mut Inner, settled: BlockHash) {
        if inner.ops.len() > BACKLOG {
            inner.ops.retain(|op| op.hash != settled);
        }
    }

    /// The operations after `written`; waits until there are some, a flush is asked for, the journal
    /// closes, or `patience` runs out.
    pub(super) fn wait_for_ops(&self, written: u64, patience: Option<Duration>) -> Batch {
        let inner = self.lock();
        let idle = |inner: &mut Inner| {
            let nothing_new = inner.ops.back().is_none_or(|op| op.seq <= written);
            nothing_new && !inner.flush && !inner.closing
        };
        let mut inner = match patience {
            None => self
                .for_writer
                .wait_while(inner, idle)
                .unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                self.for_writer
                    .wait_timeout_while(inner, patience, idle)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        let ops: Vec<Arc<Op>> = inner
            .ops
            .iter()
            .filter(|op| op.seq > written)
            .cloned()
            .collect();
        let asked = std::mem::take(&mut inner.flush);
        let flush = asked || inner.closing || ops.is_empty() || ops.iter().any(|op| op.urgent);
        Batch {
            ops,
            flush,
            closing: inner.closing,
        }
    }

    /// Has everything queued so far fsynced without delay, and gives the number of the last of it.
    pub(super) fn flush(&self) -> u64 {
        let mut inner = self.lock();
        inner.flush = true;
        self.for_writer.notify_one();
        inner.next_seq
    }

    /// Waits a moment, less if the journal closes.
    pub(super) fn pause(&self, time: Duration) {
        let inner = self.lock();
        drop(
            self.for_writer
                .wait_timeout_while(inner, time, |inner| !inner.closing),
        );
    }

    /// Everything up to `seq` is on disk.
    pub(super) fn durable(&self, seq: u64) {
        let mut inner = self.lock();
        while inner.ops.front().is_some_and(|op| op.seq <= seq) {
            inner.ops.pop_front();
        }
        // What was forgotten behind it is not waited for.
        let seq = if inner.ops.is_empty() {
            inner.next_seq
        } else {
            seq
        };
        drop(inner);
        self.durable
            .send_if_modified(|durable| std::mem::replace(durable, seq.max(*durable)) < seq);
    }

    pub(super) fn writes_fail(&self, fault: &io::Error) {
        self.trouble.send_replace(Some(fault.to_string()));
    }

    /// Whether that is news.
    pub(super) fn writes_work(&self) -> bool {
        self.trouble
            .send_if_modified(|trouble| trouble.take().is_some())
    }

    pub(super) fn oldest_unsettled(&self) -> Option<SystemTime> {
        self.lock()
            .held
            .values()
            .map(|held| held.entry.found_at())
            .min()
    }

    /// Hands a body to the thread that writes bodies; an older one it has not come to is dropped.
    pub(super) fn want_body(&self, body: Arc<Body>) {
        let mut inner = self.lock();
        if !inner.bodies.contains_key(&body.id()) {
            inner.wanted_body = Some(body);
            self.for_jobs.notify_one();
        }
    }

    /// The next body to write; none when the journal closes.
    pub(super) fn wait_for_body(&self) -> Option<Arc<Body>> {
        let inner = self.lock();
        let mut inner = self
            .for_jobs
            .wait_while(inner, |inner| !inner.closing && inner.wanted_body.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if inner.closing {
            None
        } else {
            inner.wanted_body.take()
        }
    }

    /// Removes files of jobs below `limit` that no found block refers to, except the newest two.
    pub(super) fn free_job_files(&self, files: &Files, limit: u64) {
        let mut inner = self.lock();
        let newest_two: Vec<u64> = inner.jobs.iter().rev().take(2).copied().collect();
        let free: Vec<u64> = inner
            .jobs
            .iter()
            .filter(|n| **n < limit && !inner.jobs_kept.contains(n) && !newest_two.contains(n))
            .copied()
            .collect();
        for number in &free {
            inner.jobs.remove(number);
        }
        inner
            .bodies
            .retain(|_, place| place.stream == Stream::Blocks || !free.contains(&place.number));
        drop(inner);
        for number in free {
            if let Err(fault) = files.disk.remove(&files.path(Stream::Jobs, number)) {
                tracing::warn!(
                    number,
                    "cannot remove an old file of jobs from the journal: {fault}"
                );
            }
        }
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.for_writer.notify_all();
        self.for_jobs.notify_all();
    }
}
