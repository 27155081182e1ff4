//! OTP-grade supervision on actix.
//!
//! actix runs actors; it does not keep them up. An actor that panics is gone, nobody is told, and whoever holds
//! its address sends into the void. This crate gives an actix actor what a process under an Erlang/OTP supervisor
//! has: a specification by which it is started, stopped and restarted, an exit reason that says what happened, and
//! an address that outlives it.
//!
//! ```
//! use std::time::Duration;
//! use actix::{Actor, ActorContext as _, Context, Handler, Message};
//! use signalcore_supervise::{ChildSpec, Shutdown, Supervisor};
//!
//! struct Counter(u64);
//!
//! impl Actor for Counter {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<Shutdown> for Counter {
//!     type Result = ();
//!     fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
//!         ctx.stop();
//!     }
//! }
//!
//! struct Next;
//! impl Message for Next {
//!     type Result = u64;
//! }
//!
//! impl Handler<Next> for Counter {
//!     type Result = u64;
//!     fn handle(&mut self, _: Next, _: &mut Self::Context) -> u64 {
//!         self.0 += 1;
//!         assert!(self.0 < 3, "this counter only counts to two");
//!         self.0
//!     }
//! }
//!
//! actix::System::new().block_on(async {
//!     let mut tree = Supervisor::builder("example");
//!     let counter = tree.child(ChildSpec::new("counter"), |_| Ok(Counter(0)));
//!     let tree = tree.start().await?;
//!
//!     assert_eq!(counter.send(Next).await, Ok(1));
//!     assert_eq!(counter.send(Next).await, Ok(2));
//!     assert!(counter.send(Next).await.is_err()); // it panicked,
//!     while tree.children()[0].restarts == 0 {
//!         tokio::task::yield_now().await;
//!     }
//!     counter.wait_up().await?; // was started again,
//!     assert_eq!(counter.send(Next).await, Ok(1)); // and the same reference finds it.
//!
//!     assert!(tree.stop(Duration::from_secs(5)).await.is_clean());
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! }).unwrap();
//! ```
//!
//! # A child's life
//!
//! A child is declared by a [`ChildSpec`] and a factory. Each of its lives is an [`Incarnation`] with a generation
//! of its own, counted from 1, on a thread of its own: an actix Arbiter that is made for it and ends with it. The
//! factory is called there, so an actor need not be `Send`, and may block there for as long as its start timeout.
//!
//! 1. **Starting**: the factory returns the actor, actix calls `started`, and whatever `started` puts into
//!    `ctx.wait` runs to its end. Then the child is up. That is how an actor initialises asynchronously.
//! 2. **Up**: references reach it. Its messages come from a bounded mailbox in the order each sender sent them.
//! 3. **Stopping**: the supervisor has sent [`Shutdown`], which overtakes the mailbox. The actor finishes what it
//!    has begun and calls `ctx.stop()`; for an asynchronous drain,
//!    `ctx.wait(drain.into_actor(self).map(|(), _, ctx| ctx.stop()))`.
//! 4. **Releasing**: it has ended, its exit is reported, and what is left of it is being dropped: the actor, its
//!    futures, its runtime with all tasks and blocking calls on it, its thread, and the threads it was given by
//!    [`Incarnation::thread`]. When all of that is gone, the incarnation is released.
//!
//! # What is guaranteed
//!
//! **Every end is noticed and named.** A panic in the factory, in `started`, in a handler, in a future of the
//! context, in `stopping` or `stopped`, in a task or thread of the [`Incarnation`], and even in a future that was
//! spawned without it (`actix::spawn`, a `ResponseFuture`) ends the incarnation with
//! [`ExitReason::Panicked`], which holds the message, the source location, and in which of these it was. An
//! error ends it with its whole chain of causes. A context that stops by itself ends it with
//! [`ExitReason::Normal`]. An Arbiter stopped by somebody else is noticed too.
//!
//! **A panic is one child's affair.** Message and location are noted by the thread that panicked, so concurrent
//! panics are told apart. `stopped` of a panicked actor runs after the unwinding, under a guard of its own, and
//! its `Drop` under another: a handler, then `stopped`, then `Drop` may each panic, and the process lives. `stopped`
//! runs for every incarnation that was up, unless it had to be dropped for missing its shutdown deadline.
//!
//! **No two incarnations of a child run side by side**, unless one hangs. The successor's factory is called when
//! its predecessor has been released: ports, files and subprocesses it held are free.
//!
//! **What hangs loses its permission.** A thread cannot be killed. An incarnation that is not released within its
//! shutdown deadline is abandoned: it is counted, its [`GenerationGuard`] is revoked for ever, its late reports are
//! ignored, and its successor starts. Effects that ask the guard first cannot be had by a thread that wakes up
//! an hour later. More than [`SupervisorBuilder::max_abandoned`] at a time escalate.
//!
//! **A hang is found** if [`ChildSpec::liveness`] or [`ChildSpec::progress`] asks for it: a thread that does not run a
//! closure in time, an actor that does not take a ping in time, or a counter that stands still. The incarnation
//! ends with [`ExitReason::Hung`], which names the probe, and is dropped or abandoned like any other that does not
//! stop. When the whole process was held up (stopped, suspended, starved), the time that the supervisor itself
//! missed counts against no child.
//!
//! **Restarts are paced and bounded.** [`Restart`] says which ends are followed by a restart, [`Backoff`] when,
//! [`Intensity`] how often. When a child exceeds its intensity the supervisor gives up: it stops all children in
//! reverse order and [`Supervisor::wait`] returns [`Outcome::Escalated`] with the child and its exits. A backoff so slow
//! that the intensity could never be exceeded is refused by [`RestartLimits::new`]. Both count per child, so that
//! one flapping child does not use up the restarts of another. [`Strategy`] says whom a restart concerns besides the child:
//! nobody, those started after it, or all.
//!
//! **Start is ordered, stop is its reverse.** Each child starts when its predecessor is up, and is asked to stop
//! when its successor has been released. If one does not come up, those before it are stopped in reverse and
//! [`StartError`] names it. A stop has one deadline for all; at its end every child has been released, or
//! dropped where it stood, or abandoned and named in the [`StopReport`].
//!
//! **A reference is never stale.** An [`ActorRef`] reaches the incarnation that is up, or says that there is none
//! ([`SendError::Down`]), or that there never will be ([`SendError::Closed`]). A message is delivered at most once:
//! `Down`, `Closed` and `Full` mean that it certainly had no effect; [`SendError::Lost`] means that the
//! incarnation ended after it was accepted. No reference, however often it is cloned, can make a mailbox grow
//! beyond its bound.
//!
//! # What cannot be guaranteed
//!
//! - **A panic during the unwinding of another one aborts the process**, as everywhere in Rust: a panicking `Drop`
//!   of a local variable of a panicking handler, or of two fields of one actor. So do a panic in the destructor of a
//!   thread-local, a stack overflow, running out of memory, and `abort` itself. What restarts the process (systemd)
//!   is the supervisor of last resort.
//! - **A thread that never returns is never freed.** Its memory, ports and locks stay taken until the process ends.
//!   Whatever must survive that (a listener, a journal's file, a lock) is owned outside of the child.
//! - **A check is not a lock.** An effect that had begun before the guard was revoked may complete. Effects and
//!   the check belong under the lock that orders the effects.
//! - **A handler that never yields** delays its child's shutdown until the deadline, and nothing interrupts it.
//! - **A panic on a thread or runtime that the child made without [`Incarnation`]** is not seen (`std::thread::spawn`, the
//!   closure in `spawn_blocking` if nobody looks at its result).
//! - **A panic hook that somebody installs later without calling the previous one** hides source locations and
//!   panics in detached futures; everything else still works.
//!
//! # What an actor should know
//!
//! - Keep the [`Incarnation`]: it spawns tasks ([`Incarnation::spawn`]) and threads ([`Incarnation::thread`]) whose
//!   end is not lost, says [`fail`](Incarnation::fail) when the actor cannot go on, and hands out the guard.
//! - Do not hand out `ctx.address()` or a `Recipient`: they die with the incarnation and their mailbox has no bound.
//!   Hand out the `ActorRef`; children that need each other get it from [`SupervisorBuilder::declare`].
//! - Bulk data goes through cells and channels that belong to no incarnation: a [`tokio::sync::watch`] where the latest value
//!   supersedes the others (made outside, its sender kept beside it, so that neither end ever closes), and
//!   [`bounded()`] where each value counts.
//! - A child can itself be a tree: [`SupervisorBuilder::supervisor`].
//!
//! The supervisor is a task on the actix System that it was started on, and needs that thread to be free: nothing
//! that blocks belongs there. The rules themselves are a state machine without clocks or threads; it
//! is told instants, and tested by instants.
#![forbid(unsafe_code)]

#[cfg(not(panic = "unwind"))]
compile_error!("supervision catches panics: build with panic = \"unwind\"");

/// The examples of the README are tested too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod actor_ref;
mod backoff;
mod bounded;
mod branch;
mod child;
mod control;
mod desk;
mod exit;
mod health;
mod incarnation;
mod life;
mod liveness;
mod log;
mod machine;
mod mailbox;
mod panics;
mod remains;
mod runner;
mod spec;
mod status;
mod supervisor;
mod tree;
mod typed;

pub use actor_ref::{ActorRef, SendError};
pub use backoff::Backoff;
pub use bounded::{Receiver, Sender, bounded};
pub use child::{Child, Shutdown};
pub use exit::{Exit, ExitReason, Location, Panic, Stage};
pub use health::{Fault, InjectError, Ping};
pub use incarnation::{GenerationGuard, Incarnation, Revoked, StopSignal, TaskHandle};
pub use liveness::{Liveness, Probe, Progress};
pub use spec::{ChildSpec, Intensity, Restart, RestartLimits, SpecError, Strategy};
pub use status::{
    ChildState, ChildStatus, EscalationCause, EventKind, Outcome, StopReport, SupervisionEvent,
};
pub use supervisor::{StartError, Supervisor, SupervisorBuilder};

/// Any error that can cross threads.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// An error with all its causes, in one line.
fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors print their cause themselves.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
