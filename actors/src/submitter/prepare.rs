//! From a solution to a block: the part that takes time, off the actor's thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chain::{Job, Verdict};
use node::{BlockHex, Submission};

use super::journal::{Body, FoundBlock};
use crate::messages::Solution;

/// Bodies of this many jobs are at hand. Solutions of older jobs are rare, and pay for theirs.
const BODIES: usize = 2;

/// The newest jobs' transactions as the journal and `submitblock` take them.
#[derive(Debug, Clone, Default)]
pub(super) struct Bodies(Arc<Mutex<VecDeque<Known>>>);

#[derive(Debug)]
struct Known {
    job: Arc<Job>,
    ready: Ready,
}

/// A job's transactions, ready for a solution.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    /// For the journal.
    pub(super) body: Arc<Body>,
    /// For nodes.
    hex: BlockHex,
}

impl Bodies {
    /// Those of a job, made ready if need be: for a full block that takes milliseconds.
    pub(super) fn of(&self, job: &Arc<Job>) -> Ready {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().iter().find(|known| Arc::ptr_eq(&known.job, job)) {
            return found.ready.clone();
        }
        let ready = if job.transactions() == 0 {
            Ready {
                body: Body::empty(),
                hex: BlockHex::default(),
            }
        } else {
            let raw = job.transactions_raw();
            Ready {
                body: Body::new(raw, job.transactions() as u32),
                hex: BlockHex::new(raw),
            }
        };
        let mut known = known();
        known.push_back(Known {
            job: Arc::clone(job),
            ready: ready.clone(),
        });
        while known.len() > BODIES {
            known.pop_front();
        }
        ready
    }
}

/// A solution made into a block.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) solution: Arc<Solution>,
    pub(super) block: FoundBlock,
    /// Its first bytes, up to the end of its coinbase.
    pub(super) start: Arc<[u8]>,
    pub(super) submission: Submission,
}

/// Puts the block together. Where its job was made ready, not a byte of its transactions is copied.
pub(super) fn prepare(solution: Arc<Solution>, bodies: &Bodies) -> Prepared {
    let (job, solved) = (&solution.job, &solution.solved);
    let Ready { body, hex } = bodies.of(job);
    let block = FoundBlock::new(
        job.header_of(solved),
        job.height(),
        job.coinbase(solved.extranonce),
        body,
        solution.found_time,
    );
    let start = block.start();
    Prepared {
        submission: Submission::of_parts(&start, hex),
        start: start.into(),
        solution,
        block,
    }
}

/// Holds the block against our own rules. It is sent whatever comes out: the node decides. What is
/// wrong with it, in words, if anything is.
pub(super) fn fault_of(solution: &Solution) -> Option<String> {
    let report = solution.job.check(&solution.solved, false);
    if report.hash != Some(solution.hash) {
        let hash = report
            .hash
            .map_or_else(|| "nothing".to_owned(), |hash| hash.to_string());
        return Some(format!(
            "its hash is {hash}, not {} as the miner said",
            solution.hash
        ));
    }
    let failed = report.verdict() == Verdict::Rejected;
    failed.then(|| {
        report
            .reject_reason()
            .unwrap_or("no reason given")
            .to_owned()
    })
}
