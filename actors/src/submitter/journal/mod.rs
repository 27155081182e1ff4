//! The journal of found blocks: what makes a found block survive anything that happens to the process.
//!
//! # Files
//!
//! A directory (0700) of append-only files (0600):
//!
//! | name | holds |
//! |---|---|
//! | `blocks-NNNNNNNN.log` | found blocks, the nodes they were given to, what those said, how it ended |
//! | `jobs-NNNNNNNN.log` | the transactions of jobs, written when a job is made, so that a solution adds only header and coinbase |
//! | `LOCK` | nothing; locked (`flock`) by the process that writes |
//! | `*.foreign-N`, `*.damaged-N` | files set aside: not the journal's, or damaged; what was readable in them has been copied |
//!
//! A file of more than 64 MiB is finished and the next number begins. Files of jobs that no found
//! block refers to are removed, all but the newest two. Settled blocks stay for 30 days, others for
//! ever. A record says the same however often it is read, so that a rewrite may be cut off anywhere.
//!
//! # Bytes
//!
//! Integers are little-endian; hashes are in internal order; times are nanoseconds since 1970 (u64);
//! a text is a u16 length and UTF-8. Each file begins with 32 bytes:
//!
//! | offset | length | |
//! |---|---|---|
//! | 0 | 8 | `sigcjrnl` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 1 | `B` blocks or `J` jobs |
//! | 11 | 1 | 0 |
//! | 12 | 8 | number of the file |
//! | 20 | 8 | salt, random |
//! | 28 | 4 | CRC-32C of bytes 0..28 |
//!
//! Then frames. Each checksum covers the salt first, so that transactions which imitate a frame are
//! never taken for one:
//!
//! | offset | length | |
//! |---|---|---|
//! | 0 | 4 | `f1 53 43 52`: where reading resumes behind damage |
//! | 4 | 1 | kind |
//! | 5 | 3 | 0 |
//! | 8 | 4 | length n of the payload, at most 16 MiB |
//! | 12 | 4 | CRC-32C of salt and payload |
//! | 16 | 4 | CRC-32C of salt and bytes 0..16 |
//! | 20 | n | payload |
//!
//! | kind | payload |
//! |---|---|
//! | 1 body | id (32: SHA-256 of the transactions), number of transactions (u32), transactions without the coinbase |
//! | 2 found | header (80), height (u32), time, id of the body (32), coinbase length (u32), coinbase |
//! | 3 sent | block hash (32), time, node (text) |
//! | 4 answer | block hash (32), time, fate (u8: 1 unknown, 2 accepted, 3 stale, 4 rejected), node, reason, raw answer (texts) |
//! | 5 settled | block hash (32), time, end (u8: 1 accepted, 2 stale, 3 rejected, 4 superseded), reason (text) |
//!
//! The body of a block without transactions but its coinbase is not written. A body lies in either
//! kind of file. Kinds that a reader does not know are skipped and kept.
//!
//! # Reading
//!
//! Bytes at a file's end that are no frame are what a crash tore off: cut, and said. Bytes in the
//! middle that are no frame are damage: skipped, said, and the file set aside after its readable
//! records were copied. Reading ([`list`], [`read_block`]) needs no lock.

mod block;
#[cfg(test)]
mod crash_tests;
mod disk;
mod entry;
#[cfg(test)]
mod fake;
mod files;
mod frame;
mod jobs;
mod reader;
mod record;
mod recover;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;

pub use block::{Body, BodyId, FoundBlock};
pub use disk::{Disk, DiskFile, RealDisk};
pub use entry::{BlockEnd, EntryState, JournalEntry, NodeEntry, NodeFate};
pub use reader::{list, read_block};
pub use recover::{OpenReport, SETTLED_KEPT};

pub(crate) use entry::NodeRecord;
use entry::{Entry, Settlement};
use files::Files;
use record::{AnswerRecord, FoundRecord, Record};
use shared::{Held, Inner, Shared};

/// A file is finished past this many bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// The journal cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error(
        "cannot {action} {path} of the journal of found blocks: {source}; check the owner, the \
         permissions and the free space of data_dir"
    )]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes this journal.
    #[error(
        "the journal {dir} is in use by another signalcore: stop that one, or give this one a \
         data_dir of its own"
    )]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// The file's format is of a later version of this program.
    #[error(
        "{path} has journal format {version}, which a later version of signalcore wrote: run that \
         version, or move the file away if the blocks in it do not matter"
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its format version.
        version: u16,
    },
    /// No such block, or parts of it are unreadable.
    #[error("block {hash} cannot be read from the journal: {what}")]
    NoBlock {
        /// The block.
        hash: BlockHash,
        /// What is missing.
        what: &'static str,
    },
}

impl JournalError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

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
    /// Whether it is on disk.
    pub durable: bool,
    pub(crate) nodes: Vec<NodeRecord>,
}

/// The journal, open for writing. It belongs to whoever builds the tree, outlives every submitter,
/// and keeps in memory what the disk does not take.
#[derive(Debug)]
pub struct Journal {
    files: Files,
    shared: Arc<Shared>,
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

    fn open_limited(
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
        self.update(hash, |entry| {
            let new = !entry.nodes.iter().any(|known| known.name == *node);
            entry.sent(node);
            new.then(|| Record::Sent {
                hash,
                node: Arc::clone(node),
                at,
            })
        });
    }

    /// Notes what a node said, in words and as given, and what that means. Repetitions are not
    /// written again.
    pub fn answered(
        &self,
        hash: BlockHash,
        node: &Arc<str>,
        fate: NodeFate,
        reason: &str,
        raw: &str,
        at: SystemTime,
    ) {
        self.update(hash, |entry| {
            let before = entry.nodes.clone();
            entry.answered(node, fate, reason);
            (before != entry.nodes).then(|| {
                Record::Answer(AnswerRecord {
                    hash,
                    node: Arc::clone(node),
                    fate,
                    reason: reason.to_owned(),
                    raw: raw.to_owned(),
                    at,
                })
            })
        });
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

    fn update(&self, hash: BlockHash, change: impl FnOnce(&mut Entry) -> Option<Record>) {
        let mut inner = self.shared.lock();
        // An answer that comes after the end (a node that was away) is history too.
        let record = match inner.held.get_mut(&hash) {
            Some(held) => change(&mut held.entry),
            None => None,
        };
        if let Some(record) = record {
            self.shared.push(&mut inner, hash, vec![record], false);
        }
    }

    /// The blocks whose fate is open, lowest first.
    pub fn unsettled(&self) -> Vec<Unsettled> {
        let durable = *self.shared.durable.borrow();
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
                durable: held.seq <= durable,
                nodes: held.entry.nodes.clone(),
            })
            .collect();
        all.sort_by_key(|block| (block.height, block.found_at));
        all
    }

    /// A block whose fate is open, serialised. Reads files unless this process found the block.
    pub fn raw_block(&self, hash: BlockHash) -> Result<Vec<u8>, JournalError> {
        let missing = |what| JournalError::NoBlock { hash, what };
        let inner = self.shared.lock();
        let held = inner
            .held
            .get(&hash)
            .ok_or(missing("it is not in it, or settled"))?;
        if let Some(block) = &held.block {
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
        let last = self.shared.lock().last_seq();
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

fn lock(dir: &Path) -> Result<File, JournalError> {
    use std::os::unix::fs::OpenOptionsExt;

    let path = dir.join("LOCK");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| JournalError::io("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(fault)) => Err(JournalError::io("lock", &path, fault)),
    }
}

fn say(dir: &Path, report: &OpenReport) {
    let dir = dir.display();
    if report.torn_bytes > 0 {
        let bytes = report.torn_bytes;
        tracing::warn!(%dir, bytes, "cut an unfinished record from the end of the journal");
    }
    for (path, range) in &report.damaged {
        let path = path.display();
        tracing::error!(%path, ?range, "the journal is damaged; what is readable is kept");
    }
    for path in &report.set_aside {
        tracing::error!(path = %path.display(), "set a damaged or foreign file of the journal aside");
    }
    for hash in &report.bodies_missing {
        tracing::error!(
            %hash,
            "the transactions of a found block are lost to damage: it cannot be sent again"
        );
    }
    if report.unknown_records > 0 {
        let records = report.unknown_records;
        tracing::warn!(%dir, records, "skipped records that a later version wrote");
    }
    if let Some(fault) = &report.rewrite_failed {
        tracing::warn!(%dir, "could not rewrite the journal without what is old: {fault}");
    }
    if report.unsettled > 0 {
        let blocks = report.unsettled;
        tracing::info!(%dir, blocks, "found blocks whose fate is open: they are sent again");
    }
}
