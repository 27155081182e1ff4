//! Panic hooks of others. In a binary of its own, since a hook belongs to the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::{Actor, ActorContext as _, Context, Handler, Message};
use signalcore_supervise::{
    ActorRef, ChildSpec, ExitReason, Incarnation, Panic, Shutdown, Supervisor,
};

struct Fragile(Incarnation);

impl Actor for Fragile {
    type Context = Context<Self>;
}

impl Handler<Shutdown> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

struct Break;

impl Message for Break {
    type Result = ();
}

impl Handler<Break> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Break, _: &mut Self::Context) {
        panic!("generation {} breaks", self.0.generation())
    }
}

/// Breaks the incarnation that is up, and waits for the next one.
async fn break_it(tree: &Supervisor, actor: &ActorRef<Fragile>) -> Panic {
    let generation = actor.wait_up().await.unwrap();
    actor.send(Break).await.unwrap_err();
    let next = async {
        while actor.wait_up().await.unwrap() == generation {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), next)
        .await
        .expect("it is restarted");
    let exit = tree.children()[0].last_exit.clone().unwrap();
    let ExitReason::Panicked { panic, .. } = exit.reason else {
        panic!("expected a panic, saw: {exit}");
    };
    panic
}

#[test]
fn a_hook_that_was_there_before_is_called_and_one_that_comes_later_hides_the_place_only() {
    let heard = Arc::new(AtomicU32::new(0));
    let hears = Arc::clone(&heard);
    std::panic::set_hook(Box::new(move |_| {
        hears.fetch_add(1, Ordering::SeqCst);
    }));
    actix::System::new().block_on(async {
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(ChildSpec::new("fragile"), |incarnation| {
            Ok(Fragile(incarnation))
        });
        let tree = tree.start().await.unwrap();

        let panic = break_it(&tree, &actor).await;
        assert_eq!(panic.message, "generation 1 breaks");
        assert!(panic.location.is_some());
        assert_eq!(heard.load(Ordering::SeqCst), 1);

        std::panic::set_hook(Box::new(|_| {}));
        let panic = break_it(&tree, &actor).await;
        let expected = Panic {
            message: "generation 2 breaks".into(),
            location: None,
        };
        assert_eq!(panic, expected);
    });
}
