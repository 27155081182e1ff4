//! What hangs is found, by the probe that was asked for, and what only looks like it is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{AsyncContext as _, WrapFuture as _};
use signalcore_supervise::{
    ChildSpec, EventKind, ExitReason, Fault, Liveness, Probe as By, Progress, Supervisor,
};

use crate::probe::{Do, Events, Gate, Probe, Which, quick, run, up};

const OFTEN: Duration = Duration::from_millis(10);
/// Much longer than a loaded machine lets a free thread wait.
const LONG: Duration = Duration::from_secs(3);

fn child(
    tree: &mut signalcore_supervise::SupervisorBuilder,
    spec: ChildSpec,
) -> signalcore_supervise::ActorRef<Probe> {
    tree.child(spec, |incarnation| Ok(Probe::new(incarnation)))
}

fn hung(probe: By, within: Duration) -> ExitReason {
    ExitReason::Hung { probe, within }
}

#[test]
fn a_thread_that_hangs_is_found_and_one_that_waits_is_not() {
    run(async {
        let watch = Liveness::thread(OFTEN, LONG);
        let mut tree = Supervisor::builder("test");
        let waits = child(&mut tree, quick("waits").liveness(watch));
        let hangs = child(&mut tree, quick("hangs").liveness(watch));
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        let wait = Do::it(|probe, ctx| ctx.wait(std::future::pending().into_actor(probe)));
        waits.send(wait).await.unwrap();
        let gate = Gate::default();
        let held = gate.clone();
        hangs.try_tell(Do::it(move |_, _| held.pass())).unwrap();
        assert_eq!(events.exit("hangs").await, hung(By::Thread, LONG));
        events.kind("hangs", EventKind::Abandoned).await;
        up(&hangs, 2).await;
        assert_eq!(hangs.send(Which).await, Ok(2));
        assert_eq!(waits.generation(), Some(1));
        let status = tree.children();
        assert!(status[0].last_answer > status[0].up_since);
        gate.open();
        events.kind("hangs", EventKind::AbandonedEnded).await;
    });
}

#[test]
fn an_actor_that_waits_for_ever_is_found_by_its_mailbox_and_dropped() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let watch = Liveness::mailbox(OFTEN, LONG);
        let actor = child(&mut tree, quick("child").liveness(watch));
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        tree.inject("child", Fault::Stall(Duration::MAX))
            .await
            .unwrap();
        assert_eq!(events.exit("child").await, hung(By::Mailbox, LONG));
        // Its thread was free, so nothing is left of it.
        up(&actor, 2).await;
        assert_eq!(tree.children()[0].abandoned, 0);
    });
}

#[test]
fn an_actor_with_a_mailbox_full_of_work_is_alive() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let watch = Liveness::mailbox(OFTEN, LONG);
        let spec = quick("child").mailbox(8).liveness(watch);
        let actor = child(&mut tree, spec);
        let tree = tree.start().await.unwrap();
        let answered = || tree.children()[0].last_answer;
        // All the work together would take for ever; each piece of it takes a moment.
        let work = || Do::it(|_, _| std::thread::sleep(Duration::from_millis(5)));
        let mut answers = 0;
        let mut last = answered();
        while answers < 20 {
            while actor.try_tell(work()).is_ok() {}
            tokio::task::yield_now().await;
            if answered() != last {
                last = answered();
                answers += 1;
                assert!(actor.backlog() > 0);
            }
        }
        assert_eq!(actor.generation(), Some(1));
    });
}

#[test]
fn a_counter_that_stands_still_ends_a_child_that_answers_promptly() {
    run(async {
        let mut tree = Supervisor::builder("test");
        let done = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&done);
        let progress = Progress::new(LONG, move || read.load(Ordering::Relaxed));
        let spec = quick("child")
            .liveness(Liveness::mailbox(OFTEN, LONG))
            .progress(progress);
        let works = Arc::clone(&done);
        let actor = tree.child(spec, move |incarnation| {
            // The first one gets stuck.
            let (works, stuck_at) = (Arc::clone(&works), 10);
            if incarnation.generation() == 1 {
                works.store(stuck_at, Ordering::Relaxed);
            } else {
                incarnation.thread("work", move |stop| {
                    while !stop.is_set() {
                        works.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Ok(())
                })?;
            }
            Ok(Probe::new(incarnation))
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        assert_eq!(events.exit("child").await, hung(By::Progress, LONG));
        up(&actor, 2).await;
        let before = done.load(Ordering::Relaxed);
        let moved = async {
            while done.load(Ordering::Relaxed) < before + 100 {
                tokio::time::sleep(OFTEN).await;
            }
        };
        tokio::time::timeout(crate::probe::LIMIT, moved)
            .await
            .unwrap();
        assert_eq!(actor.generation(), Some(2));
    });
}
