//! A block that is published is mined on before the node is asked for its tip, and no longer than it may be.
//!
//! ingest, validator, miner and submitter between a real node, whose answers can be held back, and a publisher.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::disallowed_methods)]

mod gate;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;
use chain::{CoinbaseTag, Job, Network, PayoutScript};
use devnode::Devnode;
use gate::{Gate, READS};
use signalcore_actors::board::Board;
use signalcore_actors::ingest::{Ingest, IngestSettings};
use signalcore_actors::messages::{BlockSeen, NodeState, Outcome};
use signalcore_actors::miner::{Interval, Miner, MinerSettings, PaceMode, Pacing};
use signalcore_actors::resources::Degradation;
use signalcore_actors::submitter::journal::{Journal, RealDisk};
use signalcore_actors::submitter::{Submitter, SubmitterSettings};
use signalcore_actors::validator::{Validator, ValidatorSettings, WallClock};
use supervise::{ChildSpec, Supervisor};
use support::{devnode, run, until, until_true};
use tempfile::TempDir;

/// A node, the gate before its answers, a publisher that may be another node, and the children between them.
struct Rig {
    /// Answers and, if nobody else does, publishes.
    node: Devnode,
    gate: Gate,
    board: Board,
    tree: Supervisor,
    _dirs: Vec<TempDir>,
}

impl Rig {
    /// On a node with a few blocks, which speaks for itself.
    async fn start(mining: MinerSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = devnode(dir.path()).await;
        node.generate(20).unwrap();
        let endpoint = node.zmq_endpoint().unwrap().to_owned();
        Self::with(node, &endpoint, vec![dir], mining).await
    }

    /// On a node, and what another one with the same chain publishes; answers that one, too.
    async fn start_with_publisher(mining: MinerSettings) -> (Self, Devnode) {
        let dirs = vec![tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let node = devnode(dirs[0].path()).await;
        node.generate(20).unwrap();
        let publisher = devnode(dirs[1].path()).await;
        for height in 1..=20 {
            give(&node, &publisher, node.block_hash(height).unwrap());
        }
        let endpoint = publisher.zmq_endpoint().unwrap().to_owned();
        let rig = Self::with(node, &endpoint, dirs, mining).await;
        (rig, publisher)
    }

    async fn with(
        node: Devnode,
        endpoint: &str,
        dirs: Vec<TempDir>,
        mining: MinerSettings,
    ) -> Self {
        Self::on(Board::new(1), node, endpoint, dirs, mining).await
    }

    async fn on(
        board: Board,
        node: Devnode,
        endpoint: &str,
        mut dirs: Vec<TempDir>,
        mining: MinerSettings,
    ) -> Self {
        let gate = Gate::start(&node).await;
        let nodes = vec![gate.client(&node, endpoint)];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        dirs.push(dir);
        let journal = Journal::open(&path, Arc::new(RealDisk), SystemTime::now()).unwrap();
        let mut builder = Supervisor::builder("test");
        let submitter = SubmitterSettings::new(Network::Regtest, nodes.clone(), Arc::new(journal));
        let shared = board.clone();
        builder.child(ChildSpec::new("submitter"), move |incarnation| {
            Ok(Submitter::new(
                submitter.clone(),
                shared.clone(),
                incarnation,
            ))
        });
        let validator = ValidatorSettings {
            network: Network::Regtest,
            level: 16_000,
            coverage_min: 0.7,
            nodes: nodes.clone(),
            clock: WallClock::default(),
        };
        let shared = board.clone();
        builder.child(ChildSpec::new("validator"), move |incarnation| {
            Ok(Validator::new(
                validator.clone(),
                shared.clone(),
                incarnation,
            ))
        });
        let shared = board.clone();
        builder.child(ChildSpec::new("miner"), move |incarnation| {
            Ok(Miner::new(mining.clone(), shared.clone(), incarnation)?)
        });
        let mut ingest = IngestSettings::new(Network::Regtest, nodes);
        ingest.poll_interval = Duration::from_millis(100);
        let shared = board.clone();
        builder.child(ChildSpec::new("ingest"), move |incarnation| {
            Ok(Ingest::new(ingest.clone(), shared.clone(), incarnation))
        });
        let tree = builder.start().await.unwrap();
        let rig = Self {
            node,
            gate,
            board,
            tree,
            _dirs: dirs,
        };
        rig.validated(rig.node.tip().hash).await;
        until(&rig.board.node_state, "the node being ready", |state| {
            *state == NodeState::Ready
        })
        .await;
        until(&rig.board.template, "a template", Option::is_some).await;
        rig
    }

    async fn validated(&self, hash: BlockHash) {
        until(&self.board.tip_validated, "the tip's verification", |tip| {
            tip.as_ref().is_some_and(|tip| tip.hash == hash)
        })
        .await;
    }

    /// The block is ahead of the node's tip.
    async fn ahead(&self, hash: BlockHash) {
        until(&self.board.tip_provisional, "being ahead", |ahead| {
            ahead.as_ref().is_some_and(|ahead| ahead.tip.hash == hash)
        })
        .await;
    }

    async fn none_ahead(&self) {
        until(
            &self.board.tip_provisional,
            "no block ahead",
            Option::is_none,
        )
        .await;
    }

    /// The threads are on a job on this block.
    async fn job_on(&self, hash: BlockHash) -> Arc<Job> {
        let job = until(&self.board.job, "a job on the block", |job| {
            job.as_ref().is_some_and(|job| job.prev() == hash)
        });
        job.await.unwrap()
    }

    fn cancelled(&self) -> u64 {
        self.board.registry.provisional_cancelled.get()
    }

    async fn stop(self) {
        self.gate.shut(&[]);
        let report = self.tree.stop(support::LIMIT).await;
        assert!(report.still_running.is_empty(), "{report:?}");
        for child in self.tree.children() {
            assert_eq!(child.restarts, 0, "{child:?}");
        }
    }
}

/// One thread, which finds a block at once, and no more than one.
fn lucky() -> MinerSettings {
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let payout = PayoutScript::parse(address, Network::Regtest).unwrap();
    let tag = CoinbaseTag::new("/test/").unwrap();
    MinerSettings {
        block_limit: Some(1),
        ..MinerSettings::new(payout, tag, 1, pow::kernel("auto").unwrap())
    }
}

/// The same, and nothing is ever found, since the paced target is far too hard.
fn hopeless() -> MinerSettings {
    let pacing = Pacing {
        mode: PaceMode::Work,
        interval: Interval::Fixed(1e9),
    };
    MinerSettings {
        pacing: Some(pacing),
        ..lucky()
    }
}

/// Hands a block of one node to another.
fn give(from: &Devnode, to: &Devnode, hash: BlockHash) {
    let raw = from.raw_block(&hash).unwrap();
    to.submit(&raw).unwrap();
}

/// What ingest makes of a published block.
fn seen(from: &Devnode, hash: BlockHash) -> BlockSeen {
    let raw = from.raw_block(&hash).unwrap();
    BlockSeen {
        hash,
        header: chain::header_from_bytes(raw.first_chunk().unwrap()),
        start: Arc::from(&raw[..raw.len().min(chain::NAMES_HEIGHT_WITHIN)]),
        node: "local".into(),
        seen_at: Instant::now(),
    }
}

#[test]
fn the_job_changes_before_the_node_answers_and_stays_when_it_confirms() {
    run(async {
        let rig = Rig::start(hopeless()).await;
        let before = rig.node.tip();
        rig.job_on(before.hash).await;
        rig.gate.shut(READS);
        let tip = rig.node.generate(1).unwrap()[0];
        let job = rig.job_on(tip).await;
        assert_eq!((job.height(), job.transactions()), (before.height + 2, 0));
        let validated = rig.board.tip_validated.borrow().clone().unwrap();
        assert_eq!(validated.hash, before.hash, "the node has said nothing");
        rig.ahead(tip).await;

        rig.gate.shut(&["getblocktemplate"]);
        rig.validated(tip).await;
        rig.none_ahead().await;
        assert!(Arc::ptr_eq(&job, &rig.job_on(tip).await), "the same job");
        assert_eq!(rig.board.registry.provisional_tips.get(), 1);
        assert_eq!(rig.cancelled(), 0);

        rig.gate.shut(&[]);
        until(&rig.board.job, "the job of the template", |now| {
            now.as_ref()
                .is_some_and(|now| now.prev() == tip && !Arc::ptr_eq(now, &job))
        })
        .await;
        rig.stop().await;
    });
}

#[test]
fn a_block_that_the_node_does_not_have_is_left_for_its_tip_again_and_believed_once_it_has() {
    run(async {
        let (rig, publisher) = Rig::start_with_publisher(hopeless()).await;
        let tip = rig.node.tip().hash;
        rig.job_on(tip).await;
        let block = publisher.generate(1).unwrap()[0];
        rig.ahead(block).await;
        rig.job_on(block).await;
        // The node answers all the time, and has another tip.
        rig.none_ahead().await;
        rig.job_on(tip).await;
        assert_eq!(rig.cancelled(), 1);
        assert_eq!(rig.board.tip_validated.borrow().as_ref().unwrap().hash, tip);
        // Whatever else is published: not before the node has moved.
        let next = publisher.generate(1).unwrap()[0];
        until_true("the next block's arrival", || {
            let known = rig.board.block_seen.borrow();
            known.as_ref().is_some_and(|seen| seen.hash == next)
        })
        .await;
        give(&publisher, &rig.node, block);
        rig.validated(block).await;
        rig.job_on(block).await;
        assert_eq!(rig.board.registry.provisional_tips.get(), 1);
        assert_eq!(rig.cancelled(), 1);
        // It is not held against the publisher for ever.
        give(&publisher, &rig.node, next);
        rig.validated(next).await;
        let last = publisher.generate(1).unwrap()[0];
        rig.ahead(last).await;
        rig.job_on(last).await;
        rig.stop().await;
    });
}

#[test]
fn a_node_that_answers_nothing_at_all_is_waited_for_and_then_its_last_tip_counts_again() {
    run(async {
        let rig = Rig::start(hopeless()).await;
        let before = rig.node.tip().hash;
        rig.job_on(before).await;
        rig.gate.shut(READS);
        let tip = rig.node.generate(1).unwrap()[0];
        rig.job_on(tip).await;
        rig.job_on(before).await;
        rig.none_ahead().await;
        assert_eq!(rig.cancelled(), 1);
        // Better late than never.
        rig.gate.shut(&[]);
        rig.validated(tip).await;
        rig.job_on(tip).await;
        assert_eq!(rig.cancelled(), 1);
        rig.stop().await;
    });
}

#[test]
fn a_block_found_before_the_node_has_confirmed_its_parent_is_submitted_and_accepted() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let node = devnode(dir.path()).await;
        node.generate(20).unwrap();
        let endpoint = node.zmq_endpoint().unwrap().to_owned();
        let board = Board::new(1);
        // Not a block before it is wanted.
        board.degradation.send_replace(Degradation::Parked);
        let rig = Rig::on(board, node, &endpoint, vec![dir], lucky()).await;
        rig.gate.shut(READS);
        let parent = rig.node.generate(1).unwrap()[0];
        rig.ahead(parent).await;
        rig.board.degradation.send_replace(Degradation::None);
        let settled = until(&rig.board.settled, "an accepted block", Option::is_some).await;
        let settled = settled.unwrap();
        assert_eq!(
            (settled.prev, &settled.outcome),
            (parent, &Outcome::Accepted)
        );
        assert_eq!(rig.node.tip().hash, settled.hash);
        rig.gate.shut(&[]);
        rig.validated(settled.hash).await;
        assert_eq!(rig.cancelled(), 0);
        rig.stop().await;
    });
}

#[test]
fn a_node_that_takes_our_block_and_says_nothing_more_need_not_be_waited_for() {
    run(async {
        let dirs = vec![tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let node = devnode(dirs[0].path()).await;
        node.generate(20).unwrap();
        // Somebody who never publishes anything.
        let silent = devnode(dirs[1].path()).await;
        let endpoint = silent.zmq_endpoint().unwrap();
        let board = Board::new(1);
        board.degradation.send_replace(Degradation::Parked);
        let rig = Rig::on(board, node, endpoint, dirs, lucky()).await;
        rig.gate.shut(READS);
        rig.board.degradation.send_replace(Degradation::None);
        let settled = until(&rig.board.settled, "an accepted block", Option::is_some).await;
        let block = settled.unwrap().hash;
        rig.ahead(block).await;
        rig.gate.shut(&[]);
        rig.validated(block).await;
        rig.none_ahead().await;
        assert_eq!(rig.cancelled(), 0);
        rig.stop().await;
    });
}

#[test]
fn what_is_replayed_or_breaks_a_rule_changes_no_job_however_much_of_it_there_is() {
    run(async {
        let rig = Rig::start(hopeless()).await;
        let dir = tempfile::tempdir().unwrap();
        let other = devnode(dir.path()).await;
        let chain: Vec<_> = (1..=20)
            .map(|height| rig.node.block_hash(height).unwrap())
            .collect();
        for hash in &chain {
            give(&rig.node, &other, *hash);
        }
        let mut flood: Vec<_> = chain.iter().map(|hash| seen(&other, *hash)).collect();
        let blocks = other.generate(3).unwrap();
        let good = seen(&other, blocks[0]);
        // Without a known parent; without work; with another height.
        flood.push(seen(&other, blocks[2]));
        let mut idle = good.clone();
        while idle.header.target().is_met_by(idle.header.block_hash()) {
            idle.header.nonce += 1;
        }
        idle.hash = idle.header.block_hash();
        flood.push(idle);
        flood.push(BlockSeen {
            start: Arc::clone(&seen(&other, blocks[1]).start),
            ..good.clone()
        });
        let tip = rig.node.tip().hash;
        let job = rig.job_on(tip).await;
        let jobs = rig.board.registry.jobs.get();
        let cell = rig.board.block_seen.clone();
        let flooding = std::thread::spawn(move || {
            for n in 0..200_000 {
                cell.send_replace(Some(flood[n % flood.len()].clone()));
            }
        });
        until_true("the end of the flood", || flooding.is_finished()).await;
        flooding.join().unwrap();
        assert!(Arc::ptr_eq(&job, &rig.job_on(tip).await));
        assert_eq!(rig.board.registry.jobs.get(), jobs);
        assert_eq!(rig.board.registry.provisional_tips.get(), 0);
        // And none of it stands in the way of a good one.
        rig.board.block_seen.send_replace(Some(good.clone()));
        rig.ahead(good.hash).await;
        rig.job_on(good.hash).await;
        rig.stop().await;
    });
}
