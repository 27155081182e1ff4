//! Ordered start, reverse stop, deadlines, and who is named when one passes.

use std::time::{Duration, Instant};

use actix::{ActorContext as _, ActorFutureExt as _, AsyncContext as _, WrapFuture as _};
use signalcore_supervise::{ChildState, EventKind, ExitReason, Outcome, SendError, Supervisor};

use crate::probe::{Do, Events, Gate, LIMIT, Log, Probe, Which, add, quick, run};

#[test]
fn children_start_in_order_and_stop_in_reverse() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        // The first one takes its time: the second must wait for it all the same.
        let notes = log.clone();
        tree.child(quick("a"), move |incarnation| {
            let mut probe = Probe::logging(incarnation, notes.clone());
            let notes = notes.clone();
            probe.on_started = Some(Box::new(move |probe, ctx| {
                let slow = async move {
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    notes.add("a is ready");
                };
                ctx.wait(slow.into_actor(probe));
            }));
            Ok(probe)
        });
        add(&mut tree, "b", &log);
        add(&mut tree, "c", &log);
        let tree = tree.start().await.unwrap();
        assert!(
            tree.children()
                .iter()
                .all(|child| child.state == ChildState::Up)
        );
        let report = tree.stop(LIMIT).await;
        assert!(report.is_clean());
        assert_eq!(tree.wait().await, Outcome::Stopped);
        let expected = [
            "a#1 started",
            "a is ready",
            "b#1 started",
            "c#1 started",
            "c#1 asked to stop",
            "c#1 stopped",
            "c#1 dropped",
            "b#1 asked to stop",
            "b#1 stopped",
            "b#1 dropped",
            "a#1 asked to stop",
            "a#1 stopped",
            "a#1 dropped",
        ];
        assert_eq!(log.entries(), expected);
        assert!(
            tree.children()
                .iter()
                .all(|child| child.state == ChildState::Ended)
        );
        let reasons = tree
            .children()
            .into_iter()
            .map(|child| child.last_exit.unwrap().reason);
        assert!(reasons.eq([
            ExitReason::Shutdown,
            ExitReason::Shutdown,
            ExitReason::Shutdown
        ]));
    });
}

#[test]
fn a_stop_names_the_child_that_hangs_and_stops_the_others() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        add(&mut tree, "a", &log);
        let hung = tree.child(
            quick("hung").shutdown(Duration::from_millis(50)),
            |incarnation| Ok(Probe::new(incarnation)),
        );
        add(&mut tree, "c", &log);
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        let (gate, entered) = (Gate::default(), Gate::default());
        let (held, enter) = (gate.clone(), entered.clone());
        let hang = Do::it(move |_, _| {
            enter.open();
            held.pass();
        });
        hung.try_tell(hang).unwrap();
        entered.pass();
        let report = tree.stop(LIMIT).await;
        assert_eq!(report.still_running, ["hung".into()]);
        assert_eq!(events.exit("hung").await, ExitReason::Abandoned);
        // Reverse order holds around it.
        let stops: Vec<String> = log.entries();
        assert_eq!(
            stops[2..],
            [
                "c#1 asked to stop",
                "c#1 stopped",
                "c#1 dropped",
                "a#1 asked to stop",
                "a#1 stopped",
                "a#1 dropped",
            ]
        );
        let status = &tree.children()[1];
        assert_eq!((status.state, status.abandoned), (ChildState::Ended, 1));
        gate.open();
    });
}

#[test]
fn one_deadline_holds_for_all_children_together() {
    run(async {
        let gate = Gate::default();
        let mut tree = Supervisor::builder("test");
        for id in ["a", "b", "c"] {
            // Each alone might take its time.
            let gate = gate.clone();
            tree.child(quick(id), move |incarnation| {
                let mut probe = Probe::new(incarnation);
                let gate = gate.clone();
                probe.on_shutdown = Some(Box::new(move |_, _| gate.pass()));
                Ok(probe)
            });
        }
        let tree = tree.start().await.unwrap();
        let asked = Instant::now();
        let report = tree.stop(Duration::from_secs(4)).await;
        assert!(asked.elapsed() < LIMIT / 2, "{:?}", asked.elapsed());
        // Only the last was asked, and hangs. The others' threads were free, so they could be dropped.
        assert_eq!(report.still_running, ["c".into()]);
        let reasons = tree
            .children()
            .into_iter()
            .map(|child| child.last_exit.unwrap().reason);
        assert!(reasons.eq([
            ExitReason::Killed,
            ExitReason::Killed,
            ExitReason::Abandoned
        ]));
        gate.open();
    });
}

#[test]
fn a_child_that_does_not_stop_but_whose_thread_is_free_is_dropped() {
    run(async {
        let log = Log::default();
        let notes = log.clone();
        let mut tree = Supervisor::builder("test");
        tree.child(
            quick("deaf").shutdown(Duration::from_millis(20)),
            move |incarnation| {
                let mut probe = Probe::logging(incarnation, notes.clone());
                probe.on_shutdown = Some(Box::new(|_, _| {}));
                Ok(probe)
            },
        );
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        assert!(tree.stop(LIMIT).await.is_clean());
        assert_eq!(events.exit("deaf").await, ExitReason::Killed);
        assert_eq!(
            log.entries(),
            ["deaf#1 started", "deaf#1 asked to stop", "deaf#1 dropped"]
        );
    });
}

#[test]
fn a_child_drains_before_it_stops() {
    run(async {
        let log = Log::default();
        let notes = log.clone();
        let mut tree = Supervisor::builder("test");
        tree.child(quick("child"), move |incarnation| {
            let mut probe = Probe::logging(incarnation, notes.clone());
            let notes = notes.clone();
            probe.on_shutdown = Some(Box::new(move |probe, ctx| {
                // Effects are allowed until the end.
                let guard = probe.incarnation.guard();
                let drain = async move {
                    tokio::task::yield_now().await;
                    notes.add(format!("flushed, {}", guard.is_current()));
                };
                ctx.wait(drain.into_actor(probe).map(|(), _, ctx| ctx.stop()));
            }));
            Ok(probe)
        });
        let tree = tree.start().await.unwrap();
        assert!(tree.stop(LIMIT).await.is_clean());
        let expected = [
            "child#1 started",
            "child#1 asked to stop",
            "flushed, true",
            "child#1 stopped",
            "child#1 dropped",
        ];
        assert_eq!(log.entries(), expected);
    });
}

#[test]
fn shutdown_overtakes_a_full_mailbox() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        let notes = log.clone();
        let actor = tree.child(quick("child").mailbox(4), move |incarnation| {
            Ok(Probe::logging(incarnation, notes.clone()))
        });
        let tree = tree.start().await.unwrap();
        let (gate, entered) = (Gate::default(), Gate::default());
        let (held, enter) = (gate.clone(), entered.clone());
        actor
            .try_tell(Do::it(move |_, _| {
                enter.open();
                held.pass();
            }))
            .unwrap();
        entered.pass();
        while actor
            .try_tell(Do::it(|probe, _| probe.log.add("handled")))
            .is_ok()
        {}
        let mut events = Events::of(&tree);
        let stop = tokio::task::spawn_local({
            let tree = tree.clone();
            async move { tree.stop(LIMIT).await }
        });
        events.kind("child", EventKind::Stopping).await;
        gate.open();
        assert!(stop.await.unwrap().is_clean());
        assert!(
            !log.entries().contains(&"handled".to_owned()),
            "{:?}",
            log.entries()
        );
    });
}

#[test]
fn a_second_stop_can_bring_the_deadline_forward() {
    run(async {
        let mut tree = Supervisor::builder("test");
        tree.child(quick("deaf").shutdown(Duration::MAX), |incarnation| {
            let mut probe = Probe::new(incarnation);
            probe.on_shutdown = Some(Box::new(|_, _| {}));
            Ok(probe)
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        let patient = tokio::task::spawn_local({
            let tree = tree.clone();
            async move { tree.stop(Duration::MAX).await }
        });
        events.kind("deaf", EventKind::Stopping).await;
        let hasty = tree.stop(Duration::from_millis(200)).await;
        assert_eq!(patient.await.unwrap(), hasty);
        assert!(hasty.is_clean());
    });
}

#[test]
fn a_child_that_waits_for_its_restart_is_not_started_by_a_stop() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let slow = signalcore_supervise::Backoff {
            initial: Duration::from_mins(10),
            max: Duration::from_mins(10),
            ..Default::default()
        };
        let once = signalcore_supervise::Intensity {
            restarts: 1,
            period: Duration::from_secs(10_000),
        };
        let limits = signalcore_supervise::RestartLimits::new(slow, once).unwrap();
        let actor = tree.child(quick("child").limits(limits), |incarnation| {
            Ok(Probe::new(incarnation))
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        actor.send(Do::it(|_, ctx| ctx.stop())).await.unwrap();
        events
            .next("child", |event| {
                matches!(event.kind, EventKind::Restarting(_)).then_some(())
            })
            .await;
        assert!(matches!(
            actor.send(Which).await,
            Err(SendError::Down { .. })
        ));
        assert!(tree.stop(LIMIT).await.is_clean());
        assert_eq!(tree.children()[0].generation, 1);
    });
}

#[test]
fn children_end_when_the_runtime_stops_beneath_their_supervisor() {
    let log = Log::default();
    let actor = run(async {
        let mut tree = Supervisor::builder("test");
        let actor = add(&mut tree, "a", &log);
        tree.start().await.unwrap();
        actor
    });
    let asked = Instant::now();
    while log.entries() != ["a#1 started", "a#1 dropped"] {
        assert!(asked.elapsed() < LIMIT, "{:?}", log.entries());
        std::thread::yield_now();
    }
    assert!(matches!(
        actor.try_tell(Which),
        Err(SendError::Closed { .. })
    ));
}
