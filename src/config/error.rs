//! What is wrong with a configuration: where, which key, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// The layer an error is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// A configuration file.
    File(PathBuf),
    /// The environment.
    Environment,
    /// All layers together: a rule between keys, or a key that no layer gives.
    Merged(Option<PathBuf>),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Merged(Some(path)) => write!(f, "{}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::Merged(None) => f.write_str("configuration"),
        }
    }
}

/// A configuration that cannot be used. One message: layer, key, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{layer}: {}{problem}; {remedy}", key_prefix(.key.as_deref()))]
pub struct ConfigError {
    /// Where.
    pub layer: Layer,
    /// Dotted name of the key, as in `mining.payout_address`.
    pub key: Option<String>,
    /// What is wrong, in words.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn key_prefix(key: Option<&str>) -> String {
    key.map(|key| format!("{key}: ")).unwrap_or_default()
}

impl ConfigError {
    /// An error of one key.
    pub fn key(
        layer: Layer,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            layer,
            key: Some(key.to_owned()),
            problem: problem.into(),
            remedy: remedy.into(),
            source: None,
        }
    }

    /// An error of a whole file.
    pub fn file(path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            layer: Layer::File(path.to_owned()),
            key: None,
            problem: problem.into(),
            remedy: remedy.into(),
            source: None,
        }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(cause));
        self
    }
}
