//! A child that holds a tree of its own.

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler,
    WrapFuture as _,
};
use signalcore_supervise::{
    ActorRef, ChildSpec, Incarnation, Outcome, Shutdown, Supervisor, SupervisorBuilder,
};

use crate::probe::{Do, LIMIT, Log, Probe, Which, add, limits, quick, run, up};

/// Supervises below, is supervised from above.
struct Branch {
    incarnation: Incarnation,
    below: Option<SupervisorBuilder>,
    tree: Option<Supervisor>,
}

impl Actor for Branch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(below) = self.below.take() else {
            return;
        };
        let start = below
            .start()
            .into_actor(self)
            .map(|started, branch, _| match started {
                Ok(tree) => {
                    let (watched, incarnation) = (tree.clone(), branch.incarnation.clone());
                    branch.incarnation.spawn("watch", async move {
                        if let Outcome::Escalated { child, .. } = watched.wait().await {
                            incarnation.fail(format!("{child} could not be kept up"));
                        }
                        Ok(())
                    });
                    branch.tree = Some(tree);
                }
                Err(error) => branch.incarnation.fail(error),
            });
        ctx.wait(start);
    }
}

impl Handler<Shutdown> for Branch {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        let tree = self.tree.take();
        let stop = async move {
            if let Some(tree) = tree {
                tree.stop(LIMIT).await;
            }
        };
        ctx.wait(stop.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

/// A root with one branch with one leaf; the leaf's reference is made anew by each branch.
fn nested(
    log: &Log,
    spec: ChildSpec,
) -> (
    SupervisorBuilder,
    signalcore_supervise::Latest<Option<ActorRef<Probe>>>,
) {
    let leaf = signalcore_supervise::Latest::new(None);
    let (log, slot) = (log.clone(), leaf.clone());
    let mut root = Supervisor::builder("root");
    root.child(quick("branch"), move |incarnation| {
        let mut below = Supervisor::builder("branch");
        let notes = log.clone();
        slot.set(Some(below.child(spec.clone(), move |incarnation| {
            Ok(Probe::logging(incarnation, notes.clone()))
        })));
        Ok(Branch {
            incarnation,
            below: Some(below),
            tree: None,
        })
    });
    add(&mut root, "after", &Log::default());
    (root, leaf)
}

#[test]
fn the_tree_below_starts_before_and_stops_within_its_child() {
    run(async {
        let log = Log::default();
        let (root, leaf) = nested(&log, quick("leaf"));
        let root = root.start().await.unwrap();
        // The branch was up only when its leaf was.
        let leaf = leaf.get().unwrap();
        assert_eq!(leaf.send(Which).await, Ok(1));
        let _ = leaf.send(Do::it(|_, _| panic!("on purpose"))).await;
        up(&leaf, 2).await;
        assert_eq!(root.children()[0].restarts, 0);
        assert!(root.stop(LIMIT).await.is_clean());
        assert_eq!(log.entries().last().unwrap(), "leaf#2 dropped");
    });
}

#[test]
fn an_escalation_below_is_a_failure_of_the_child_above() {
    run(async {
        let log = Log::default();
        let (root, latest) = nested(&log, quick("leaf").limits(limits(0)));
        let root = root.start().await.unwrap();
        let mut watch = latest.watch();
        let leaf = latest.get().unwrap();
        let _ = leaf.send(Do::it(|_, _| panic!("on purpose"))).await;
        let second = tokio::time::timeout(LIMIT, watch.changed())
            .await
            .unwrap()
            .unwrap();
        up(&second, 1).await;
        assert_eq!(second.send(Which).await, Ok(1));
        let exit = root.children()[0].last_exit.clone().unwrap();
        assert_eq!(
            exit.reason.to_string(),
            "failed (actor): leaf could not be kept up"
        );
        assert!(root.stop(LIMIT).await.is_clean());
    });
}
