//! The right to publish and to write, for tests.
#![allow(clippy::unwrap_used)]

use actix::{Actor, ActorContext as _, Context, Handler};
use supervise::{ChildSpec, GenerationGuard, Shutdown, Supervisor};

struct Idle;

impl Actor for Idle {
    type Context = Context<Self>;
}

impl Handler<Shutdown> for Idle {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// That of a child that does nothing, until its supervisor is stopped.
pub async fn right() -> (Supervisor, GenerationGuard) {
    let (give, mut given) = tokio::sync::mpsc::channel(1);
    let mut tree = Supervisor::builder("test");
    tree.child(ChildSpec::new("child"), move |incarnation| {
        give.try_send(incarnation.guard())?;
        Ok(Idle)
    });
    let tree = tree.start().await.unwrap();
    (tree, given.recv().await.unwrap())
}
