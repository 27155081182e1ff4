//! What one incarnation, its supervisor and its helpers share.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{JoinHandle, ThreadId};
use std::time::Instant;

use futures::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::control::Lane;
use crate::exit::{ExitReason, Stage};
use crate::health::Fault;
use crate::incarnation::{StopSignal, TaskHandle};
use crate::panics;
use crate::remains::{Remains, Tether};
use crate::{BoxError, error_chain};

/// The signals of one incarnation. Every flag goes from false to true once.
pub(crate) struct Life {
    pub(crate) id: Arc<str>,
    pub(crate) generation: u64,
    revoked: AtomicBool,
    ending: AtomicBool,
    shutdown: AtomicBool,
    kill: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<ExitReason>>,
    /// Wakes whoever drives the incarnation.
    pub(crate) driver: AtomicWaker,
    pub(crate) lane: Lane,
    /// The incarnation on whose thread this one's supervisor is.
    above: Option<Arc<Life>>,
    /// Those whose supervisor is on this one's thread and who may act.
    below: Mutex<Vec<Weak<Life>>>,
    remains: Remains,
    home: OnceLock<ThreadId>,
    threads: Mutex<Option<Vec<JoinHandle<()>>>>,
}

impl Life {
    pub(crate) fn new(id: Arc<str>, generation: u64, above: Option<Arc<Self>>) -> Arc<Self> {
        let life = Arc::new(Self {
            id,
            generation,
            revoked: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            shutdown: AtomicBool::new(false),
            kill: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            driver: AtomicWaker::new(),
            lane: Lane::new(),
            above,
            below: Mutex::default(),
            remains: Remains::new(),
            home: OnceLock::new(),
            threads: Mutex::new(Some(Vec::new())),
        });
        if let Some(above) = &life.above {
            above.adopt(&life);
        }
        life
    }

    fn adopt(&self, life: &Arc<Self>) {
        let mut below = self.below.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has lost its permission has nothing more to lose.
        below.retain(|one| one.upgrade().is_some_and(|one| one.is_current()));
        below.push(Arc::downgrade(life));
        drop(below);
        if !self.is_current() {
            life.give_up();
        }
    }

    /// For an incarnation whose supervisor cannot look after it any more.
    pub(crate) fn give_up(&self) {
        self.ask_kill();
        self.revoke();
    }

    /// To be held until nothing is left of something below; absent when nobody waits for that any more.
    pub(crate) fn tether(&self) -> Option<Tether> {
        self.remains.tether()
    }

    /// Blocks until nothing is left of what is below.
    pub(crate) fn wait_for_remains(&self) {
        self.remains.wait();
    }

    pub(crate) fn is_current(&self) -> bool {
        !self.revoked.load(Ordering::Acquire)
            && self.above.as_ref().is_none_or(|above| above.is_current())
    }

    /// Takes the permission from it and from all below it; what is below goes with it.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.end();
        let mut below = self.below.lock().unwrap_or_else(PoisonError::into_inner);
        let orphans = std::mem::take(&mut *below);
        drop(below);
        for orphan in orphans.iter().filter_map(Weak::upgrade) {
            orphan.give_up();
        }
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
        self.failed.store(true, Ordering::Release);
        self.driver.wake();
    }

    /// Whether somebody said that it cannot go on.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
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
