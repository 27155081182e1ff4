//! The block behind a tip: fetched, checked on a thread of its own, and counted.

use bitcoin::BlockHash;
use chain::{
    BlockContext, BlockReport, HeaderWindow, ParentContext, Verdict, check_block, median_time_past,
};
use node::{Node, NodeError};
use pow::NBits;
use supervise::Incarnation;
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use crate::stats::Registry;

/// What the window knows of the place of its block at `height`.
pub(super) fn context(window: &HeaderWindow, height: u32, coverage_min: f64) -> BlockContext {
    let parent = height.checked_sub(1).and_then(|below| {
        Some(ParentContext {
            hash: window.hash_at(below)?,
            time: window.header_at(below)?.time,
            median_time_past: median_time_past(window, below)?,
            // The window has found these to be what the rules ask for.
            required_bits: Some(NBits(window.header_at(height)?.bits.to_consensus())),
        })
    });
    BlockContext {
        height: Some(height),
        parent,
        coverage_min,
        ..BlockContext::new(window.network())
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReport {
    /// The block could not be fetched.
    #[error(transparent)]
    Fetch(#[from] NodeError),
    /// This incarnation is ending, or there is no thread to be had.
    #[error("the block was fetched, but there is no thread to check it on: {0}")]
    Thread(std::io::Error),
    /// The block left the verified chain meanwhile.
    #[error("the block is no longer part of the verified chain")]
    Gone,
}

/// Fetches the block and checks it.
pub(super) async fn check(
    node: &Node,
    hash: BlockHash,
    context: &BlockContext,
    incarnation: &Incarnation,
) -> Result<BlockReport, NoReport> {
    let raw = node.get_block(hash).await?;
    let context = context.clone();
    let (send, report) = oneshot::channel();
    // A big block takes milliseconds, in which a newer tip must be able to interrupt.
    let body = move |_| {
        // Nobody waits any more where a newer tip has come.
        let _ = send.send(check_block(&raw, &context));
        Ok(())
    };
    incarnation
        .thread("check-block", body)
        .map_err(NoReport::Thread)?;
    // Dropped unsent only by a panic, which ends this incarnation.
    report
        .await
        .map_err(|dropped| NoReport::Thread(std::io::Error::other(dropped)))
}

/// Counts a report, and says aloud what is wrong with a block.
pub(super) fn record(
    report: &BlockReport,
    hash: BlockHash,
    context: &BlockContext,
    registry: &Registry,
) {
    let height = context.height;
    let reason = report.reject_reason().unwrap_or("nothing failed");
    let coverage = report.report.coverage;
    match report.verdict() {
        Verdict::Authentic => {
            registry.verifications_passed.increment();
            debug!(%hash, height, coverage, "block checked: authentic");
        }
        Verdict::Undecided => {
            warn!(%hash, height, coverage, reason, "block checked: undecided, too little of it could be checked");
        }
        Verdict::Rejected => {
            registry.verifications_failed.increment();
            error!(
                %hash, height, reason,
                "block rejected: it breaks a consensus rule although the node has it as its tip; nothing is to be \
                 mined on it; check that the node is an unmodified Bitcoin Core"
            );
        }
    }
}
