//! Files that are always whole, or set aside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

/// Replaces `path` by `content`: written beside it with mode 0640, synced, renamed, directory synced. A
/// reader sees the old content or the new, never a part.
///
/// # Errors
/// The operating system's, with the path in its message.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&new)
        .map_err(named)?;
    // The umask may have taken the group's right away.
    let written = file
        .set_permissions(fs::Permissions::from_mode(0o640))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_data());
    if let Err(error) = written {
        // On a full disk half a file is only in the way.
        drop(fs::remove_file(&new));
        return Err(named(error));
    }
    fs::rename(&new, path).map_err(named)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(named)
}

/// Renames a file that cannot be used: its name, `.corrupt-` and the time. Answers the new path.
///
/// # Errors
/// The operating system's.
pub fn set_aside(path: &Path, now: OffsetDateTime) -> io::Result<PathBuf> {
    let stamp = now
        .to_offset(time::UtcOffset::UTC)
        .format(format_description!(
            "[year][month][day]T[hour][minute][second]Z"
        ))
        .map_err(io::Error::other)?;
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".corrupt-{stamp}{suffix}"));
        PathBuf::from(name)
    };
    let mut aside = named("");
    let mut number = 1;
    while aside.symlink_metadata().is_ok() {
        number += 1;
        aside = named(&format!("-{number}"));
    }
    fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_content_takes_the_place_of_the_old_and_nothing_is_left_over() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("status.json");
        replace_file(&path, b"one").expect("first");
        replace_file(&path, b"two").expect("second");
        assert_eq!(fs::read(&path).expect("readable"), b"two");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_failure_names_the_path() {
        let error = replace_file(Path::new("/nonexistent/status.json"), b"x")
            .expect_err("no such directory");
        assert!(
            error.to_string().contains("/nonexistent/status.json"),
            "{error}"
        );
    }
}
