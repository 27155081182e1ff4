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
//! Zeros at a file's end are unused space. Other bytes there that are no frame are what a crash tore
//! off: cut, and said. Bytes in the
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
#[cfg(test)]
mod model_tests;
mod reader;
mod record;
mod recover;
mod shared;
mod start;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

pub use block::{Body, BodyId, FoundBlock};
pub use disk::{Disk, DiskFile, RealDisk};
pub use entry::{BlockEnd, EntryState, JournalEntry, NodeEntry, NodeFate};
pub use reader::{list, read_block};
pub use recover::{OpenReport, SETTLED_KEPT};
pub use store::{Filed, Journal, Ticket, Unsettled};

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
