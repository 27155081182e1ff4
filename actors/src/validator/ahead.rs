//! Task `mine ahead`: lets the miner begin on a block that was published, or that is ours and was accepted, before
//! the node is asked for its tip.
//!
//! A node that connects a block answers late, and the block's header has everything that a job needs. One that went
//! away right after it took a block of ours need not be waited for.

use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;
use chain::Ahead;
use supervise::{BoxError, GenerationGuard};
use tokio::time::{Instant as Timer, sleep_until};
use tracing::{debug, warn};

use super::WallClock;
use super::follow::is_rejected;
use super::headers::SharedWindow;
use super::provisional::{Declined, End, Offer, Provisional};
use crate::board::Board;
use crate::messages::{BlockSeen, BodyState, TipProvisional, TipValidated};
use crate::publish::Publish as _;

/// What the task works with.
pub(super) struct MineAhead {
    pub board: Board,
    pub guard: GenerationGuard,
    pub window: SharedWindow,
    pub clock: WallClock,
}

impl MineAhead {
    /// Runs for ever.
    pub async fn run(self) -> Result<(), BoxError> {
        let mut blocks = self.board.block_seen.subscribe();
        let mut accepted = self.board.block_accepted.subscribe();
        let mut asked = self.board.tip_asked.subscribe();
        let mut tips = self.board.tip_validated.subscribe();
        let mut doubts = self.board.tip_doubt.subscribe();
        let mut provisional = Provisional::default();
        // What an earlier incarnation let the miner begin on is nobody's care any more.
        self.publish(None);
        loop {
            let due = provisional.due();
            let time_is_up = sleep_until(Timer::from_std(due.unwrap_or_else(Instant::now)));
            // Blocks come last: however many there are, they keep nothing from its end.
            tokio::select! {
                biased;
                () = time_is_up, if due.is_some() => {}
                changed = tips.changed() => changed?,
                changed = doubts.changed() => changed?,
                changed = asked.changed() => changed?,
                changed = accepted.changed() => {
                    changed?;
                    let block = accepted.borrow_and_update().clone();
                    self.offered(&mut provisional, block.as_ref(), true);
                    continue;
                }
                changed = blocks.changed() => {
                    changed?;
                    let block = blocks.borrow_and_update().clone();
                    self.offered(&mut provisional, block.as_ref(), false);
                    continue;
                }
            }
            let tip = tips.borrow_and_update().clone();
            let is_doubted = doubts.borrow_and_update().is_some();
            self.look(&mut provisional, tip.as_ref(), is_doubted);
        }
    }

    /// A block was published, or accepted.
    fn offered(&self, provisional: &mut Provisional, seen: Option<&BlockSeen>, accepted: bool) {
        let Some(seen) = seen else {
            return;
        };
        let tip = self.board.tip_validated.borrow().clone();
        let doubted = self.board.tip_doubt.borrow().is_some();
        let window = self.window.borrow();
        let (Some(tip), Some(window)) = (tip, &*window) else {
            return;
        };
        // Nothing is known while the window is on its way, and nothing is to be built on what is refused.
        if doubted || is_rejected(&tip.body) || window.tip().hash != tip.hash {
            return;
        }
        let offer = Offer {
            hash: seen.hash,
            header: seen.header,
            start: &seen.start,
            accepted,
        };
        let (node, hash, now) = (&seen.node, seen.hash, Instant::now());
        let ahead = provisional.offer(window, &offer, now, self.clock.now());
        match (ahead, provisional.due()) {
            (Ok(ahead), Some(until)) => {
                self.board.registry.provisional_tips.increment();
                self.publish(Some(describe(&ahead, seen, &tip, now, until)));
                let height = ahead.tip.height;
                let after_us = seen.seen_at.elapsed().as_micros();
                debug!(height, %hash, %node, after_us, "tip taken before the node was asked");
            }
            // The same block, published and accepted.
            (Err(Declined::Known), due) => self.prolong(due),
            (Err(why), due) => {
                debug!(%hash, %node, "a published block waits for the node: {why}");
                self.prolong(due);
            }
            (Ok(_), None) => {}
        }
    }

    /// The node's tip is verified or doubted, or time has passed.
    fn look(&self, provisional: &mut Provisional, tip: Option<&TipValidated>, doubted: bool) {
        let Some(tip) = tip else {
            return;
        };
        let end = if doubted || is_rejected(&tip.body) {
            provisional.give_up(tip.hash)
        } else {
            self.verified(provisional, tip.hash)
                .or_else(|| provisional.expire(tip.hash, Instant::now()))
                .or_else(|| self.named(provisional, tip.hash))
        };
        let (hash, why) = match end {
            None => return self.prolong(provisional.due()),
            Some(End::Confirmed) => return self.publish(None),
            Some(End::Beaten(hash)) => (hash, "the node has another tip"),
            Some(End::Late(hash)) => (hash, "the node has not confirmed it in time"),
        };
        self.board.registry.provisional_cancelled.increment();
        self.publish(None);
        warn!(
            %hash, tip = %tip.hash, height = tip.height,
            "a block that was published is not mined on any more ({why}): back to the node's tip"
        );
    }

    /// What the verified tip means for the blocks ahead of it.
    fn verified(&self, provisional: &mut Provisional, tip: BlockHash) -> Option<End> {
        let window = self.window.borrow();
        let window = window.as_ref().filter(|window| window.tip().hash == tip)?;
        provisional.tip_verified(window, self.clock.now())
    }

    /// What it means for them that the node in use named its tip once more.
    fn named(&self, provisional: &mut Provisional, tip: BlockHash) -> Option<End> {
        let named = self.board.tip_seen.borrow().as_ref().map(|seen| seen.hash);
        let asked = *self.board.tip_asked.borrow();
        if named != Some(tip) {
            return None;
        }
        provisional.tip_named(tip, asked?)
    }

    fn publish(&self, tip: Option<TipProvisional>) {
        self.board
            .tip_provisional
            .publish_with(&self.guard, |shown| {
                let changes = shown.is_some() || tip.is_some();
                *shown = tip;
                changes
            });
    }

    /// The first of several blocks was confirmed: the others have their own time.
    fn prolong(&self, due: Option<Instant>) {
        let Some(due) = due else { return };
        self.board
            .tip_provisional
            .publish_with(&self.guard, |shown| match shown {
                Some(shown) if shown.until != due => {
                    shown.until = due;
                    true
                }
                _ => false,
            });
    }
}

fn describe(
    ahead: &Ahead,
    seen: &BlockSeen,
    below: &TipValidated,
    now: Instant,
    until: Instant,
) -> TipProvisional {
    TipProvisional {
        tip: TipValidated {
            hash: ahead.tip.hash,
            height: ahead.tip.height,
            header: ahead.tip.header,
            median_time_past: ahead.median_time_past,
            min_time: ahead.min_time,
            next_bits: Some(ahead.next_bits),
            times: Arc::clone(&below.times),
            report: Arc::clone(&below.report),
            body: BodyState::Pending,
            seen_at: seen.seen_at,
            validated_at: now,
        },
        until,
    }
}
