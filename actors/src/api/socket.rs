//! The control socket's two ends.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Reply, Request};

/// Longest path of a Unix socket on Linux, the final zero not counted.
const MAX_PATH: usize = 107;
/// How long the asking side waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// What can go wrong at either end. Every message names the socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path does not fit into a socket address.
    #[error(
        "the control socket's path {path} has {length} bytes, and the system allows {MAX_PATH}; set a shorter runtime_dir"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// The listening end could not be made.
    #[error(
        "cannot make the control socket {path}: {source}; check that runtime_dir exists and is writable"
    )]
    Bind {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Nobody listens.
    #[error("no instance answers on {path} ({source}); is it running with this configuration?")]
    Absent {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It listens and does not answer as it should.
    #[error("the instance on {path} gave no usable answer: {reason}")]
    Answer {
        /// The path.
        path: PathBuf,
        /// What came instead.
        reason: String,
    },
}

/// The listening end, made once before the tree starts and removed at the end.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens at `path`, readable and writable by this user alone. The caller holds the instance's
    /// lock, so a socket that is there already is a leftover and is replaced.
    ///
    /// # Errors
    /// [`SocketError::TooLong`], [`SocketError::Bind`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(SocketError::TooLong {
                path: path.to_owned(),
                length,
            });
        }
        let bind = || {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        match bind() {
            Ok(listener) => Ok(Self {
                listener,
                path: path.to_owned(),
            }),
            Err(source) => Err(SocketError::Bind {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// A handle to the same listener, non-blocking.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Another instance may have replaced it only after our lock was released: nothing to report.
        drop(fs::remove_file(&self.path));
    }
}

/// Asks the instance that listens at `path`.
///
/// # Errors
/// [`SocketError::Absent`] without an instance, [`SocketError::Answer`] without a usable answer.
pub fn ask(path: &Path, request: &Request) -> Result<Reply, SocketError> {
    let stream = UnixStream::connect(path).map_err(|source| SocketError::Absent {
        path: path.to_owned(),
        source,
    })?;
    let unusable = |reason: String| SocketError::Answer {
        path: path.to_owned(),
        reason,
    };
    let talk = || -> io::Result<String> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        (&stream).write_all(&text)?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        Ok(line)
    };
    let line = talk().map_err(|error| unusable(error.to_string()))?;
    serde_json::from_str(&line).map_err(|error| unusable(error.to_string()))
}
