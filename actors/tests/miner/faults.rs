//! Kernels that panic, and kernels that never return.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use pow::{Hit, Kernel, NonceRange, ScanJob};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{MiningState, NodeState, Outcome};
use signalcore_actors::miner::{Miner, MinerSettings, progress};
use supervise::{
    ChildSpec, EventKind, ExitReason, Incarnation, Liveness, Probe, Progress, Supervisor,
};

use crate::rig::{LIMIT, Rig, hopeless, run, settings, within};

/// A kernel that does something else first.
struct Odd {
    inner: &'static dyn Kernel,
    before: Box<dyn Fn() + Send + Sync>,
}

impl Odd {
    fn new(before: impl Fn() + Send + Sync + 'static) -> &'static Self {
        Box::leak(Box::new(Self {
            inner: pow::kernel("auto").unwrap(),
            before: Box::new(before),
        }))
    }
}

impl Kernel for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn is_supported(&self) -> bool {
        true
    }

    fn lanes(&self) -> u32 {
        self.inner.lanes()
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        (self.before)();
        self.inner.scan(job, range, on_hit)
    }
}

/// A door that threads wait at until it is opened.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicU64,
}

impl Door {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// A miner whose incarnations the test can get hold of.
async fn start(board: &Board, settings: MinerSettings) -> (Supervisor, Incarnations) {
    let incarnations = Incarnations::default();
    let mut builder = Supervisor::builder("test");
    let (board, known) = (board.clone(), Arc::clone(&incarnations));
    let threads = progress(Arc::clone(&board.registry), settings.threads);
    let spec = ChildSpec::new("miner")
        .shutdown(Duration::from_millis(300))
        .liveness(Liveness::mailbox(
            Duration::from_millis(100),
            Duration::from_secs(2),
        ))
        .progress(Progress::new(Duration::from_secs(2), threads));
    builder.child(spec, move |incarnation| {
        known.lock().unwrap().push(incarnation.clone());
        Ok(Miner::new(settings.clone(), board.clone(), incarnation)?)
    });
    (builder.start().await.unwrap(), incarnations)
}

type Incarnations = Arc<Mutex<Vec<Incarnation>>>;

async fn mining(settings: MinerSettings) -> (Rig, Incarnations) {
    let board = Board::new(settings.threads);
    let (supervisor, incarnations) = start(&board, settings).await;
    let rig = Rig::on(board, supervisor);
    rig.board.node_state.send_replace(NodeState::Ready);
    rig.publish_template();
    rig.publish_tip();
    (rig, incarnations)
}

/// Waits for an event that comes after this call.
fn event(
    rig: &Rig,
    what: &'static str,
    wanted: impl Fn(&EventKind) -> bool,
) -> impl Future<Output = ()> {
    let mut events = rig.supervisor.events();
    within(what, async move {
        while !wanted(&events.recv().await.unwrap().kind) {}
    })
}

async fn stop(rig: Rig) {
    assert!(rig.supervisor.stop(LIMIT).await.is_clean());
}

#[test]
fn a_kernel_that_always_panics_is_replaced_and_mining_goes_on() {
    run(async {
        let kernel = Odd::new(|| panic!("always"));
        let settings = MinerSettings {
            kernel,
            ..settings()
        };
        let faults = settings.kernel_faults.clone();
        let (mut rig, _) = mining(settings).await;
        let found = rig.solution().await;
        rig.connect(&found);
        assert_eq!(
            faults.against("odd").as_deref(),
            Some("panicked in kernel odd: always")
        );
        let child = &rig.supervisor.children()[0];
        assert_eq!((child.restarts, child.generation), (1, 2));
        let last = child.last_exit.as_ref().unwrap().reason.to_string();
        assert!(
            last.contains("5 times in a row") && last.contains("always"),
            "{last}"
        );
        let name = pow::kernel("auto").unwrap().name();
        rig.view("the kernel in its place", |view| view.kernel == name)
            .await;
        stop(rig).await;
    });
}

#[test]
fn a_kernel_that_panics_now_and_then_is_kept() {
    run(async {
        let calls = AtomicU64::new(0);
        let panics = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&panics);
        // Four in a row, then none.
        let kernel = Odd::new(move || {
            if calls.fetch_add(1, Ordering::Relaxed) < 4 {
                seen.fetch_add(1, Ordering::Relaxed);
                panic!("now and then");
            }
        });
        let settings = MinerSettings {
            kernel,
            threads: 1,
            ..settings()
        };
        let (mut rig, _) = mining(settings).await;
        for _ in 0..3 {
            let found = rig.solution().await;
            rig.connect(&found);
            rig.settle(&found, Outcome::Accepted);
            rig.publish_tip();
            rig.publish_template();
        }
        assert_eq!(panics.load(Ordering::Relaxed), 4);
        assert_eq!(rig.board.registry.threads[0].panics.get(), 4);
        rig.view("the kernel", |view| view.kernel == "odd").await;
        rig.stop().await;
    });
}

/// A miner whose threads hang in the kernel, given up.
async fn given_up(door: &Arc<Door>) -> Rig {
    let at = Arc::clone(door);
    let kernel = Odd::new(move || at.pass());
    let settings = MinerSettings {
        kernel,
        during_ibd: false,
        ..settings()
    };
    let faults = settings.kernel_faults.clone();
    let (rig, incarnations) = mining(settings).await;
    within("both threads in the kernel", async {
        while door.waiting.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // Its successor finds the node busy, and parks.
    rig.board.node_state.send_replace(NodeState::Syncing {
        blocks: 0,
        headers: 9,
        ibd: true,
    });
    event(&rig, "giving it up", |kind| *kind == EventKind::Abandoned).await;
    assert!(!incarnations.lock().unwrap()[0].is_current());
    let child = &rig.supervisor.children()[0];
    let last = &child.last_exit.as_ref().unwrap().reason;
    let probe = Probe::Progress;
    assert!(
        matches!(last, ExitReason::Hung { probe: p, .. } if *p == probe),
        "{last}"
    );
    rig.view("the successor", |view| {
        view.state == MiningState::Ibd && view.kernel == pow::kernel("auto").unwrap().name()
    })
    .await;
    let why = faults.against("odd").unwrap();
    assert!(why.contains("did not come back"), "{why}");
    rig
}

async fn wake_up(rig: &Rig, door: &Door) {
    let ended = event(rig, "the end of the old threads", |kind| {
        *kind == EventKind::AbandonedEnded
    });
    door.open();
    ended.await;
}

#[test]
fn a_block_from_a_thread_that_was_given_up_is_handed_in_while_its_work_is_wanted() {
    run(async {
        let door = Arc::new(Door::default());
        let mut rig = given_up(&door).await;
        assert!(rig.board.outbox.is_empty());
        wake_up(&rig, &door).await;
        assert_eq!(rig.board.registry.blocks_found.get(), 1, "one of two");
        let late = rig.solution().await;
        rig.connect(&late);
        stop(rig).await;
    });
}

#[test]
fn a_block_from_a_thread_that_was_given_up_is_not_used_when_its_work_is_over() {
    run(async {
        let door = Arc::new(Door::default());
        let mut rig = given_up(&door).await;
        rig.board.node_state.send_replace(NodeState::Ready);
        let found = rig.solution().await;
        let state = rig.board.mining.borrow().state.clone();
        // The same tip still, with a block on it.
        wake_up(&rig, &door).await;
        assert_eq!(rig.board.registry.blocks_found.get(), 1, "{state}");
        assert!(rig.board.outbox.is_empty());
        rig.connect(&found);
        stop(rig).await;
    });
}

#[test]
fn an_order_of_a_miner_that_was_given_up_is_not_published() {
    run(async {
        let (rig, incarnations) = mining(hopeless()).await;
        rig.view("a job", |view| view.job.is_some()).await;
        let jobs = rig.board.registry.jobs.get();
        // The miner's next look at the board blocks, with a new template on it.
        let (board, held, door) = (
            rig.board.clone(),
            Arc::new(AtomicBool::new(false)),
            Arc::new(Door::default()),
        );
        let (holds, at) = (Arc::clone(&held), Arc::clone(&door));
        let holder = std::thread::spawn(move || {
            board.tip_doubt.send_if_modified(|_| {
                holds.store(true, Ordering::SeqCst);
                at.pass();
                false
            });
        });
        within("the lock", async {
            while !held.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let abandoned = event(&rig, "giving it up", |kind| *kind == EventKind::Abandoned);
        rig.publish_template();
        abandoned.await;
        assert!(!incarnations.lock().unwrap()[0].is_current());
        wake_up(&rig, &door).await;
        holder.join().unwrap();
        let published = || rig.board.registry.jobs.get() - jobs;
        within("the successor's job", async {
            while published() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_eq!(published(), 1, "the successor's own");
        stop(rig).await;
    });
}
