//! Starts that fail: who is named, and what becomes of those before.

use std::time::Duration;

use actix::{ActorContext as _, AsyncContext as _, WrapFuture as _};
use signalcore_supervise::{ExitReason, SendError, StartError, Supervisor};

use crate::probe::{Gate, LIMIT, Log, Probe, add, quick, run};

#[test]
fn a_failed_start_names_the_child_and_stops_those_before_it_in_reverse() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        let a = add(&mut tree, "a", &log);
        add(&mut tree, "b", &log);
        tree.child::<Probe, _>(quick("c"), |_| Err("no such file".into()));
        let d = add(&mut tree, "d", &log);
        let error = tree.start().await.unwrap_err();
        let expected = StartError::Child {
            child: "c".into(),
            reason: Box::new(ExitReason::StartFailed("no such file".into())),
            still_running: Vec::new(),
        };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "c did not come up: could not start: no such file"
        );
        let expected = [
            "a#1 started",
            "b#1 started",
            "b#1 asked to stop",
            "b#1 stopped",
            "b#1 dropped",
            "a#1 asked to stop",
            "a#1 stopped",
            "a#1 dropped",
        ];
        assert_eq!(log.entries(), expected);
        for gone in [a, d] {
            assert!(matches!(
                gone.wait_up().await,
                Err(SendError::Closed { .. })
            ));
        }
    });
}

#[test]
fn a_child_that_stops_before_it_is_up_fails_the_start() {
    run(async {
        let mut tree = Supervisor::builder("test");
        tree.child(quick("child"), |incarnation| {
            let mut probe = Probe::new(incarnation);
            probe.on_started = Some(Box::new(|_, ctx| ctx.stop()));
            Ok(probe)
        });
        let StartError::Child { reason, .. } = tree.start().await.unwrap_err() else {
            panic!("expected the child's failure");
        };
        assert_eq!(*reason, ExitReason::Normal);
    });
}

#[test]
fn a_child_that_is_not_up_in_time_is_dropped_and_named() {
    run(async {
        let log = Log::default();
        let notes = log.clone();
        let timeout = Duration::from_millis(500);
        let mut tree = Supervisor::builder("test");
        tree.child(quick("slow").start_timeout(timeout), move |incarnation| {
            let mut probe = Probe::logging(incarnation, notes.clone());
            probe.on_started = Some(Box::new(|probe, ctx| {
                ctx.wait(std::future::pending().into_actor(probe));
            }));
            Ok(probe)
        });
        let expected = StartError::Child {
            child: "slow".into(),
            reason: Box::new(ExitReason::StartTimeout(timeout)),
            still_running: Vec::new(),
        };
        assert_eq!(tree.start().await.unwrap_err(), expected);
        // It never was up, so it is not asked to stop: it is dropped.
        assert_eq!(log.entries(), ["slow#1 started", "slow#1 dropped"]);
    });
}

#[test]
fn a_factory_that_hangs_is_given_up_and_named() {
    run(async {
        let gate = Gate::default();
        let hung = gate.clone();
        let mut tree = Supervisor::builder("test");
        let spec = quick("hung").start_timeout(Duration::from_millis(20));
        tree.child(spec, move |incarnation| {
            hung.pass();
            Ok(Probe::new(incarnation))
        });
        let StartError::Child {
            child,
            still_running,
            ..
        } = tree.start().await.unwrap_err()
        else {
            panic!("expected the child's failure");
        };
        assert_eq!((&*child, still_running), ("hung", vec!["hung".into()]));
        gate.open();
    });
}

#[test]
fn a_start_that_nobody_waits_for_any_more_is_undone() {
    run(async {
        let log = Log::default();
        let notes = log.clone();
        let mut tree = Supervisor::builder("test");
        let first = add(&mut tree, "first", &log);
        tree.child(quick("slow"), move |incarnation| {
            let mut probe = Probe::logging(incarnation, notes.clone());
            probe.on_started = Some(Box::new(|probe, ctx| {
                ctx.wait(std::future::pending().into_actor(probe));
            }));
            Ok(probe)
        });
        let begun = async {
            while log.entries().len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = tree.start() => panic!("the second child never comes up"),
            () = begun => {}
        }
        let gone = async {
            while first.wait_up().await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.unwrap();
        let expected = [
            "first#1 started",
            "slow#1 started",
            "slow#1 dropped",
            "first#1 asked to stop",
            "first#1 stopped",
            "first#1 dropped",
        ];
        assert_eq!(log.entries(), expected);
    });
}

#[test]
fn mistakes_in_the_tree_are_told_before_anything_starts() {
    run(async {
        let log = Log::default();
        let mut tree = Supervisor::builder("test");
        add(&mut tree, "a", &log);
        add(&mut tree, "a", &log);
        assert!(
            matches!(tree.start().await, Err(StartError::Duplicate { child, .. }) if &*child == "a")
        );

        let mut tree = Supervisor::builder("test");
        add(&mut tree, "a", &log);
        tree.declare::<Probe>("b");
        assert!(
            matches!(tree.start().await, Err(StartError::Undefined { child, .. }) if &*child == "b")
        );
        assert!(log.entries().is_empty());
    });
}

#[test]
fn a_tree_cannot_start_without_an_actix_system() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let outside = runtime.block_on(Supervisor::builder("test").start());
    assert!(matches!(outside, Err(StartError::NoSystem { .. })));
}
