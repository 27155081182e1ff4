//! How others talk to a child.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::MessageResponse;
use actix::{Context, Handler, Message};
use tokio::sync::{mpsc, oneshot, watch};

use crate::Child;
use crate::life::Life;

/// A message together with the handler it goes to.
pub(crate) type Envelope<A> = Box<dyn FnOnce(&mut A, &mut Context<A>) + Send>;

/// Where an [`ActorRef`] finds its child at the moment.
pub(crate) enum Line<A: Child> {
    Down,
    Up {
        inbox: mpsc::Sender<Envelope<A>>,
        life: Arc<Life>,
    },
    Closed,
}

/// A reference to a child that survives the child's restarts.
///
/// It follows the current incarnation: a message goes to the one that is up at the moment of sending, or
/// nowhere. Cloning is cheap. The reference can be made and handed out before the child is started.
///
/// Each incarnation has a bounded mailbox of its own ([`ChildSpec::mailbox`](crate::ChildSpec::mailbox)), since
/// those of actix never push back. Messages are delivered at most once, in the order in which one sender sent
/// them. What waits in the mailbox of an incarnation that ends is lost with it, and each `send` among it is
/// answered with [`SendError::Lost`].
pub struct ActorRef<A: Child> {
    id: Arc<str>,
    line: Arc<watch::Sender<Line<A>>>,
}

impl<A: Child> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self {
            id: Arc::clone(&self.id),
            line: Arc::clone(&self.line),
        }
    }
}

impl<A: Child> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorRef")
            .field("id", &self.id)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

/// Why a message did not get its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The child is starting, restarting or stopping. The message was not delivered; later ones may be.
    #[error("{child} is down; the message was not delivered")]
    Down {
        /// The child's id.
        child: Arc<str>,
    },
    /// The child is gone for good. The message was not delivered, and none will be.
    #[error("{child} is gone for good; the message was not delivered")]
    Closed {
        /// The child's id.
        child: Arc<str>,
    },
    /// The child's mailbox is full. The message was not delivered.
    #[error("the mailbox of {child} is full; the message was not delivered")]
    Full {
        /// The child's id.
        child: Arc<str>,
    },
    /// The incarnation ended before it answered. Whether it handled the message is unknown.
    #[error("{child} ended before it answered; whether it handled the message is unknown")]
    Lost {
        /// The child's id.
        child: Arc<str>,
    },
    /// No answer within the deadline. The message may still be handled.
    #[error("{child} did not answer within {after:?}; it may still handle the message")]
    Deadline {
        /// The child's id.
        child: Arc<str>,
        /// The deadline.
        after: Duration,
    },
}

impl SendError {
    /// Whether the message certainly had no effect, so that sending it again is safe.
    pub fn is_undelivered(&self) -> bool {
        matches!(
            self,
            Self::Down { .. } | Self::Closed { .. } | Self::Full { .. }
        )
    }
}

impl<A: Child> ActorRef<A> {
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            line: Arc::new(watch::Sender::new(Line::Down)),
        }
    }

    /// Points the reference elsewhere; only the supervisor does.
    pub(crate) fn set_line(&self, line: Line<A>) {
        self.line.send_replace(line);
    }

    /// The child's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The incarnation that is up, if any.
    pub fn generation(&self) -> Option<u64> {
        match &*self.line.borrow() {
            Line::Up { life, inbox } if !inbox.is_closed() => Some(life.generation),
            _ => None,
        }
    }

    /// Whether an incarnation is up.
    pub fn is_up(&self) -> bool {
        self.generation().is_some()
    }

    /// How many messages wait for the incarnation that is up.
    pub fn backlog(&self) -> usize {
        match &*self.line.borrow() {
            Line::Up { inbox, .. } => inbox.max_capacity() - inbox.capacity(),
            _ => 0,
        }
    }

    /// Waits until an incarnation is up and names its generation.
    ///
    /// # Errors
    /// [`SendError::Closed`] if none ever will be.
    pub async fn wait_up(&self) -> Result<u64, SendError> {
        let mut changes = self.line.subscribe();
        let found = changes
            .wait_for(|line| match line {
                Line::Up { inbox, .. } => !inbox.is_closed(),
                Line::Closed => true,
                Line::Down => false,
            })
            .await;
        match found.as_deref() {
            Ok(Line::Up { life, .. }) => Ok(life.generation),
            _ => Err(self.closed()),
        }
    }

    /// Sends a message and waits for the answer; waits for room first if the mailbox is full.
    ///
    /// Needs no runtime of its own kind: any executor can poll it.
    ///
    /// # Errors
    /// See [`SendError`]; never `Full` or `Deadline`.
    pub async fn send<M>(&self, msg: M) -> Result<M::Result, SendError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let inbox = self.inbox()?;
        let (answer, answered) = oneshot::channel();
        // The sender is cloned for this one message, so that no borrow of the line is held across the wait.
        let Ok(slot) = inbox.reserve().await else {
            return Err(self.down());
        };
        slot.send(envelope(msg, Some(answer)));
        drop(inbox);
        answered.await.map_err(|_| self.lost())
    }

    /// Like [`send`](Self::send), for at most `deadline`, which covers the wait for room and the answer.
    ///
    /// Must be called within a tokio runtime (every actor is).
    ///
    /// # Errors
    /// See [`SendError`]; never `Full`.
    pub async fn send_within<M>(&self, msg: M, deadline: Duration) -> Result<M::Result, SendError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match tokio::time::timeout(deadline, self.send(msg)).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::Deadline {
                child: Arc::clone(&self.id),
                after: deadline,
            }),
        }
    }

    /// Sends a message without waiting for anything; works from any thread.
    ///
    /// `Ok` says that it is in the mailbox, not that it will be handled.
    ///
    /// # Errors
    /// `Down`, `Closed` or `Full`.
    pub fn try_tell<M>(&self, msg: M) -> Result<(), SendError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let inbox = self.inbox()?;
        let slot = inbox.try_reserve().map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(()) => SendError::Full {
                child: Arc::clone(&self.id),
            },
            mpsc::error::TrySendError::Closed(()) => self.down(),
        })?;
        slot.send(envelope(msg, None));
        Ok(())
    }

    fn inbox(&self) -> Result<mpsc::Sender<Envelope<A>>, SendError> {
        match &*self.line.borrow() {
            Line::Up { inbox, .. } if !inbox.is_closed() => Ok(inbox.clone()),
            Line::Closed => Err(self.closed()),
            _ => Err(self.down()),
        }
    }

    pub(crate) fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// The incarnation that is up.
    pub(crate) fn current(&self) -> Result<Arc<Life>, SendError> {
        match &*self.line.borrow() {
            Line::Up { inbox, life } if !inbox.is_closed() => Ok(Arc::clone(life)),
            Line::Closed => Err(self.closed()),
            _ => Err(self.down()),
        }
    }

    fn down(&self) -> SendError {
        SendError::Down {
            child: Arc::clone(&self.id),
        }
    }

    fn closed(&self) -> SendError {
        SendError::Closed {
            child: Arc::clone(&self.id),
        }
    }

    fn lost(&self) -> SendError {
        SendError::Lost {
            child: Arc::clone(&self.id),
        }
    }
}

fn envelope<A, M>(msg: M, answer: Option<oneshot::Sender<M::Result>>) -> Envelope<A>
where
    A: Child + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    Box::new(move |actor, ctx| {
        // As actix does: nobody waits for the answer any more, so the work is not begun.
        if answer.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return;
        }
        let response = <A as Handler<M>>::handle(actor, msg, ctx);
        response.handle(ctx, answer);
    })
}
