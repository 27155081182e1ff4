//! The log file: one line after another, set aside at its largest size, opened again when somebody moved
//! it away.
//!
//! Of our own making, because the crate that rotates by size, logroller, cannot open a file again that
//! logrotate(8) has moved: its next rotation renames a file that is not there, and so does every write
//! after that. A disk that is full at the moment of a rotation leaves it in the same state.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The owner writes, the group reads.
const MODE: u32 = 0o640;

/// Why a log file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes to it.
    #[error("another instance writes to {}; configure another log_dir", .0.display())]
    Busy(PathBuf),
    /// The system refused.
    #[error(
        "cannot open the log file {path}: {source}; make log_dir writable for this user, or configure another"
    )]
    Io {
        /// Its path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether it may be otherwise in a while: a disk or a table of the system that is full.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.raw_os_error().map(Errno::from_raw),
            Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EMFILE | Errno::ENFILE | Errno::EIO)
        ))
    }
}

/// How large a log may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest size of a file, in bytes.
    pub max_size: u64,
    /// How many that were set aside are kept.
    pub keep: usize,
}

/// An open log file. This process alone writes to it.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    limits: Limits,
    file: Option<Open>,
    /// The last line may be cut off.
    torn: bool,
    /// A rotation that failed is tried again when the file has grown to this size.
    rotate_at: u64,
}

#[derive(Debug)]
enum Open {
    /// A file, which nobody else may open as a log.
    Regular { file: Flock<File>, size: u64 },
    /// A device or a pipe: it has no size and is shared.
    Special(File),
}

impl LogFile {
    /// Opens the file, and makes it (mode 0640) and its directory (0750) where they are missing.
    ///
    /// # Errors
    /// Another process writes to it, or the system refuses.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        let mut log = Self::closed(path, limits);
        log.reopen()?;
        Ok(log)
    }

    /// One that is not open yet.
    pub fn closed(path: &Path, limits: Limits) -> Self {
        Self {
            path: path.to_owned(),
            limits,
            file: None,
            torn: false,
            rotate_at: limits.max_size,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Other limits from now on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        self.rotate_at = limits.max_size;
    }

    /// Opens the file again: the one that is at its path now. The old one stays open where that fails. A
    /// directory that is gone is not made again: whoever removed it meant it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn reopen(&mut self) -> Result<(), OpenError> {
        if self.file.is_some() && !self.moved() {
            return Ok(());
        }
        if let (None, Some(directory)) = (&self.file, self.path.parent()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o750)
                .create(directory)
                .map_err(|error| refused(&self.path, error))?;
        }
        let open = open(&self.path)?;
        self.torn = false;
        self.rotate_at = self.limits.max_size;
        self.file = Some(open);
        Ok(())
    }

    /// Whether the file at the path is another one than the open one, or none is open.
    pub fn moved(&self) -> bool {
        let open = match &self.file {
            None => return true,
            Some(Open::Special(file)) => file.metadata(),
            Some(Open::Regular { file, .. }) => file.metadata(),
        };
        match (open, fs::metadata(&self.path)) {
            (Ok(open), Ok(there)) => (open.dev(), open.ino()) != (there.dev(), there.ino()),
            (Ok(_), Err(error)) => error.kind() == io::ErrorKind::NotFound,
            // What cannot be told is left as it is.
            (Err(_), _) => false,
        }
    }

    /// Appends a line; first sets the file aside where it would become too large.
    ///
    /// # Errors
    /// The line is not in the file, or not wholly. The next one that is begins on a line of its own.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        if let Some(Open::Regular { size, .. }) = &self.file
            && *size > 0
            && *size + line.len() as u64 > self.rotate_at
        {
            self.rotate();
        }
        let (file, size) = match &mut self.file {
            None => return Err(io::Error::from_raw_os_error(Errno::ENOSPC as i32)),
            Some(Open::Special(file)) => (&mut *file, None),
            Some(Open::Regular { file, size }) => (&mut **file, Some(size)),
        };
        if self.torn {
            file.write_all(b"\n")?;
            self.torn = false;
        }
        // Torn until the contrary is proven: a full disk may take a part of the line.
        self.torn = true;
        file.write_all(line.as_bytes())?;
        self.torn = false;
        if let Some(size) = size {
            *size += line.len() as u64;
        }
        Ok(())
    }

    /// signalcore.log becomes signalcore.log.1, that one .2, and so on; the oldest go. Whatever fails,
    /// lines go on into the file that is open.
    fn rotate(&mut self) {
        let set_aside = |number: usize| {
            let mut name = OsString::from(&self.path);
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let moved = if self.limits.keep == 0 {
            fs::remove_file(&self.path)
        } else {
            for number in (1..self.limits.keep).rev() {
                // There need not be as many yet.
                drop(fs::rename(set_aside(number), set_aside(number + 1)));
            }
            fs::rename(&self.path, set_aside(1))
        };
        if let Err(error) = moved.and_then(|()| self.reopen().map_err(io::Error::other)) {
            self.rotate_at += self.limits.max_size;
            tracing::warn!(
                "cannot begin a new log file at {}: {error}; the old one goes on",
                self.path.display()
            );
        }
        self.prune();
    }

    /// Removes files set aside beyond those that are kept: of a time when more were.
    fn prune(&self) {
        let (Some(directory), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return;
        };
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            let number = entry
                .file_name()
                .to_string_lossy()
                .strip_prefix(&*name.to_string_lossy())
                .and_then(|rest| rest.strip_prefix('.')?.parse::<usize>().ok());
            if number.is_some_and(|number| number > self.limits.keep) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

fn refused(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.display().to_string(),
        source,
    }
}

fn open(path: &Path) -> Result<Open, OpenError> {
    let refused = |error| refused(path, error);
    let append = |new: bool| {
        OpenOptions::new()
            .append(true)
            .create_new(new)
            .mode(MODE)
            .open(path)
    };
    let file = match append(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = append(true).map_err(refused)?;
            // Whatever the umask: the group may read the log.
            file.set_permissions(Permissions::from_mode(MODE))
                .map_err(refused)?;
            file
        }
        other => other.map_err(refused)?,
    };
    let metadata = file.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Ok(Open::Special(file));
    }
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(Open::Regular {
            file,
            size: metadata.len(),
        }),
        Err((_, Errno::EWOULDBLOCK)) => Err(OpenError::Busy(path.to_owned())),
        Err((_, errno)) => Err(refused(errno.into())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits {
        max_size: 20,
        keep: 2,
    };
    const LARGE: Limits = Limits {
        max_size: 1 << 20,
        keep: 2,
    };

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_for_its_group_to_read_and_an_old_one_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/x.log");
        for line in ["one\n", "two\n"] {
            LogFile::open(&path, LARGE).unwrap().write(line).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{mode:o}");
    }

    #[test]
    fn a_file_at_its_largest_size_is_set_aside_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = LogFile::open(&path, SMALL).unwrap();
        for number in 0..9 {
            log.write(&format!("line {number:04}\n")).unwrap();
        }
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(names(dir.path()), ["x.log", "x.log.1", "x.log.2"]);
        assert_eq!(text("x.log"), "line 0008\n");
        assert_eq!(text("x.log.1"), "line 0006\nline 0007\n");
        assert_eq!(text("x.log.2"), "line 0004\nline 0005\n");

        log.limit(Limits { keep: 0, ..SMALL });
        log.write("line 0009\n").unwrap();
        log.write("line 0010\n").unwrap();
        assert_eq!(names(dir.path()), ["x.log"], "none is kept");
        assert_eq!(text("x.log"), "line 0010\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_noticed_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = LogFile::open(&path, LARGE).unwrap();
        log.write("one\n").unwrap();
        assert!(!log.moved());
        log.reopen().unwrap();
        fs::rename(&path, dir.path().join("x.log-20270115")).unwrap();
        assert!(log.moved());
        log.write("two\n").unwrap();
        log.reopen().unwrap();
        log.write("three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        let moved = fs::read_to_string(dir.path().join("x.log-20270115")).unwrap();
        assert_eq!(moved, "one\ntwo\n", "nothing is lost in between");
    }

    #[test]
    fn a_directory_that_was_removed_stays_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/x.log");
        let mut log = LogFile::open(&path, LARGE).unwrap();
        fs::remove_dir_all(dir.path().join("log")).unwrap();
        assert!(log.moved());
        log.reopen().unwrap_err();
        log.write("one\n").unwrap();
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_rotation_that_fails_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        // A directory in its place: neither can the file be renamed to it nor it be moved out of the way.
        fs::create_dir(dir.path().join("x.log.1")).unwrap();
        let limits = Limits { keep: 1, ..SMALL };
        let mut log = LogFile::open(&path, limits).unwrap();
        for number in 0..9 {
            log.write(&format!("line {number:04}\n")).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 9);
    }

    #[test]
    fn two_instances_never_write_to_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let log = LogFile::open(&path, LARGE).unwrap();
        let error = LogFile::open(&path, LARGE).unwrap_err();
        assert!(matches!(error, OpenError::Busy(_)), "{error}");
        assert!(error.to_string().contains("log_dir"), "{error}");
        drop(log);
        LogFile::open(&path, LARGE).unwrap();
    }

    #[test]
    fn a_full_disk_refuses_a_line_and_the_next_one_that_fits_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut log = LogFile::open(&path, LARGE).unwrap();
        let error = log.write("one\n").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
        fs::remove_file(&path).unwrap();
        log.reopen().unwrap();
        log.write("two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn an_unusable_place_is_told_apart_from_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let error = LogFile::open(&dir.path().join("file/x.log"), LARGE).unwrap_err();
        assert!(!error.passes(), "{error}");
        let full = OpenError::Io {
            path: String::new(),
            source: Errno::ENOSPC.into(),
        };
        assert!(full.passes());
    }
}
