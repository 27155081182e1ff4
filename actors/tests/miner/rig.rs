//! A miner between a board that the test drives by hand and a real chain.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use chain::{
    BlockContext, CoinbaseTag, HeaderWindow, Network, ParentContext, PayoutScript, Template,
    Verdict, check_block,
};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{
    BodyState, MiningState, MiningView, NodeState, Outcome, Settled, Solution, TemplateSeen,
    TipValidated,
};
use signalcore_actors::miner::{Interval, Miner, MinerSettings, PaceMode, Pacing};
use supervise::{ChildSpec, Supervisor};

/// Longer than any machine needs.
pub const LIMIT: Duration = Duration::from_mins(1);

/// A miner, and in the place of all other children, this test.
pub struct Rig {
    pub board: Board,
    pub supervisor: Supervisor,
    pub window: HeaderWindow,
    pub started: Instant,
}

pub fn settings() -> MinerSettings {
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    let tag = CoinbaseTag::new("/test/").unwrap();
    MinerSettings::new(payout, tag, 2, pow::kernel("auto").unwrap())
}

/// Nothing is ever found, since the paced target is far too hard.
pub fn hopeless() -> MinerSettings {
    let pacing = Pacing {
        mode: PaceMode::Work,
        interval: Interval::Fixed(1e9),
    };
    MinerSettings {
        pacing: Some(pacing),
        ..settings()
    }
}

pub fn run<F: Future>(test: F) -> F::Output {
    actix::System::new().block_on(async {
        tokio::time::timeout(LIMIT * 3, test)
            .await
            .expect("ends in time")
    })
}

pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let output = tokio::time::timeout(LIMIT, future).await;
    output.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

impl Rig {
    pub async fn start(settings: MinerSettings) -> Self {
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
        Self::on(board, supervisor)
    }

    /// On a board with a miner.
    pub fn on(board: Board, supervisor: Supervisor) -> Self {
        let window = HeaderWindow::from_genesis(Network::Regtest, 100);
        Self {
            board,
            supervisor,
            window,
            started: Instant::now(),
        }
    }

    /// The same with a node on its best tip, the tip and its template published.
    pub async fn mining(settings: MinerSettings) -> Self {
        let rig = Self::start(settings).await;
        rig.board.node_state.send_replace(NodeState::Ready);
        rig.publish_template();
        rig.publish_tip();
        rig
    }

    pub fn publish_tip(&self) {
        let tip = self.window.tip();
        let now = Instant::now();
        self.board.tip_validated.send_replace(Some(TipValidated {
            hash: tip.hash,
            height: tip.height,
            header: tip.header,
            median_time_past: self.window.median_time_past().unwrap(),
            min_time: self.window.min_time().unwrap(),
            next_bits: self.window.next_bits(tip.header.time),
            times: Arc::default(),
            report: Arc::new(self.window.report(0.7)),
            body: BodyState::Pending,
            seen_at: now,
            validated_at: now,
        }));
    }

    pub fn publish_template(&self) {
        self.publish_changed_template(|_| {});
    }

    /// The node's template after somebody has changed it.
    pub fn publish_changed_template(&self, change: impl FnOnce(&mut Template)) {
        let clock = 1_800_000_000 + u32::try_from(self.started.elapsed().as_secs()).unwrap();
        let mut template = Template::coinbase_only_on(&self.window, clock).unwrap();
        change(&mut template);
        self.board.template.send_replace(Some(TemplateSeen {
            template: Arc::new(template),
            node: "test".into(),
            received_at: Instant::now(),
        }));
    }

    pub async fn solution(&self) -> Arc<Solution> {
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
    pub fn connect(&mut self, found: &Solution) {
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

    pub fn settle(&self, found: &Solution, outcome: Outcome) {
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

    pub async fn view(&self, what: &str, wanted: impl FnMut(&MiningView) -> bool) -> MiningView {
        let mut views = self.board.mining.subscribe();
        within(what, views.wait_for(wanted)).await.unwrap().clone()
    }

    pub async fn hashing(&self) {
        let before = self.board.registry.hashes();
        within("hashes", async {
            while self.board.registry.hashes() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// Until the threads are parked: they go round and hash nothing.
    pub async fn parked(&self) {
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

    pub async fn stop(self) {
        let report = self.supervisor.stop(LIMIT).await;
        assert!(report.is_clean(), "{report:?}");
        let children = self.supervisor.children();
        assert_eq!(children[0].restarts, 0, "{children:?}");
        let MiningState::NoJob { .. } = self.board.mining.borrow().state else {
            panic!("{:?} after the end", self.board.mining.borrow().state);
        };
    }
}
