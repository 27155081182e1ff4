//! One incarnation from its factory to its last drop, on a thread of its own.

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Task, Poll, Waker};

use actix::dev::ContextFut;
use actix::{ActorContext as _, ActorState, Arbiter, AsyncContext as _, Context};
use tokio::sync::mpsc;

use crate::actor_ref::Envelope;
use crate::exit::{ExitReason, Stage};
use crate::life::Life;
use crate::machine::Input;
use crate::mailbox::Mailbox;
use crate::remains::Tether;
use crate::{BoxError, Child, Incarnation, error_chain, panics};

pub(crate) type Factory<A> = Arc<dyn Fn(Incarnation) -> Result<A, BoxError> + Send + Sync>;

/// What happened to which generation of which child.
pub(crate) type Report = (usize, u64, Input);

/// Where an incarnation reports. Unbounded, yet never holds more than a handful: each incarnation reports each
/// kind of input once (its signs of life one at a time), and the number of incarnations that live is bounded.
#[derive(Clone)]
pub(crate) struct Reports {
    pub(crate) to: mpsc::UnboundedSender<Report>,
    pub(crate) child: usize,
    pub(crate) generation: u64,
}

impl Reports {
    pub(crate) fn send(&self, input: Input) {
        // Nobody listens any more when the supervisor is done; that is no news for the child.
        let _ = self.to.send((self.child, self.generation, input));
    }
}

/// Makes the thread and lets it begin. The thread is the incarnation's from its first instruction on.
pub(crate) fn launch<A: Child>(
    life: &Arc<Life>,
    factory: Factory<A>,
    inbox: mpsc::Receiver<Envelope<A>>,
    reports: Reports,
) -> io::Result<Arbiter> {
    let owner = Arc::clone(life);
    let arbiter = Arbiter::try_with_tokio_rt(move || {
        name_thread(&owner.id);
        owner.settle();
        let blocking = format!("{}/blocking", owner.id);
        panics::own_thread(owner);
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name(blocking)
            .build()
    })?;
    let life = Arc::clone(life);
    #[allow(clippy::disallowed_methods, reason = "`Vanish` reports its end")]
    arbiter.spawn_fn(move || {
        actix::spawn(run(life, factory, inbox, reports));
    });
    Ok(arbiter)
}

/// Reports an incarnation that is dropped before it could report its end.
struct Vanish {
    reports: Option<Reports>,
    life: Arc<Life>,
}

impl Vanish {
    fn exited(&mut self, reason: ExitReason) {
        self.life.end();
        if let Some(reports) = self.reports.take() {
            reports.send(Input::Exited(reason));
        }
    }
}

impl Drop for Vanish {
    fn drop(&mut self) {
        let reason = self.life.take_failure();
        self.exited(reason.unwrap_or(ExitReason::Vanished));
    }
}

async fn run<A: Child>(
    life: Arc<Life>,
    factory: Factory<A>,
    inbox: mpsc::Receiver<Envelope<A>>,
    reports: Reports,
) {
    let mut vanish = Vanish {
        reports: Some(reports.clone()),
        life: Arc::clone(&life),
    };
    let incarnation = Incarnation {
        life: Arc::clone(&life),
    };
    match panics::guard(AssertUnwindSafe(|| factory(incarnation))) {
        Ok(Ok(actor)) => {
            let up = Arc::new(AtomicBool::new(false));
            let mut context = in_context(actor, inbox, &life, &reports, &up);
            let (reason, finished) = drive(&mut context, &life, &up).await;
            vanish.exited(reason);
            let stop = !finished && up.load(Ordering::Relaxed) && !life.kill_asked();
            clean_up(context, stop, &reports);
        }
        Ok(Err(error)) => vanish.exited(ExitReason::StartFailed(error_chain(&*error))),
        Err(panic) => vanish.exited(ExitReason::Panicked {
            stage: Stage::Factory,
            panic,
        }),
    }
    // What the child has spawned goes with its thread.
    Arbiter::current().stop();
}

fn in_context<A: Child>(
    actor: A,
    inbox: mpsc::Receiver<Envelope<A>>,
    life: &Arc<Life>,
    reports: &Reports,
    up: &Arc<AtomicBool>,
) -> ContextFut<A, Context<A>> {
    let (reports, is_up) = (reports.clone(), Arc::clone(up));
    let mut ctx = Context::new();
    ctx.spawn(Mailbox {
        inbox,
        life: Arc::clone(life),
        on_up: Some(Box::new(move || {
            is_up.store(true, Ordering::Relaxed);
            reports.send(Input::Up);
        })),
        shutdown_delivered: false,
    });
    ctx.into_future(actor)
}

/// Drives the context to its end; says why it ended and whether actix finished it (`stopped` has run).
async fn drive<A: Child>(
    context: &mut ContextFut<A, Context<A>>,
    life: &Life,
    up: &AtomicBool,
) -> (ExitReason, bool) {
    poll_fn(|task| {
        life.driver.register(task.waker());
        if life.kill_asked() {
            return Poll::Ready((ExitReason::Killed, false));
        }
        if let Some(failure) = life.take_failure() {
            return Poll::Ready((failure, false));
        }
        match panics::guard(AssertUnwindSafe(|| Pin::new(&mut *context).poll(task))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                let asked = if life.shutdown_asked() {
                    ExitReason::Shutdown
                } else {
                    ExitReason::Normal
                };
                Poll::Ready((life.take_failure().unwrap_or(asked), true))
            }
            Err(panic) => {
                let stage = if context.ctx().state() != ActorState::Running {
                    Stage::Stopping
                } else if up.load(Ordering::Relaxed) {
                    Stage::Running
                } else {
                    Stage::Starting
                };
                let finished = context.ctx().state() == ActorState::Stopped;
                Poll::Ready((ExitReason::Panicked { stage, panic }, finished))
            }
        }
    })
    .await
}

/// Drops the remains, each step under a guard of its own.
///
/// actix runs `stopped` of a panicked actor while it unwinds, where a second panic aborts the process. Here the
/// unwinding is over: `stopped` runs as in any other stop, and only then the actor is dropped.
fn clean_up<A: Child>(mut context: ContextFut<A, Context<A>>, stop: bool, reports: &Reports) {
    if stop {
        let stopped = panics::guard(AssertUnwindSafe(|| {
            context.ctx().stop();
            let _ = Pin::new(&mut context).poll(&mut Task::from_waker(Waker::noop()));
        }));
        if let Err(panic) = stopped {
            reports.send(Input::CleanupPanicked(panic));
        }
    }
    // Keeps actix from polling the context once more in its drop.
    context.ctx().terminate();
    if let Err(panic) = panics::guard(AssertUnwindSafe(move || drop(context))) {
        reports.send(Input::CleanupPanicked(panic));
    }
}

/// As `top -H` and core dumps show it; at most 15 bytes on Linux.
#[cfg(target_os = "linux")]
fn name_thread(id: &str) {
    let mut end = id.len().min(15);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    if let Ok(name) = std::ffi::CString::new(&id[..end]) {
        // The name is a convenience; without it the thread keeps actix's.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

#[cfg(not(target_os = "linux"))]
fn name_thread(_: &str) {}

/// Joins an incarnation's threads on a thread of its own, since joining can take for ever.
pub(crate) fn reap(
    arbiter: Arbiter,
    life: Arc<Life>,
    tether: Option<Tether>,
    reports: Reports,
) -> io::Result<()> {
    #[allow(
        clippy::disallowed_methods,
        reason = "its end is the report of the release"
    )]
    std::thread::Builder::new()
        .name(format!("reap {}", life.id))
        .spawn(move || {
            // A panic of an Arbiter's thread itself was reported by the hook; what counts here is that it is gone.
            let _ = arbiter.join();
            for thread in life.close_threads() {
                let _ = thread.join();
            }
            life.wait_for_remains();
            drop(tether);
            reports.send(Input::Released);
        })
        .map(drop)
}
