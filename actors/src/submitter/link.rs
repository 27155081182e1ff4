//! A node, as the submitter talks to it.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use node::{Node, NodeError, Submission, TipStatus};
use tokio::sync::Semaphore;

use super::answer::{Answer, with_causes};
use super::fate::Known;

/// A node and what its submissions share.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) node: Node,
    pub(super) name: Arc<str>,
    /// Blocks that are not fresh go one at a time, in order, so that a fresh one never waits for them.
    turn: Arc<Semaphore>,
}

impl Link {
    pub(super) fn new(node: Node) -> Self {
        let name = node.name().into();
        Self {
            node,
            name,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Gives the node a block and says what it made of it. `written` is told when the system had all of it.
    pub(super) async fn submit(
        &self,
        block: Submission,
        fresh: bool,
        written: impl FnOnce(Instant) + Send + 'static,
    ) -> Answer {
        // The semaphore is never closed: without a turn it goes ahead all the same.
        let _turn = if fresh {
            None
        } else {
            self.turn.acquire().await.ok()
        };
        Answer::of(&self.node.submit_prepared(block, written).await)
    }

    /// Asks the node what it knows of a block.
    pub(super) async fn look_up(&self, hash: BlockHash) -> Known {
        self.try_look_up(hash)
            .await
            .unwrap_or_else(|error| Known::NoAnswer(with_causes(&error)))
    }

    async fn try_look_up(&self, hash: BlockHash) -> Result<Known, NodeError> {
        match self.node.get_block_header_info(hash).await {
            Ok(info) if info.is_active() => return Ok(Known::Active),
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(Known::Nothing),
            Err(error) => return Err(error),
        }
        let tips = self.node.get_chain_tips().await?;
        let status = tips
            .iter()
            .find(|tip| tip.hash == hash)
            .map(|tip| &tip.status);
        let active = tips.iter().find(|tip| tip.status == TipStatus::Active);
        Ok(match status {
            // It became active between the two questions.
            Some(TipStatus::Active) => Known::Active,
            Some(TipStatus::Invalid) => Known::Invalid,
            Some(TipStatus::HeadersOnly) => Known::HeaderOnly,
            // Not a tip itself: somebody built on it, on a side branch.
            Some(_) | None => Known::Side {
                tip: active.map_or(0, |tip| tip.height),
            },
        })
    }
}
