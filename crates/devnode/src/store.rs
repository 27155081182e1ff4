//! Blocks on disk: one file, appended to, read whole at the start.
//!
//! After eight bytes of magic, each record is a kind (`B` block, `I` invalidated, `R` reconsidered),
//! the payload's length and the first four bytes of its double SHA-256, both little-endian, and the
//! payload. A record torn by a crash at the very end is cut off; one that is damaged in the middle
//! is an error, because what follows builds on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;
use bitcoin::hashes::{Hash as _, sha256d};

use crate::error::DevnodeError;

const MAGIC: &[u8; 8] = b"scdevn01";
const RECORD_HEAD: usize = 9;

/// One step of the node's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A block whose body was kept.
    Block(Vec<u8>),
    /// `invalidateblock`.
    Invalidated(BlockHash),
    /// `reconsiderblock`.
    Reconsidered(BlockHash),
}

/// The open file.
pub(crate) struct Store {
    file: File,
    path: PathBuf,
}

impl Store {
    /// Opens or creates the file and returns what it holds, in order.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Record>), DevnodeError> {
        let failed = |action: &'static str| {
            move |source: io::Error| DevnodeError::File {
                action,
                path: path.to_owned(),
                source,
            }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open the block file"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(failed("read the block file"))?;
        let (records, good) = if bytes.is_empty() {
            file.write_all(MAGIC)
                .map_err(failed("begin the block file"))?;
            (Vec::new(), MAGIC.len())
        } else {
            parse(&bytes).map_err(|(offset, reason)| DevnodeError::BlockFile {
                path: path.to_owned(),
                offset: offset as u64,
                reason: reason.to_owned(),
            })?
        };
        if good < bytes.len() {
            tracing::warn!(file = %path.display(), lost = bytes.len() - good, "block file ends in a torn record, cut off");
            file.set_len(good as u64)
                .map_err(failed("cut the torn end off the block file"))?;
        }
        file.seek(SeekFrom::Start(good as u64))
            .map_err(failed("read the block file"))?;
        let path = path.to_owned();
        Ok((Self { file, path }, records))
    }

    /// Appends a record. A failure is logged, not fatal: the node goes on in memory.
    pub(crate) fn append(&mut self, record: &Record) {
        if let Err(error) = self.file.write_all(&encode(record)) {
            tracing::error!(file = %self.path.display(), %error, "block not kept on disk");
        }
    }
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    let digest = sha256d::Hash::hash(payload).to_byte_array();
    [digest[0], digest[1], digest[2], digest[3]]
}

fn encode(record: &Record) -> Vec<u8> {
    let hash_bytes;
    let (kind, payload): (u8, &[u8]) = match record {
        Record::Block(raw) => (b'B', raw),
        Record::Invalidated(hash) => {
            hash_bytes = hash.to_byte_array();
            (b'I', &hash_bytes)
        }
        Record::Reconsidered(hash) => {
            hash_bytes = hash.to_byte_array();
            (b'R', &hash_bytes)
        }
    };
    let mut bytes = Vec::with_capacity(RECORD_HEAD + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum(payload));
    bytes.extend_from_slice(payload);
    bytes
}

/// The records, and the length of the sound part.
fn parse(bytes: &[u8]) -> Result<(Vec<Record>, usize), (usize, &'static str)> {
    if !bytes.starts_with(MAGIC) {
        return Err((0, "it does not begin with this format's magic"));
    }
    let mut records = Vec::new();
    let mut offset = MAGIC.len();
    while let Some(head) = bytes.get(offset..offset + RECORD_HEAD) {
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let start = offset + RECORD_HEAD;
        let Some(payload) = bytes.get(start..start + length) else {
            break;
        };
        let hash = || {
            BlockHash::from_slice(payload).map_err(|_| (offset, "a hash that is not 32 bytes long"))
        };
        if checksum(payload) != head[5..9] {
            if start + length == bytes.len() {
                break;
            }
            return Err((offset, "the checksum is wrong"));
        }
        records.push(match head[0] {
            b'B' => Record::Block(payload.to_vec()),
            b'I' => Record::Invalidated(hash()?),
            b'R' => Record::Reconsidered(hash()?),
            _ => return Err((offset, "a record of unknown kind")),
        });
        offset = start + length;
    }
    Ok((records, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        vec![
            Record::Block(vec![1, 2, 3]),
            Record::Invalidated(BlockHash::all_zeros()),
            Record::Reconsidered(BlockHash::all_zeros()),
        ]
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart_but_for_a_torn_end() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("blocks.dat");
        let (mut store, found) = Store::open(&path).expect("new");
        assert!(found.is_empty());
        for record in records() {
            store.append(&record);
        }
        drop(store);
        let whole = std::fs::read(&path).expect("readable");
        std::fs::write(&path, &whole[..whole.len() - 1]).expect("writable");
        let (mut store, found) = Store::open(&path).expect("torn end is cut off");
        assert_eq!(found, records()[..2]);
        store.append(&records()[2]);
        drop(store);
        let (_, found) = Store::open(&path).expect("whole again");
        assert_eq!(found, records());
    }

    #[test]
    fn damage_in_the_middle_and_foreign_files_are_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("blocks.dat");
        let (mut store, _) = Store::open(&path).expect("new");
        for record in records() {
            store.append(&record);
        }
        drop(store);
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[MAGIC.len() + RECORD_HEAD] ^= 1;
        std::fs::write(&path, &bytes).expect("writable");
        assert!(matches!(
            Store::open(&path),
            Err(DevnodeError::BlockFile { offset: 8, .. })
        ));
        std::fs::write(&path, b"something else").expect("writable");
        assert!(matches!(
            Store::open(&path),
            Err(DevnodeError::BlockFile { offset: 0, .. })
        ));
    }
}
