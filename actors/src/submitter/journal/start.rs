//! What stands around the opening of a journal: the lock before it, the words after it.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::{JournalError, OpenReport};

/// Locks the journal for this process, until the file is closed, even by a crash.
pub(super) fn lock(dir: &Path) -> Result<File, JournalError> {
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

/// Logs what was found at the start.
pub(super) fn say(dir: &Path, report: &OpenReport) {
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
