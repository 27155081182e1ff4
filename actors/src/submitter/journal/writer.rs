//! The thread that puts records of found blocks on disk, in the order they were given.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::files::{Appender, Files};
use super::frame::{FileHeader, Stream};
use super::recover::{Closed, SETTLED_KEPT, Tail};
use super::shared::{Op, Shared};

/// Records that nobody waits for are fsynced this long after they were written.
const LAZY_SYNC: Duration = Duration::from_millis(200);
/// Between attempts while the disk refuses.
const RETRY: Duration = Duration::from_millis(250);
/// Between repetitions of the same complaint.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

pub(super) struct Writer {
    files: Files,
    shared: Arc<Shared>,
    /// The file being written and its length up to which it is fsynced.
    open: Option<(Appender, u64)>,
    tail: Tail,
    closed: Vec<Closed>,
    /// Newest time in the file being written.
    newest: SystemTime,
    /// Last operation written, and last one fsynced.
    written: u64,
    synced: u64,
    complained: Option<Instant>,
}

impl Writer {
    pub(super) fn new(files: Files, shared: Arc<Shared>, tail: Tail, closed: Vec<Closed>) -> Self {
        Self {
            files,
            shared,
            open: None,
            tail,
            closed,
            newest: SystemTime::UNIX_EPOCH,
            written: 0,
            synced: 0,
            complained: None,
        }
    }

    /// Runs until the journal is closed and everything is on disk, or the disk refuses that.
    ///
    /// An operation leaves the queue only when it is fsynced. After a failure everything since the
    /// last fsync is written again: behind the last fsynced byte if a write failed, to a new file if
    /// an fsync failed, for then nothing is known of that file's pages. Records are idempotent.
    pub(super) fn run(mut self) {
        loop {
            let patience = if self.written > self.synced {
                Some(LAZY_SYNC)
            } else {
                None
            };
            let batch = self.shared.wait_for_ops(self.written, patience);
            let done = self.write(&batch.ops).and_then(|()| {
                if batch.flush && self.written > self.synced {
                    self.sync()
                } else {
                    Ok(())
                }
            });
            match done {
                Ok(()) => {
                    if batch.closing && batch.ops.is_empty() {
                        return;
                    }
                }
                Err(fault) => {
                    self.complain(&fault);
                    if batch.closing {
                        return;
                    }
                    self.shared.pause(RETRY);
                }
            }
        }
    }

    fn write(&mut self, ops: &[Arc<Op>]) -> io::Result<()> {
        let Some(last) = ops.last() else {
            return Ok(());
        };
        let (mut appender, synced) = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        if let Err(fault) = appender.append(ops.iter().flat_map(|op| &op.records)) {
            self.written = self.synced;
            self.tail = Tail::Resume {
                header: appender.header,
                length: synced,
            };
            if fault.kind() == io::ErrorKind::StorageFull {
                self.shared.free_job_files(&self.files, u64::MAX);
            }
            return Err(fault);
        }
        self.open = Some((appender, synced));
        self.written = last.seq;
        let times = ops
            .iter()
            .flat_map(|op| &op.records)
            .filter_map(super::record::Record::about);
        self.newest = times
            .map(|(_, time)| time)
            .fold(self.newest, SystemTime::max);
        Ok(())
    }

    fn open_file(&mut self) -> io::Result<(Appender, u64)> {
        let appender = match &mut self.tail {
            Tail::Resume { header, length } => self.files.resume(*header, *length)?,
            Tail::Start { number } => {
                let started = self.files.start(Stream::Blocks, *number);
                if started
                    .as_ref()
                    .is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists)
                {
                    *number += 1;
                }
                started?
            }
        };
        let length = appender.length;
        Ok((appender, length))
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some((mut appender, _)) = self.open.take() else {
            return Ok(());
        };
        if let Err(fault) = appender.sync() {
            self.written = self.synced;
            self.finish(appender.header);
            return Err(fault);
        }
        self.synced = self.written;
        if self.shared.writes_work() {
            self.complained = None;
            tracing::info!("the journal of found blocks can be written again");
        }
        self.shared.durable(self.synced);
        if appender.length >= self.files.limit {
            self.finish(appender.header);
            self.drop_old_files();
        } else {
            let length = appender.length;
            self.open = Some((appender, length));
        }
        Ok(())
    }

    /// The next record goes to a new file.
    fn finish(&mut self, header: FileHeader) {
        self.closed.push(Closed {
            number: header.number,
            newest: self.newest,
        });
        self.newest = SystemTime::UNIX_EPOCH;
        self.tail = Tail::Start {
            number: header.number + 1,
        };
    }

    /// Removes files whose every record is older than the retention and than any unsettled block.
    fn drop_old_files(&mut self) {
        let Some(mut bound) = SystemTime::now().checked_sub(SETTLED_KEPT) else {
            return;
        };
        if let Some(oldest) = self.shared.oldest_unsettled() {
            bound = bound.min(oldest);
        }
        self.closed.retain(|file| {
            file.newest >= bound
                || self
                    .files
                    .disk
                    .remove(&self.files.path(Stream::Blocks, file.number))
                    .is_err()
        });
    }

    fn complain(&mut self, fault: &io::Error) {
        self.shared.writes_fail(fault);
        if self
            .complained
            .is_some_and(|at| at.elapsed() < COMPLAIN_EVERY)
        {
            return;
        }
        self.complained = Some(Instant::now());
        tracing::error!(
            dir = %self.files.dir.display(),
            "cannot write the journal of found blocks: {fault}. Found blocks are kept in memory and \
             submitted all the same, but a crash now would forget them: free space on that file \
             system or mend it; writing is tried again all the time"
        );
    }
}
