//! A child whose type is forgotten.

use std::io;
use std::sync::Arc;

use actix::Arbiter;
use tokio::sync::mpsc;

use crate::actor_ref::{Envelope, Line};
use crate::branch::Below;
use crate::health::Reach;
use crate::life::Life;
use crate::runner::{self, Factory, Reports};
use crate::{ActorRef, Child, SendError, Supervisor};

/// What a tree does with a child, whatever its actor.
pub(crate) trait AnyChild {
    fn launch(&mut self, life: &Arc<Life>, reports: Reports) -> io::Result<Arbiter>;
    fn connect(&mut self, life: &Arc<Life>);
    fn disconnect(&mut self);
    fn close(&mut self);
    fn reach(&self) -> Arc<dyn Reach>;
}

pub(crate) struct TypedChild<A: Child> {
    actor: ActorRef<A>,
    factory: Factory<A>,
    mailbox: usize,
    below: Option<Below>,
    /// The sending end of the current incarnation's mailbox, until references may have it.
    inbox: Option<mpsc::Sender<Envelope<A>>>,
}

impl<A: Child> TypedChild<A> {
    pub(crate) fn new(
        actor: ActorRef<A>,
        factory: Factory<A>,
        mailbox: usize,
        below: Option<Below>,
    ) -> Self {
        Self {
            actor,
            factory,
            mailbox,
            below,
            inbox: None,
        }
    }
}

impl<A: Child> AnyChild for TypedChild<A> {
    fn launch(&mut self, life: &Arc<Life>, reports: Reports) -> io::Result<Arbiter> {
        let (tx, rx) = mpsc::channel(self.mailbox);
        self.inbox = Some(tx);
        runner::launch(life, Arc::clone(&self.factory), rx, reports)
    }

    fn connect(&mut self, life: &Arc<Life>) {
        if let Some(inbox) = self.inbox.take() {
            let life = Arc::clone(life);
            self.actor.set_line(Line::Up { life, inbox });
        }
    }

    fn disconnect(&mut self) {
        self.inbox = None;
        self.actor.set_line(Line::Down);
    }

    fn close(&mut self) {
        self.inbox = None;
        self.actor.set_line(Line::Closed);
    }

    fn reach(&self) -> Arc<dyn Reach> {
        Arc::new(Door {
            actor: self.actor.clone(),
            below: self.below.clone(),
        })
    }
}

/// How handles get at the child.
struct Door<A: Child> {
    actor: ActorRef<A>,
    below: Option<Below>,
}

impl<A: Child> Reach for Door<A> {
    fn id(&self) -> &Arc<str> {
        self.actor.shared_id()
    }

    fn life(&self) -> Result<Arc<Life>, SendError> {
        self.actor.current()
    }

    fn below(&self) -> Option<Supervisor> {
        self.below.as_ref().and_then(Below::get)
    }
}
