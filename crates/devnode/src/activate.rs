//! Moving the tip: connecting, disconnecting, reorganising, and telling of it in Bitcoin Core's order.

use std::sync::Arc;

use bitcoin::consensus::deserialize;
use bitcoin::{Block, BlockHash, Transaction};
use pow::Work;

use crate::error::DevnodeError;
use crate::reject::Reject;
use crate::store::Record;
use crate::world::World;

impl World {
    /// Moves to the best branch, given the blocks that became complete since it was last asked.
    pub(crate) fn activate_best(&mut self, completed: &[BlockHash]) {
        self.failures.clear();
        let mut target = self.index.best_of(completed.iter().copied());
        while let Some(best) = target {
            target = match self.step_towards(best) {
                // There may be more of the same branch: as in Bitcoin Core, the tip is announced as
                // soon as it has more work than before, and then the rest is connected.
                Ok(()) if self.index.tip_hash() != best => Some(best),
                Ok(()) => None,
                Err(()) => self.index.best_of_all(),
            };
        }
    }

    /// One step towards `best`: until there is more work than before, or until a block fails, which
    /// is then marked, and the best of what is left takes its place.
    fn step_towards(&mut self, best: BlockHash) -> Result<(), ()> {
        let before = self.index.tip_hash();
        let work_before = self.index.tip().work;
        let walked = self.walk(best, work_before);
        if walked.is_err() {
            // Back to what was best before. It was never beaten, so it is not announced as a new tip.
            while self.index.known(&before).beats(self.index.tip()) {
                let Some(next) = self.index.best_of_all() else {
                    break;
                };
                // A failure here marks one more block: the loop ends.
                let _ = self.walk(next, work_before);
            }
        }
        self.tip_moved(walked.as_ref().ok());
        walked.map(|_| ())
    }

    /// Disconnects down to the fork with `best`'s branch and connects along it until the tip has more
    /// work than `enough` or is `best`. Returns the last block connected.
    fn walk(&mut self, best: BlockHash, enough: Work) -> Result<Arc<[u8]>, ()> {
        let (fork_height, path) = self.index.path_to(&best);
        let reorganises = fork_height < self.index.height();
        let mut returned = Vec::new();
        while self.index.height() > fork_height {
            self.disconnect_tip(&mut returned);
        }
        let mut outcome = Err(());
        for hash in path {
            outcome = self.connect(hash).map_err(|reject| {
                tracing::debug!(%hash, %reject, "block failed to connect");
                self.index.mark_failed(hash);
                self.failures.push((hash, reject.reason));
            });
            if outcome.is_err() || self.index.tip().work > enough {
                break;
            }
        }
        if reorganises {
            self.return_to_mempool(returned);
        }
        outcome
    }

    /// Connects a child of the tip and announces `sequence` C; returns the block as it travels.
    fn connect(&mut self, hash: BlockHash) -> Result<Arc<[u8]>, Reject> {
        let raw = self
            .index
            .raw_block(&hash)
            .ok_or_else(|| Reject::passing("missing body"))?;
        let block: Block = deserialize(&raw).map_err(|e| Reject::invalid(e.to_string()))?;
        let height = self.index.known(&hash).height;
        let change = self.check_coins(&block, height)?;
        self.coins.apply(&change);
        self.undo.insert(hash, change);
        self.index.push_active(hash);
        self.update_ibd();
        let changes = self.mempool.block_connected(&block);
        self.events.at_height(height);
        self.announce(changes);
        self.events.block_connected(hash);
        Ok(raw)
    }

    /// Disconnects the tip, announces `sequence` D, and puts its transactions in front of `returned`.
    fn disconnect_tip(&mut self, returned: &mut Vec<Transaction>) {
        let Some(hash) = self.index.pop_active() else {
            return;
        };
        if let Some(change) = self.undo.remove(&hash) {
            self.coins.revert(&change);
        }
        let block: Option<Block> = self
            .index
            .raw_block(&hash)
            .and_then(|raw| deserialize(&raw).ok());
        if let Some(block) = block {
            let mut transactions: Vec<_> = block.txdata.into_iter().skip(1).collect();
            transactions.append(returned);
            *returned = transactions;
        }
        self.events.at_height(self.index.height());
        self.events.block_disconnected(hash);
    }

    fn return_to_mempool(&mut self, returned: Vec<Transaction>) {
        let height = self.next_height();
        let changes = self
            .mempool
            .reorganised(returned, &self.coins, height, self.clock.now());
        self.announce(changes);
    }

    /// Wakes long polls, and announces the block if the tip stepped forward and IBD is over.
    fn tip_moved(&mut self, stepped_to: Option<&Arc<[u8]>>) {
        let hash = self.index.tip_hash();
        if let Some(raw) = stepped_to
            && !self.ibd
        {
            self.events.new_tip(hash, raw);
        }
        self.tip_watch.send_if_modified(|tip| {
            let moved = *tip != hash;
            *tip = hash;
            moved
        });
    }

    /// `invalidateblock`.
    pub(crate) fn invalidate(&mut self, hash: BlockHash) -> Result<(), DevnodeError> {
        let entry = self
            .index
            .get(&hash)
            .ok_or(DevnodeError::UnknownBlock(hash))?;
        if entry.height == 0 {
            return Ok(());
        }
        let height = entry.height;
        self.keep(&Record::Invalidated(hash));
        if self.index.is_active(&hash) {
            let mut returned = Vec::new();
            while self.index.height() >= height {
                self.disconnect_tip(&mut returned);
            }
            self.index.mark_failed(hash);
            self.return_to_mempool(returned);
            self.tip_moved(None);
        } else {
            self.index.mark_failed(hash);
        }
        self.activate_all();
        Ok(())
    }

    /// `reconsiderblock`.
    pub(crate) fn reconsider(&mut self, hash: BlockHash) -> Result<(), DevnodeError> {
        if self.index.get(&hash).is_none() {
            return Err(DevnodeError::UnknownBlock(hash));
        }
        self.keep(&Record::Reconsidered(hash));
        self.index.clear_faults(hash);
        self.activate_all();
        Ok(())
    }

    fn activate_all(&mut self) {
        if let Some(best) = self.index.best_of_all() {
            self.activate_best(&[best]);
        }
    }
}
