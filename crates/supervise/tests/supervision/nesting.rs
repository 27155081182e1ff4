//! A child that is itself a tree.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use signalcore_supervise::{
    ActorRef, BoxError, ChildSpec, ChildState, EscalationCause, EventKind, ExitReason, Fault,
    GenerationGuard, Liveness, Supervisor, SupervisorBuilder,
};

use crate::probe::{Do, Events, Gate, LIMIT, Log, Probe, Which, add, limits, quick, run, up};

/// A root with one branch with one leaf, and a child after it.
struct Nested {
    root: SupervisorBuilder,
    log: Log,
    /// What each leaf was given and is reached by, in the order in which they were made.
    leaves: Arc<Mutex<Vec<Leaf>>>,
}

#[derive(Clone)]
struct Leaf {
    actor: ActorRef<Probe>,
    guard: Option<GenerationGuard>,
}

fn nested(branch: ChildSpec, leaf: ChildSpec) -> Nested {
    let (log, leaves) = (Log::default(), Arc::new(Mutex::new(Vec::<Leaf>::new())));
    let mut root = Supervisor::builder("root");
    let (notes, made) = (log.clone(), Arc::clone(&leaves));
    root.supervisor(branch, move |_| {
        let mut below = Supervisor::builder("branch");
        let (notes, filled) = (notes.clone(), Arc::clone(&made));
        let actor = below.child(leaf.clone(), move |incarnation| {
            let mut leaves = filled.lock().unwrap();
            leaves.last_mut().unwrap().guard = Some(incarnation.guard());
            Ok(Probe::logging(incarnation, notes.clone()))
        });
        made.lock().unwrap().push(Leaf { actor, guard: None });
        Ok(below)
    });
    add(&mut root, "after", &log);
    Nested { root, log, leaves }
}

impl Nested {
    async fn start(self) -> (Supervisor, Events, Log, Arc<Mutex<Vec<Leaf>>>) {
        let root = self.root.start().await.unwrap();
        let events = Events::of(&root);
        (root, events, self.log, self.leaves)
    }
}

fn leaf(leaves: &Arc<Mutex<Vec<Leaf>>>, nth: usize) -> Leaf {
    leaves.lock().unwrap()[nth].clone()
}

/// Waits for this generation of the branch.
async fn branch_up(events: &mut Events, generation: u64) {
    events
        .next("branch", |event| {
            (event.kind == EventKind::Started && event.generation == generation).then_some(())
        })
        .await;
}

#[test]
fn the_tree_below_starts_before_and_stops_within_its_child() {
    run(async {
        let (root, _events, log, leaves) = nested(quick("branch"), quick("leaf")).start().await;
        // The branch was up only when its leaf was, and those after it only then.
        assert_eq!(log.entries(), ["leaf#1 started", "after#1 started"]);
        let leaf = leaf(&leaves, 0).actor;
        let _ = leaf.send(Do::it(|_, _| panic!("on purpose"))).await;
        up(&leaf, 2).await;
        assert_eq!(root.children()[0].restarts, 0);
        assert!(root.stop(LIMIT).await.is_clean());
        let entries = log.entries();
        let stopped = ["after#1 dropped", "leaf#2 asked to stop"];
        assert!(
            entries.windows(2).any(|pair| pair == stopped),
            "{entries:?}"
        );
        assert_eq!(entries.last().unwrap(), "leaf#2 dropped");
    });
}

#[test]
fn an_escalation_below_is_a_failure_of_the_child_above_with_all_its_exits() {
    run(async {
        let tree = nested(quick("branch"), quick("leaf").limits(limits(1)));
        let (root, mut events, _log, leaves) = tree.start().await;
        root.inject("branch/leaf", Fault::Panic).await.unwrap();
        up(&leaf(&leaves, 0).actor, 2).await;
        root.inject("branch/leaf", Fault::Exit).await.unwrap();
        let reason = events.exit("branch").await;
        let ExitReason::Escalated {
            child,
            cause,
            exits,
        } = &reason
        else {
            panic!("expected an escalation, not {reason}");
        };
        assert_eq!((&**child, *cause), ("leaf", EscalationCause::Intensity));
        assert!(exits.iter().map(|exit| exit.generation).eq([1, 2]));
        let said = reason.to_string();
        assert!(
            said.starts_with("gave up because of leaf: it failed more often"),
            "{said}"
        );
        assert!(said.ends_with("stopped by itself"), "{said}");
        // The branch is restarted whole; who stands beside it is left alone.
        branch_up(&mut events, 2).await;
        assert_eq!(leaf(&leaves, 1).actor.send(Which).await, Ok(1));
        assert!(!leaf(&leaves, 0).actor.is_up());
        let children = root.children();
        let after = children.iter().find(|child| &*child.id == "after").unwrap();
        assert_eq!(after.generation, 1);
        assert!(root.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn what_is_below_is_named_with_its_path() {
    run(async {
        let mut root = Supervisor::builder("root");
        root.supervisor(quick("a"), |_| {
            let mut middle = Supervisor::builder("middle");
            middle.supervisor(quick("b"), |_| {
                let mut below = Supervisor::builder("below");
                add(&mut below, "c", &Log::default());
                Ok(below)
            });
            Ok(middle)
        });
        add(&mut root, "d", &Log::default());
        let root = root.start().await.unwrap();
        let mut events = Events::of(&root);
        let paths = ["a", "a/b", "a/b/c", "d"];
        let children = root.children();
        assert!(children.iter().map(|child| &*child.id).eq(paths));
        assert!(children.iter().all(|child| child.state == ChildState::Up));
        let pings = root.ping_all(LIMIT).await;
        assert!(pings.iter().map(|ping| &*ping.child).eq(paths));
        assert!(pings.iter().all(|ping| ping.answer.is_ok()), "{pings:?}");
        root.inject("a/b/c", Fault::Exit).await.unwrap();
        assert_eq!(events.exit("a/b/c").await, ExitReason::Normal);
        events.kind("a/b/c", EventKind::Started).await;
        assert_eq!(root.children()[2].restarts, 1);
        assert!(root.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn a_tree_below_that_does_not_start_names_its_child() {
    run(async {
        let mut root = Supervisor::builder("root");
        root.supervisor(quick("branch"), |_| {
            let mut below = Supervisor::builder("below");
            below.child(quick("leaf"), |_| -> Result<Probe, BoxError> {
                Err("no luck".into())
            });
            Ok(below)
        });
        let error = root.start().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "branch did not come up: failed (actor): leaf did not come up: could not start: no luck"
        );
    });
}

#[test]
fn what_hangs_below_holds_back_the_release_of_the_child_above() {
    run(async {
        let second = Duration::from_secs(1);
        let tree = nested(
            quick("branch").shutdown(second * 4),
            quick("leaf").shutdown(second),
        );
        let (root, mut events, _log, leaves) = tree.start().await;
        let (gate, leaf) = (Gate::default(), leaf(&leaves, 0));
        let held = gate.clone();
        leaf.actor
            .try_tell(Do::it(move |_, _| held.pass()))
            .unwrap();
        let report = root.stop(LIMIT).await;
        assert_eq!(
            report.still_running,
            ["branch".into(), "branch/leaf".into()]
        );
        events.kind("branch/leaf", EventKind::Abandoned).await;
        assert!(!leaf.guard.unwrap().is_current());
        gate.open();
    });
}

#[test]
fn a_child_that_hangs_takes_the_permission_of_all_below_it_with_it() {
    run(async {
        let often = Duration::from_millis(10);
        let branch = quick("branch").liveness(Liveness::thread(often, Duration::from_secs(3)));
        let (root, mut events, log, leaves) = nested(branch, quick("leaf")).start().await;
        // The thread that supervises the leaf hangs; the leaf itself is well.
        root.inject("branch", Fault::Hang(Duration::from_secs(12)))
            .await
            .unwrap();
        events.kind("branch", EventKind::Abandoned).await;
        let orphan = leaf(&leaves, 0);
        assert!(!orphan.guard.unwrap().is_current());
        // It is dropped all the same.
        let dropped = async {
            while !log.entries().iter().any(|entry| entry == "leaf#1 dropped") {
                tokio::time::sleep(often).await;
            }
        };
        tokio::time::timeout(LIMIT, dropped).await.unwrap();
        branch_up(&mut events, 2).await;
        assert_eq!(leaf(&leaves, 1).actor.send(Which).await, Ok(1));
        assert_eq!(root.children()[0].abandoned, 1);
        // The old supervisor wakes up, and nothing comes of it.
        events.kind("branch", EventKind::AbandonedEnded).await;
        let second = leaf(&leaves, 1);
        assert_eq!(second.actor.send(Which).await, Ok(1));
        assert!(second.guard.unwrap().is_current());
        assert!(root.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn nothing_below_is_left_when_the_successor_of_a_child_that_panicked_is_made() {
    run(async {
        let (root, mut events, log, leaves) = nested(quick("branch"), quick("leaf")).start().await;
        // The leaf takes its time to be dropped.
        let notes = log.clone();
        let slow = Do::it(move |probe, _| {
            probe.on_drop = Some(Box::new(move || {
                std::thread::sleep(Duration::from_millis(300));
                notes.add("leaf is gone");
            }));
        });
        leaf(&leaves, 0).actor.send(slow).await.unwrap();
        root.inject("branch", Fault::Panic).await.unwrap();
        branch_up(&mut events, 2).await;
        let entries = log.entries();
        let place = |what: &str, after: usize| {
            let found = entries[after..].iter().position(|entry| entry == what);
            after + found.unwrap_or_else(|| panic!("no {what} in {entries:?}"))
        };
        let gone = place("leaf is gone", 0);
        assert!(place("leaf#1 started", 1) > gone, "{entries:?}");
        assert!(root.stop(LIMIT).await.is_clean());
    });
}

#[test]
fn a_tree_that_is_stopped_by_its_own_handle_ends_its_child() {
    run(async {
        let handle = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&handle);
        let mut root = Supervisor::builder("root");
        root.supervisor(quick("branch"), move |_| {
            let mut below = Supervisor::builder("below");
            add(&mut below, "leaf", &Log::default());
            *keep.lock().unwrap() = Some(below.handle());
            Ok(below)
        });
        let root = root.start().await.unwrap();
        let mut events = Events::of(&root);
        let below = handle.lock().unwrap().clone().unwrap();
        assert!(below.stop(LIMIT).await.is_clean());
        assert_eq!(events.exit("branch").await, ExitReason::Normal);
        branch_up(&mut events, 2).await;
        assert!(root.stop(LIMIT).await.is_clean());
    });
}
