//! How an incarnation ended.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{EscalationCause, Probe};

/// A place in source code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as the compiler saw it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// In what part of a child's life it panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// In the factory.
    Factory,
    /// In `started`, or in what `started` put into `ctx.wait`.
    Starting,
    /// In a handler or a future of the context.
    Running,
    /// In `stopping` or `stopped`.
    Stopping,
    /// While the remains were dropped: the actor's `Drop`, or that of one of its futures.
    Drop,
    /// In a task made by [`Incarnation::spawn`](crate::Incarnation::spawn).
    Task(String),
    /// In a thread made by [`Incarnation::thread`](crate::Incarnation::thread).
    Thread(String),
    /// In a future that nobody watches (`actix::spawn`, `ResponseFuture`, `tokio::spawn`) on the child's thread.
    Detached,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory => f.write_str("in its factory"),
            Self::Starting => f.write_str("while starting"),
            Self::Running => f.write_str("while running"),
            Self::Stopping => f.write_str("while stopping"),
            Self::Drop => f.write_str("while being dropped"),
            Self::Task(name) => write!(f, "in task {name}"),
            Self::Thread(name) => write!(f, "in thread {name}"),
            Self::Detached => f.write_str("in a detached future"),
        }
    }
}

/// A caught panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// What it said; a placeholder if the payload was not text.
    pub message: String,
    /// Where; absent if somebody replaced the panic hook without chaining to it.
    pub location: Option<Location>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked with \"{}\"", self.message)?;
        match &self.location {
            Some(at) => write!(f, " at {at}"),
            None => Ok(()),
        }
    }
}

/// Why an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// Its context stopped by itself (`ctx.stop()`, `ctx.terminate()`).
    Normal,
    /// The supervisor asked, and it drained and stopped in time.
    Shutdown,
    /// It did not stop within its deadline, but its thread was free: its remains were dropped.
    Killed,
    /// It did not stop within its deadline and its thread could not be freed: it was given up and its generation revoked.
    Abandoned,
    /// Its factory returned an error; the text holds the whole chain of causes.
    StartFailed(String),
    /// Its thread could not be created; the text says why.
    NoThread(String),
    /// It was not up within its start timeout.
    StartTimeout(Duration),
    /// It panicked.
    Panicked {
        /// In what part of its life.
        stage: Stage,
        /// With what.
        panic: Panic,
    },
    /// It hangs: it gave no sign of life for too long.
    Hung {
        /// What was asked of it.
        probe: Probe,
        /// For how long it was silent, the process running.
        within: Duration,
    },
    /// Somebody on its behalf said that it cannot go on.
    Failed {
        /// The task, the thread, or `actor`.
        by: String,
        /// The whole chain of causes.
        error: String,
    },
    /// It is a tree, and gave up: a child of its own could not be kept up.
    Escalated {
        /// That child.
        child: Arc<str>,
        /// Why.
        cause: EscalationCause,
        /// That child's exits, oldest first.
        exits: Vec<Exit>,
    },
    /// Its Arbiter was stopped by somebody else, and it was dropped unheard.
    Vanished,
}

impl ExitReason {
    /// Whether a transient child is restarted after this.
    pub fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Normal | Self::Shutdown)
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("stopped by itself"),
            Self::Shutdown => f.write_str("stopped on request"),
            Self::Killed => f.write_str("did not stop in time and was dropped"),
            Self::Abandoned => {
                f.write_str("did not stop in time, its thread hangs and was abandoned")
            }
            Self::StartFailed(error) => write!(f, "could not start: {error}"),
            Self::NoThread(error) => write!(f, "could not get a thread: {error}"),
            Self::StartTimeout(after) => write!(f, "was not up within {after:?}"),
            Self::Hung { probe, within } => match probe {
                Probe::Thread => write!(f, "hangs: its thread did not answer within {within:?}"),
                Probe::Mailbox => write!(f, "hangs: it took no message within {within:?}"),
                Probe::Progress => write!(f, "hangs: it made no progress for {within:?}"),
            },
            Self::Panicked { stage, panic } => write!(f, "{panic} {stage}"),
            Self::Failed { by, error } => write!(f, "failed ({by}): {error}"),
            Self::Escalated {
                child,
                cause,
                exits,
            } => {
                write!(f, "gave up because of {child}: {cause}")?;
                match exits.last() {
                    Some(last) => write!(f, "; last {last}"),
                    None => Ok(()),
                }
            }
            Self::Vanished => f.write_str("vanished: its Arbiter was stopped by somebody else"),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}, ", self.generation)?;
        if self.uptime.is_zero() {
            f.write_str("never up: ")?;
        } else {
            write!(f, "up for {:.1} s: ", self.uptime.as_secs_f64())?;
        }
        self.reason.fmt(f)
    }
}

/// The end of one incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Which incarnation, counted from 1.
    pub generation: u64,
    /// Why.
    pub reason: ExitReason,
    /// When the supervisor heard of it.
    pub at: Instant,
    /// How long it had been up; zero if it never was.
    pub uptime: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_a_sentence() {
        let panic = Panic {
            message: "no luck".into(),
            location: Some(Location {
                file: "src/a.rs".into(),
                line: 3,
                column: 7,
            }),
        };
        let mut exit = Exit {
            generation: 2,
            reason: ExitReason::Panicked {
                stage: Stage::Task("watch".into()),
                panic,
            },
            at: Instant::now(),
            uptime: Duration::from_millis(1250),
        };
        assert_eq!(
            exit.to_string(),
            "generation 2, up for 1.2 s: panicked with \"no luck\" at src/a.rs:3:7 in task watch"
        );
        exit.uptime = Duration::ZERO;
        exit.reason = ExitReason::StartTimeout(Duration::from_secs(10));
        assert_eq!(
            exit.to_string(),
            "generation 2, never up: was not up within 10s"
        );
    }
}
