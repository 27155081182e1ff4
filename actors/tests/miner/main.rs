//! The miner as a supervised child, on a board that the test drives by hand with a real chain.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod easing;

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use chain::{
    BlockContext, CoinbaseTag, HeaderWindow, Network, ParentContext, PayoutScript, Template,
    Verdict, check_block,
};
use pow::{Hit, Kernel, NonceRange, ScanJob};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{
    BodyState, MiningState, MiningView, NodeState, Outcome, Settled, Solution, TemplateSeen,
    TipValidated,
};
use signalcore_actors::miner::{Interval, Miner, MinerSettings, PaceMode, Pacing};
use supervise::{ChildSpec, Supervisor};

/// Longer than any machine needs.
const LIMIT: Duration = Duration::from_mins(1);

/// A miner, and in the place of all other children, this test.
struct Rig {
    board: Board,
    supervisor: Supervisor,
    window: HeaderWindow,
    started: Instant,
}

fn settings() -> MinerSettings {
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    let tag = CoinbaseTag::new("/test/").unwrap();
    MinerSettings::new(payout, tag, 2, pow::kernel("auto").unwrap())
}

/// Nothing is ever found, since the paced target is far too hard.
fn hopeless() -> MinerSettings {
    let pacing = Pacing {
        mode: PaceMode::Work,
        interval: Interval::Fixed(1e9),
    };
    MinerSettings {
        pacing: Some(pacing),
        ..settings()
    }
}

fn run<F: Future>(test: F) -> F::Output {
    actix::System::new().block_on(async {
        tokio::time::timeout(LIMIT * 3, test)
            .await
            .expect("ends in time")
    })
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let output = tokio::time::timeout(LIMIT, future).await;
    output.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

impl Rig {
    async fn start(settings: MinerSettings) -> Self {
        let board = Board::new(settings.threads);
        let mut builder = Supervisor::builder("test");
        let for_miner = board.clone();
        builder.child(ChildSpec::new("miner"), move |incarnation| {
            Ok(Miner::new(
                settings.clone(),
                for_miner.clone(),
                incarnation,
            )?)
        });
        let supervisor = builder.start().await.unwrap();
        let window = HeaderWindow::from_genesis(Network::Regtest, 100);
        Self {
            board,
            supervisor,
            window,
            started: Instant::now(),
        }
    }

    /// The same with a node on its best tip, the tip and its template published.
    async fn mining(settings: MinerSettings) -> Self {
        let rig = Self::start(settings).await;
        rig.board.node_state.send_replace(NodeState::Ready);
        rig.publish_template();
        rig.publish_tip();
        rig
    }

    fn publish_tip(&self) {
        let tip = self.window.tip();
        let now = Instant::now();
        self.board.tip_validated.send_replace(Some(TipValidated {
            hash: tip.hash,
            height: tip.height,
            header: tip.header,
            median_time_past: self.window.median_time_past().unwrap(),
            min_time: self.window.min_time().unwrap(),
            next_bits: self.window.next_bits(tip.header.time),
            report: Arc::new(self.window.report(0.7)),
            body: BodyState::Pending,
            seen_at: now,
            validated_at: now,
        }));
    }

    fn publish_template(&self) {
        let clock = 1_800_000_000 + u32::try_from(self.started.elapsed().as_secs()).unwrap();
        let template = Template::coinbase_only_on(&self.window, clock).unwrap();
        self.board.template.send_replace(Some(TemplateSeen {
            template: Arc::new(template),
            node: "test".into(),
            received_at: Instant::now(),
        }));
    }

    async fn solution(&self) -> Arc<Solution> {
        within("a solution", async {
            loop {
                if let Some(solution) = self.board.outbox.peek() {
                    self.board.outbox.done(&solution);
                    return solution;
                }
                self.board.outbox.pushed().await;
            }
        })
        .await
    }

    /// Checks a found block in full and makes it the tip.
    fn connect(&mut self, found: &Solution) {
        let tip = self.window.tip();
        let parent = ParentContext {
            hash: tip.hash,
            time: tip.header.time,
            median_time_past: self.window.median_time_past().unwrap(),
            required_bits: self.window.next_bits(found.solved.ntime),
        };
        let context = BlockContext {
            height: Some(tip.height + 1),
            parent: Some(parent),
            ..BlockContext::new(Network::Regtest)
        };
        let raw = found.job.assemble(&found.solved);
        let report = check_block(&raw, &context);
        assert_eq!(report.verdict(), Verdict::Authentic, "{report:?}");
        let header: Header = bitcoin::consensus::deserialize(&raw[..80]).unwrap();
        self.window.connect(&[header], None).unwrap();
        assert_eq!(self.window.tip().hash, found.hash);
    }

    fn settle(&self, found: &Solution, outcome: Outcome) {
        let registry = &self.board.registry;
        match outcome {
            Outcome::Accepted => registry.blocks_accepted.increment(),
            Outcome::Rejected(_) => registry.blocks_rejected.increment(),
            Outcome::Stale => registry.blocks_stale.increment(),
        }
        self.board.settled.send_replace(Some(Settled {
            hash: found.hash,
            prev: found.job.prev(),
            height: found.job.height(),
            outcome,
            took: found.found_at.elapsed(),
        }));
    }

    async fn view(&self, what: &str, wanted: impl FnMut(&MiningView) -> bool) -> MiningView {
        let mut views = self.board.mining.subscribe();
        within(what, views.wait_for(wanted)).await.unwrap().clone()
    }

    async fn hashing(&self) {
        let before = self.board.registry.hashes();
        within("hashes", async {
            while self.board.registry.hashes() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Until the threads are parked: they go round and hash nothing.
    async fn parked(&self) {
        let rounds = || -> u64 {
            self.board
                .registry
                .threads
                .iter()
                .map(|t| t.rounds.get())
                .sum()
        };
        within("parked threads looking around", async {
            loop {
                let (round, hashes) = (rounds(), self.board.registry.hashes());
                while rounds() < round + 10 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if self.board.registry.hashes() == hashes {
                    return;
                }
            }
        })
        .await;
    }

    async fn stop(self) {
        let report = self.supervisor.stop(LIMIT).await;
        assert!(report.is_clean(), "{report:?}");
        let children = self.supervisor.children();
        assert_eq!(children[0].restarts, 0, "{children:?}");
        let MiningState::NoJob { .. } = self.board.mining.borrow().state else {
            panic!("{:?} after the end", self.board.mining.borrow().state);
        };
    }
}

#[test]
fn mines_block_after_block_first_coinbase_only_and_then_from_templates() {
    run(async {
        let mut rig = Rig::mining(settings()).await;
        for height in 1..=20 {
            let found = rig.solution().await;
            assert_eq!(
                (found.job.height(), found.job.prev()),
                (height, rig.window.tip().hash)
            );
            rig.connect(&found);
            rig.settle(&found, Outcome::Accepted);
            rig.publish_tip();
            if height % 2 == 0 {
                rig.publish_template();
            }
        }
        assert_eq!(rig.board.registry.blocks_found.get() / 20, 1);
        assert!(rig.board.registry.jobs.get() >= 20);
        rig.stop().await;
    });
}

#[test]
fn the_view_names_state_kernel_and_job() {
    run(async {
        let mut rig = Rig::mining(hopeless()).await;
        let view = rig
            .view("a paced job", |view| view.state == MiningState::Paced)
            .await;
        assert_eq!(
            (view.kernel, view.threads),
            (pow::kernel("auto").unwrap().name(), 2)
        );
        let job = view.job.unwrap();
        assert_eq!((job.height, job.transactions), (1, 1));
        assert_eq!(job.prev, rig.window.tip().hash.to_string());
        rig.hashing().await;

        // A block of somebody else.
        let other = Rig::mining(settings()).await;
        let found = other.solution().await;
        other.stop().await;
        rig.connect(&found);
        rig.publish_tip();
        let prev = found.hash.to_string();
        rig.view("the job of the new tip", |view| {
            view.job
                .as_ref()
                .is_some_and(|job| job.prev == prev && job.height == 2)
        })
        .await;
        rig.stop().await;
    });
}

#[test]
fn a_refused_block_is_followed_by_a_fresh_template_and_work_goes_on() {
    run(async {
        let rig = Rig::mining(settings()).await;
        let first = rig.solution().await;
        rig.parked().await;
        assert!(rig.board.outbox.is_empty(), "one solution per job");
        rig.settle(&first, Outcome::Rejected("bad-cb-amount".to_owned()));
        within(
            "a request for a template",
            rig.board.want_template.notified(),
        )
        .await;
        let view = rig.view("the reason", |view| {
            view.state.to_string().contains("bad-cb-amount")
        });
        assert_eq!(view.await.job, None);
        rig.publish_template();
        let second = rig.solution().await;
        assert_ne!(second.hash, first.hash);
        assert_eq!(second.job.prev(), first.job.prev());
        rig.stop().await;
    });
}

#[test]
fn the_block_limit_ends_mining_exactly_there() {
    run(async {
        let mut rig = Rig::mining(MinerSettings {
            block_limit: Some(3),
            ..settings()
        })
        .await;
        for _ in 0..3 {
            let found = rig.solution().await;
            rig.connect(&found);
            rig.publish_tip();
            rig.publish_template();
        }
        let off = MiningState::SwitchedOff {
            by: "the block limit".to_owned(),
        };
        rig.view("the limit", |view| view.state == off).await;
        rig.parked().await;
        assert_eq!(rig.board.registry.blocks_found.get(), 3);
        assert!(rig.board.outbox.is_empty());
        rig.stop().await;
    });
}

#[test]
fn initial_block_download_parks_the_threads_where_it_must() {
    run(async {
        let rig = Rig::mining(MinerSettings {
            during_ibd: false,
            ..hopeless()
        })
        .await;
        rig.hashing().await;
        let syncing = NodeState::Syncing {
            blocks: 0,
            headers: 900_000,
            ibd: true,
        };
        rig.board.node_state.send_replace(syncing);
        rig.view("the sync", |view| view.state == MiningState::Ibd)
            .await;
        rig.parked().await;
        rig.board.node_state.send_replace(NodeState::Ready);
        rig.view("mining again", |view| view.state == MiningState::Paced)
            .await;
        rig.hashing().await;
        rig.stop().await;
    });
}

#[test]
fn switched_off_it_stays_parked() {
    run(async {
        let rig = Rig::mining(MinerSettings {
            enabled: false,
            ..settings()
        })
        .await;
        rig.view("off", |view| {
            matches!(view.state, MiningState::SwitchedOff { .. })
        })
        .await;
        rig.parked().await;
        assert_eq!(rig.board.registry.hashes(), 0);
        rig.stop().await;
    });
}

#[test]
fn a_template_that_grows_old_is_asked_for_while_hashing_goes_on() {
    run(async {
        let max_age = Duration::from_millis(200);
        let rig = Rig::mining(MinerSettings {
            template_max_age: max_age,
            ..hopeless()
        })
        .await;
        rig.view("a job", |view| view.job.is_some()).await;
        within(
            "a request for a template",
            rig.board.want_template.notified(),
        )
        .await;
        rig.hashing().await;
        rig.stop().await;
    });
}

#[test]
fn paced_by_work_blocks_keep_coming_at_the_real_hash_rate() {
    run(async {
        let pacing = Pacing {
            mode: PaceMode::Work,
            interval: Interval::Fixed(0.1),
        };
        let mut rig = Rig::mining(MinerSettings {
            pacing: Some(pacing),
            ..settings()
        })
        .await;
        for _ in 0..10 {
            let found = rig.solution().await;
            rig.connect(&found);
            rig.settle(&found, Outcome::Accepted);
            rig.publish_tip();
            rig.publish_template();
        }
        // Against the network's own target it would have been two hashes a block.
        assert!(
            rig.board.registry.hashes() > 100_000,
            "{}",
            rig.board.registry.hashes()
        );
        rig.stop().await;
    });
}

/// Panics in its first calls, then works.
struct Shaky {
    calls: AtomicU64,
    inner: &'static dyn Kernel,
}

impl Kernel for Shaky {
    fn name(&self) -> &'static str {
        "shaky"
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
        assert!(self.calls.fetch_add(1, Ordering::Relaxed) >= 3, "not yet");
        self.inner.scan(job, range, on_hit)
    }
}

#[test]
fn panics_in_the_hashing_threads_do_not_end_the_miner() {
    run(async {
        let inner = pow::kernel("auto").unwrap();
        let kernel = Box::leak(Box::new(Shaky {
            calls: AtomicU64::new(0),
            inner,
        }));
        let mut rig = Rig::mining(MinerSettings {
            kernel,
            ..settings()
        })
        .await;
        let found = rig.solution().await;
        rig.connect(&found);
        // A panic is counted a moment after it was raised, maybe after the other thread's find.
        let threads = &rig.board.registry.threads;
        within("three panics counted", async {
            while threads.iter().map(|t| t.panics.get()).sum::<u64>() < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        rig.stop().await;
    });
}

#[test]
fn an_address_of_another_network_is_refused_at_the_start() {
    run(async {
        let wrong = MinerSettings {
            network: Network::Main,
            ..settings()
        };
        let board = Board::new(2);
        let mut builder = Supervisor::builder("test");
        builder.child(ChildSpec::new("miner"), move |incarnation| {
            Ok(Miner::new(wrong.clone(), board.clone(), incarnation)?)
        });
        let error = builder.start().await.unwrap_err().to_string();
        assert!(
            error.contains("regtest") && error.contains("main"),
            "{error}"
        );
    });
}
