//! The control socket's two ends.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{Reply, Request};

/// Longest path of a Unix socket on Linux, the final zero not counted.
const MAX_PATH: usize = 107;
/// How long the asking side waits, all in all.
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
    /// It listens and does not answer.
    #[error("the instance on {path} has not answered within {waited:?}: its api hangs")]
    Silent {
        /// The path.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
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

/// Asks the instance that listens at `path`, for at most two seconds in all.
///
/// Must not be called from within an async runtime.
///
/// # Errors
/// [`SocketError::Absent`] without an instance, [`SocketError::Silent`] if it does not answer in time,
/// [`SocketError::Answer`] without a usable answer.
pub fn ask(path: &Path, request: &Request) -> Result<Reply, SocketError> {
    ask_patiently(path, request, PATIENCE)
}

/// As [`ask`], for what takes longer.
///
/// # Errors
/// As [`ask`].
pub fn ask_patiently(
    path: &Path,
    request: &Request,
    patience: Duration,
) -> Result<Reply, SocketError> {
    let unusable = |reason: String| SocketError::Answer {
        path: path.to_owned(),
        reason,
    };
    let silent = || SocketError::Silent {
        path: path.to_owned(),
        waited: patience,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unusable(format!("no runtime to ask with: {error}")))?;
    let talk = async {
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            // The listener's queue is full: it is there, and lets nobody in.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(silent()),
            Err(source) => {
                return Err(SocketError::Absent {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let (reader, mut writer) = stream.into_split();
        let exchange = async {
            let mut text = serde_json::to_vec(request)?;
            text.push(b'\n');
            writer.write_all(&text).await?;
            let mut line = String::new();
            BufReader::new(reader).read_line(&mut line).await?;
            Ok::<_, io::Error>(line)
        };
        let line = exchange
            .await
            .map_err(|error| unusable(error.to_string()))?;
        if line.is_empty() {
            return Err(unusable("it hung up without an answer".to_owned()));
        }
        serde_json::from_str(&line).map_err(|error| unusable(error.to_string()))
    };
    runtime.block_on(async {
        timeout(patience, talk)
            .await
            .unwrap_or_else(|_| Err(silent()))
    })
}
