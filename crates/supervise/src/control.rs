//! The control lane of one incarnation: what overtakes its mailbox and still is handled by the actor.
//!
//! It is polled where messages are taken, before each message, and not at all while the actor is in `ctx.wait`
//! or in a handler. So an answer says that the actor would take a message now: a mailbox full of work delays
//! it by the message that is being handled, an actor that is stuck never gives it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix::{ActorContext as _, AsyncContext as _, Context, WrapFuture as _};
use tokio::sync::oneshot;

use crate::Child;
use crate::health::Fault;

/// A lane. Its size is bounded by who waits for it: questions that nobody waits for any more are dropped.
pub(crate) struct Lane {
    /// Whether there is something to do: one load for each message handled.
    asked: AtomicBool,
    /// `None` when the incarnation is ending.
    open: Mutex<Option<Asked>>,
}

#[derive(Default)]
struct Asked {
    /// The supervisor's own question; a newer one replaces it.
    watch: Option<Box<dyn FnOnce() + Send>>,
    pings: Vec<oneshot::Sender<Instant>>,
    faults: Vec<(Fault, oneshot::Sender<()>)>,
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self {
            asked: AtomicBool::new(false),
            open: Mutex::new(Some(Asked::default())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Asked>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut Asked)) {
        if let Some(asked) = self.lock().as_mut() {
            asked.pings.retain(|ping| !ping.is_closed());
            asked.faults.retain(|fault| !fault.1.is_closed());
            put(asked);
            self.asked.store(true, Ordering::Release);
        }
    }

    pub(crate) fn watch(&self, answer: impl FnOnce() + Send + 'static) {
        self.put(|asked| asked.watch = Some(Box::new(answer)));
    }

    pub(crate) fn ping(&self) -> oneshot::Receiver<Instant> {
        let (answer, answered) = oneshot::channel();
        self.put(|asked| asked.pings.push(answer));
        answered
    }

    pub(crate) fn fault(&self, fault: Fault) -> oneshot::Receiver<()> {
        let (begun, begins) = oneshot::channel();
        self.put(|asked| asked.faults.push((fault, begun)));
        begins
    }

    /// Nothing is handled any more; who waits is told.
    pub(crate) fn close(&self) {
        let asked = self.lock().take();
        drop(asked);
    }

    /// Does what was asked, as the actor. Says whether there was anything.
    pub(crate) fn serve<A: Child>(&self, actor: &A, ctx: &mut Context<A>) -> bool {
        if !self.asked.swap(false, Ordering::Acquire) {
            return false;
        }
        let Some(mut asked) = self.lock().as_mut().map(std::mem::take) else {
            return false;
        };
        if let Some(answer) = asked.watch.take() {
            answer();
        }
        for ping in asked.pings {
            let _ = ping.send(Instant::now());
        }
        let mut faults = asked.faults.into_iter();
        if let Some((fault, begun)) = faults.next() {
            // One at a time: a fault may end the incarnation, and what waits behind it is answered then.
            if let Some(open) = self.lock().as_mut() {
                open.faults.splice(0..0, faults);
                self.asked.store(!open.faults.is_empty(), Ordering::Release);
            }
            // A fault that nobody waits for any more is none.
            if begun.send(()).is_ok() {
                commit(fault, actor, ctx);
            }
        }
        true
    }
}

fn commit<A: Child>(fault: Fault, actor: &A, ctx: &mut Context<A>) {
    match fault {
        Fault::Panic => panic!("injected fault"),
        Fault::Hang(time) => std::thread::sleep(time),
        Fault::Stall(time) => ctx.wait(tokio::time::sleep(time).into_actor(actor)),
        Fault::Exit => ctx.stop(),
    }
}
