//! One life of a child, as the child sees it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::life::Life;
use crate::{BoxError, error_chain};

/// One life of a child: what the factory is given, and what the actor keeps to act in its name.
///
/// Cheap to clone. It does not keep the incarnation alive.
#[derive(Clone)]
pub struct Incarnation {
    pub(crate) life: Arc<Life>,
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({} #{})", self.id(), self.generation())
    }
}

impl Incarnation {
    /// The child's id.
    pub fn id(&self) -> &str {
        &self.life.id
    }

    /// Which life of the child this is, from 1. No two incarnations of a child share a generation.
    pub fn generation(&self) -> u64 {
        self.life.generation
    }

    /// Whether this incarnation may act. See [`GenerationGuard`].
    pub fn is_current(&self) -> bool {
        self.life.is_current()
    }

    /// The permission to act, to be kept beside whatever has effects.
    pub fn guard(&self) -> GenerationGuard {
        GenerationGuard {
            life: Arc::clone(&self.life),
        }
    }

    /// Ends this incarnation: the supervisor is told the error, the actor is stopped and dropped.
    ///
    /// The first of several failures counts. Can be called from any thread.
    pub fn fail(&self, error: impl Into<BoxError>) {
        self.life.fail("actor", &error_chain(&*error.into()));
    }

    /// Runs a future on the child's thread. `Ok` ends it quietly; an error or a panic is the child's failure.
    ///
    /// The future is dropped, at the latest, before the incarnation is released. Dropping the returned handle
    /// does not stop it.
    ///
    /// # Panics
    /// If not called on the child's own thread, from the factory or the actor.
    pub fn spawn<F>(&self, name: &str, future: F) -> TaskHandle
    where
        F: Future<Output = Result<(), BoxError>> + 'static,
    {
        self.life.spawn(name, future, false)
    }

    /// Like [`spawn`](Self::spawn), for a future that must not end: `Ok` is a failure too.
    ///
    /// # Panics
    /// If not called on the child's own thread, from the factory or the actor.
    pub fn spawn_essential<F>(&self, name: &str, future: F) -> TaskHandle
    where
        F: Future<Output = Result<(), BoxError>> + 'static,
    {
        self.life.spawn(name, future, true)
    }

    /// Runs a closure on a thread of its own, named after it, that belongs to the child: an error or a panic is
    /// the child's failure, and the child is not released before the thread has ended.
    ///
    /// The thread is asked to end through its [`StopSignal`], as soon as the actor has stopped or failed.
    ///
    /// # Errors
    /// If the system gives no thread, or if the incarnation has ended already.
    pub fn thread<F>(&self, name: &str, body: F) -> std::io::Result<()>
    where
        F: FnOnce(StopSignal) -> Result<(), BoxError> + Send + 'static,
    {
        self.life.thread(name, body)
    }
}

/// The permission of one incarnation to have effects.
///
/// It is given before the factory is called and revoked when the incarnation has been released, or given up
/// because its thread hangs. Whatever has effects on the world (appends, submits, publishes, renames) asks it
/// first, under the lock that orders those effects, so that a thread which wakes up long after it was given up
/// can do nothing. An effect that had begun before is not undone.
#[derive(Clone)]
pub struct GenerationGuard {
    life: Arc<Life>,
}

impl fmt::Debug for GenerationGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_current() {
            "current"
        } else {
            "revoked"
        };
        write!(
            f,
            "GenerationGuard({} #{} {state})",
            self.life.id, self.life.generation
        )
    }
}

impl GenerationGuard {
    /// Whether effects are allowed. Once false, it stays false.
    pub fn is_current(&self) -> bool {
        self.life.is_current()
    }

    /// The incarnation's generation, from 1.
    pub fn generation(&self) -> u64 {
        self.life.generation
    }

    /// [`is_current`](Self::is_current) as a `Result`, for `?` in front of an effect.
    ///
    /// # Errors
    /// If the permission was revoked.
    pub fn check(&self) -> Result<(), Revoked> {
        if self.is_current() {
            return Ok(());
        }
        Err(Revoked {
            child: Arc::clone(&self.life.id),
            generation: self.life.generation,
        })
    }
}

/// The incarnation was given up; it may have no more effects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("generation {generation} of {child} was given up and may do nothing more")]
pub struct Revoked {
    /// The child's id.
    pub child: Arc<str>,
    /// The generation that tried.
    pub generation: u64,
}

/// Tells a child's thread to end.
#[derive(Clone)]
pub struct StopSignal {
    pub(crate) life: Arc<Life>,
}

impl fmt::Debug for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StopSignal({})", self.is_set())
    }
}

impl StopSignal {
    /// Whether the thread should end now. One atomic load: cheap enough for an inner loop.
    pub fn is_set(&self) -> bool {
        self.life.is_ending()
    }

    /// The permission of the incarnation that the thread belongs to.
    pub fn guard(&self) -> GenerationGuard {
        GenerationGuard {
            life: Arc::clone(&self.life),
        }
    }
}

/// A future made by [`Incarnation::spawn`].
#[derive(Debug, Clone)]
pub struct TaskHandle {
    pub(crate) abort: tokio::task::AbortHandle,
}

impl TaskHandle {
    /// Drops the future at its next suspension point. That is no failure.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.abort.is_finished()
    }
}
