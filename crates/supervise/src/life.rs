//! What one incarnation, its supervisor and its helpers share.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::Instant;

use futures::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::control::Lane;
use crate::exit::{ExitReason, Stage};
use crate::health::Fault;
use crate::incarnation::{StopSignal, TaskHandle};
use crate::panics;
use crate::{BoxError, error_chain};

/// The signals of one incarnation. Every flag goes from false to true once.
pub(crate) struct Life {
    pub(crate) id: Arc<str>,
    pub(crate) generation: u64,
    revoked: AtomicBool,
    ending: AtomicBool,
    shutdown: AtomicBool,
    kill: AtomicBool,
    failure: Mutex<Option<ExitReason>>,
    /// Wakes whoever drives the incarnation.
    pub(crate) driver: AtomicWaker,
    pub(crate) lane: Lane,
    home: OnceLock<ThreadId>,
    threads: Mutex<Option<Vec<JoinHandle<()>>>>,
}

impl Life {
    pub(crate) fn new(id: Arc<str>, generation: u64) -> Self {
        Self {
            id,
            generation,
            revoked: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            shutdown: AtomicBool::new(false),
            kill: AtomicBool::new(false),
            failure: Mutex::new(None),
            driver: AtomicWaker::new(),
            lane: Lane::new(),
            home: OnceLock::new(),
            threads: Mutex::new(Some(Vec::new())),
        }
    }

    pub(crate) fn is_current(&self) -> bool {
        !self.revoked.load(Ordering::Acquire)
    }

    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.end();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Asks the child's own threads to end, and answers who asks for it.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.lane.close();
    }

    /// Answered by the actor; dropped when the incarnation ends.
    pub(crate) fn ping(&self) -> oneshot::Receiver<Instant> {
        let answered = self.lane.ping();
        self.driver.wake();
        answered
    }

    /// Answered when the actor has begun with it; dropped when the incarnation ends before.
    pub(crate) fn inject(&self, fault: Fault) -> oneshot::Receiver<()> {
        let begun = self.lane.fault(fault);
        self.driver.wake();
        begun
    }

    /// The supervisor's own ping.
    pub(crate) fn watch(&self, answer: impl FnOnce() + Send + 'static) {
        self.lane.watch(answer);
        self.driver.wake();
    }

    pub(crate) fn shutdown_asked(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    pub(crate) fn ask_shutdown(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(crate) fn kill_asked(&self) -> bool {
        self.kill.load(Ordering::Acquire)
    }

    pub(crate) fn ask_kill(&self) {
        self.kill.store(true, Ordering::Release);
        self.end();
        self.driver.wake();
    }

    pub(crate) fn fail(&self, by: &str, error: &str) {
        self.fail_with(ExitReason::Failed {
            by: by.to_owned(),
            error: error.to_owned(),
        });
    }

    /// Ends the incarnation with this reason, unless it has one already.
    pub(crate) fn fail_with(&self, reason: ExitReason) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(reason);
        drop(failure);
        self.driver.wake();
    }

    pub(crate) fn take_failure(&self) -> Option<ExitReason> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    /// Called once, on the child's thread.
    pub(crate) fn settle(&self) {
        let _ = self.home.set(std::thread::current().id());
    }

    pub(crate) fn spawn<F>(self: &Arc<Self>, name: &str, future: F, essential: bool) -> TaskHandle
    where
        F: Future<Output = Result<(), BoxError>> + 'static,
    {
        assert_eq!(
            self.home.get(),
            Some(&std::thread::current().id()),
            "task {name} of {}: spawn is called on the child's own thread only",
            self.id
        );
        let life = Arc::clone(self);
        let name = name.to_owned();
        #[allow(clippy::disallowed_methods, reason = "its end is reported below")]
        let task = actix::spawn(async move {
            match panics::guard_future(AssertUnwindSafe(future)).await {
                Ok(Ok(())) if essential => life.fail(&name, "ended, but must not"),
                Ok(Ok(())) => {}
                Ok(Err(error)) => life.fail(&name, &error_chain(&*error)),
                Err(panic) => life.fail_with(ExitReason::Panicked {
                    stage: Stage::Task(name),
                    panic,
                }),
            }
        });
        TaskHandle {
            abort: task.abort_handle(),
        }
    }

    pub(crate) fn thread<F>(self: &Arc<Self>, name: &str, body: F) -> std::io::Result<()>
    where
        F: FnOnce(StopSignal) -> Result<(), BoxError> + Send + 'static,
    {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(threads) = threads.as_mut() else {
            return Err(std::io::Error::other(format!(
                "thread {name} of {}: generation {} has ended",
                self.id, self.generation
            )));
        };
        threads.retain(|thread| !thread.is_finished());
        let life = Arc::clone(self);
        let owned = name.to_owned();
        #[allow(
            clippy::disallowed_methods,
            reason = "its end is reported below, and it is joined before the release"
        )]
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let signal = StopSignal {
                    life: Arc::clone(&life),
                };
                match panics::guard(AssertUnwindSafe(|| body(signal))) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => life.fail(&owned, &error_chain(&*error)),
                    Err(panic) => life.fail_with(ExitReason::Panicked {
                        stage: Stage::Thread(owned),
                        panic,
                    }),
                }
            })?;
        threads.push(thread);
        Ok(())
    }

    /// The child's own threads, to be joined. None can be made afterwards.
    pub(crate) fn close_threads(&self) -> Vec<JoinHandle<()>> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.take().unwrap_or_default()
    }
}
