//! A disk that fails on demand.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signalcore_actors::submitter::journal::{Disk, DiskFile, RealDisk};

/// A disk on which nothing can be written any more, or that does not answer, when told so.
#[derive(Debug, Clone, Default)]
pub struct BadDisk {
    pub full: Arc<AtomicBool>,
    pub stalled: Arc<AtomicBool>,
}

struct BadFile(BadDisk, Box<dyn DiskFile>);

impl Disk for BadDisk {
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
        Ok(Box::new(BadFile(self.clone(), RealDisk.create(path)?)))
    }
    fn append_to(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(BadFile(self.clone(), RealDisk.append_to(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}

impl DiskFile for BadFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        while self.0.stalled.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.0.full.load(Ordering::SeqCst) {
            // The real thing: a device with no space left.
            let mut full = std::fs::File::options().write(true).open("/dev/full")?;
            return DiskFile::append(&mut full, bytes);
        }
        self.1.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.1.sync()
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.1.truncate(length)
    }
}
