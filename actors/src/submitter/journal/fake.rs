//! For tests: real blocks, and a disk that fails on demand.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};

use super::disk::{Disk, DiskFile, RealDisk};
use super::{Body, FoundBlock};

/// A block at a height whose transactions, `count` besides the coinbase, hash to its header's root.
pub(super) fn block(height: u32, count: u32) -> FoundBlock {
    let mut txdata = vec![transaction(height, 0)];
    txdata.extend((1..=count).map(|n| transaction(height / 10, n)));
    let mut block = Block {
        header: bitcoin::block::Header {
            version: bitcoin::block::Version::TWO,
            prev_blockhash: BlockHash::all_zeros(),
            merkle_root: bitcoin::TxMerkleNode::all_zeros(),
            time: height,
            bits: bitcoin::CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        },
        txdata,
    };
    block.header.merkle_root = block.compute_merkle_root().expect("a coinbase");
    let bytes: Vec<u8> = block.txdata[1..].iter().flat_map(serialize).collect();
    FoundBlock::new(
        serialize(&block.header).try_into().expect("80 bytes"),
        height,
        serialize(&block.txdata[0]),
        Body::new(&bytes, count),
        found_time(height),
    )
}

/// When the block of a height is found.
pub(super) fn found_time(height: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + u64::from(height))
}

fn transaction(a: u32, b: u32) -> Transaction {
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::from_consensus(a),
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::from_bytes([a.to_le_bytes(), b.to_le_bytes()].concat()),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[7; 32]]),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(u64::from(a)),
            script_pubkey: ScriptBuf::new(),
        }],
    }
}

/// What goes wrong.
#[derive(Debug, Default)]
struct Mood {
    full: bool,
    no_sync: bool,
    stalled: bool,
    /// Changes that still work; then everything fails for good, as after a crash.
    changes_left: Option<usize>,
    synced: HashMap<PathBuf, u64>,
    written: HashMap<PathBuf, u64>,
}

/// The real disk, until told otherwise.
#[derive(Debug, Default)]
pub(super) struct MoodyDisk {
    mood: Mutex<Mood>,
    changed: Condvar,
}

impl MoodyDisk {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Crashes at the change after `changes` more.
    pub(super) fn crashing_after(changes: usize) -> Arc<Self> {
        let disk = Self::default();
        disk.mood.lock().expect("no panic").changes_left = Some(changes);
        Arc::new(disk)
    }

    pub(super) fn set_full(&self, full: bool) {
        self.mood.lock().expect("no panic").full = full;
    }

    pub(super) fn set_no_sync(&self, no_sync: bool) {
        self.mood.lock().expect("no panic").no_sync = no_sync;
    }

    pub(super) fn set_stalled(&self, stalled: bool) {
        self.mood.lock().expect("no panic").stalled = stalled;
        self.changed.notify_all();
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.mood.lock().expect("no panic").changes_left == Some(0)
    }

    /// Throws away what was never fsynced, as a power cut does, but for some bytes that happened to
    /// be written back.
    pub(super) fn power_cut(&self, lucky_bytes: u64) {
        let mood = self.mood.lock().expect("no panic");
        for (path, written) in &mood.written {
            let synced = mood.synced.get(path).copied().unwrap_or(0);
            let length = (*written).min(synced + lucky_bytes);
            let file = std::fs::File::options().write(true).open(path);
            file.and_then(|file| file.set_len(length)).ok();
        }
    }

    /// Waits while stalled; fails if this change must not happen.
    fn change(&self) -> io::Result<()> {
        let mood = self.mood.lock().expect("no panic");
        let mut mood = self
            .changed
            .wait_while(mood, |mood| mood.stalled)
            .expect("no panic");
        match &mut mood.changes_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("crashed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

/// A disk for the journal, of which the test keeps a handle.
#[derive(Debug, Clone)]
pub(super) struct Shared(pub(super) Arc<MoodyDisk>);

impl Disk for Shared {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.change()?;
        let file = RealDisk.create(path)?;
        self.0
            .mood
            .lock()
            .expect("no panic")
            .written
            .insert(path.to_owned(), 0);
        Ok(Box::new(MoodyFile {
            disk: Arc::clone(&self.0),
            path: path.to_owned(),
            file,
        }))
    }
    fn append_to(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let length = std::fs::metadata(path)?.len();
        let file = RealDisk.append_to(path)?;
        self.0
            .mood
            .lock()
            .expect("no panic")
            .written
            .insert(path.to_owned(), length);
        self.0
            .mood
            .lock()
            .expect("no panic")
            .synced
            .entry(path.to_owned())
            .or_insert(length);
        Ok(Box::new(MoodyFile {
            disk: Arc::clone(&self.0),
            path: path.to_owned(),
            file,
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.change()?;
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.change()?;
        self.0.mood.lock().expect("no panic").written.remove(path);
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.change()?;
        RealDisk.sync_dir(dir)
    }
}

struct MoodyFile {
    disk: Arc<MoodyDisk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl DiskFile for MoodyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let refused = match self.disk.change() {
            Err(crash) => Some(crash),
            Ok(()) if self.disk.mood.lock().expect("no panic").full => {
                Some(io::Error::from(io::ErrorKind::StorageFull))
            }
            Ok(()) => None,
        };
        // A write that fails has often written something.
        let part = if refused.is_some() {
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        self.file.append(part)?;
        let mut mood = self.disk.mood.lock().expect("no panic");
        *mood.written.entry(self.path.clone()).or_default() += part.len() as u64;
        refused.map_or(Ok(()), Err)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.change()?;
        let mut mood = self.disk.mood.lock().expect("no panic");
        if mood.no_sync {
            return Err(io::Error::other("input/output error"));
        }
        let written = mood.written.get(&self.path).copied().unwrap_or(0);
        mood.synced.insert(self.path.clone(), written);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.truncate(length)?;
        let mut mood = self.disk.mood.lock().expect("no panic");
        mood.written.insert(self.path.clone(), length);
        Ok(())
    }
}
