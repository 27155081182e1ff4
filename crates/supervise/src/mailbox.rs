//! The bounded mailbox of one incarnation, as a future of its context.
//!
//! actix polls the futures of a context in the same place where it handles messages, with the same access to
//! actor and context, and not at all while `ctx.wait` holds the context. So messages arrive here instead of
//! through an `Addr`: the mailbox is bounded, a panic in a handler passes through the context's own future, and
//! the first poll says that `started`, and what it waits for, is done. The control lane is served here too,
//! before each message, so that what it answers is true of the messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use actix::dev::MessageResponse;
use actix::fut::ActorFuture;
use actix::{AsyncContext, Context, Handler};
use tokio::sync::mpsc;

use crate::actor_ref::Envelope;
use crate::life::Life;
use crate::{Child, Shutdown};

pub(crate) struct Mailbox<A: Child> {
    pub(crate) inbox: mpsc::Receiver<Envelope<A>>,
    pub(crate) life: Arc<Life>,
    /// Called at the first poll.
    pub(crate) on_up: Option<Box<dyn FnOnce()>>,
    pub(crate) shutdown_delivered: bool,
}

impl<A: Child> ActorFuture<A> for Mailbox<A> {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        // What cannot go on does not come up, and takes no more messages.
        if self.life.has_failed() {
            return Poll::Pending;
        }
        if let Some(up) = self.on_up.take() {
            up();
        }
        // A handler may have put something into `ctx.wait`, or stopped the context: either comes first.
        while !ctx.waiting() && !self.life.is_ending() && !self.life.has_failed() {
            if !self.shutdown_delivered && self.life.shutdown_asked() {
                self.shutdown_delivered = true;
                <A as Handler<Shutdown>>::handle(actor, Shutdown, ctx).handle(ctx, None);
                continue;
            }
            if self.life.lane.serve(actor, ctx) {
                continue;
            }
            match self.inbox.poll_recv(task) {
                Poll::Ready(Some(envelope)) => envelope(actor, ctx),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        // Never ready: a child lives on when nobody refers to it.
        Poll::Pending
    }
}
