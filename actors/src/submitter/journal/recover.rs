//! Reading a journal at start: fold the records, mend a torn tail, set damage aside, drop what is old.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bitcoin::BlockHash;

use super::JournalError;
use super::block::BodyId;
use super::entry::{Entry, Replay};
use super::files::Files;
use super::frame::{FileHeader, HeaderFault, Piece, Stream};
use super::recent::Recent;
use super::record::{KIND_BODY, Record};

/// Settled blocks are kept for this long.
pub const SETTLED_KEPT: Duration = Duration::from_hours(30 * 24);

/// A rewrite at start is worth it above this many bytes, or a quarter of the journal.
const WASTE_TOLERATED: usize = 64 << 10;

/// What was found at start. Everything but the counts of blocks is also logged.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Blocks in the journal, settled ones included.
    pub blocks: usize,
    /// Of those, blocks whose fate is open: they are sent again.
    pub unsettled: usize,
    /// Settled blocks older than [`SETTLED_KEPT`], dropped.
    pub dropped: usize,
    /// Bytes cut from the end of a file that a crash left unfinished.
    pub torn_bytes: usize,
    /// Damaged ranges, by the name of the file before it was set aside.
    pub damaged: Vec<(PathBuf, Range<usize>)>,
    /// Files given a new name, because they are damaged or not the journal's.
    pub set_aside: Vec<PathBuf>,
    /// Unsettled blocks whose transactions are nowhere to be read.
    pub bodies_missing: Vec<BlockHash>,
    /// Records of a kind that this version does not know.
    pub unknown_records: usize,
    /// Why the journal could not be rewritten without what is old or damaged; it is used as it is.
    pub rewrite_failed: Option<String>,
}

/// Which file holds a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stream: Stream,
    pub(super) number: u64,
}

/// Where the next record of found blocks goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tail {
    Resume { header: FileHeader, length: u64 },
    Start { number: u64 },
}

/// A finished file of found blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) number: u64,
    /// No record in it is newer.
    pub(super) newest: SystemTime,
}

pub(super) struct Recovered {
    pub(super) unsettled: HashMap<BlockHash, Entry>,
    /// Hashes of settled blocks with the time they were found.
    pub(super) settled: Vec<(SystemTime, BlockHash)>,
    /// Those of them that may still be moved or forgotten.
    pub(super) recent: Vec<Recent>,
    pub(super) bodies: HashMap<BodyId, Place>,
    pub(super) tail: Tail,
    pub(super) closed: Vec<Closed>,
    pub(super) next_jobs: u64,
    pub(super) jobs_kept: BTreeSet<u64>,
    pub(super) report: OpenReport,
}

/// A readable file of found blocks.
struct Segment {
    header: FileHeader,
    number: u64,
    good: usize,
    damaged: bool,
    newest: SystemTime,
}

pub(super) fn recover(files: &Files, now: SystemTime) -> Result<Recovered, JournalError> {
    let mut report = OpenReport::default();
    let mut replay = Replay::default();
    let mut bodies = HashMap::new();
    let mut sizes: HashMap<BlockHash, usize> = HashMap::new();
    let mut segments = Vec::new();
    let fault = |e| JournalError::io("read", &files.dir, e);

    let numbers = files.numbers(Stream::Blocks).map_err(fault)?;
    let mut next = numbers.last().map_or(1, |last| last + 1);
    for number in numbers {
        let segment = read_segment(
            files,
            number,
            &mut replay,
            &mut bodies,
            &mut sizes,
            &mut report,
        )?;
        segments.extend(segment);
    }

    report.blocks = replay.entries.len();
    let is_old = |entry: &Entry| {
        entry.settled.as_ref().is_some_and(|settled| {
            now.duration_since(settled.at)
                .is_ok_and(|age| age > SETTLED_KEPT)
        })
    };
    let old: HashSet<BlockHash> = replay
        .entries
        .iter()
        .filter(|(_, entry)| is_old(entry))
        .map(|(hash, _)| *hash)
        .collect();
    let waste: usize = old.iter().filter_map(|hash| sizes.get(hash)).sum();
    let total: usize = segments.iter().map(|s| s.good).sum();
    let damaged = segments.iter().any(|s| s.damaged);
    // A rewrite would drop records that a later version can read.
    if (damaged || waste > WASTE_TOLERATED.max(total / 4)) && report.unknown_records == 0 {
        let number = next;
        next += 1;
        match rewrite(files, &segments, number, &replay, &old) {
            Ok(written) => {
                replay.entries.retain(|hash, _| !old.contains(hash));
                report.dropped = old.len();
                for place in bodies.values_mut() {
                    place.number = number;
                }
                retire(files, &segments, &mut report)?;
                segments = vec![written];
            }
            // A full disk: the old files still say everything.
            Err(fault) => {
                let _ = files.disk.remove(&files.path(Stream::Blocks, number));
                report.rewrite_failed = Some(fault.to_string());
            }
        }
    }
    let tail = match segments.pop() {
        Some(last) if (last.good as u64) < files.limit => Tail::Resume {
            header: last.header,
            length: last.good as u64,
        },
        last => {
            segments.extend(last);
            Tail::Start { number: next }
        }
    };
    let closed = segments
        .iter()
        .map(|s| Closed {
            number: s.number,
            newest: s.newest,
        })
        .collect();

    let needed: HashSet<BodyId> = replay.entries.values().map(|e| e.found.body).collect();
    bodies.retain(|id, _| needed.contains(id));
    let (next_jobs, jobs_kept) = recover_jobs(files, &needed, &mut bodies, &mut report)?;

    let (settled, unsettled): (Vec<_>, Vec<_>) = replay
        .entries
        .into_iter()
        .partition(|(_, entry)| entry.settled.is_some());
    let unsettled: HashMap<_, _> = unsettled.into_iter().collect();
    report.unsettled = unsettled.len();
    for (hash, entry) in &unsettled {
        if entry.found.body != BodyId::of_empty() && !bodies.contains_key(&entry.found.body) {
            report.bodies_missing.push(*hash);
        }
    }
    let recent = settled
        .iter()
        .filter_map(|(_, entry)| Recent::of(entry))
        .collect();
    let settled = settled
        .into_iter()
        .map(|(hash, entry)| (entry.found_at(), hash))
        .collect();
    Ok(Recovered {
        unsettled,
        settled,
        recent,
        bodies,
        tail,
        closed,
        next_jobs,
        jobs_kept,
        report,
    })
}

fn read_segment(
    files: &Files,
    number: u64,
    replay: &mut Replay,
    bodies: &mut HashMap<BodyId, Place>,
    sizes: &mut HashMap<BlockHash, usize>,
    report: &mut OpenReport,
) -> Result<Option<Segment>, JournalError> {
    let path = files.path(Stream::Blocks, number);
    let contents = files
        .read(Stream::Blocks, number)
        .map_err(|e| JournalError::io("read", &path, e))?;
    let Some(header) = usable_header(files, &path, &contents, report)? else {
        return Ok(None);
    };
    let mut segment = Segment {
        header,
        number,
        good: super::frame::FILE_HEADER,
        damaged: false,
        newest: SystemTime::UNIX_EPOCH,
    };
    for piece in contents.pieces() {
        match piece {
            Piece::Frame { kind, payload, at } => {
                segment.good = at.end;
                let Some(record) = Record::decode(kind, payload) else {
                    report.unknown_records += 1;
                    continue;
                };
                if let Record::Body(body) = &record {
                    bodies.insert(
                        body.id(),
                        Place {
                            stream: Stream::Blocks,
                            number,
                        },
                    );
                }
                if let Some((hash, time)) = record.about() {
                    *sizes.entry(hash).or_default() += at.len();
                    segment.newest = segment.newest.max(time);
                }
                replay.apply(&record);
            }
            Piece::Damage(at) => {
                segment.damaged = true;
                report.damaged.push((path.clone(), at));
            }
            Piece::Torn(at) => report.torn_bytes += at.len(),
            Piece::Free(_) => {}
        }
    }
    Ok(Some(segment))
}

/// The header of a file that can be read; others are set aside, and a newer version's is an error.
fn usable_header(
    files: &Files,
    path: &std::path::Path,
    contents: &super::files::Contents,
    report: &mut OpenReport,
) -> Result<Option<FileHeader>, JournalError> {
    match contents.header {
        Ok(header) => return Ok(Some(header)),
        Err(HeaderFault::Newer(version)) => {
            return Err(JournalError::NewerVersion {
                path: path.to_owned(),
                version,
            });
        }
        // Created, and the machine went down before a byte of it was durable.
        Err(HeaderFault::Short) if contents.bytes.is_empty() => {
            files
                .disk
                .remove(path)
                .map_err(|e| JournalError::io("remove", path, e))?;
        }
        Err(HeaderFault::Short | HeaderFault::Foreign) => {
            let to = files
                .set_aside(path, "foreign")
                .map_err(|e| JournalError::io("rename", path, e))?;
            report.set_aside.push(to);
        }
    }
    Ok(None)
}

/// Copies what is kept into a new file, in order. The old files are still there when this returns,
/// and reading both gives the same blocks: a crash in between costs nothing.
fn rewrite(
    files: &Files,
    segments: &[Segment],
    number: u64,
    replay: &Replay,
    old: &HashSet<BlockHash>,
) -> io::Result<Segment> {
    let kept = |hash: &BlockHash| replay.entries.contains_key(hash) && !old.contains(hash);
    let needed: HashSet<BodyId> = replay
        .entries
        .iter()
        .filter(|(hash, _)| kept(hash))
        .map(|(_, entry)| entry.found.body)
        .collect();
    let mut appender = files.start(Stream::Blocks, number)?;
    let mut newest = SystemTime::UNIX_EPOCH;
    for segment in segments {
        let contents = files.read(Stream::Blocks, segment.number)?;
        for (record, _) in contents.records() {
            let keep = match (&record, record.about()) {
                (Record::Body(body), _) => needed.contains(&body.id()),
                (_, Some((hash, _))) => kept(&hash),
                (_, None) => true,
            };
            if keep {
                newest = newest.max(record.about().map_or(newest, |(_, time)| time));
                appender.append([&record])?;
            }
        }
    }
    appender.sync()?;
    let good = appender.length as usize;
    Ok(Segment {
        header: appender.header,
        number,
        good,
        damaged: false,
        newest,
    })
}

/// Takes rewritten files out of the journal: damaged ones under a new name, whole ones for good.
fn retire(
    files: &Files,
    segments: &[Segment],
    report: &mut OpenReport,
) -> Result<(), JournalError> {
    for segment in segments {
        let path = files.path(Stream::Blocks, segment.number);
        let fault = |e| JournalError::io("retire", &path, e);
        if segment.damaged {
            report
                .set_aside
                .push(files.set_aside(&path, "damaged").map_err(fault)?);
        } else {
            files.disk.remove(&path).map_err(fault)?;
        }
    }
    files
        .disk
        .sync_dir(&files.dir)
        .map_err(|e| JournalError::io("sync", &files.dir, e))
}

/// Finds needed bodies in the files of jobs, and removes the files that hold none.
fn recover_jobs(
    files: &Files,
    needed: &HashSet<BodyId>,
    bodies: &mut HashMap<BodyId, Place>,
    report: &mut OpenReport,
) -> Result<(u64, BTreeSet<u64>), JournalError> {
    let numbers = files
        .numbers(Stream::Jobs)
        .map_err(|e| JournalError::io("read", &files.dir, e))?;
    let next = numbers.last().map_or(1, |last| last + 1);
    let mut kept = BTreeSet::new();
    for number in numbers {
        let path = files.path(Stream::Jobs, number);
        let contents = files
            .read(Stream::Jobs, number)
            .map_err(|e| JournalError::io("read", &path, e))?;
        if usable_header(files, &path, &contents, report)?.is_none() {
            continue;
        }
        let mut damaged = false;
        for piece in contents.pieces() {
            match piece {
                Piece::Frame {
                    kind: KIND_BODY,
                    payload,
                    ..
                } => {
                    let id = payload.first_chunk().copied().map(BodyId);
                    if let Some(id) = id.filter(|id| needed.contains(id)) {
                        bodies.entry(id).or_insert(Place {
                            stream: Stream::Jobs,
                            number,
                        });
                        kept.insert(number);
                    }
                }
                Piece::Damage(at) => {
                    damaged = true;
                    report.damaged.push((path.clone(), at));
                }
                _ => {}
            }
        }
        if kept.contains(&number) {
            continue;
        }
        if damaged {
            let to = files
                .set_aside(&path, "damaged")
                .map_err(|e| JournalError::io("rename", &path, e))?;
            report.set_aside.push(to);
        } else {
            files
                .disk
                .remove(&path)
                .map_err(|e| JournalError::io("remove", &path, e))?;
        }
    }
    Ok((next, kept))
}
