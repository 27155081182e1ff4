//! Nothing of an incarnation is left when its successor starts; and what hangs loses its permission to act.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::ActorContext as _;
use signalcore_supervise::{
    ActorRef, BoxError, ChildState, EscalationCause, EventKind, ExitReason, GenerationGuard,
    Outcome, Supervisor,
};

use crate::probe::{Do, Events, Gate, LIMIT, Log, Probe, Which, quick, run, up};

#[test]
fn a_port_bound_by_a_child_can_be_bound_by_its_successor() {
    run(async {
        let bound: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let address = Arc::clone(&bound);
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("listener"), move |incarnation| {
            let mut wanted = address.lock().unwrap();
            let listener = match *wanted {
                Some(address) => TcpListener::bind(address)?,
                None => TcpListener::bind("127.0.0.1:0")?,
            };
            *wanted = Some(listener.local_addr()?);
            let mut probe = Probe::new(incarnation);
            // Kept by a task, which ends with the thread: later than the actor.
            probe.on_started = Some(Box::new(move |probe, _| {
                probe.incarnation.spawn("accept", async move {
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    loop {
                        listener.accept().await?;
                    }
                });
            }));
            Ok(probe)
        });
        let tree = tree.start().await.unwrap();
        for generation in 1..=10 {
            assert_eq!(up(&actor, generation).await, generation);
            let _ = actor.send(Do::it(|_, _| panic!("on purpose"))).await;
        }
        up(&actor, 11).await;
        let exit = tree.children()[0].last_exit.clone().unwrap();
        assert_eq!(exit.generation, 10, "{}", exit.reason);
    });
}

struct AtThreadEnd(Log, u64);

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        self.0.add(format!("thread of #{} ended", self.1));
    }
}

thread_local! {
    static HELD: RefCell<Option<AtThreadEnd>> = const { RefCell::new(None) };
}

#[test]
fn the_thread_and_all_it_held_is_gone_before_the_successors_factory_runs() {
    run(async {
        let log = Log::default();
        let notes = log.clone();
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("child"), move |incarnation| {
            let generation = incarnation.generation();
            notes.add(format!("factory of #{generation}"));
            HELD.with(|held| *held.borrow_mut() = Some(AtThreadEnd(notes.clone(), generation)));
            Ok(Probe::logging(incarnation, notes.clone()))
        });
        let tree = tree.start().await.unwrap();
        let _ = actor.send(Do::it(|_, _| panic!("on purpose"))).await;
        up(&actor, 2).await;
        assert!(tree.stop(LIMIT).await.is_clean());
        let expected = [
            "factory of #1",
            "child#1 started",
            "child#1 stopped",
            "child#1 dropped",
            "thread of #1 ended",
            "factory of #2",
            "child#2 started",
            "child#2 asked to stop",
            "child#2 stopped",
            "child#2 dropped",
            "thread of #2 ended",
        ];
        assert_eq!(log.entries(), expected);
    });
}

#[test]
fn a_childs_own_threads_are_asked_to_end_and_joined_before_its_successor_starts() {
    run(async {
        let (log, gate) = (Log::default(), Gate::default());
        let (notes, held) = (log.clone(), gate.clone());
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("child"), move |incarnation| {
            let generation = incarnation.generation();
            notes.add(format!("factory of #{generation}"));
            let (log, gate, begun) = (notes.clone(), held.clone(), Gate::default());
            let begins = begun.clone();
            incarnation.thread("scan", move |stop| {
                assert_eq!(std::thread::current().name(), Some("scan"));
                begins.open();
                while !stop.is_set() {
                    std::thread::yield_now();
                }
                gate.pass();
                let current = stop.guard().is_current();
                log.add(format!("scan of #{generation} ends, {current}"));
                Ok(())
            })?;
            begun.pass();
            Ok(Probe::new(incarnation))
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        actor.send(Do::it(|_, ctx| ctx.stop())).await.unwrap();
        assert_eq!(events.exit("child").await, ExitReason::Normal);
        // Time enough for a successor that would not wait.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(tree.children()[0].state, ChildState::Releasing);
        gate.open();
        up(&actor, 2).await;
        assert!(tree.stop(LIMIT).await.is_clean());
        let expected = [
            "factory of #1",
            "scan of #1 ends, true",
            "factory of #2",
            "scan of #2 ends, true",
        ];
        assert_eq!(log.entries(), expected);
    });
}

#[test]
fn no_thread_can_be_made_for_an_incarnation_that_has_ended() {
    run(async {
        let kept = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&kept);
        let mut tree = Supervisor::builder("test");
        let actor = tree.child(quick("child"), move |incarnation| {
            keep.lock().unwrap().get_or_insert(incarnation.clone());
            Ok(Probe::new(incarnation))
        });
        let _tree = tree.start().await.unwrap();
        actor.send(Do::it(|_, ctx| ctx.stop())).await.unwrap();
        up(&actor, 2).await;
        let first = kept.lock().unwrap().take().unwrap();
        assert!(!first.is_current());
        let refused = first.thread("late", |_| Ok(())).unwrap_err();
        assert!(
            refused.to_string().contains("generation 1 has ended"),
            "{refused}"
        );
        // Nor can it fail its successor.
        first.fail("late");
        assert_eq!(actor.send(Which).await, Ok(2));
    });
}

#[test]
fn on_linux_the_thread_is_named_after_the_child() {
    run(async {
        let seen = Arc::new(Mutex::new(String::new()));
        let see = Arc::clone(&seen);
        let mut tree = Supervisor::builder("test");
        tree.child(quick("a-child-with-a-long-name"), move |incarnation| {
            if let Ok(name) = std::fs::read_to_string("/proc/thread-self/comm") {
                *see.lock().unwrap() = name.trim().to_owned();
            }
            Ok(Probe::new(incarnation))
        });
        let _tree = tree.start().await.unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(*seen.lock().unwrap(), "a-child-with-a-");
        }
    });
}

/// A child whose thread hangs in its destructor, until the gate opens.
struct Hung {
    tree: Supervisor,
    actor: ActorRef<Probe>,
    events: Events,
    gates: Vec<Gate>,
    /// The guards of all generations.
    guards: Arc<Mutex<Vec<GenerationGuard>>>,
}

async fn child_that_can_hang(max_abandoned: u32) -> Hung {
    let guards: Arc<Mutex<Vec<GenerationGuard>>> = Arc::default();
    let given = Arc::clone(&guards);
    let mut tree = Supervisor::builder("test").max_abandoned(max_abandoned);
    let spec = quick("child").shutdown(Duration::from_secs(1));
    let actor = tree.child(spec, move |incarnation| {
        given.lock().unwrap().push(incarnation.guard());
        Ok(Probe::new(incarnation))
    });
    let tree = tree.start().await.unwrap();
    let events = Events::of(&tree);
    Hung {
        tree,
        actor,
        events,
        gates: Vec::new(),
        guards,
    }
}

impl Hung {
    /// The current generation stops, and hangs while it is dropped.
    async fn hang(&mut self) {
        let gate = Gate::default();
        let held = gate.clone();
        self.gates.push(gate);
        let fault = Do::it(move |probe, ctx| {
            probe.on_drop = Some(Box::new(move || held.pass()));
            ctx.stop();
        });
        self.actor.send(fault).await.unwrap();
        assert_eq!(self.events.exit("child").await, ExitReason::Normal);
    }
}

#[test]
fn an_incarnation_that_hangs_is_abandoned_and_may_not_act_when_it_wakes_up() {
    run(async {
        let mut hung = child_that_can_hang(3).await;
        hung.hang().await;
        assert!(!hung.actor.is_up());
        hung.events.kind("child", EventKind::Abandoned).await;
        assert_eq!(up(&hung.actor, 2).await, 2);
        let guards = hung.guards.lock().unwrap().clone();
        assert!(!guards[0].is_current());
        let refused = guards[0].check().unwrap_err();
        assert_eq!((&*refused.child, refused.generation), ("child", 1));
        assert!(guards[1].check().is_ok());
        let status = &hung.tree.children()[0];
        assert_eq!((status.state, status.abandoned), (ChildState::Up, 1));

        // It wakes up, and its late end changes nothing but the count.
        hung.gates[0].open();
        let event = hung.events.kind("child", EventKind::AbandonedEnded).await;
        assert_eq!(event.generation, 1);
        assert_eq!(hung.actor.send(Which).await, Ok(2));
        let status = &hung.tree.children()[0];
        assert_eq!(
            (status.generation, status.restarts, status.abandoned),
            (2, 1, 0)
        );
        assert!(hung.tree.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn too_many_abandoned_incarnations_escalate() {
    run(async {
        let mut hung = child_that_can_hang(1).await;
        hung.hang().await;
        up(&hung.actor, 2).await;
        hung.hang().await;
        let Outcome::Escalated { child, cause, .. } = hung.tree.wait().await else {
            panic!("expected an escalation");
        };
        assert_eq!((&*child, cause), ("child", EscalationCause::Abandoned));
        assert_eq!(hung.tree.children()[0].abandoned, 2);
        let report = hung.tree.stop(LIMIT).await;
        assert_eq!(report.still_running, ["child".into()]);
        assert!(
            hung.guards
                .lock()
                .unwrap()
                .iter()
                .all(|guard| !guard.is_current())
        );
        for gate in &hung.gates {
            gate.open();
        }
    });
}

#[test]
fn a_hung_factory_does_not_lock_out_its_successor() {
    run(async {
        let gate = Gate::default();
        let held = gate.clone();
        let mut tree = Supervisor::builder("test");
        let spec = quick("child").start_timeout(Duration::from_secs(2));
        let actor = tree.child(spec, move |incarnation| -> Result<_, BoxError> {
            if incarnation.generation() == 2 {
                held.pass();
            }
            Ok(Probe::new(incarnation))
        });
        let tree = tree.start().await.unwrap();
        let mut events = Events::of(&tree);
        actor.send(Do::it(|_, ctx| ctx.stop())).await.unwrap();
        events.kind("child", EventKind::Abandoned).await;
        let third = up(&actor, 3).await;
        // Its factory returns after all, and what it made is never started.
        gate.open();
        let event = events.kind("child", EventKind::AbandonedEnded).await;
        assert_eq!(event.generation, 2);
        assert_eq!(actor.send(Which).await, Ok(third));
    });
}

/// How many entries a directory of /proc/self has.
#[cfg(target_os = "linux")]
fn own(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}"))
        .unwrap()
        .count()
}

/// Run by itself: under a runner that shares the process, other tests come and go.
#[cfg(target_os = "linux")]
#[test]
fn restarts_leave_no_threads_and_no_descriptors_behind() {
    const RESTARTS: u64 = 200;
    run(async {
        let mut tree = Supervisor::builder("test");
        let spec = quick("child").limits(crate::probe::limits(10_000));
        let actor = tree.child(spec, |incarnation| Ok(Probe::new(incarnation)));
        let tree = tree.start().await.unwrap();
        let mut most = (0, 0);
        for generation in 1..=RESTARTS {
            up(&actor, generation).await;
            actor.send(Do::it(|_, ctx| ctx.stop())).await.unwrap();
            most = (most.0.max(own("task")), most.1.max(own("fd")));
        }
        // One leak per restart would be far beyond what the tests beside this one use.
        assert!(most.0 < 150, "{} threads", most.0);
        assert!(most.1 < 190, "{} descriptors", most.1);
        assert!(tree.stop(LIMIT).await.is_clean());
    });
}
