//! What one running instance owns of the machine: its directories and the lock on them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};

use crate::config::Settings;
use crate::exit::{Exit, ExitError};

/// The directories of an instance, locked for as long as this lives.
#[derive(Debug)]
pub struct Instance {
    _lock: Flock<File>,
}

impl Instance {
    /// Creates the directories (mode 0750) and takes the lock.
    ///
    /// # Errors
    /// A directory that cannot be made; another instance that holds the lock (exit 75).
    pub fn claim(settings: &Settings) -> anyhow::Result<Self> {
        directory(&settings.data_dir, "data_dir")?;
        directory(&settings.runtime_dir, "runtime_dir")?;
        let path = settings.data_dir.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open the lock {}; see that its file system is writable and has room, and that it is this user's", path.display()))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(
                |(_, errno)| match errno {
                    nix::errno::Errno::EWOULDBLOCK => ExitError::new(
                        Exit::TryLater,
                        format!(
                            "another instance uses {}; stop it, or configure another data_dir",
                            settings.data_dir.display()
                        ),
                    )
                    .into(),
                    other => {
                        anyhow::Error::new(other).context(format!("cannot lock {}", path.display()))
                    }
                },
            )?;
        Ok(Self { _lock: lock })
    }
}

/// Creates a directory with mode 0750, whatever the umask; one that is there keeps its own.
///
/// # Errors
/// It cannot be made; the message says what to do.
pub fn directory(path: &Path, key: &str) -> anyhow::Result<()> {
    let create = || {
        if path.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o750).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o750))
    };
    create().with_context(|| {
        format!(
            "cannot create {key} {}; create it for this user, or configure another",
            path.display()
        )
    })
}
