//! Everything that a journal knows of one block, for people.

use std::path::Path;
use std::time::SystemTime;

use bitcoin::BlockHash;
use serde::Serialize;

use super::JournalError;
use super::entry::{EntryState, JournalEntry, Replay, as_rfc3339};
use super::reader::{assemble, files, records};
use super::record::Record;

/// Everything that a journal knows of a block.
#[derive(Debug)]
pub struct Shown {
    /// As `journal list` shows it.
    pub entry: JournalEntry,
    /// What happened to it, in order.
    pub history: Vec<Step>,
    /// The block, serialised; or why it cannot be read.
    pub raw: Result<Vec<u8>, JournalError>,
}

/// Something that happened to a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When (RFC 3339, UTC).
    #[serde(serialize_with = "as_rfc3339")]
    pub at: SystemTime,
    /// `found`, `sent`, `answered`, `settled`, or `moved` by a reorganisation.
    pub event: &'static str,
    /// The node that it was given to or that answered.
    pub node: Option<String>,
    /// What it was from then on, to the node or as a whole.
    pub state: Option<EntryState>,
    /// The node's own word, or the error.
    pub reason: Option<String>,
}

/// What the journal of `dir` knows of the block whose hash begins with `hash`, leading zeros left out or not.
///
/// # Errors
/// [`JournalError::NoSuchBlock`] and [`JournalError::Ambiguous`]; what reading meets.
pub fn show(dir: &Path, hash: &str) -> Result<Shown, JournalError> {
    let files = files(dir);
    let records = records(&files)?;
    let replay = Replay::of(&records);
    let hash = the_one(replay.entries.keys().copied().collect(), hash)?;
    let entry = &replay.entries[&hash];
    let mut history = Vec::new();
    let about = |record: &&Record| record.about().is_some_and(|(about, _)| about == hash);
    for record in records.iter().filter(about) {
        // A file that was rewritten, and not yet removed, says everything twice.
        let settled = history.iter().any(|step: &Step| step.event == "settled");
        if let Some(step) = step(record, settled)
            && !history.iter().any(|known: &Step| known.is_the_same(&step))
        {
            history.push(step);
        }
    }
    history.sort_by_key(|step| step.at);
    Ok(Shown {
        entry: entry.view(true),
        history,
        raw: assemble(&files, &entry.found, None),
    })
}

impl Step {
    fn is_the_same(&self, other: &Self) -> bool {
        let ends = ["settled", "moved"];
        let of_a_kind = self.event == other.event
            || (ends.contains(&self.event) && ends.contains(&other.event));
        of_a_kind && self.at == other.at && self.node == other.node && self.state == other.state
    }
}

fn step(record: &Record, settled: bool) -> Option<Step> {
    let (_, at) = record.about()?;
    let (event, node, state, reason) = match record {
        Record::Body(_) => return None,
        Record::Found(_) => ("found", None, None, None),
        Record::Sent { node, .. } => ("sent", Some(node.to_string()), None, None),
        Record::Answer(answer) => {
            let node = Some(answer.node.to_string());
            let state = Some(answer.fate.into());
            ("answered", node, state, Some(answer.reason.clone()))
        }
        Record::Settled { end, reason, .. } => {
            let event = if settled { "moved" } else { "settled" };
            (event, None, Some((*end).into()), Some(reason.clone()))
        }
    };
    Some(Step {
        at,
        event,
        node,
        state,
        reason: reason.filter(|text| !text.is_empty()),
    })
}

/// The only hash that begins like this.
fn the_one(hashes: Vec<BlockHash>, wanted: &str) -> Result<BlockHash, JournalError> {
    let wanted = wanted.to_ascii_lowercase();
    let begins = |hash: &BlockHash| {
        let hash = hash.to_string();
        hash.starts_with(&wanted) || hash.trim_start_matches('0').starts_with(&wanted)
    };
    let mut found: Vec<BlockHash> = hashes.into_iter().filter(begins).collect();
    found.sort_unstable();
    match found[..] {
        [hash] if !wanted.is_empty() => Ok(hash),
        [] => Err(JournalError::NoSuchBlock { wanted }),
        _ => Err(JournalError::Ambiguous {
            wanted,
            count: found.len(),
            first: found[0],
            second: *found.get(1).unwrap_or(&found[0]),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use tempfile::TempDir;

    use super::super::fake::{block, found_time};
    use super::super::{BlockEnd, Journal, NodeFate, RealDisk};
    use super::*;

    #[tokio::test]
    async fn everything_that_happened_to_a_block_is_shown_in_order() {
        let dir = TempDir::new().unwrap();
        let journal = Journal::open(dir.path(), Arc::new(RealDisk), found_time(0)).unwrap();
        let (one, other) = (block(1, 2), block(2, 0));
        let hash = one.hash();
        let node: Arc<str> = "local".into();
        journal.found(&one);
        journal.found(&other);
        journal.sent(hash, &node, found_time(2));
        journal.answered(hash, &node, NodeFate::Unknown, "down", "", found_time(3));
        journal.answered(hash, &node, NodeFate::Accepted, "", "", found_time(4));
        journal.settle(hash, BlockEnd::Accepted, "", found_time(5));
        journal.moved(hash, BlockEnd::Stale, "reorganised", found_time(6));
        journal.flushed().await;

        let shown = show(dir.path(), &hash.to_string()[..12]).unwrap();
        let events: Vec<&str> = shown.history.iter().map(|step| step.event).collect();
        assert_eq!(
            events,
            ["found", "sent", "answered", "answered", "settled", "moved"]
        );
        assert_eq!(shown.history[2].reason.as_deref(), Some("down"));
        assert_eq!(shown.entry.state, EntryState::Stale);
        assert_eq!(shown.entry.settled_as, Some(BlockEnd::Accepted));
        assert_eq!(shown.raw.unwrap(), one.raw());
    }

    #[test]
    fn a_hash_may_be_cut_short_as_long_as_it_names_one_block() {
        let hash = |text: &str| -> BlockHash { format!("{text:0<64}").parse().unwrap() };
        let all = || vec![hash("0000ab1"), hash("0000ab2"), hash("00f")];
        for wanted in ["00f", "F", "f0", &hash("00f").to_string()] {
            assert_eq!(the_one(all(), wanted).unwrap(), hash("00f"), "{wanted}");
        }
        assert_eq!(the_one(all(), "ab2").unwrap(), hash("0000ab2"));
        for wanted in ["", "00", "ab"] {
            let error = the_one(all(), wanted).unwrap_err();
            assert!(
                matches!(error, JournalError::Ambiguous { .. }),
                "{wanted}: {error}"
            );
        }
        for wanted in ["1", "xyz", "00e"] {
            let error = the_one(all(), wanted).unwrap_err();
            assert!(
                matches!(error, JournalError::NoSuchBlock { .. }),
                "{wanted}: {error}"
            );
        }
        assert!(the_one(Vec::new(), "").is_err());
    }
}
