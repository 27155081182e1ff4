//! Task `proposal`: has a block of every new shape checked by the node, beside the mining of it.

use std::time::Duration;

use chain::Network;
use node::Node;
use supervise::{BoxError, GenerationGuard};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::pacing::{Pacing, Trouble};
use crate::board::Board;
use crate::proposals::{Candidate, Finding};
use crate::publish::Publish as _;

/// Between two proposals: while the node checks one, it does little else.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(
    network: Network,
    nodes: Vec<Node>,
    board: Board,
    guard: GenerationGuard,
) -> Result<(), BoxError> {
    let mut candidates = board.candidate.subscribe();
    let mut pacing = Pacing::default();
    loop {
        let candidate = candidates.borrow_and_update().clone();
        let wanted = candidate.filter(|candidate| board.proposals.borrow().wants(candidate));
        let asked = wanted.and_then(|candidate| {
            let node = nodes.iter().find(|node| node.name() == &*candidate.node)?;
            Some((node, candidate))
        });
        let Some((node, candidate)) = asked else {
            candidates.changed().await?;
            continue;
        };
        match node.propose_block(network, candidate.block()).await {
            Ok(answer) => {
                pacing.succeeded();
                let finding = Finding::of(&answer);
                if let Some(finding) = &finding {
                    note(&board, &guard, &candidate, finding);
                } else {
                    debug!(node = %candidate.node, "a proposal was not on the node's tip, and not checked");
                }
                sleep(INTERVAL).await;
                if finding.is_some() {
                    candidates.changed().await?;
                }
            }
            Err(error) => {
                let wait = pacing.after(Trouble::of(&error)).max(INTERVAL);
                debug!(node = %candidate.node, ?wait, "a proposal was not answered: {error}");
                sleep(wait).await;
            }
        }
    }
}

fn note(board: &Board, guard: &GenerationGuard, candidate: &Candidate, finding: &Finding) {
    board.proposals.publish_with(guard, |proposals| {
        let shape = candidate.job.shape();
        if proposals.finding(&candidate.node, shape) != Some(finding) {
            say(candidate, finding);
        }
        proposals.note(candidate, finding.clone())
    });
}

fn say(candidate: &Candidate, finding: &Finding) {
    let (node, shape) = (&candidate.node, candidate.job.shape());
    match (finding, finding.bar()) {
        (Finding::Sound, _) => {
            info!(%node, "node {node} would accept blocks of this shape: {shape}");
        }
        (_, Some(reason)) => tracing::error!(
            %node,
            "node {node} refuses every block of this shape, {reason}: {shape}; nothing of it is mined until the node \
             accepts one; work goes on with another where there is one (please report this line)"
        ),
        (Finding::Refused(reason), None) => warn!(
            %node,
            "node {node} would have refused a block, {reason}: {shape}; the next template is tried again, and mining \
             goes on, with another job where there is one"
        ),
    }
}
