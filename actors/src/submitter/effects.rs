//! What the submitter does on behalf of a block's machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{AsyncContext as _, Context};
use bitcoin::BlockHash;
use chain::header_from_bytes;
use node::Submission;
use supervise::BoxError;
use tokio::sync::OnceCell;

use super::fate::{End, Event, NodeIndex};
use super::hand::Hand;
use super::journal::{BlockEnd, NodeFate};
use super::{Happened, Submitter, answer};
use crate::messages::{BlockSeen, Outcome, Settled, Undelivered};
use crate::publish::Publish as _;

/// The same trouble with the same block is said again after this.
const SAY_AGAIN: Duration = Duration::from_mins(10);
/// Settled blocks that are still offered to nodes which have not answered; others they get from
/// their peers.
const OFFERED: usize = 64;
/// Heights of our own accepted blocks that are remembered, to tell superseded from stale.
const OWN: usize = 256;

impl Submitter {
    pub(super) fn send(&self, hash: BlockHash, index: NodeIndex, ctx: &Context<Self>) {
        let (Some(open), link) = (self.open.get(&hash), self.links[index].clone()) else {
            return;
        };
        self.hand.sent(hash, &link.name);
        let found_at = open.found_at.filter(|_| open.fate.nodes[index].pauses == 0);
        let latencies = Arc::clone(&self.board.latencies);
        let written = move |at: Instant| {
            if let Some(found_at) = found_at {
                let took = at.saturating_duration_since(found_at);
                latencies.solve_to_submit.record(took);
            }
        };
        let raw = Arc::clone(&open.raw);
        let hand = self.hand.clone();
        let myself = ctx.address();
        self.incarnation.spawn("submit a block", async move {
            let answer = match written_out(&raw, &hand, hash).await {
                Err(error) => answer::Answer {
                    meaning: answer::Meaning::NotYet,
                    reason: answer::with_causes(&*error),
                },
                // Given up since: nothing more is sent.
                Ok(_) if hand.check().is_err() => return Ok(()),
                Ok(block) => link.submit(block, found_at.is_some(), written).await,
            };
            myself
                .send(Happened(hash, Event::Answered(index, answer)))
                .await?;
            Ok(())
        });
    }

    pub(super) fn look_up(&self, hash: BlockHash, index: NodeIndex, ctx: &Context<Self>) {
        let link = self.links[index].clone();
        let myself = ctx.address();
        self.incarnation.spawn("look up a block", async move {
            let known = link.look_up(hash).await;
            myself
                .send(Happened(hash, Event::LookedUp(index, known)))
                .await?;
            Ok(())
        });
    }

    /// Writes and says what a node made of a block.
    pub(super) fn note(&mut self, hash: BlockHash, index: NodeIndex, fate: NodeFate, reason: &str) {
        let Some(open) = self.open.get_mut(&hash) else {
            return;
        };
        let node = &self.links[index].name;
        self.hand.answered(hash, node, fate, reason);
        let height = open.height;
        let after_ms = open.found_time.elapsed().unwrap_or_default().as_millis() as u64;
        match fate {
            NodeFate::Accepted => {
                tracing::info!(%hash, height, %node, after_ms, "block accepted");
                let accepted = open.start.take().and_then(|start| {
                    Some(BlockSeen {
                        hash,
                        header: header_from_bytes(start.first_chunk()?),
                        start,
                        node: Arc::clone(node),
                        seen_at: Instant::now(),
                    })
                });
                if let Some(block) = accepted {
                    let guard = self.incarnation.guard();
                    self.board.block_accepted.publish(&guard, Some(block));
                }
            }
            NodeFate::Stale => {
                tracing::warn!(
                    %hash, height, %node, after_ms, reason,
                    "block stale: valid, but another block won its height"
                );
            }
            NodeFate::Rejected => {
                tracing::error!(%hash, height, %node, after_ms, reason, "block rejected");
            }
            NodeFate::Unknown => {
                let said = &mut open.said[index];
                let again = said
                    .as_ref()
                    .is_none_or(|(last, at)| last != reason || at.elapsed() > SAY_AGAIN);
                if again {
                    *said = Some((reason.to_owned(), Instant::now()));
                    tracing::warn!(
                        %hash, height, %node, after_ms, reason,
                        "no verdict on a block yet; the node is asked again until there is one"
                    );
                }
            }
        }
    }

    /// Closes a block's entry, once, and tells everybody.
    pub(super) fn settle(&mut self, hash: BlockHash, end: End) {
        let Some(open) = self.open.get(&hash) else {
            return;
        };
        let (height, prev, this_run) = (open.height, open.prev, open.this_run);
        let took = open.found_time.elapsed().unwrap_or_default();
        let (end, outcome, reason) = match end {
            End::Accepted => (BlockEnd::Accepted, Outcome::Accepted, String::new()),
            End::Stale if self.own.contains(&height) => {
                (BlockEnd::Superseded, Outcome::Stale, String::new())
            }
            End::Stale => (BlockEnd::Stale, Outcome::Stale, String::new()),
            End::Rejected(reason) => (
                BlockEnd::Rejected,
                Outcome::Rejected(reason.clone()),
                reason,
            ),
        };
        if !self.hand.settle(hash, end, &reason) {
            return;
        }
        if outcome == Outcome::Accepted {
            self.own.push_back(height);
            if self.own.len() > OWN {
                self.own.pop_front();
            }
        }
        let registry = &self.board.registry;
        match (&outcome, this_run) {
            (Outcome::Accepted, true) => registry.blocks_accepted.increment(),
            (Outcome::Rejected(_), true) => registry.blocks_rejected.increment(),
            (Outcome::Stale, true) => registry.blocks_stale.increment(),
            (Outcome::Accepted, false) => registry.earlier_accepted.increment(),
            (Outcome::Rejected(_), false) => registry.earlier_rejected.increment(),
            (Outcome::Stale, false) => registry.earlier_stale.increment(),
        }
        let accepted = outcome == Outcome::Accepted;
        let settled = Some(Settled {
            hash,
            prev,
            height,
            outcome,
            took,
        });
        self.board
            .settled
            .publish(&self.incarnation.guard(), settled);
        if accepted {
            self.board.look.notify_one();
        }
    }

    /// Tells of the blocks that no node is known to have.
    pub(super) fn tell_undelivered(&self) {
        let open = self.open.values().filter(|open| !open.again);
        let nobody = open.filter_map(|open| Some((open.height, open.fate.nobody_has_it()?)));
        let nobody: Vec<(u32, &str)> = nobody.collect();
        let lowest = nobody.iter().min_by_key(|(height, _)| *height);
        let guard = self.incarnation.guard();
        self.board.undelivered.publish_with(&guard, |told| {
            let since = told.as_ref().map_or_else(Instant::now, |told| told.since);
            let now = lowest.map(|(height, reason)| Undelivered {
                blocks: nobody.len(),
                height: *height,
                since,
                reason: (*reason).to_owned(),
            });
            let is_news = *told != now;
            *told = now;
            is_news
        });
    }

    /// Forgets the oldest settled blocks that some node has not answered for.
    pub(super) fn limit_offers(&mut self) {
        let mut offered: Vec<(u32, BlockHash)> = self
            .open
            .iter()
            .filter(|(_, open)| open.fate.end.is_some())
            .map(|(hash, open)| (open.height, *hash))
            .collect();
        if offered.len() > OFFERED {
            offered.sort_unstable();
            let surplus = offered.len() - OFFERED;
            for (_, hash) in &offered[..surplus] {
                self.open.remove(hash);
            }
        }
    }
}

/// The block as it is sent: at hand, or written out from what the journal has.
async fn written_out(
    raw: &OnceCell<Submission>,
    hand: &Hand,
    hash: BlockHash,
) -> Result<Submission, BoxError> {
    let write_out = async || {
        let hand = hand.clone();
        let block = move || hand.raw_block(hash).map(|raw| Submission::new(&raw));
        Ok::<_, BoxError>(tokio::task::spawn_blocking(block).await??)
    };
    raw.get_or_try_init(write_out).await.cloned()
}
