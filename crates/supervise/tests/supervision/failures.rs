//! What is a failure without a panic, and what is none.

use actix::{ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use signalcore_supervise::{BoxError, ExitReason, Supervisor};

use crate::probe::{Do, Probe, Which, one_child, quick, run, up};

#[test]
fn errors_of_tasks_and_threads_and_the_actor_itself_are_failures_too() {
    type Fault = fn(&mut Probe, &mut Context<Probe>);
    let faults: [(&str, &str, Fault); 5] = [
        ("task", "no more", |probe, _| {
            probe
                .incarnation
                .spawn("task", async { Err("no more".into()) });
        }),
        ("essential", "ended, but must not", |probe, _| {
            probe
                .incarnation
                .spawn_essential("essential", async { Ok(()) });
        }),
        ("thread", "cause: inner cause", |probe, _| {
            let failing = probe.incarnation.thread("thread", |_| {
                let inner = std::io::Error::other("inner cause");
                Err(Box::new(Outer(inner)) as BoxError)
            });
            failing.unwrap();
        }),
        ("actor", "the cause", |probe, _| {
            // What follows from a failure does not hide it.
            probe.incarnation.fail("the cause");
            probe.incarnation.fail("a consequence");
        }),
        ("actor", "disk is gone", |probe, ctx| {
            probe.incarnation.fail("disk is gone");
            // The failure counts, though the context stops in the same breath.
            ctx.stop();
        }),
    ];
    for (by, error, fault) in faults {
        run(async {
            let (_tree, actor, mut events) = one_child().await;
            let _ = actor.send(Do::it(fault)).await;
            let failed = ExitReason::Failed {
                by: by.into(),
                error: error.into(),
            };
            assert_eq!(events.exit("child").await, failed);
            up(&actor, 2).await;
        });
    }
}

#[derive(Debug)]
struct Outer(std::io::Error);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cause")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_task_that_ends_well_and_one_that_is_aborted_are_no_failures() {
    run(async {
        let (_tree, actor, _events) = one_child().await;
        let tasks = Do::it(|probe, _| {
            probe.incarnation.spawn("ends", async { Ok(()) });
            let waits = probe.incarnation.spawn_essential("waits", async {
                std::future::pending::<()>().await;
                Ok(())
            });
            waits.abort();
        });
        actor.send(tasks).await.unwrap();
        for _ in 0..100 {
            assert_eq!(actor.send(Which).await, Ok(1));
        }
    });
}

#[test]
fn what_fails_while_it_starts_never_comes_up() {
    run(async {
        let mut tree = Supervisor::builder("test");
        tree.child(quick("child"), |incarnation| {
            let mut probe = Probe::new(incarnation);
            probe.on_started = Some(Box::new(|probe, ctx| {
                let step = tokio::task::yield_now().into_actor(probe);
                ctx.wait(step.map(|(), probe: &mut Probe, _| probe.incarnation.fail("no luck")));
            }));
            Ok(probe)
        });
        let error = tree.start().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "child did not come up: failed (actor): no luck"
        );
    });
}
