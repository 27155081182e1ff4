//! Whom a failure concerns besides the child that failed.

use std::time::Duration;

use signalcore_supervise::{ActorRef, EventKind, Fault, Strategy, Supervisor, SupervisorBuilder};

use crate::probe::{Do, Events, Gate, LIMIT, Log, Probe, Which, add, quick, run, up};

const IDS: [&str; 3] = ["a", "b", "c"];

fn tree(strategy: Strategy, log: &Log) -> (SupervisorBuilder, [ActorRef<Probe>; 3]) {
    let mut tree = Supervisor::builder("test").strategy(strategy);
    let actors = IDS.map(|id| add(&mut tree, id, log));
    (tree, actors)
}

/// What happened to the children, from their starts on.
fn without_starts(log: &Log) -> Vec<String> {
    let mut entries = log.entries();
    entries.drain(..3);
    entries.retain(|entry| !entry.ends_with("stopped"));
    entries
}

#[test]
fn one_for_all_stops_everybody_in_reverse_and_starts_everybody_in_order() {
    run(async {
        let log = Log::default();
        let (tree, actors) = tree(Strategy::OneForAll, &log);
        let tree = tree.start().await.unwrap();
        tree.inject("b", Fault::Panic).await.unwrap();
        for actor in &actors {
            assert_eq!(up(actor, 2).await, 2);
        }
        let expected = [
            "b#1 dropped",
            "c#1 asked to stop",
            "c#1 dropped",
            "a#1 asked to stop",
            "a#1 dropped",
            "a#2 started",
            "b#2 started",
            "c#2 started",
        ];
        assert_eq!(without_starts(&log), expected);
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn rest_for_one_leaves_alone_who_was_started_before() {
    run(async {
        let log = Log::default();
        let (tree, [a, b, c]) = tree(Strategy::RestForOne, &log);
        let tree = tree.start().await.unwrap();
        tree.inject("b", Fault::Panic).await.unwrap();
        assert_eq!((up(&b, 2).await, up(&c, 2).await), (2, 2));
        assert_eq!(a.send(Which).await, Ok(1));
        let expected = [
            "b#1 dropped",
            "c#1 asked to stop",
            "c#1 dropped",
            "b#2 started",
            "c#2 started",
        ];
        assert_eq!(without_starts(&log), expected);
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn a_sibling_that_hangs_while_it_is_stopped_for_the_others_is_abandoned() {
    run(async {
        let (log, gate) = (Log::default(), Gate::default());
        let mut tree = Supervisor::builder("test").strategy(Strategy::OneForAll);
        let a = add(&mut tree, "a", &log);
        let spec = quick("b").shutdown(Duration::from_secs(1));
        let b = tree.child(spec, |incarnation| Ok(Probe::new(incarnation)));
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        let held = gate.clone();
        b.try_tell(Do::it(move |_, _| held.pass())).unwrap();
        tree.inject("a", Fault::Exit).await.unwrap();
        events.kind("b", EventKind::Abandoned).await;
        assert_eq!((up(&a, 2).await, up(&b, 2).await), (2, 2));
        assert_eq!(tree.children()[1].abandoned, 1);
        gate.open();
        events.kind("b", EventKind::AbandonedEnded).await;
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}
