//! Who is restarted, how often, and what follows when that is not enough.

use std::time::Duration;

use actix::ActorContext as _;
use signalcore_supervise::{
    ActorRef, ChildState, EscalationCause, EventKind, ExitReason, Outcome, Restart, SendError,
    Supervisor,
};

use crate::probe::{Do, Events, Log, Probe, Which, limits, quick, run, up};

async fn one_child(restart: Restart) -> (Supervisor, ActorRef<Probe>, Events) {
    let mut tree = Supervisor::builder("test");
    let spec = quick("child").restart(restart);
    let actor = tree.child(spec, |incarnation| Ok(Probe::new(incarnation)));
    let tree = tree.start().await.unwrap();
    let events = Events::of(&tree);
    (tree, actor, events)
}

fn stops() -> Do {
    Do::it(|_, ctx| ctx.stop())
}

fn panics() -> Do {
    Do::it(|_, _| panic!("on purpose"))
}

async fn is_gone(tree: &Supervisor, actor: &ActorRef<Probe>, events: &mut Events) {
    events.kind("child", EventKind::Ended).await;
    assert!(matches!(
        actor.wait_up().await,
        Err(SendError::Closed { .. })
    ));
    assert!(matches!(
        actor.send(Which).await,
        Err(SendError::Closed { .. })
    ));
    assert!(matches!(
        actor.try_tell(Which),
        Err(SendError::Closed { .. })
    ));
    assert_eq!(tree.children()[0].state, ChildState::Ended);
    assert_eq!(tree.children()[0].restarts, 0);
}

#[test]
fn a_permanent_child_is_restarted_however_it_ends() {
    run(async {
        let (_tree, actor, mut events) = one_child(Restart::Permanent).await;
        actor.send(stops()).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        up(&actor, 2).await;
        let _ = actor.send(panics()).await;
        assert!(events.exit("child").await.is_abnormal());
        up(&actor, 3).await;
        actor.send(Do::it(|_, ctx| ctx.terminate())).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        up(&actor, 4).await;
        assert_eq!(actor.send(Which).await, Ok(4));
    });
}

#[test]
fn a_transient_child_is_restarted_after_a_panic_only() {
    run(async {
        let (_tree, actor, _events) = one_child(Restart::Transient).await;
        let _ = actor.send(panics()).await;
        assert_eq!(up(&actor, 2).await, 2);
    });
    run(async {
        let (tree, actor, mut events) = one_child(Restart::Transient).await;
        actor.send(stops()).await.unwrap();
        is_gone(&tree, &actor, &mut events).await;
    });
}

#[test]
fn a_temporary_child_is_never_restarted() {
    for fault in [stops, panics] {
        run(async move {
            let (tree, actor, mut events) = one_child(Restart::Temporary).await;
            let _ = actor.send(fault()).await;
            is_gone(&tree, &actor, &mut events).await;
        });
    }
}

#[test]
fn others_are_not_touched_by_a_restart() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let calm = tree.child(quick("calm"), |incarnation| Ok(Probe::new(incarnation)));
        let wild = tree.child(quick("wild"), |incarnation| Ok(Probe::new(incarnation)));
        let tree = tree.start().await.unwrap();
        for generation in 1..=5 {
            let _ = wild.send(panics()).await;
            up(&wild, generation + 1).await;
        }
        assert_eq!(calm.send(Which).await, Ok(1));
        assert_eq!(tree.children()[0].restarts, 0);
        assert_eq!(tree.children()[1].restarts, 5);
    });
}

#[test]
fn a_child_that_fails_too_often_escalates_and_the_others_are_stopped_in_reverse() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        let mut add = |id: &str, restarts| {
            let notes = log.clone();
            tree.child(quick(id).limits(limits(restarts)), move |incarnation| {
                Ok(Probe::logging(incarnation, notes.clone()))
            })
        };
        add("first", 10);
        let wild = add("wild", 2);
        let third = add("third", 10);
        let tree = tree.start().await.unwrap();
        for generation in 1..=3 {
            up(&wild, generation).await;
            let _ = wild.send(panics()).await;
        }
        let Outcome::Escalated {
            child,
            cause,
            exits,
        } = tree.wait().await
        else {
            panic!("expected an escalation");
        };
        assert_eq!((&*child, cause), ("wild", EscalationCause::Intensity));
        assert_eq!(exits.len(), 3);
        assert!(exits.iter().map(|exit| exit.generation).eq(1..=3));
        let asked: Vec<String> = log
            .entries()
            .into_iter()
            .filter(|entry| entry.ends_with("asked to stop"))
            .collect();
        assert_eq!(asked, ["third#1 asked to stop", "first#1 asked to stop"]);
        assert!(matches!(
            third.send(Which).await,
            Err(SendError::Closed { .. })
        ));
        // Who asks later is told the same.
        assert!(matches!(tree.wait().await, Outcome::Escalated { .. }));
        assert!(tree.stop(Duration::from_mins(1)).await.is_clean());
    });
}

#[test]
fn a_child_whose_restart_fails_is_tried_again() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("child"), |incarnation| {
            match incarnation.generation() {
                2 | 3 => Err("the port is still taken".into()),
                _ => Ok(Probe::new(incarnation)),
            }
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        actor.send(stops()).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        for _ in 0..2 {
            let failed = ExitReason::StartFailed("the port is still taken".into());
            assert_eq!(events.exit("child").await, failed);
        }
        assert_eq!(up(&actor, 4).await, 4);
        assert_eq!(tree.children()[0].restarts, 3);
    });
}

#[test]
fn a_child_whose_arbiter_is_stopped_under_it_is_missed() {
    run(async {
        let (_tree, actor, mut events) = one_child(Restart::Transient).await;
        let fault = Do::it(|_, _| {
            actix::Arbiter::current().stop();
        });
        let _ = actor.send(fault).await;
        assert_eq!(events.exit("child").await, ExitReason::Vanished);
        assert_eq!(up(&actor, 2).await, 2);
    });
}

#[test]
fn the_tree_works_on_a_thread_of_another_arbiter_too() {
    run(async {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let arbiter = actix::Arbiter::new();
        arbiter.spawn_fn(move || {
            actix::spawn(async move {
                let (tree, actor, _events) = one_child(Restart::Permanent).await;
                let _ = actor.send(panics()).await;
                up(&actor, 2).await;
                let answer = actor.send(Which).await;
                let report = tree.stop(Duration::from_mins(1)).await;
                let _ = tx.send((answer, report.is_clean()));
            });
        });
        assert_eq!(rx.await.unwrap(), (Ok(2), true));
        arbiter.stop();
        arbiter.join().unwrap();
    });
}
