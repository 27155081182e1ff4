//! References: where a message goes, and what is said of one that went nowhere.

use std::time::Duration;

use actix::{ActorContext as _, AsyncContext as _, WrapFuture as _};
use signalcore_supervise::{ActorRef, SendError, Supervisor};

use crate::probe::{Do, Gate, LIMIT, Log, Probe, Respond, Which, quick, run, up};

async fn with_mailbox(messages: usize) -> (Supervisor, ActorRef<Probe>, Log) {
    let log = Log::default();
    let notes = log.clone();
    let mut tree = Supervisor::builder("test");
    let actor = tree.child(quick("child").mailbox(messages), move |incarnation| {
        Ok(Probe::logging(incarnation, notes.clone()))
    });
    (tree.start().await.unwrap(), actor, log)
}

/// Keeps the child's thread busy until the gate opens; returns once it is.
fn block(actor: &ActorRef<Probe>) -> Gate {
    let (gate, entered) = (Gate::default(), Gate::default());
    let (held, enter) = (gate.clone(), entered.clone());
    actor
        .try_tell(Do::it(move |_, _| {
            enter.open();
            held.pass();
        }))
        .unwrap();
    entered.pass();
    gate
}

#[test]
fn a_reference_made_before_the_start_reaches_every_incarnation() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("child"), |incarnation| Ok(Probe::new(incarnation)));
        assert!(!actor.is_up());
        assert!(matches!(
            actor.send(Which).await,
            Err(SendError::Down { .. })
        ));
        assert!(matches!(actor.try_tell(Which), Err(SendError::Down { .. })));
        let _tree = tree.start().await.unwrap();
        for generation in 1..=5 {
            assert_eq!(up(&actor, generation).await, generation);
            assert_eq!(actor.clone().send(Which).await, Ok(generation));
            assert_eq!(actor.generation(), Some(generation));
            let _ = actor.send(Do::it(|_, _| panic!("on purpose"))).await;
        }
    });
}

#[test]
fn children_that_need_each_other_hold_references_to_each_other() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let second = tree.declare::<Probe>("second");
        let (in_first, in_test) = (second.clone(), second.clone());
        let first = tree.child(quick("first"), move |incarnation| {
            let second = in_first.clone();
            let mut probe = Probe::new(incarnation);
            probe.on_started = Some(Box::new(move |probe, ctx| {
                let asks = async move {
                    second.wait_up().await.unwrap();
                    second.send(Which).await.unwrap();
                };
                ctx.spawn(asks.into_actor(probe));
            }));
            Ok(probe)
        });
        let asked = first.clone();
        let added = tree.child(quick("second"), move |incarnation| {
            assert!(asked.is_up());
            Ok(Probe::new(incarnation))
        });
        let _tree = tree.start().await.unwrap();
        assert_eq!(in_test.send(Which).await, Ok(1));
        assert_eq!(added.send(Which).await, Ok(1));
        assert_eq!(first.send(Which).await, Ok(1));
    });
}

#[test]
fn messages_of_one_sender_arrive_in_order() {
    run(async {
        let (_tree, actor, log) = with_mailbox(1000).await;
        for n in 0..500 {
            let message = Do::it(move |probe, _| probe.log.add(n.to_string()));
            if n % 2 == 0 {
                actor.try_tell(message).unwrap();
            } else {
                actor.send(message).await.unwrap();
            }
        }
        let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        assert_eq!(log.entries()[1..], expected);
    });
}

#[test]
fn a_full_mailbox_pushes_back() {
    run(async {
        let (_tree, actor, log) = with_mailbox(8).await;
        let gate = block(&actor);
        let mut told = 0;
        let refused = loop {
            match actor.try_tell(Do::it(|probe, _| probe.log.add("told"))) {
                Ok(()) => told += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((told, actor.backlog()), (8, 8));
        assert!(matches!(refused, SendError::Full { .. }), "{refused}");
        assert!(refused.is_undelivered());
        // `send` waits for room instead, and gets it.
        let waiting = tokio::task::spawn_local({
            let actor = actor.clone();
            async move { actor.send(Which).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.open();
        assert_eq!(waiting.await.unwrap(), Ok(1));
        let handled = log
            .entries()
            .iter()
            .filter(|entry| *entry == "told")
            .count();
        assert_eq!(handled, 8);
        assert_eq!(actor.backlog(), 0);
    });
}

/// Each sender alone keeps within actix's own bounds, and yet a mailbox of actix would grow without end here.
#[test]
fn a_flood_from_many_clones_stays_within_the_bound() {
    run(async {
        let (_tree, actor, _log) = with_mailbox(64).await;
        let gate = block(&actor);
        let flooders: Vec<_> = (0..4)
            .map(|_| {
                let actor = actor.clone();
                std::thread::spawn(move || {
                    (0..10_000)
                        .filter(|_| actor.clone().try_tell(Which).is_ok())
                        .count()
                })
            })
            .collect();
        let accepted: usize = flooders
            .into_iter()
            .map(|flood| flood.join().unwrap())
            .sum();
        assert_eq!(accepted, 64);
        gate.open();
        assert_eq!(actor.send(Which).await, Ok(1));
    });
}

#[test]
fn what_waits_for_a_child_that_dies_is_answered_with_lost() {
    run(async {
        let (_tree, actor, _log) = with_mailbox(8).await;
        let gate = block(&actor);
        let doomed = actor.try_tell(Do::it(|_, _| panic!("on purpose")));
        doomed.unwrap();
        let waiting = tokio::task::spawn_local({
            let actor = actor.clone();
            async move { actor.send(Which).await }
        });
        while actor.backlog() < 2 {
            tokio::task::yield_now().await;
        }
        gate.open();
        let answer = waiting.await.unwrap();
        assert!(matches!(answer, Err(SendError::Lost { .. })), "{answer:?}");
        assert!(!answer.unwrap_err().is_undelivered());
        up(&actor, 2).await;
        assert_eq!(actor.send(Which).await, Ok(2));
    });
}

#[test]
fn a_call_with_a_deadline_ends_at_the_deadline() {
    run(async {
        let (_tree, actor, log) = with_mailbox(8).await;
        let gate = block(&actor);
        let late = Do::it(|probe, _| probe.log.add("late"));
        let answer = actor.send_within(late, Duration::from_millis(20)).await;
        assert!(
            matches!(answer, Err(SendError::Deadline { .. })),
            "{answer:?}"
        );
        gate.open();
        assert_eq!(actor.send_within(Which, LIMIT).await, Ok(1));
        // Nobody waited for the answer any more when its turn came, so it was not begun.
        assert_eq!(log.entries(), ["child#1 started"]);
    });
}

#[test]
fn answers_from_futures_arrive_while_other_messages_are_handled() {
    run(async {
        let (_tree, actor, _log) = with_mailbox(8).await;
        assert_eq!(actor.send(Respond(Box::new(|| 5))).await, Ok(5));
    });
}

#[test]
fn messages_wait_while_the_context_waits() {
    run(async {
        let (_tree, actor, log) = with_mailbox(8).await;
        let waits = Do::it(|probe, ctx| {
            let log = probe.log.clone();
            let slow = async move {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                log.add("waited");
            };
            ctx.wait(slow.into_actor(probe));
        });
        actor.try_tell(waits).unwrap();
        actor
            .send(Do::it(|probe, _| probe.log.add("handled")))
            .await
            .unwrap();
        assert_eq!(log.entries(), ["child#1 started", "waited", "handled"]);
    });
}

#[test]
fn what_follows_a_stop_in_the_mailbox_is_not_handled() {
    run(async {
        let (_tree, actor, log) = with_mailbox(8).await;
        let gate = block(&actor);
        actor.try_tell(Do::it(|_, ctx| ctx.stop())).unwrap();
        actor
            .try_tell(Do::it(|probe, _| probe.log.add("handled")))
            .unwrap();
        gate.open();
        up(&actor, 2).await;
        assert!(!log.entries().contains(&"handled".to_owned()));
    });
}

#[test]
fn a_child_lives_on_when_every_reference_is_dropped() {
    run(async {
        let (tree, actor, log) = with_mailbox(8).await;
        drop(actor);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.entries(), ["child#1 started"]);
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}
