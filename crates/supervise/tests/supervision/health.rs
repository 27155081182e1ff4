//! Asking a tree how it is, and doing it harm on purpose.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{AsyncContext as _, WrapFuture as _};
use signalcore_supervise::{
    ActorRef, EscalationCause, EventKind, ExitReason, Fault, InjectError, Liveness, Location,
    Outcome, Panic, Ping, Restart, SendError, Stage, Supervisor,
};

use crate::probe::{Do, Events, Gate, LIMIT, Log, Probe, Which, add, one_child, quick, run, up};

/// Long enough for whoever is free.
const SOON: Duration = Duration::from_secs(3);

fn answer<'a>(pings: &'a [Ping], child: &str) -> &'a Result<Duration, SendError> {
    let ping = pings.iter().find(|ping| &*ping.child == child).unwrap();
    &ping.answer
}

/// Blocks the actor's thread until the gate is opened; returns when it is blocked.
async fn hang(actor: &ActorRef<Probe>) -> Gate {
    let (gate, begun) = (Gate::default(), Gate::default());
    let (held, begins) = (gate.clone(), begun.clone());
    let hang = Do::it(move |_, _| {
        begins.open();
        held.pass();
    });
    actor.try_tell(hang).unwrap();
    let begun = tokio::task::spawn_blocking(move || begun.pass());
    begun.await.unwrap();
    gate
}

#[test]
fn a_ping_says_of_each_child_whether_its_actor_takes_messages() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        let [_well, busy, waits, hangs] =
            ["well", "busy", "waits", "hangs"].map(|id| add(&mut tree, id, &log));
        let once = quick("once").restart(Restart::Temporary);
        let once = tree.child(once, |incarnation| Ok(Probe::new(incarnation)));
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        tree.inject("once", Fault::Exit).await.unwrap();
        assert_eq!(events.exit("once").await, ExitReason::Normal);
        events.kind("once", EventKind::Ended).await;
        assert!(!once.is_up());

        let gate = hang(&hangs).await;
        let wait = Do::it(|probe, ctx| ctx.wait(std::future::pending().into_actor(probe)));
        waits.send(wait).await.unwrap();
        // A message of 50 ms, and as much behind it as there is room for.
        let nap = || Do::it(|_, _| std::thread::sleep(Duration::from_millis(50)));
        while busy.try_tell(nap()).is_ok() {}

        let pings = tree.ping_all(SOON).await;
        let order: Vec<&str> = pings.iter().map(|ping| &*ping.child).collect();
        assert_eq!(order, ["well", "busy", "waits", "hangs", "once"]);
        assert!(answer(&pings, "well").is_ok(), "{pings:?}");
        assert!(answer(&pings, "busy").is_ok(), "{pings:?}");
        let backlog = busy.backlog();
        assert!(backlog > 100, "the ping waited for {backlog} messages");
        for stuck in ["waits", "hangs"] {
            let deadline = SendError::Deadline {
                child: stuck.into(),
                after: SOON,
            };
            assert_eq!(answer(&pings, stuck), &Err(deadline));
        }
        let closed = SendError::Closed {
            child: "once".into(),
        };
        assert_eq!(answer(&pings, "once"), &Err(closed));
        gate.open();
    });
}

#[test]
fn a_ping_of_a_child_that_ends_meanwhile_is_answered() {
    run(async {
        let (tree, actor, _events) = one_child().await;
        let gate = Gate::default();
        let held = gate.clone();
        let fault = Do::it(move |_, _| {
            held.pass();
            panic!("on purpose");
        });
        actor.try_tell(fault).unwrap();
        let (pings, ()) = tokio::join!(tree.ping_all(LIMIT), async { gate.open() });
        let lost = SendError::Lost {
            child: "child".into(),
        };
        assert!(
            pings[0].answer.is_ok() || pings[0].answer == Err(lost),
            "{pings:?}"
        );
    });
}

#[test]
fn pings_come_from_any_runtime_and_do_not_need_the_supervisors_thread() {
    run(async {
        let (tree, _actor, _events) = one_child().await;
        // The supervisor's thread is blocked here until the other runtime has its answers.
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let pings = tree.ping_all(LIMIT).await;
                // And since it is blocked, it is not live.
                (pings, tree.is_live(Duration::from_millis(50)).await)
            })
        });
        let (pings, live) = other.join().unwrap();
        assert!(pings[0].answer.is_ok(), "{pings:?}");
        assert!(!live);
    });
}

#[test]
fn a_tree_is_live_while_it_supervises_and_not_before_or_after() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        let handle = tree.handle();
        let actor = add(&mut tree, "child", &log);
        assert!(!handle.is_live(Duration::from_millis(20)).await);
        assert!(handle.children().is_empty());
        assert!(handle.ping_all(SOON).await.is_empty());
        let tree = tree.start().await.unwrap();
        assert!(handle.is_live(LIMIT).await && tree.is_live(LIMIT).await);
        // It keeps its children up: a child that is down is its business, and no sign of its death.
        let _ = actor.send(Do::it(|_, _| panic!("on purpose"))).await;
        assert!(handle.is_live(LIMIT).await);
        up(&actor, 2).await;
        assert_eq!(handle.children()[0].restarts, 1);
        assert!(handle.stop(LIMIT).await.is_clean());
        assert!(!handle.is_live(LIMIT).await);
        assert_eq!(tree.wait().await, Outcome::Stopped);
    });
}

#[test]
fn a_child_may_hold_the_handle_of_its_own_tree() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let handle = tree.handle();
        let seen = Arc::new(Mutex::new(None));
        let see = Arc::clone(&seen);
        tree.child(quick("watcher"), move |incarnation| {
            let (handle, see) = (handle.clone(), Arc::clone(&see));
            let mut probe = Probe::new(incarnation);
            probe.on_started = Some(Box::new(move |probe, _| {
                probe.incarnation.spawn("ask", async move {
                    // It is up when it answers itself.
                    while handle.ping_all(SOON).await[0].answer.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    assert!(handle.is_live(LIMIT).await);
                    *see.lock().unwrap() = Some(handle.children()[0].generation);
                    Ok(())
                });
            }));
            Ok(probe)
        });
        let tree = tree.start().await.unwrap();
        let asked = async {
            while seen.lock().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, asked).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), Some(1));
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn a_handle_of_a_tree_that_is_never_started_waits_for_nothing() {
    run(async {
        let tree = Supervisor::builder("test");
        let handle = tree.handle();
        drop(tree);
        let Outcome::Escalated { cause, .. } = handle.wait().await else {
            panic!("expected an escalation");
        };
        assert_eq!(cause, EscalationCause::Supervisor);
        assert!(handle.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn an_injected_panic_is_a_panic_of_the_actor() {
    run(async {
        let (tree, actor, mut events) = one_child().await;
        tree.inject("child", Fault::Panic).await.unwrap();
        let ExitReason::Panicked { stage, panic } = events.exit("child").await else {
            panic!("expected a panic");
        };
        assert_eq!(stage, Stage::Running);
        let Panic { message, location } = panic;
        assert_eq!(message, "injected fault");
        assert!(matches!(location, Some(Location { .. })));
        up(&actor, 2).await;
    });
}

#[test]
fn an_injected_hang_is_found_abandoned_and_wakes_up_without_permission() {
    run(async {
        let guards = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&guards);
        let mut tree = Supervisor::builder("test");
        let watch = Liveness::mailbox(Duration::from_millis(10), SOON);
        let actor = tree.child(quick("child").liveness(watch), move |incarnation| {
            given.lock().unwrap().push(incarnation.guard());
            Ok(Probe::new(incarnation))
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        tree.inject("child", Fault::Hang(SOON * 3)).await.unwrap();
        events.kind("child", EventKind::Abandoned).await;
        assert_eq!(tree.children()[0].abandoned, 1);
        assert!(!guards.lock().unwrap()[0].is_current());
        up(&actor, 2).await;
        events.kind("child", EventKind::AbandonedEnded).await;
        assert_eq!(tree.children()[0].abandoned, 0);
        assert_eq!(actor.send(Which).await, Ok(2));
    });
}

#[test]
fn a_fault_for_nobody_is_refused_and_one_that_nobody_waits_for_is_not_committed() {
    run(async {
        let (tree, actor, mut events) = one_child().await;
        let refused = tree.inject("nobody", Fault::Exit).await.unwrap_err();
        assert!(matches!(&refused, InjectError::NoSuchChild { child, .. } if child == "nobody"));
        assert_eq!(
            refused.to_string(),
            "supervisor test has no child named nobody"
        );

        let gate = hang(&actor).await;
        let early = tokio::time::timeout(
            Duration::from_millis(50),
            tree.inject("child", Fault::Panic),
        );
        assert!(early.await.is_err());
        gate.open();
        assert_eq!(actor.send(Which).await, Ok(1));

        tree.inject("child", Fault::Exit).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
    });
}
