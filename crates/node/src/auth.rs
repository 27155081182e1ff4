//! The `Authorization` header, and the cookie file behind it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::Auth;
use crate::error::NodeError;

/// Larger than any cookie (75 bytes); what is longer is some other file.
const COOKIE_LIMIT: u64 = 4096;

/// The value of an `Authorization` header. Cheap to clone, never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorization(Arc<str>);

impl Authorization {
    fn basic(user_and_password: &str) -> Self {
        Self(format!("Basic {}", STANDARD.encode(user_and_password)).into())
    }

    /// The header's value, for the one place that sends it.
    pub(crate) fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(***)")
    }
}

/// The login of one node, shared by its lanes: a cookie that one of them has re-read serves all.
#[derive(Debug)]
pub(crate) struct Credentials {
    auth: Auth,
    current: Mutex<Option<Authorization>>,
}

impl Credentials {
    pub(crate) fn new(auth: Auth) -> Self {
        Self {
            auth,
            current: Mutex::new(None),
        }
    }

    /// What to log in with now; reads the cookie file the first time.
    pub(crate) fn get(&self) -> Result<Authorization, NodeError> {
        let known = self.lock().clone();
        known.map_or_else(|| self.read(), Ok)
    }

    /// After a 401 with `refused`: newer credentials, or `None` where there are none. Not an error if
    /// the file cannot be read: the refusal is what counts then.
    pub(crate) fn newer_than(&self, refused: &Authorization) -> Option<Authorization> {
        self.read().ok().filter(|newer| newer != refused)
    }

    fn read(&self) -> Result<Authorization, NodeError> {
        let authorization = match &self.auth {
            Auth::UserPassword { user, password } => {
                Authorization::basic(&format!("{user}:{}", password.reveal()))
            }
            Auth::CookieFile(path) => {
                let cookie = read_cookie(path).map_err(|cause| NodeError::Cookie {
                    path: path.clone(),
                    cause: cause.into(),
                })?;
                Authorization::basic(&cookie)
            }
        };
        *self.lock() = Some(authorization.clone());
        Ok(authorization)
    }

    /// Which credentials these are and what to check when they are refused.
    pub(crate) fn hint(&self) -> String {
        match &self.auth {
            Auth::UserPassword { user, .. } => {
                format!(
                    "user `{user}`; check rpcuser and rpcpassword (or rpcauth) in bitcoin.conf against the configuration"
                )
            }
            Auth::CookieFile(path) => format!(
                "the cookie in {}; check that this is the cookie file of the node at that address",
                path.display()
            ),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Authorization>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_cookie(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(COOKIE_LIMIT + 1)
        .read_to_string(&mut text)?;
    let cookie = text.trim_end_matches(['\r', '\n']);
    // Whatever stands in the file stays out of the message.
    if text.len() as u64 > COOKIE_LIMIT
        || !cookie.contains(':')
        || cookie.contains(char::is_control)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it does not hold one line USER:SECRET",
        ));
    }
    Ok(cookie.to_owned())
}
