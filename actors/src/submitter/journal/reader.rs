//! Reading a journal that somebody else may be writing: no lock, nothing changed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bitcoin::BlockHash;

use super::block::{Body, BodyId, FoundBlock, merkle_root_matches};
use super::disk::RealDisk;
use super::entry::{Entry, JournalEntry, Replay};
use super::files::Files;
use super::frame::{HeaderFault, Stream};
use super::record::{FoundRecord, Record};
use super::recover::Place;
use super::{FILE_LIMIT, JournalError};

/// Attempts at a reading during which a file went away (the writer drops old ones).
const ATTEMPTS: usize = 10;

/// Every block in the journal of `dir`, lowest first. A directory that is not there holds none.
pub fn list(dir: &Path) -> Result<Vec<JournalEntry>, JournalError> {
    let mut entries: Vec<JournalEntry> = Replay::of(&records(&files(dir))?)
        .entries
        .values()
        .map(|entry| entry.view(true))
        .collect();
    entries.sort_by_key(|entry| (entry.height, entry.found_at));
    Ok(entries)
}

/// A block of the journal of `dir`, serialised as `submitblock` takes it.
pub fn read_block(dir: &Path, hash: BlockHash) -> Result<Vec<u8>, JournalError> {
    assemble(&files(dir), &read_entry(dir, hash)?.found, None)
}

/// What the journal of `dir` knows of a block.
pub(super) fn read_entry(dir: &Path, hash: BlockHash) -> Result<Entry, JournalError> {
    let mut replay = Replay::of(&records(&files(dir))?);
    replay.entries.remove(&hash).ok_or(JournalError::NoBlock {
        hash,
        what: "it is not in it",
    })
}

pub(super) fn files(dir: &Path) -> Files {
    Files {
        dir: dir.to_owned(),
        disk: Arc::new(RealDisk),
        limit: FILE_LIMIT,
    }
}

/// Every record about a block, in order; bodies are left out.
pub(super) fn records(files: &Files) -> Result<Vec<Record>, JournalError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match try_records(files) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
            result => return result.map_err(|e| JournalError::io("read", &files.dir, e))?,
        }
    }
}

/// The outer error is one that another attempt may not meet.
fn try_records(files: &Files) -> io::Result<Result<Vec<Record>, JournalError>> {
    let mut records = Vec::new();
    let numbers = match files.numbers(Stream::Blocks) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Ok(records)),
        numbers => numbers?,
    };
    for number in numbers {
        let contents = files.read(Stream::Blocks, number)?;
        if let Err(HeaderFault::Newer(version)) = contents.header {
            let path = files.path(Stream::Blocks, number);
            return Ok(Err(JournalError::NewerVersion { path, version }));
        }
        let all = contents.records().map(|(record, _)| record);
        records.extend(all.filter(|record| !matches!(record, Record::Body(_))));
    }
    Ok(Ok(records))
}

/// Puts a block together from its record and its body, wherever that is.
pub(super) fn assemble(
    files: &Files,
    found: &FoundRecord,
    place: Option<Place>,
) -> Result<Vec<u8>, JournalError> {
    let hash = found.hash();
    let body = if found.body == BodyId::of_empty() {
        Body::empty()
    } else {
        find_body(files, found.body, place)
            .map_err(|e| JournalError::io("read", &files.dir, e))?
            .ok_or(JournalError::NoBlock {
                hash,
                what: "its transactions are not in it",
            })?
    };
    let block = FoundBlock {
        header: found.header,
        height: found.height,
        coinbase: found.coinbase.clone(),
        body,
        found_at: found.found_at,
    };
    let raw = block.raw();
    if merkle_root_matches(&raw) {
        Ok(raw)
    } else {
        Err(JournalError::NoBlock {
            hash,
            what: "its transactions are not those of its header",
        })
    }
}

fn find_body(files: &Files, id: BodyId, place: Option<Place>) -> io::Result<Option<Arc<Body>>> {
    if let Some(place) = place
        && let Some(body) = body_in(files, id, place)?
    {
        return Ok(Some(body));
    }
    for stream in [Stream::Blocks, Stream::Jobs] {
        for number in files.numbers(stream)? {
            match body_in(files, id, Place { stream, number }) {
                Ok(Some(body)) => return Ok(Some(body)),
                Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
                Ok(None) | Err(_) => {}
            }
        }
    }
    Ok(None)
}

fn body_in(files: &Files, id: BodyId, place: Place) -> io::Result<Option<Arc<Body>>> {
    let contents = files.read(place.stream, place.number)?;
    let found = contents.records().find_map(|(record, _)| match record {
        Record::Body(body) if body.id() == id => Some(body),
        _ => None,
    });
    Ok(found)
}
