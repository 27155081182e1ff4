//! Which blocks behind the verified headers still wait for their check, and which failed it.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::BlockHash;
use chain::BlockReport;

/// Blocks that are remembered at most, of either kind. More missed at once were not missed but
/// synchronised, and the node has checked them when nobody looked.
const MOST: usize = 16;

/// The memory of one validator. A block's descendants are no better than the block.
#[derive(Debug, Default)]
pub struct Bodies {
    unchecked: VecDeque<BlockHash>,
    rejected: VecDeque<(BlockHash, Arc<BlockReport>)>,
}

impl Bodies {
    /// A header joined the verified chain; its block is to be checked.
    pub fn joined(&mut self, hash: BlockHash) {
        push(&mut self.unchecked, hash);
    }

    /// The newest block that waits for its check and is still part of the chain. It waits until it
    /// is settled or failed, so that a check which was broken off is made again.
    pub fn next(&mut self, in_chain: impl Fn(&BlockHash) -> bool) -> Option<BlockHash> {
        self.unchecked.retain(in_chain);
        self.unchecked.back().copied()
    }

    /// The check of this block has ended well, or cannot be made.
    pub fn settled(&mut self, hash: BlockHash) {
        self.unchecked.retain(|waiting| *waiting != hash);
    }

    /// This block failed its check.
    pub fn failed(&mut self, hash: BlockHash, report: Arc<BlockReport>) {
        self.settled(hash);
        push(&mut self.rejected, (hash, report));
    }

    /// The report on a block of the chain that failed its check, if there is one.
    pub fn rejected(&self, in_chain: impl Fn(&BlockHash) -> bool) -> Option<&Arc<BlockReport>> {
        self.rejected
            .iter()
            .find(|(hash, _)| in_chain(hash))
            .map(|(_, report)| report)
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MOST {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use chain::{BlockContext, Network, check_block};

    use super::*;

    fn block(n: u8) -> BlockHash {
        BlockHash::from_byte_array([n; 32])
    }

    #[test]
    fn what_was_missed_is_checked_newest_first_and_only_where_it_still_counts() {
        let mut bodies = Bodies::default();
        for n in 1..=4 {
            bodies.joined(block(n));
        }
        bodies.settled(block(4));
        assert_eq!(bodies.next(|hash| *hash != block(3)), Some(block(2)));
        assert_eq!(bodies.next(|_| true), Some(block(2)), "broken off");
        bodies.settled(block(2));
        assert_eq!(bodies.next(|_| true), Some(block(1)));
        bodies.settled(block(1));
        assert_eq!(bodies.next(|_| true), None);
    }

    #[test]
    fn only_so_many_are_remembered_and_the_newest_are_kept() {
        let mut bodies = Bodies::default();
        for n in 0..100 {
            bodies.joined(block(n));
        }
        let mut kept = 0;
        while let Some(hash) = bodies.next(|_| true) {
            assert_eq!(hash, block(99 - kept));
            bodies.settled(hash);
            kept += 1;
        }
        assert_eq!(usize::from(kept), MOST);
    }

    #[test]
    fn a_rejected_block_counts_for_as_long_as_it_is_part_of_the_chain() {
        let mut bodies = Bodies::default();
        bodies.joined(block(1));
        let report = Arc::new(check_block(&[], &BlockContext::new(Network::Regtest)));
        bodies.failed(block(1), report);
        assert_eq!(bodies.next(|_| true), None, "it is not checked twice");
        assert!(bodies.rejected(|hash| *hash == block(1)).is_some());
        assert!(bodies.rejected(|hash| *hash == block(2)).is_none());
    }
}
