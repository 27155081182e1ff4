//! The exit codes, and errors that know theirs.

use std::process::ExitCode;

/// How the program ends. The numbers follow sysexits(3) where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Failed; a message says why.
    Failed,
    /// `verify`: the checks that ran do not decide.
    Undecidable,
    /// No daemon or no node where one is needed.
    Unavailable,
    /// A part kept failing, or a bug.
    Internal,
    /// Another instance holds the lock, or the shutdown had to be forced.
    TryLater,
    /// The configuration cannot be used.
    Config,
    /// `health-check`: what a monitoring plugin exits with.
    Health(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Undecidable => 3,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::TryLater => 75,
            Exit::Config => 78,
            Exit::Health(code) => code,
        })
    }
}

/// An error that decides the exit code of the command it ends.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExitError {
    /// The exit code.
    pub exit: Exit,
    message: String,
}

impl ExitError {
    /// An error with its exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}
