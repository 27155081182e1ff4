//! What nodes made of a block that they were given again because somebody asked for it, however old it is.

use std::sync::Arc;
use std::time::SystemTime;

use bitcoin::BlockHash;

use super::entry::{BlockEnd, NodeFate};
use super::recent::Recent;
use super::record::{AnswerRecord, Record};
use super::shared::Shared;
use super::{Journal, JournalError, reader};

/// What a node made of a block.
#[derive(Debug, Clone)]
pub struct NodeAnswer {
    /// The node's configured name.
    pub node: Arc<str>,
    /// What its answer means.
    pub fate: NodeFate,
    /// Its own word, or the error; may be empty.
    pub reason: String,
}

impl Journal {
    /// Notes what nodes made of a block. Where one accepted it, it is accepted from then on, whatever it was settled as,
    /// and however long ago; the files are read for that where the block is not among the newest, and nothing of it stays
    /// in memory.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn given_again(
        &self,
        hash: BlockHash,
        answers: &[NodeAnswer],
        at: SystemTime,
    ) -> Result<(), JournalError> {
        if self.shared.lock().held.contains_key(&hash) {
            // Its fate is open, and what settles it is following it.
            for NodeAnswer { node, fate, reason } in answers {
                self.answered(hash, node, *fate, reason, reason, at);
            }
            return Ok(());
        }
        let finals = answers.iter().filter(|answer| answer.fate.is_final());
        self.push(hash, finals.map(|answer| answer.record(hash, at)).collect());
        let (end, reason) = (BlockEnd::Accepted, "submitted again");
        let is_accepted = answers.iter().any(|a| a.fate == NodeFate::Accepted);
        if !is_accepted || self.moved(hash, end, reason, at) {
            return Ok(());
        }
        // It is accepted already, or too old to be among the newest.
        let mut known = Recent::of(&reader::read_entry(&self.files.dir, hash)?);
        if let Some(at) = known.as_mut().and_then(|block| block.moved(end, at)) {
            let reason = reason.to_owned();
            let record = Record::Settled {
                hash,
                end,
                reason,
                at,
            };
            self.push(hash, vec![record]);
        }
        Ok(())
    }

    /// Queues records about a settled block.
    fn push(&self, hash: BlockHash, records: Vec<Record>) {
        if !records.is_empty() {
            let mut inner = self.shared.lock();
            self.shared.push(&mut inner, hash, records, false);
            Shared::limit_backlog(&mut inner, hash);
        }
    }
}

impl NodeAnswer {
    fn record(&self, hash: BlockHash, at: SystemTime) -> Record {
        Record::Answer(AnswerRecord {
            hash,
            node: Arc::clone(&self.node),
            fate: self.fate,
            reason: self.reason.clone(),
            raw: self.reason.clone(),
            at,
        })
    }
}
