//! What becomes of blocks after they are settled: a reorganisation moves them, a node loses them.
//!
//! The nodes are asked about them, one block after the other, when the tip is no child of the tip before (at the start
//! it never is), and when a node is back. A block that a node does not have any more is given to it again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::{AsyncContext as _, Context, Handler, Message};
use bitcoin::BlockHash;

use super::fate::{Event, Fate, Known, NodeIndex};
use super::journal::{BlockEnd, NodeFate, Recent};
use super::standing::Standing;
use super::{Open, Stopping, Submitter};

/// Blocks with more on top are left alone, as coins of theirs can be spent.
const DEPTH: u32 = 100;
/// So are blocks found before that.
const AGE: Duration = Duration::from_hours(24);
/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(1);
/// So many blocks are given again at the same time.
const AT_ONCE: usize = 16;

/// The rounds of questions.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// One is under way, or the pause after it.
    busy: bool,
    /// There is reason for another.
    wanted: bool,
    /// The last one left something open: any new tip is reason for another.
    open: bool,
}

/// There is another verified tip.
pub(super) struct TipMoved {
    /// It is a child of the one before.
    extends: bool,
}

/// A round is over: what each node knows of each block.
pub(super) struct Round(Vec<(Recent, Vec<Known>)>);

impl Message for TipMoved {
    type Result = ();
}

impl Message for Round {
    type Result = ();
}

impl Submitter {
    /// Follows the verified tip.
    pub(super) fn watch_tip(&self, ctx: &Context<Self>) {
        let mut tips = self.board.tip_validated.subscribe();
        let myself = ctx.address();
        self.incarnation
            .spawn_essential("watch the tip", async move {
                let mut last: Option<BlockHash> = None;
                loop {
                    let tip = tips.borrow_and_update().as_ref().map(|tip| tip.header);
                    if let Some(tip) = tip
                        && last != Some(tip.block_hash())
                    {
                        let extends = last == Some(tip.prev_blockhash);
                        last = Some(tip.block_hash());
                        myself.send(TipMoved { extends }).await?;
                    }
                    tips.changed().await?;
                }
            });
    }

    /// Asks every node about every settled block that may have moved or been lost.
    pub(super) fn ask_around(&mut self, ctx: &Context<Self>) {
        self.rounds.wanted = true;
        if self.rounds.busy || self.stopping != Stopping::No {
            return;
        }
        self.rounds.wanted = false;
        self.open.retain(|_, open| {
            let age = open.found_time.elapsed().unwrap_or_default();
            !open.again || age <= AGE
        });
        let tip = self.board.tip_validated.borrow().as_ref().map(|t| t.height);
        let now = SystemTime::now();
        let is_followed = |block: &Recent| {
            let age = now.duration_since(block.found_at).unwrap_or_default();
            let depth = tip.map_or(0, |tip| tip.saturating_sub(block.height));
            let is_valid = block.end != BlockEnd::Rejected;
            is_valid && age <= AGE && depth <= DEPTH && !self.open.contains_key(&block.hash)
        };
        let mut blocks = self.settings.journal.recent();
        blocks.retain(is_followed);
        if blocks.is_empty() {
            return;
        }
        self.rounds.busy = true;
        let links = self.links.clone();
        let myself = ctx.address();
        self.incarnation
            .spawn("look after settled blocks", async move {
                let mut silent: Vec<Option<Known>> = vec![None; links.len()];
                let mut round = Vec::new();
                for block in blocks {
                    let mut known = Vec::new();
                    for (link, silent) in links.iter().zip(&mut silent) {
                        let answer = match silent {
                            // It is not asked a hundred times to no avail.
                            Some(no_answer) => no_answer.clone(),
                            None => link.look_up(block.hash).await,
                        };
                        if matches!(answer, Known::NoAnswer(_)) {
                            *silent = Some(answer.clone());
                        }
                        known.push(answer);
                    }
                    round.push((block, known));
                }
                myself.send(Round(round)).await?;
                Ok(())
            });
    }

    /// Writes and says where a block is now.
    fn moved(&self, block: &Recent, is_active: bool) {
        if is_active == (block.end == BlockEnd::Accepted) {
            return;
        }
        let (hash, height) = (block.hash, block.height);
        let (end, reason) = if is_active {
            (BlockEnd::Accepted, "back in the active chain")
        } else {
            (BlockEnd::Stale, "reorganised out of the active chain")
        };
        if !self.hand.moved(hash, end, reason) {
            return;
        }
        if is_active {
            tracing::info!(%hash, height, "a block of ours is back in the active chain");
        } else {
            tracing::warn!(
                %hash, height,
                "a block of ours that was accepted is no longer in the active chain: a reorganisation \
                 put another in its place"
            );
        }
    }

    /// Gives a block to nodes that do not have it any more.
    fn offer_again(
        &mut self,
        block: &Recent,
        known: &[Known],
        missing: &[NodeIndex],
        ctx: &mut Context<Self>,
    ) {
        for index in missing {
            tracing::warn!(
                hash = %block.hash, height = block.height, node = %self.links[*index].name,
                "the node does not have a block that had been accepted: it is given it again"
            );
        }
        let fates = known.iter().enumerate().map(|(index, known)| {
            let fate = match known {
                Known::Active => NodeFate::Accepted,
                _ => NodeFate::Stale,
            };
            (!missing.contains(&index)).then(|| (fate, String::new()))
        });
        let open = Open {
            fate: Fate::resume(block.height, fates.collect(), self.settings.race_limit),
            prev: block.prev,
            height: block.height,
            found_time: block.found_at,
            this_run: false,
            again: true,
            found_at: None,
            raw: Arc::default(),
            unchecked: None,
            start: None,
            said: vec![None; self.links.len()],
        };
        self.open.insert(block.hash, open);
        // It is on disk, and settled: what the machine says of its end changes nothing.
        self.happened(block.hash, Event::Journalled, ctx);
    }
}

impl Handler<TipMoved> for Submitter {
    type Result = ();

    fn handle(&mut self, TipMoved { extends }: TipMoved, ctx: &mut Context<Self>) {
        if !extends || self.rounds.open {
            self.ask_around(ctx);
        }
    }
}

impl Handler<Round> for Submitter {
    type Result = ();

    fn handle(&mut self, Round(round): Round, ctx: &mut Context<Self>) {
        self.rounds.open = false;
        let mut room = AT_ONCE.saturating_sub(self.open.values().filter(|open| open.again).count());
        for (block, known) in round {
            let standing = Standing::of(block.height, &known);
            self.rounds.open |= standing.is_open();
            if let Some(is_active) = standing.active {
                self.moved(&block, is_active);
            }
            if standing.missing.is_empty() || self.open.contains_key(&block.hash) {
                continue;
            }
            if room == 0 {
                self.rounds.open = true;
                continue;
            }
            room -= 1;
            self.offer_again(&block, &known, &standing.missing, ctx);
        }
        ctx.run_later(PAUSE, |actor, ctx| {
            actor.rounds.busy = false;
            if actor.rounds.wanted {
                actor.ask_around(ctx);
            }
        });
    }
}
