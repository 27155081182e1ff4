//! Asking a running tree how it is, and doing it harm on purpose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::oneshot;

use crate::desk::Command;
use crate::life::Life;
use crate::{SendError, Supervisor, branch};

/// What one child said to a ping; see [`Supervisor::ping_all`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// The child's id.
    pub child: Arc<str>,
    /// How long it took the actor to take the ping; or why there is no answer.
    pub answer: Result<Duration, SendError>,
}

/// What can be done to a child on purpose, to see that the tree survives it; see [`Supervisor::inject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The actor panics.
    Panic,
    /// The actor blocks its thread for this long, then goes on as if nothing had happened.
    Hang(Duration),
    /// The actor waits in `ctx.wait` for this long: its thread is free, and no message is handled.
    Stall(Duration),
    /// The actor stops by itself, without an error.
    Exit,
}

/// Why a fault was not injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// There is no such child.
    #[error("supervisor {supervisor} has no child named {child}")]
    NoSuchChild {
        /// The supervisor's name.
        supervisor: Arc<str>,
        /// The name that was given.
        child: String,
    },
    /// The child could not be reached.
    #[error("the fault was not injected: {0}")]
    Unreachable(#[source] SendError),
}

/// A child of any type, as far as handles get at it.
pub(crate) trait Reach: Send + Sync {
    fn id(&self) -> &Arc<str>;
    /// The incarnation that is up.
    fn life(&self) -> Result<Arc<Life>, SendError>;
    /// The tree below, if it is one.
    fn below(&self) -> Option<Supervisor>;
}

pub(crate) fn find<'a>(children: &'a [Arc<dyn Reach>], id: &str) -> Option<&'a dyn Reach> {
    let found = children.iter().find(|child| &**child.id() == id);
    found.map(|child| &**child)
}

async fn ping(name: Arc<str>, child: Arc<dyn Reach>, deadline: Duration) -> Ping {
    let asked = Instant::now();
    let answer = match child.life() {
        Ok(life) => match tokio::time::timeout(deadline, life.ping()).await {
            Ok(Ok(at)) => Ok(at.saturating_duration_since(asked)),
            Ok(Err(_)) => Err(lost(&*child)),
            Err(_) => Err(SendError::Deadline {
                child: Arc::clone(child.id()),
                after: deadline,
            }),
        },
        Err(error) => Err(error),
    };
    Ping {
        child: name,
        answer,
    }
}

fn lost(child: &dyn Reach) -> SendError {
    SendError::Lost {
        child: Arc::clone(child.id()),
    }
}

impl Supervisor {
    /// Every child by its name, and what is below it, in start order.
    fn everybody(&self) -> Vec<(Arc<str>, Arc<dyn Reach>)> {
        let mut all = Vec::new();
        for child in self.reach() {
            all.push((Arc::clone(child.id()), Arc::clone(child)));
            let below = child.below().map_or_else(Vec::new, |tree| tree.everybody());
            let named = below.into_iter();
            all.extend(named.map(|(name, below)| (branch::path(child.id(), &name), below)));
        }
        all
    }

    /// Pings every child at once, each through its own actor, and says in start order what they answered.
    ///
    /// A ping overtakes the child's mailbox and is answered by the actor where it takes its messages: a full
    /// mailbox delays it by the message that is being handled, a handler that does not return and a `ctx.wait`
    /// that does not end leave it unanswered. A child that is not up answers [`SendError::Down`] or
    /// [`SendError::Closed`], one that ends meanwhile [`SendError::Lost`], one that is stuck
    /// [`SendError::Deadline`] after `deadline`.
    ///
    /// Can be called from any thread within a tokio runtime that has its timer; it does not need the supervisor's own
    /// task. Empty before the tree is started.
    pub async fn ping_all(&self, deadline: Duration) -> Vec<Ping> {
        let children = self.everybody().into_iter();
        join_all(children.map(|(name, child)| ping(name, child, deadline))).await
    }

    /// Whether the supervisor's own task answers within `deadline` and supervises: it is starting its children or keeping
    /// them up, and neither stops nor gives up.
    ///
    /// This is what a watchdog asks before it is fed. Must be called within a tokio runtime that has its timer.
    pub async fn is_live(&self, deadline: Duration) -> bool {
        let ask = async {
            let (answer, answered) = oneshot::channel();
            let sent = self.commands().send(Command::Live { answer }).await;
            sent.is_ok() && answered.await.unwrap_or(false)
        };
        tokio::time::timeout(deadline, ask).await.unwrap_or(false)
    }

    /// Does harm to a child on purpose, in its actor's own context. Returns when the actor has begun with it.
    ///
    /// The fault goes the way of a ping: it overtakes the mailbox, and an actor that is stuck does not begin with it until
    /// it is free or has ended. Whoever cannot wait for that puts a timeout around the call; a fault whose caller
    /// is gone is not committed.
    ///
    /// # Errors
    /// If there is no such child, or if it is not up, or if it ends before it has begun.
    pub async fn inject(&self, child: &str, fault: Fault) -> Result<(), InjectError> {
        let mut everybody = self.everybody().into_iter();
        let Some((_, child)) = everybody.find(|(name, _)| &**name == child) else {
            return Err(InjectError::NoSuchChild {
                supervisor: self.shared_name(),
                child: child.to_owned(),
            });
        };
        let life = child.life().map_err(InjectError::Unreachable)?;
        let begun = life.inject(fault).await;
        begun.map_err(|_| InjectError::Unreachable(lost(&*child)))
    }
}
