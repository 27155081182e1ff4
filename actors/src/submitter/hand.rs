//! The journal in the hand of one incarnation: whatever it does there asks first whether that
//! incarnation was given up.

use std::sync::Arc;
use std::time::SystemTime;

use bitcoin::BlockHash;
use supervise::{GenerationGuard, Revoked};

use super::journal::{BlockEnd, Body, Filed, FoundBlock, Journal, JournalError, NodeFate};

#[derive(Debug, Clone)]
pub(super) struct Hand {
    journal: Arc<Journal>,
    guard: GenerationGuard,
}

impl Hand {
    pub(super) fn new(journal: Arc<Journal>, guard: GenerationGuard) -> Self {
        Self { journal, guard }
    }

    /// Whether anything may be done at all.
    pub(super) fn check(&self) -> Result<(), Revoked> {
        self.guard.check()
    }

    pub(super) fn remember(&self, body: &Arc<Body>) -> Result<(), Revoked> {
        self.check()?;
        self.journal.remember(body);
        Ok(())
    }

    pub(super) fn found(&self, block: &FoundBlock) -> Result<Filed, Revoked> {
        self.check()?;
        Ok(self.journal.found(block))
    }

    pub(super) fn sent(&self, hash: BlockHash, node: &Arc<str>) {
        if self.guard.is_current() {
            self.journal.sent(hash, node, SystemTime::now());
        }
    }

    pub(super) fn answered(&self, hash: BlockHash, node: &Arc<str>, fate: NodeFate, reason: &str) {
        if self.guard.is_current() {
            self.journal
                .answered(hash, node, fate, reason, reason, SystemTime::now());
        }
    }

    /// True the first time.
    pub(super) fn settle(&self, hash: BlockHash, end: BlockEnd, reason: &str) -> bool {
        self.guard.is_current() && self.journal.settle(hash, end, reason, SystemTime::now())
    }

    /// True if that is news.
    pub(super) fn moved(&self, hash: BlockHash, end: BlockEnd, reason: &str) -> bool {
        self.guard.is_current() && self.journal.moved(hash, end, reason, SystemTime::now())
    }

    pub(super) fn raw_block(&self, hash: BlockHash) -> Result<Vec<u8>, JournalError> {
        self.journal.raw_block(hash)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::super::journal::{RealDisk, list};
    use super::*;
    use crate::publish::fixtures::right;

    #[test]
    fn an_incarnation_that_was_given_up_can_do_nothing_to_the_journal() {
        let dir = tempfile::TempDir::new().unwrap();
        let journal = Journal::open(dir.path(), Arc::new(RealDisk), SystemTime::now()).unwrap();
        let journal = Arc::new(journal);
        let block =
            |height| FoundBlock::new([7; 80], height, vec![1], Body::empty(), SystemTime::now());
        actix::System::new().block_on(async {
            let (tree, guard) = right().await;
            let hand = Hand::new(Arc::clone(&journal), guard);
            assert!(matches!(hand.found(&block(1)), Ok(Filed::New(_))));
            tree.stop(Duration::from_mins(1)).await;

            let hash = block(1).hash();
            assert!(hand.check().is_err());
            assert!(hand.found(&block(2)).is_err());
            assert!(hand.remember(&Body::empty()).is_err());
            hand.sent(hash, &"node".into());
            hand.answered(hash, &"node".into(), NodeFate::Accepted, "");
            assert!(!hand.settle(hash, BlockEnd::Accepted, ""));
            assert!(!hand.moved(hash, BlockEnd::Stale, ""));
        });
        assert!(journal.close(Duration::from_mins(1)));
        let entries = list(dir.path()).unwrap();
        assert_eq!(
            (entries.len(), entries[0].height, entries[0].nodes.len()),
            (1, 1, 0)
        );
    }
}
