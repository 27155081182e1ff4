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

    pub(super) fn raw_block(&self, hash: BlockHash) -> Result<Vec<u8>, JournalError> {
        self.journal.raw_block(hash)
    }
}
