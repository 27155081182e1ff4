//! The journal of found blocks: what makes a found block survive anything that happens to the process.
//!
//! [`Journal`] writes; reading ([`list`], [`read_block`]) needs no lock.
//!
#![doc = include_str!("../../../../docs/journal.md")]

mod again;
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
mod recent;
mod record;
mod recover;
mod shared;
mod show;
mod start;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;

pub use again::NodeAnswer;
pub use block::{Body, BodyId, FoundBlock};
pub use disk::{Disk, DiskFile, RealDisk};
pub use entry::{BlockEnd, EntryState, JournalEntry, NodeEntry, NodeFate};
pub use reader::{list, read_block};
pub use recent::Recent;
pub use recover::{OpenReport, SETTLED_KEPT};
pub use show::{Shown, Step, show};
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
    /// No block of that hash.
    #[error(
        "no block in the journal has a hash that begins with {wanted:?}; `signalcore journal list` shows all"
    )]
    NoSuchBlock {
        /// What was asked for.
        wanted: String,
    },
    /// Several blocks of which the hash begins like that.
    #[error(
        "{count} blocks in the journal have a hash that begins with {wanted:?}, such as {first} and {second}: say more of it"
    )]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// How many there are.
        count: usize,
        /// One of them.
        first: BlockHash,
        /// Another.
        second: BlockHash,
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
