//! The journal's files: their names, reading one whole, setting one aside, appending to one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, fresh_salt};
use super::frame::{FILE_HEADER, FileHeader, HeaderFault, Piece, Stream, encode_frame, scan};
use super::record::Record;

/// A directory of journal files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    /// A file is finished past this many bytes.
    pub(super) limit: u64,
}

impl Files {
    pub(super) fn path(&self, stream: Stream, number: u64) -> PathBuf {
        self.dir.join(file_name(stream, number))
    }

    /// Numbers of the stream's files, oldest first.
    pub(super) fn numbers(&self, stream: Stream) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self
            .disk
            .list(&self.dir)?
            .iter()
            .filter_map(|name| number_of(stream, name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn read(&self, stream: Stream, number: u64) -> io::Result<Contents> {
        let bytes = self.disk.read(&self.path(stream, number))?;
        Ok(Contents {
            header: FileHeader::decode(&bytes, stream),
            bytes,
        })
    }

    /// Gives a file a name that the journal does not read, and returns it.
    pub(super) fn set_aside(&self, path: &Path, why: &str) -> io::Result<PathBuf> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let taken = self.disk.list(&self.dir)?;
        let mut n = 1;
        while taken.contains(&format!("{name}.{why}-{n}")) {
            n += 1;
        }
        let to = self.dir.join(format!("{name}.{why}-{n}"));
        self.disk.rename(path, &to)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(to)
    }

    /// Starts a new file; durable with its name when this returns.
    pub(super) fn start(&self, stream: Stream, number: u64) -> io::Result<Appender> {
        let header = FileHeader {
            stream,
            number,
            salt: fresh_salt(),
        };
        let path = self.path(stream, number);
        let mut file = self.disk.create(&path)?;
        let started = file
            .append(&header.encode())
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(fault) = started {
            // A header that is not whole would be set aside as foreign at the next start.
            let _ = self.disk.remove(&path);
            return Err(fault);
        }
        Ok(Appender {
            file,
            header,
            length: FILE_HEADER as u64,
        })
    }

    /// Goes on writing at the end of a file whose records end at `length`; what is behind is cut.
    pub(super) fn resume(&self, header: FileHeader, length: u64) -> io::Result<Appender> {
        let mut file = self
            .disk
            .append_to(&self.path(header.stream, header.number))?;
        file.truncate(length)?;
        Ok(Appender {
            file,
            header,
            length,
        })
    }
}

/// A file as it was read.
pub(super) struct Contents {
    pub(super) header: Result<FileHeader, HeaderFault>,
    pub(super) bytes: Vec<u8>,
}

impl Contents {
    /// The file's pieces; none if its header is bad.
    pub(super) fn pieces(&self) -> Vec<Piece<'_>> {
        self.header
            .map_or_else(|_| Vec::new(), |header| scan(&self.bytes, header.salt))
    }

    /// The file's readable records with the bytes they take.
    pub(super) fn records(&self) -> impl Iterator<Item = (Record, usize)> {
        self.pieces().into_iter().filter_map(|piece| match piece {
            Piece::Frame { kind, payload, at } => {
                Record::decode(kind, payload).map(|record| (record, at.len()))
            }
            _ => None,
        })
    }
}

/// The file being written.
pub(super) struct Appender {
    file: Box<dyn DiskFile>,
    pub(super) header: FileHeader,
    /// Bytes that are known to be whole records.
    pub(super) length: u64,
}

impl Appender {
    /// Writes records behind each other. After an error the file is as before, or of no more use.
    pub(super) fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> io::Result<()> {
        let mut frames = Vec::new();
        for record in records {
            encode_frame(
                &mut frames,
                self.header.salt,
                record.kind(),
                &record.encode(),
            );
        }
        let before = self.length;
        if let Err(fault) = self.file.append(&frames) {
            self.file.truncate(before)?;
            return Err(fault);
        }
        self.length += frames.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

pub(super) fn file_name(stream: Stream, number: u64) -> String {
    format!("{}{number:08}.log", stream.prefix())
}

fn number_of(stream: Stream, name: &str) -> Option<u64> {
    let digits = name.strip_prefix(stream.prefix())?.strip_suffix(".log")?;
    digits
        .parse()
        .ok()
        .filter(|number| file_name(stream, *number) == name)
}
