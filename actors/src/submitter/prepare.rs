//! From a solution to a block: the part that takes time, off the actor's thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chain::{Job, Verdict};

use super::journal::{Body, FoundBlock};
use crate::messages::Solution;

/// Bodies of this many jobs are at hand. Solutions of older jobs are rare, and pay for theirs.
const BODIES: usize = 2;

/// The journal's form of the newest jobs' transactions.
#[derive(Debug, Clone, Default)]
pub(super) struct Bodies(Arc<Mutex<VecDeque<Known>>>);

#[derive(Debug)]
struct Known {
    job: Arc<Job>,
    body: Arc<Body>,
}

impl Bodies {
    /// The body of a job, made if need be: for a full block that takes milliseconds.
    pub(super) fn of(&self, job: &Arc<Job>) -> Arc<Body> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().iter().find(|known| Arc::ptr_eq(&known.job, job)) {
            return Arc::clone(&found.body);
        }
        let body = if job.transactions() == 0 {
            Body::empty()
        } else {
            Body::new(job.transactions_raw(), job.transactions() as u32)
        };
        let mut known = known();
        known.push_back(Known {
            job: Arc::clone(job),
            body: Arc::clone(&body),
        });
        while known.len() > BODIES {
            known.pop_front();
        }
        body
    }
}

/// A solution made into a block.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) solution: Arc<Solution>,
    pub(super) block: FoundBlock,
}

/// Puts the block together, but for the copy of its transactions that a submission takes.
pub(super) fn prepare(solution: Arc<Solution>, bodies: &Bodies) -> Prepared {
    let (job, solved) = (&solution.job, &solution.solved);
    let block = FoundBlock::new(
        job.header_of(solved),
        job.height(),
        job.coinbase(solved.extranonce),
        bodies.of(job),
        solution.found_time,
    );
    Prepared { solution, block }
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
