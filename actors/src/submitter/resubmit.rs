//! Giving a block of the journal to nodes again because somebody asks for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bitcoin::BlockHash;
use futures::future::join_all;
use node::{Node, Submission};

use super::answer::{Absent, Meaning};
use super::fate::Known;
use super::journal::{Journal, JournalError, NodeAnswer, NodeEntry, NodeFate};
use super::link::Link;

/// A disk that has not taken what nodes said by then is not waited for.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

/// Gives blocks of a journal to nodes again, and writes down what those make of them.
///
/// It needs no submitter, and stands in no one's way: a block whose fate is open is followed all the same.
#[derive(Debug, Clone)]
pub struct Resubmitter {
    links: Vec<Link>,
    journal: Arc<Journal>,
}

/// A block cannot be given to nodes again.
#[derive(Debug, thiserror::Error)]
pub enum ResubmitError {
    /// The configuration names no such node.
    #[error("no node is called {name:?}; the configuration names {known}")]
    NoSuchNode {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The block cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It was given up in the middle.
    #[error("reading the block was interrupted: the program is stopping")]
    Interrupted,
}

impl Resubmitter {
    /// For these nodes, and what this journal has.
    pub fn new(nodes: &[Node], journal: Arc<Journal>) -> Self {
        let links = nodes.iter().cloned().map(Link::new).collect();
        Self { links, journal }
    }

    /// Gives a block to every node, or to the one of that name; what each made of it. A node that cannot be reached or
    /// does not decide says `unknown`, with the reason. Nobody is asked twice.
    ///
    /// # Errors
    /// [`ResubmitError`].
    pub async fn resubmit(
        &self,
        hash: BlockHash,
        node: Option<&str>,
    ) -> Result<Vec<NodeEntry>, ResubmitError> {
        let wanted = |link: &&Link| node.is_none_or(|name| *link.name == *name);
        let links: Vec<&Link> = self.links.iter().filter(wanted).collect();
        if let (Some(name), []) = (node, &links[..]) {
            let names: Vec<&str> = self.links.iter().map(|link| &*link.name).collect();
            return Err(ResubmitError::NoSuchNode {
                name: name.to_owned(),
                known: names.join(", "),
            });
        }
        let journal = Arc::clone(&self.journal);
        let read = move || journal.raw_block(hash).map(|raw| Submission::new(&raw));
        let block = tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| ResubmitError::Interrupted)??;
        tracing::info!(%hash, nodes = links.len(), "a block is given to nodes again, as asked for");
        let answers = join_all(links.iter().map(|link| give(link, hash, block.clone()))).await;
        self.write(hash, answers.clone()).await;
        let entry = |NodeAnswer { node, fate, reason }: NodeAnswer| NodeEntry {
            name: node.to_string(),
            state: fate.into(),
            reason: (!reason.is_empty()).then_some(reason),
        };
        Ok(answers.into_iter().map(entry).collect())
    }

    /// Writes down what nodes said. Where the journal does not take it, that is said, and what they said counts.
    async fn write(&self, hash: BlockHash, answers: Vec<NodeAnswer>) {
        // What is read of the block is all that is known of it, if the disk answers.
        self.is_flushed().await;
        let journal = Arc::clone(&self.journal);
        let note = move || journal.given_again(hash, &answers, SystemTime::now());
        let trouble = match tokio::task::spawn_blocking(note).await {
            Ok(Ok(())) if self.is_flushed().await => return,
            Ok(Ok(())) => {
                let trouble = self.journal.trouble();
                trouble.unwrap_or_else(|| "its disk does not answer".to_owned())
            }
            Ok(Err(error)) => error.to_string(),
            Err(interrupted) => interrupted.to_string(),
        };
        tracing::error!(%hash, "what nodes said of a block is not in the journal yet: {trouble}");
    }

    async fn is_flushed(&self) -> bool {
        let flushed = self.journal.flushed();
        tokio::time::timeout(WRITTEN_WITHIN, flushed).await.is_ok()
    }
}

/// Gives the node a block, looks it up where the answer leaves doubt, and says what the node made of it.
async fn give(link: &Link, hash: BlockHash, block: Submission) -> NodeAnswer {
    let answer = link.submit(block, false, |_| ()).await;
    let fate = match answer.meaning {
        Meaning::Accepted => NodeFate::Accepted,
        Meaning::Rejected | Meaning::Refused => NodeFate::Rejected,
        Meaning::NotYet => NodeFate::Unknown,
        Meaning::Doubt(absent) => match link.look_up(hash).await {
            Known::Active => NodeFate::Accepted,
            Known::Invalid => NodeFate::Rejected,
            Known::Side { .. } if absent == Absent::Invalid => NodeFate::Rejected,
            Known::Side { .. } => NodeFate::Stale,
            Known::NoAnswer(_) => NodeFate::Unknown,
            Known::Nothing | Known::HeaderOnly => match absent {
                Absent::Resend => NodeFate::Unknown,
                Absent::Stale => NodeFate::Stale,
                Absent::Invalid | Absent::Refused => NodeFate::Rejected,
            },
        },
    };
    NodeAnswer {
        node: Arc::clone(&link.name),
        fate,
        reason: answer.reason,
    }
}
