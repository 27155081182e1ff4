//! A panic anywhere in a child is that child's failure: reported with its words and its place, and survived.

use std::time::Duration;

use actix::{ActorContext as _, AsyncContext as _, Context, WrapFuture as _};
use signalcore_supervise::{
    ActorRef, EventKind, ExitReason, Panic, SendError, Stage, StartError, Supervisor,
};

use crate::probe::{Do, Events, Gate, Log, Probe, Respond, Which, add, one_child, quick, run, up};

/// A panic that says where it is.
macro_rules! boom {
    ($what:expr) => {
        panic!("{} in line {}", $what, line!())
    };
}

fn assert_here(panic: &Panic, what: &str) {
    let at = panic.location.as_ref().expect("the place is known");
    assert!(at.file.ends_with("panics.rs"), "{at}");
    assert_eq!(panic.message, format!("{what} in line {}", at.line));
}

/// Injects a fault into the first generation; the second must be up and answer through the same reference.
async fn survives(
    stage: Stage,
    what: &str,
    fault: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static,
) {
    let (tree, actor, mut events) = one_child().await;
    let _ = actor.send(Do::it(fault)).await;
    let reason = events.exit("child").await;
    let ExitReason::Panicked { stage: seen, panic } = &reason else {
        panic!("expected a panic, saw: {reason}");
    };
    assert_eq!(*seen, stage);
    assert_here(panic, what);
    up(&actor, 2).await;
    assert_eq!(actor.send(Which).await, Ok(2));
    let status = &tree.children()[0];
    assert_eq!((status.generation, status.restarts), (2, 1));
    assert_eq!(status.last_exit.as_ref().unwrap().reason, reason);
    assert!(tree.stop(Duration::from_mins(1)).await.is_clean());
}

#[test]
fn in_a_handler() {
    run(survives(Stage::Running, "handler", |_, _| boom!("handler")));
}

#[test]
fn in_a_future_of_the_context() {
    run(survives(Stage::Running, "future", |probe, ctx| {
        ctx.spawn(
            async {
                tokio::task::yield_now().await;
                boom!("future")
            }
            .into_actor(probe),
        );
    }));
}

#[test]
fn in_an_interval() {
    run(survives(Stage::Running, "interval", |_, ctx| {
        ctx.run_interval(Duration::from_millis(1), |_, _| boom!("interval"));
    }));
}

#[test]
fn in_what_the_context_waits_for() {
    run(survives(Stage::Running, "wait", |probe, ctx| {
        ctx.wait(
            async {
                tokio::task::yield_now().await;
                boom!("wait")
            }
            .into_actor(probe),
        );
    }));
}

#[test]
fn in_a_detached_future() {
    run(survives(Stage::Detached, "detached", |_, _| {
        drop(actix::spawn(async { boom!("detached") }));
    }));
}

#[test]
fn in_a_spawned_task() {
    let stage = Stage::Task("worker".into());
    run(survives(stage, "task", |probe, _| {
        probe.incarnation.spawn("worker", async {
            tokio::task::yield_now().await;
            boom!("task")
        });
    }));
}

#[test]
fn in_a_thread_of_the_child() {
    let stage = Stage::Thread("worker".into());
    run(survives(stage, "thread", |probe, _| {
        let thread = probe.incarnation.thread("worker", |_| boom!("thread"));
        thread.unwrap();
    }));
}

#[test]
fn in_stopped() {
    run(survives(Stage::Stopping, "stopped", |probe, ctx| {
        probe.on_stopped = Some(Box::new(|_, _| boom!("stopped")));
        ctx.stop();
    }));
}

#[test]
fn in_a_response_future_and_the_caller_is_told() {
    run(async {
        let (_tree, actor, mut events) = one_child().await;
        let answer = actor.send(Respond(Box::new(|| boom!("response")))).await;
        assert!(matches!(answer, Err(SendError::Lost { .. })), "{answer:?}");
        let ExitReason::Panicked { stage, panic } = events.exit("child").await else {
            panic!("expected a panic");
        };
        assert_eq!(stage, Stage::Detached);
        assert_here(&panic, "response");
        up(&actor, 2).await;
        assert_eq!(actor.send(Respond(Box::new(|| 7))).await, Ok(7));
    });
}

#[test]
fn in_drop_after_a_clean_stop() {
    run(async {
        let (_tree, actor, mut events) = one_child().await;
        let fault = Do::it(move |probe, ctx| {
            probe.on_drop = Some(Box::new(|| boom!("drop")));
            ctx.stop();
        });
        actor.send(fault).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        let panic = events
            .next("child", |event| match &event.kind {
                EventKind::CleanupPanicked(panic) => Some(panic.clone()),
                _ => None,
            })
            .await;
        assert_here(&panic, "drop");
        up(&actor, 2).await;
    });
}

/// With actix alone this aborts the process: `stopped` runs while the handler's panic unwinds.
#[test]
fn in_a_handler_then_in_stopped_then_in_drop() {
    run(async {
        let (_tree, actor, mut events) = one_child().await;
        let fault = Do::it(|probe, _| {
            probe.on_stopped = Some(Box::new(|_, _| panic!("second")));
            probe.on_drop = Some(Box::new(|| panic!("third")));
            panic!("first")
        });
        let answer = actor.send(fault).await;
        assert!(matches!(answer, Err(SendError::Lost { .. })), "{answer:?}");
        let reason = events.exit("child").await.to_string();
        assert!(reason.contains("first"), "{reason}");
        for expected in ["second", "third"] {
            let message = events
                .next("child", |event| match &event.kind {
                    EventKind::CleanupPanicked(panic) => Some(panic.message.clone()),
                    _ => None,
                })
                .await;
            assert_eq!(message, expected);
        }
        up(&actor, 2).await;
        assert_eq!(actor.send(Which).await, Ok(2));
    });
}

#[test]
fn stopped_runs_after_a_panic_in_a_handler_before_the_actor_is_dropped() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        let notes = log.clone();
        let actor = tree.child(quick("child"), move |incarnation| {
            Ok(Probe::logging(incarnation, notes.clone()))
        });
        let _tree = tree.start().await.unwrap();
        let _ = actor.send(Do::it(|_, _| boom!("handler"))).await;
        up(&actor, 2).await;
        let entries = log.entries();
        assert_eq!(
            entries,
            [
                "child#1 started",
                "child#1 stopped",
                "child#1 dropped",
                "child#2 started"
            ]
        );
    });
}

#[test]
fn ends_even_an_actor_that_refuses_to_stop_and_nothing_more_is_handled() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        let actor = add(&mut tree, "child", &log);
        let _tree = tree.start().await.unwrap();
        let (gate, entered) = (Gate::default(), Gate::default());
        let (held, enter) = (gate.clone(), entered.clone());
        let fault = Do::it(move |probe, _| {
            probe.stubborn = true;
            enter.open();
            held.pass();
            panic!("handler")
        });
        actor.try_tell(fault).unwrap();
        entered.pass();
        let next = Do::it(|probe, _| probe.log.add("handled"));
        actor.try_tell(next).unwrap();
        gate.open();
        up(&actor, 2).await;
        let expected = ["child#1 started", "child#1 dropped", "child#2 started"];
        assert_eq!(log.entries(), expected);
    });
}

/// A future that dies with the thread, and screams.
struct Screams;

impl Drop for Screams {
    fn drop(&mut self) {
        panic!("the future was dropped")
    }
}

#[test]
fn in_the_drop_of_a_future_that_ends_with_its_thread() {
    run(async {
        let (_tree, actor, mut events) = one_child().await;
        let fault = Do::it(|probe, ctx| {
            let screams = Screams;
            probe.incarnation.spawn("waits", async move {
                std::future::pending::<()>().await;
                drop(screams);
                Ok(())
            });
            ctx.stop();
        });
        actor.send(fault).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        up(&actor, 2).await;
    });
}

#[test]
fn in_the_factory() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("child"), |incarnation| {
            if incarnation.generation() == 2 {
                boom!("factory");
            }
            Ok(Probe::new(incarnation))
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        actor.send(Do::it(|_, ctx| ctx.stop())).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        let ExitReason::Panicked { stage, panic } = events.exit("child").await else {
            panic!("expected a panic");
        };
        assert_eq!(stage, Stage::Factory);
        assert_here(&panic, "factory");
        assert_eq!(up(&actor, 3).await, 3);
    });
}

#[test]
fn in_started_and_in_what_started_waits_for() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("child"), |incarnation| {
            let generation = incarnation.generation();
            let mut probe = Probe::new(incarnation);
            probe.on_started = Some(Box::new(move |probe, ctx| match generation {
                2 => boom!("started"),
                3 => ctx.wait(async { boom!("waited for") }.into_actor(probe)),
                _ => {}
            }));
            Ok(probe)
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        actor.send(Do::it(|_, ctx| ctx.stop())).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        for what in ["started", "waited for"] {
            let ExitReason::Panicked { stage, panic } = events.exit("child").await else {
                panic!("expected a panic");
            };
            assert_eq!(stage, Stage::Starting);
            assert_here(&panic, what);
        }
        assert_eq!(up(&actor, 4).await, 4);
    });
}

#[test]
fn at_the_first_start_ends_the_start_and_names_the_child() {
    run(async {
        let mut tree = Supervisor::builder("test");
        tree.child::<Probe, _>(quick("child"), |_| panic!("no luck"));
        let error = tree.start().await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("child did not come up: panicked with \"no luck\""),
            "{error}"
        );
        let StartError::Child { child, reason, .. } = error else {
            panic!("expected the child's failure");
        };
        let ExitReason::Panicked { stage, .. } = *reason else {
            panic!("expected a panic, saw: {reason}");
        };
        assert_eq!((&*child, stage), ("child", Stage::Factory));
    });
}

#[test]
fn with_a_payload_that_is_not_text() {
    run(async {
        let (_tree, actor, mut events) = one_child().await;
        let _ = actor.send(Do::it(|_, _| std::panic::panic_any(42))).await;
        let ExitReason::Panicked { panic, .. } = events.exit("child").await else {
            panic!("expected a panic");
        };
        assert_eq!(panic.message, "(a payload that is not text)");
        assert!(panic.location.is_some());
        up(&actor, 2).await;
    });
}

#[test]
fn that_the_child_catches_itself_is_no_failure() {
    run(async {
        let (tree, actor, _events) = one_child().await;
        let caught = Do::it(|_, _| {
            assert!(std::panic::catch_unwind(|| panic!("caught")).is_err());
        });
        actor.send(caught).await.unwrap();
        // What is caught later must not be taken for it.
        let mut events = Events::of(&tree);
        let _ = actor
            .send(Do::it(|_, _| {
                std::panic::resume_unwind(Box::new("resumed"))
            }))
            .await;
        let ExitReason::Panicked { panic, .. } = events.exit("child").await else {
            panic!("expected a panic");
        };
        assert_eq!((&*panic.message, panic.location), ("resumed", None));
        assert_eq!(up(&actor, 2).await, 2);
    });
}

#[test]
fn of_many_children_at_once_are_told_apart() {
    const CHILDREN: u64 = 8;
    run(async {
        let mut tree = Supervisor::builder("test");
        let gate = Gate::default();
        let actors: Vec<ActorRef<Probe>> = (0..CHILDREN)
            .map(|n| {
                tree.child(quick(&format!("child-{n}")), |incarnation| {
                    Ok(Probe::new(incarnation))
                })
            })
            .collect();
        let tree = tree.start().await.unwrap();
        let mut watchers: Vec<Events> = actors.iter().map(|_| Events::of(&tree)).collect();
        for (n, actor) in (0..CHILDREN).zip(&actors) {
            let gate = gate.clone();
            let fault = Do::it(move |_, _| {
                gate.pass();
                match n % 2 {
                    0 => boom!(format!("this is child {n}")),
                    _ => boom!(format!("and this is child {n}")),
                }
            });
            actor.try_tell(fault).unwrap();
        }
        gate.open();
        for (n, events) in watchers.iter_mut().enumerate() {
            let ExitReason::Panicked { panic, .. } = events.exit(&format!("child-{n}")).await
            else {
                panic!("expected a panic");
            };
            match n % 2 {
                0 => assert_here(&panic, &format!("this is child {n}")),
                _ => assert_here(&panic, &format!("and this is child {n}")),
            }
        }
        for actor in &actors {
            assert_eq!(up(actor, 2).await, 2);
        }
    });
}
