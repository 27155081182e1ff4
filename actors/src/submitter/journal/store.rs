//! The journal open for writing.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;

use super::block::{Body, FoundBlock};
use super::disk::Disk;
use super::entry::{BlockEnd, Entry, NodeFate, NodeRecord, Settlement};
use super::files::Files;
use super::recent::{Recent, remember};
use super::record::{AnswerRecord, FoundRecord, Record};
use super::shared::{Held, Inner, Shared};
use super::start::{lock, say};
use super::{FILE_LIMIT, JournalError, OpenReport, frame, jobs, reader, recover, writer};

/// A record that will be on disk; see [`Journal::durable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What [`Journal::found`] made of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filed {
    /// It is new; durable with the ticket.
    New(Ticket),
    /// It was filed before, and its fate is open.
    Known(Ticket),
    /// It was filed before, and is settled.
    Settled,
}

/// A block whose fate is open.
#[derive(Debug, Clone)]
pub struct Unsettled {
    /// The block.
    pub hash: BlockHash,
    /// Its parent.
    pub prev: BlockHash,
    /// Its height.
    pub height: u32,
    /// When it was found.
    pub found_at: SystemTime,
    /// Whether this process found it.
    pub this_run: bool,
    /// When it is on disk.
    pub ticket: Ticket,
    pub(crate) nodes: Vec<NodeRecord>,
}

/// The journal, open for writing. It belongs to whoever builds the tree, outlives every submitter,
/// and keeps in memory what the disk does not take.
#[derive(Debug)]
pub struct Journal {
    pub(super) files: Files,
    pub(super) shared: Arc<Shared>,
    report: OpenReport,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Unlocked when it closes, even by a crash.
    _lock: File,
}

impl Journal {
    /// Opens the journal in `dir`, creating it if need be, and reads it: `now` decides which settled
    /// blocks are too old. What was wrong is mended, logged and told by [`Journal::report`].
    pub fn open(dir: &Path, disk: Arc<dyn Disk>, now: SystemTime) -> Result<Self, JournalError> {
        Self::open_limited(dir, disk, now, FILE_LIMIT)
    }

    pub(super) fn open_limited(
        dir: &Path,
        disk: Arc<dyn Disk>,
        now: SystemTime,
        limit: u64,
    ) -> Result<Self, JournalError> {
        disk.create_dir(dir)
            .map_err(|e| JournalError::io("create", dir, e))?;
        let lock = lock(dir)?;
        let files = Files {
            dir: dir.to_owned(),
            disk,
            limit,
        };
        let recovered = recover::recover(&files, now)?;
        say(dir, &recovered.report);
        let mut inner = Inner::default();
        inner.bodies = recovered.bodies;
        inner.jobs.clone_from(&recovered.jobs_kept);
        inner.jobs_kept = recovered.jobs_kept;
        let mut settled = recovered.settled;
        settled.sort_unstable();
        for (_, hash) in settled {
            inner.remember_settled(hash);
        }
        remember(&mut inner.recent, recovered.recent);
        for (hash, entry) in recovered.unsettled {
            inner.held.insert(
                hash,
                Held {
                    entry,
                    block: None,
                    seq: 0,
                },
            );
        }
        let shared = Arc::new(Shared::new(inner));
        let writer = writer::Writer::new(
            files.clone(),
            Arc::clone(&shared),
            recovered.tail,
            recovered.closed,
        );
        let jobs = jobs::JobWriter {
            files: files.clone(),
            shared: Arc::clone(&shared),
            next: recovered.next_jobs,
            open: None,
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            #[allow(
                clippy::disallowed_methods,
                reason = "the journal outlives every child; `close` joins its threads and says how they ended"
            )]
            std::thread::Builder::new()
                .name(name.into())
                .spawn(run)
                .map_err(|e| JournalError::io("start the writer of", dir, e))
        };
        let threads = Mutex::new(vec![
            spawn("journal", Box::new(|| writer.run()))?,
            spawn("journal-jobs", Box::new(|| jobs.run()))?,
        ]);
        Ok(Self {
            files,
            shared,
            report: recovered.report,
            threads,
            _lock: lock,
        })
    }

    /// What was found at opening.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.files.dir
    }

    /// Writes a job's transactions in the background, so that a solution of it is written quickly.
    /// Only the newest is waited for.
    pub fn remember(&self, body: &Arc<Body>) {
        if !body.is_empty() {
            self.shared.want_body(Arc::clone(body));
        }
    }

    /// Files a found block: in memory when this returns, on disk with the ticket.
    pub fn found(&self, block: &FoundBlock) -> Filed {
        let hash = block.hash();
        let mut inner = self.shared.lock();
        if inner.is_settled(&hash) {
            return Filed::Settled;
        }
        if let Some(held) = inner.held.get(&hash) {
            return Filed::Known(Ticket(held.seq));
        }
        let found = FoundRecord::of(block);
        let entry = Entry::new(found.clone());
        let mut records = Vec::new();
        let place = inner.bodies.get(&found.body).copied();
        match place {
            Some(recover::Place {
                stream: frame::Stream::Jobs,
                number,
            }) => {
                inner.jobs_kept.insert(number);
            }
            None if !block.body.is_empty() => records.push(Record::Body(Arc::clone(&block.body))),
            _ => {}
        }
        records.push(Record::Found(found));
        let seq = self.shared.push(&mut inner, hash, records, true);
        inner.held.insert(
            hash,
            Held {
                entry,
                block: Some(block.clone()),
                seq,
            },
        );
        Filed::New(Ticket(seq))
    }

    /// Notes that a node is about to be given the block.
    pub fn sent(&self, hash: BlockHash, node: &Arc<str>, at: SystemTime) {
        let mut inner = self.shared.lock();
        let Some(held) = inner.held.get_mut(&hash) else {
            return;
        };
        if held.entry.sent(node) {
            let record = Record::Sent {
                hash,
                node: Arc::clone(node),
                at,
            };
            self.shared.push(&mut inner, hash, vec![record], false);
        }
    }

    /// Notes what a node said, in words and as given, and what that means. Repetitions are not
    /// written again; after the end only a final answer is.
    pub fn answered(
        &self,
        hash: BlockHash,
        node: &Arc<str>,
        fate: NodeFate,
        reason: &str,
        raw: &str,
        at: SystemTime,
    ) {
        let mut inner = self.shared.lock();
        let is_news = match inner.held.get_mut(&hash) {
            Some(held) => held.entry.answered(node, fate, reason),
            None => inner.is_settled(&hash) && fate.is_final(),
        };
        if is_news {
            let record = Record::Answer(AnswerRecord {
                hash,
                node: Arc::clone(node),
                fate,
                reason: reason.to_owned(),
                raw: raw.to_owned(),
                at,
            });
            self.shared.push(&mut inner, hash, vec![record], false);
        }
    }

    /// Closes a block's entry. True the first time: whoever counts blocks counts then.
    pub fn settle(&self, hash: BlockHash, end: BlockEnd, reason: &str, at: SystemTime) -> bool {
        let mut inner = self.shared.lock();
        let Some(mut held) = inner.held.remove(&hash) else {
            return false;
        };
        held.entry.settled = Some(Settlement {
            end,
            reason: reason.to_owned(),
            at,
        });
        inner.remember_settled(hash);
        remember(&mut inner.recent, Recent::of(&held.entry));
        let record = Record::Settled {
            hash,
            end,
            reason: reason.to_owned(),
            at,
        };
        self.shared.push(&mut inner, hash, vec![record], false);
        Shared::limit_backlog(&mut inner, hash);
        true
    }

    /// Notes where one of the newest settled blocks is now. True if that is news.
    pub fn moved(&self, hash: BlockHash, end: BlockEnd, reason: &str, at: SystemTime) -> bool {
        let mut inner = self.shared.lock();
        let block = inner.recent.iter_mut().find(|block| block.hash == hash);
        let Some(at) = block.and_then(|block| block.moved(end, at)) else {
            return false;
        };
        let record = Record::Settled {
            hash,
            end,
            reason: reason.to_owned(),
            at,
        };
        self.shared.push(&mut inner, hash, vec![record], false);
        Shared::limit_backlog(&mut inner, hash);
        true
    }

    /// The newest settled blocks, lowest first.
    pub fn recent(&self) -> Vec<Recent> {
        let mut recent = self.shared.lock().recent.clone();
        recent.sort_by_key(|block| (block.height, block.found_at));
        recent
    }

    /// The blocks whose fate is open, lowest first.
    pub fn unsettled(&self) -> Vec<Unsettled> {
        let inner = self.shared.lock();
        let mut all: Vec<Unsettled> = inner
            .held
            .iter()
            .map(|(hash, held)| Unsettled {
                hash: *hash,
                prev: held.entry.prev(),
                height: held.entry.height(),
                found_at: held.entry.found_at(),
                this_run: held.block.is_some(),
                ticket: Ticket(held.seq),
                nodes: held.entry.nodes.clone(),
            })
            .collect();
        all.sort_by_key(|block| (block.height, block.found_at));
        all
    }

    /// A block, serialised. Reads files unless this process found the block and its fate is open.
    pub fn raw_block(&self, hash: BlockHash) -> Result<Vec<u8>, JournalError> {
        let inner = self.shared.lock();
        let Some(held) = inner.held.get(&hash) else {
            drop(inner);
            return reader::read_block(&self.files.dir, hash);
        };
        if let Some(block) = held.block.clone() {
            // The copy of a full block is not made under the lock.
            drop(inner);
            return Ok(block.raw());
        }
        let found = held.entry.found.clone();
        let place = inner.bodies.get(&found.body).copied();
        drop(inner);
        reader::assemble(&self.files, &found, place)
    }

    /// Resolves when a record is on disk. On a disk that takes nothing, never.
    pub async fn durable(&self, ticket: Ticket) {
        let mut durable = self.shared.durable.subscribe();
        // The sender lives in self: this cannot fail.
        let _ = durable.wait_for(|seq| *seq >= ticket.0).await;
    }

    /// Whether a record is on disk.
    pub fn is_durable(&self, ticket: Ticket) -> bool {
        *self.shared.durable.borrow() >= ticket.0
    }

    /// Resolves when everything given so far is on disk.
    pub async fn flushed(&self) {
        let last = self.shared.flush();
        self.durable(Ticket(last)).await;
    }

    /// Why nothing gets to disk at present; none while writing works.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.borrow().clone()
    }

    /// Writes what is left and closes; waits for it at most `limit`. True if everything is on disk.
    pub fn close(&self, limit: Duration) -> bool {
        self.shared.close();
        let deadline = Instant::now() + limit;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.iter().any(|thread| !thread.is_finished()) {
            if Instant::now() >= deadline {
                tracing::error!(
                    dir = %self.files.dir.display(),
                    "the journal of found blocks is not written out: its disk does not answer"
                );
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        threads.drain(..).for_each(|thread| {
            if thread.join().is_err() {
                tracing::error!("a writer of the journal of found blocks had panicked");
            }
        });
        *self.shared.durable.borrow() >= self.shared.lock().last_seq()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close(Duration::from_secs(2));
    }
}
