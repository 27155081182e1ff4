//! Who may call: the cookie file and a fixed user, both over HTTP Basic.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::DevnodeError;

/// Bitcoin Core's user name in a cookie.
const COOKIE_USER: &str = "__cookie__";

/// The accepted credentials, and the cookie file while it stands.
pub(crate) struct Credentials {
    fixed: Option<String>,
    cookie: RwLock<String>,
    cookie_file: PathBuf,
}

impl Credentials {
    /// Draws a new cookie and writes `dir/.cookie` (0600, 75 bytes, no newline), replacing a stale one.
    pub(crate) fn create(
        dir: &Path,
        user: Option<&str>,
        password: Option<&str>,
    ) -> Result<Self, DevnodeError> {
        let fixed = match (user, password) {
            (Some(user), Some(password)) => Some(format!("{user}:{password}")),
            (None, None) => None,
            _ => return Err(DevnodeError::HalfCredentials),
        };
        let credentials = Self {
            fixed,
            cookie: RwLock::default(),
            cookie_file: dir.join(".cookie"),
        };
        credentials.renew_cookie()?;
        Ok(credentials)
    }

    /// Draws another cookie, as at each start; the one before is refused from now on.
    pub(crate) fn renew_cookie(&self) -> Result<(), DevnodeError> {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|e| DevnodeError::Random(e.to_string()))?;
        let cookie = format!("{COOKIE_USER}:{}", hex::encode(secret));
        write_private(&self.cookie_file, cookie.as_bytes()).map_err(|source| {
            DevnodeError::File {
                action: "write the RPC cookie",
                path: self.cookie_file.clone(),
                source,
            }
        })?;
        *self.cookie.write().unwrap_or_else(PoisonError::into_inner) = cookie;
        Ok(())
    }

    /// Whether an `Authorization` header's value opens the door.
    pub(crate) fn accept(&self, authorization: &str) -> bool {
        // The scheme is compared to the letter, as Bitcoin Core does.
        let Some(encoded) = authorization.strip_prefix("Basic ") else {
            return false;
        };
        let Ok(given) = STANDARD.decode(encoded.trim()) else {
            return false;
        };
        let cookie = self.cookie.read().unwrap_or_else(PoisonError::into_inner);
        let fixed = self.fixed.as_ref();
        same(cookie.as_bytes(), &given) || fixed.is_some_and(|fixed| same(fixed.as_bytes(), &given))
    }

    pub(crate) fn cookie_file(&self) -> &Path {
        &self.cookie_file
    }

    /// A clean stop leaves no cookie behind.
    pub(crate) fn remove_cookie(&self) {
        if let Err(error) = fs::remove_file(&self.cookie_file) {
            tracing::debug!(file = %self.cookie_file.display(), %error, "cookie not removed");
        }
    }
}

/// Compares without telling by its duration where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

/// Writes beside and renames, so that a reader sees the old cookie or the new one, whole.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&beside)?;
    file.write_all(content)?;
    drop(file);
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[test]
    fn the_cookie_has_bitcoin_cores_form_and_changes_at_each_start() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let first = Credentials::create(dir.path(), None, None).expect("cookie");
        let before = fs::read_to_string(first.cookie_file()).expect("readable");
        assert_eq!(before.len(), 75);
        let secret = before.strip_prefix("__cookie__:").expect("prefix");
        assert!(
            secret
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(first.cookie_file())
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let second = Credentials::create(dir.path(), None, None).expect("cookie");
        assert!(!second.accept(&basic(&before)), "a stale cookie is refused");
        let now = fs::read_to_string(second.cookie_file()).expect("readable");
        assert!(second.accept(&basic(&now)));
        second.remove_cookie();
        assert!(!second.cookie_file().exists());
    }

    #[test]
    fn cookie_and_fixed_user_are_both_accepted_and_nothing_else() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let credentials =
            Credentials::create(dir.path(), Some("miner"), Some("secret")).expect("both given");
        let cookie = fs::read_to_string(credentials.cookie_file()).expect("readable");
        assert!(credentials.accept(&basic(&cookie)));
        assert!(credentials.accept(&basic("miner:secret")));
        assert!(!credentials.accept(&basic("miner:other")));
        assert!(!credentials.accept(&basic("miner:secret").replace("Basic", "basic")));
        assert!(!credentials.accept("Basic !!!"));
        assert!(!credentials.accept("Bearer x"));
        assert!(matches!(
            Credentials::create(dir.path(), Some("miner"), None),
            Err(DevnodeError::HalfCredentials)
        ));
    }
}
