//! A child that is itself a tree.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler,
    WrapFuture as _,
};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::exit::ExitReason;
use crate::status::{Outcome, SupervisionEvent};
use crate::{Incarnation, Shutdown, Supervisor, SupervisorBuilder};

/// Where the handle of the tree below is found: that of the present incarnation.
#[derive(Clone, Default)]
pub(crate) struct Below(Arc<Mutex<Option<Supervisor>>>);

impl Below {
    pub(crate) fn set(&self, tree: Supervisor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tree);
    }

    pub(crate) fn get(&self) -> Option<Supervisor> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Supervises below, is supervised from above.
///
/// It is up when its tree is, stops when its tree has stopped, and fails when its tree gives up.
pub(crate) struct Branch {
    pub(crate) incarnation: Incarnation,
    pub(crate) below: Option<SupervisorBuilder>,
    pub(crate) tree: Supervisor,
    /// How long its tree may take to stop.
    pub(crate) deadline: Duration,
    /// Where its tree's events go.
    pub(crate) above: broadcast::Sender<SupervisionEvent>,
}

/// What the tree gets of its branch's shutdown deadline. The rest is for the branch to end in.
pub(crate) fn share(shutdown: Duration) -> Duration {
    shutdown.saturating_sub((shutdown / 4).min(Duration::from_millis(500)))
}

/// A child's name as it is known above.
pub(crate) fn path(branch: &str, child: &str) -> Arc<str> {
    format!("{branch}/{child}").into()
}

impl Actor for Branch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(below) = self.below.take() else {
            return;
        };
        let events = pass_on(
            self.incarnation.id().into(),
            self.tree.events(),
            self.above.clone(),
        );
        self.incarnation.spawn("events", events);
        let start = below.start().into_actor(self);
        ctx.wait(start.map(|started, branch, ctx| match started {
            Ok(tree) => {
                let ended = async move { tree.wait().await }.into_actor(branch);
                ctx.spawn(ended.map(Self::ended));
            }
            Err(error) => branch.incarnation.fail(error),
        }));
    }
}

impl Branch {
    fn ended(outcome: Outcome, branch: &mut Self, ctx: &mut Context<Self>) {
        match outcome {
            Outcome::Escalated {
                child,
                cause,
                exits,
            } => branch.incarnation.life.fail_with(ExitReason::Escalated {
                child,
                cause,
                exits,
            }),
            Outcome::Stopped => ctx.stop(),
        }
    }
}

impl Handler<Shutdown> for Branch {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        let (tree, deadline) = (self.tree.clone(), self.deadline);
        let stop = async move { tree.stop(deadline).await }.into_actor(self);
        ctx.wait(stop.map(|_, _, ctx| ctx.stop()));
    }
}

async fn pass_on(
    branch: Arc<str>,
    mut events: broadcast::Receiver<SupervisionEvent>,
    above: broadcast::Sender<SupervisionEvent>,
) -> Result<(), crate::BoxError> {
    loop {
        match events.recv().await {
            Ok(mut event) => {
                event.child = path(&branch, &event.child);
                // Without readers there is nobody to tell.
                let _ = above.send(event);
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}
