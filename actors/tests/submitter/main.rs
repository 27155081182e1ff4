//! The submitter as a supervised child, between a real journal and real nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod abandoned;
mod answers;
mod disk;
mod forgotten;
mod proxy;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use advisor::breaker::BreakerState;
use bitcoin::BlockHash;
use chain::{CoinbaseTag, Job, Network, PayoutScript, Solved};
use devnode::{Devnode, DevnodeConfig};
use disk::BadDisk;
use node::{Auth, Node, NodeConfig};
use proxy::{Cut, Proxy};
use serde_json::{Value, json};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{NodeState, NodeView, Outcome, Settled, Solution};
use signalcore_actors::submitter::journal::{
    BlockEnd, Body, Disk, EntryState, Filed, FoundBlock, Journal, JournalEntry, NodeFate, RealDisk,
    list,
};
use signalcore_actors::submitter::{Submitter, SubmitterSettings};
use supervise::Supervisor;
use support::fake::{Answer, FakeNode};
use support::{LIMIT, client_with_zmq, devnode, run, stop, supervise, until, until_true};
use tempfile::TempDir;

fn open_on(dir: &Path, disk: impl Disk + 'static) -> Arc<Journal> {
    Arc::new(Journal::open(&dir.join("journal"), Arc::new(disk), SystemTime::now()).unwrap())
}

fn open(dir: &Path) -> Arc<Journal> {
    open_on(dir, RealDisk)
}

async fn start(board: &Board, journal: &Arc<Journal>, nodes: &[Node]) -> Supervisor {
    start_with(
        board,
        SubmitterSettings::new(Network::Regtest, nodes.to_vec(), journal.clone()),
    )
    .await
}

async fn start_with(board: &Board, settings: SubmitterSettings) -> Supervisor {
    let board = board.clone();
    supervise(move |incarnation| Ok(Submitter::new(settings.clone(), board.clone(), incarnation)))
        .await
}

/// A job on the node's tip.
async fn job(node: &Node) -> Arc<Job> {
    let template = node.get_block_template(Network::Regtest).await.unwrap();
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let payout = PayoutScript::parse(address, Network::Regtest).unwrap();
    Arc::new(Job::new(&template, &payout, &CoinbaseTag::new("/test/").unwrap(), 0).unwrap())
}

/// Solves a job; `extranonce` tells solutions of one job from each other.
fn solve(job: &Arc<Job>, extranonce: u64) -> Solution {
    solve_at(job, extranonce, job.start_time())
}

fn solve_at(job: &Arc<Job>, extranonce: u64, ntime: u32) -> Solution {
    let version = job.versions()[0];
    let solved = (0..=u32::MAX)
        .map(|nonce| Solved {
            extranonce,
            ntime,
            version,
            nonce,
        })
        .find(|solved| job.is_solved_by(solved))
        .unwrap();
    Solution {
        job: Arc::clone(job),
        hash: job.hash_of(&solved),
        solved,
        found_at: Instant::now(),
        found_time: SystemTime::now(),
    }
}

/// What ingest shows of a node in this state.
fn view(name: &str, state: NodeState) -> NodeView {
    NodeView {
        name: name.into(),
        state,
        active: true,
        tip: None,
        height: None,
        lag: None,
        apart_since: None,
        latency: None,
        peers: None,
        breaker: BreakerState::Closed,
        answers_since: None,
        fault: None,
    }
}

async fn settled(board: &Board, hash: BlockHash) -> Settled {
    let is_it = |settled: &Option<Settled>| settled.as_ref().is_some_and(|s| s.hash == hash);
    until(&board.settled, "settling the block", is_it)
        .await
        .unwrap()
}

/// Blocks accepted, rejected, stale.
fn counts(board: &Board) -> [u64; 3] {
    let registry = &board.registry;
    [
        registry.blocks_accepted.get(),
        registry.blocks_rejected.get(),
        registry.blocks_stale.get(),
    ]
}

/// The only block of a journal, when it says what is wanted.
async fn entry(
    journal: &Journal,
    what: &str,
    wanted: impl Fn(&JournalEntry) -> bool,
) -> JournalEntry {
    let found = Mutex::new(None);
    until_true(what, || {
        let entries = list(journal.dir()).unwrap();
        assert!(entries.len() <= 1, "{entries:?}");
        let entry = entries.into_iter().find(&wanted);
        let is_there = entry.is_some();
        *found.lock().unwrap() = entry;
        is_there
    })
    .await;
    found.into_inner().unwrap().unwrap()
}

#[test]
fn a_found_block_is_journalled_accepted_counted_and_told() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.fund(3).unwrap();
        devnode.fill_mempool(3).unwrap();
        let node = client_with_zmq(&devnode, None);
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;

        let job = job(&node).await;
        assert_eq!(job.transactions(), 3);
        board.job.send_replace(Some(Arc::clone(&job)));
        let solution = solve(&job, 1);
        let hash = solution.hash;
        board.outbox.push(solution);

        let settled = settled(&board, hash).await;
        assert_eq!(
            (settled.outcome, settled.height),
            (Outcome::Accepted, job.height())
        );
        assert_eq!(devnode.tip().hash, hash);
        assert_eq!(counts(&board), [1, 0, 0]);
        assert!(board.outbox.is_empty());
        tokio::time::timeout(LIMIT, board.look.notified())
            .await
            .expect("ingest is told to look");
        until_true("our own check", || {
            board.registry.verifications_passed.get() == 1
        })
        .await;
        let submitted = board.latencies.solve_to_submit.quantiles().unwrap();
        assert_eq!(submitted.n, 1);
        assert!(submitted.longest <= settled.took.as_secs_f64() * 1.01);
        let entry = entry(&journal, "the end in the journal", |entry| {
            entry.state == EntryState::Accepted && !entry.nodes.is_empty()
        })
        .await;
        assert_eq!((entry.hash, entry.nodes[0].name.as_str()), (hash, "local"));
        stop(tree).await;
    });
}

#[test]
fn a_journalled_block_that_the_node_has_already_is_accepted_after_a_restart() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        // A process that journalled a block, gave it to the node and died before the answer.
        let solution = solve(&job(&node).await, 1);
        let raw = solution.job.assemble(&solution.solved);
        file(&open(dir.path()), &solution).await;
        devnode.submit(&raw).unwrap();

        let (board, journal) = (Board::new(1), open(dir.path()));
        assert_eq!(journal.report().unsettled, 1);
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        assert_eq!(
            settled(&board, solution.hash).await.outcome,
            Outcome::Accepted
        );
        assert_eq!(
            counts(&board),
            [0; 3],
            "blocks of an earlier run are not counted"
        );
        assert!(board.latencies.solve_to_submit.quantiles().is_none());
        let entry = entry(&journal, "the end", |entry| {
            entry.state == EntryState::Accepted
        })
        .await;
        assert_eq!(entry.nodes[0].reason.as_deref(), Some("duplicate"));
        stop(tree).await;
    });
}

/// Writes a solution to a journal, as a process does that then dies.
async fn file(journal: &Arc<Journal>, solution: &Solution) {
    let job = &solution.job;
    let block = FoundBlock::new(
        job.header_of(&solution.solved),
        job.height(),
        job.coinbase(solution.solved.extranonce),
        Body::new(job.transactions_raw(), job.transactions() as u32),
        solution.found_time,
    );
    let Filed::New(ticket) = journal.found(&block) else {
        panic!("it is new")
    };
    tokio::time::timeout(LIMIT, journal.durable(ticket))
        .await
        .unwrap();
}

#[test]
fn a_block_that_was_never_sent_is_sent_at_the_next_start() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.fund(2).unwrap();
        devnode.fill_mempool(2).unwrap();
        let node = client_with_zmq(&devnode, None);
        let solution = solve(&job(&node).await, 1);
        assert_eq!(solution.job.transactions(), 2);
        file(&open(dir.path()), &solution).await;

        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        assert_eq!(
            settled(&board, solution.hash).await.outcome,
            Outcome::Accepted
        );
        assert_eq!(devnode.tip().hash, solution.hash);
        stop(tree).await;
    });
}

#[test]
fn a_rejection_ends_the_block_with_the_nodes_reason() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        let job = job(&node).await;
        // A time before the parent's: our own check says so too, and it is sent all the same.
        let solution = solve_at(&job, 0, 1);
        let hash = solution.hash;
        board.outbox.push(solution);
        let settled = settled(&board, hash).await;
        assert_eq!(
            settled.outcome,
            Outcome::Rejected("time-too-old".to_owned())
        );
        assert_eq!(counts(&board), [0, 1, 0]);
        let entry = entry(&journal, "the end", |entry| {
            entry.state == EntryState::Rejected
        })
        .await;
        assert_eq!(entry.nodes[0].reason.as_deref(), Some("time-too-old"));
        stop(tree).await;
    });
}

#[test]
fn a_block_found_while_the_node_is_down_is_accepted_when_it_is_back() {
    run(async {
        let dir = TempDir::new().unwrap();
        let mut config = DevnodeConfig::new(dir.path().join("node"));
        config.persist = true;
        let first = Devnode::start(config.clone()).await.unwrap();
        first.generate(2).unwrap();
        config.rpc_listen = first.rpc_addr();
        let node = client_with_zmq(&first, None);
        let solution = solve(&job(&node).await, 1);
        let hash = solution.hash;
        first.stop().await;

        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        board.outbox.push(solution);
        let waiting = entry(&journal, "doubt", |entry| {
            entry.state == EntryState::Unknown
        })
        .await;
        assert!(waiting.nodes[0].reason.is_some());
        assert!(board.settled.borrow().is_none());
        let second = Devnode::start(config).await.unwrap();
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);
        assert_eq!(second.tip().hash, hash);
        assert_eq!(counts(&board), [1, 0, 0]);
        stop(tree).await;
    });
}

#[test]
fn a_node_that_is_back_is_given_the_block_without_waiting_for_the_next_try() {
    run(async {
        const TIMES: u32 = 40;
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let fake = FakeNode::start(|_, _| Answer::Error(-28, "Loading block index…")).await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let node = named("local", &format!("http://{}", fake.address));
        let tree = start(&board, &journal, &[node]).await;
        board.outbox.push(solution);
        // By itself it would be tried a dozen times in a minute.
        let mut ready = false;
        until_true("a try each time that the node is back", || {
            ready = !ready;
            let down = NodeState::Absent {
                reason: "down".to_owned(),
            };
            let state = if ready { NodeState::Ready } else { down };
            board.nodes.send_replace(vec![view("local", state)]);
            fake.calls("submitblock") >= TIMES
        })
        .await;
        stop(tree).await;
    });
}

#[test]
fn a_second_node_that_is_down_keeps_nobody_waiting_and_gets_the_block_later() {
    run(async {
        let dir = TempDir::new().unwrap();
        let config = |name| with_password(&dir.path().join(name));
        let near = Devnode::start(config("near")).await.unwrap();
        let far = Devnode::start(config("far")).await.unwrap();
        let far_at = far.rpc_addr();
        far.stop().await;
        let nodes = [
            client_with_zmq(&near, None),
            named("far", &format!("http://{far_at}")),
        ];
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, &nodes).await;
        let solution = solve(&job(&nodes[0]).await, 1);
        let hash = solution.hash;
        board.outbox.push(solution);
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);

        let mut again = config("far");
        again.rpc_listen = far_at;
        let far = Devnode::start(again).await.unwrap();
        until_true("the second node's tip", || far.tip().hash == hash).await;
        let entry = entry(&journal, "both answers", |entry| {
            entry
                .nodes
                .iter()
                .filter(|node| node.state == EntryState::Accepted)
                .count()
                == 2
        })
        .await;
        assert_eq!(entry.state, EntryState::Accepted);
        assert_eq!(counts(&board), [1, 0, 0], "counted once");
        stop(tree).await;
    });
}

/// A devnode that takes the user and password of [`named`].
fn with_password(dir: &Path) -> DevnodeConfig {
    let mut config = DevnodeConfig::new(dir);
    config.rpc_user = Some("user".to_owned());
    config.rpc_password = Some("password".to_owned());
    config
}

fn fake_client(fake: &FakeNode) -> Node {
    named("fake", &format!("http://{}", fake.address))
}

fn named(name: &str, url: &str) -> Node {
    let auth = Auth::UserPassword {
        user: "user".into(),
        password: "password".into(),
    };
    Node::start(NodeConfig::new(name, url.parse().unwrap(), auth)).unwrap()
}

#[test]
fn of_two_own_blocks_at_one_height_the_second_is_superseded() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        let old_job = job(&node).await;
        for (extranonce, outcome) in [(1, Outcome::Accepted), (2, Outcome::Stale)] {
            let solution = solve(&old_job, extranonce);
            let hash = solution.hash;
            board.outbox.push(solution);
            if outcome == Outcome::Stale {
                // The node's next block decides the race at once.
                until_true("storing the side block", || {
                    devnode.raw_block(&hash).is_some()
                })
                .await;
                devnode.generate(1).unwrap();
            }
            assert_eq!(settled(&board, hash).await.outcome, outcome);
        }
        assert_eq!(counts(&board), [1, 0, 1]);
        until_true("both ends in the journal", || {
            let states: Vec<EntryState> = list(journal.dir())
                .unwrap()
                .into_iter()
                .map(|entry| entry.state)
                .collect();
            states == [EntryState::Accepted, EntryState::Superseded]
        })
        .await;
        stop(tree).await;
    });
}

#[test]
fn after_a_connection_that_was_cut_the_block_is_looked_up_and_not_sent_twice() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = Devnode::start(with_password(dir.path())).await.unwrap();
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let hash = solution.hash;
        // The node reads the block, accepts it, and its answer is lost.
        let proxy = Proxy::start(&devnode, Cut::AfterReading).await;
        let node = proxy.client();
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        board.outbox.push(solution);
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);
        assert_eq!(proxy.submissions(), 1, "a look-up was enough");
        assert_eq!(devnode.tip().hash, hash);
        stop(tree).await;
    });
}

#[test]
fn after_a_connection_that_was_cut_before_the_node_read_it_the_block_is_sent_again() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = Devnode::start(with_password(dir.path())).await.unwrap();
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let hash = solution.hash;
        let proxy = Proxy::start(&devnode, Cut::BeforeReading).await;
        let node = proxy.client();
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        board.outbox.push(solution);
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);
        assert_eq!(devnode.tip().hash, hash);
        assert_eq!(counts(&board), [1, 0, 0]);
        stop(tree).await;
    });
}

/// A node that gives `submitblock` these answers in turn, the last for ever, and knows no block.
async fn scripted(answers: Vec<Answer>) -> FakeNode {
    let next = AtomicU32::new(0);
    FakeNode::start(move |method, _: &Value| match method {
        "submitblock" => {
            let turn = next.fetch_add(1, Ordering::SeqCst) as usize;
            answers[turn.min(answers.len() - 1)].clone()
        }
        "getblockheader" => Answer::Error(-5, "Block not found"),
        _ => Answer::Error(-32601, "Method not found"),
    })
    .await
}

#[test]
fn a_node_that_is_busy_starting_or_behind_is_asked_until_it_decides() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let hash = solution.hash;
        let fake = scripted(vec![
            Answer::Http(503, "Work queue depth exceeded"),
            Answer::Error(-28, "Verifying blocks\u{2026}"),
            Answer::Http(403, ""),
            Answer::Result(json!("prev-blk-not-found")),
            Answer::Result(json!("time-too-new")),
            Answer::Result(json!("bad-witness-merkle-match")),
            Answer::Result(json!(null)),
        ])
        .await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, &[fake_client(&fake)]).await;
        board.outbox.push(solution);
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);
        assert_eq!(fake.calls("submitblock"), 7);
        stop(tree).await;
    });
}

#[test]
fn a_block_that_no_node_takes_is_told_until_one_does() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let (hash, height) = (solution.hash, solution.job.height());
        let fake = scripted(vec![Answer::Http(403, "")]).await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, &[fake_client(&fake)]).await;
        board.outbox.push(solution);
        let told = until(&board.undelivered, "the trouble", Option::is_some).await;
        let told = told.unwrap();
        assert_eq!((told.blocks, told.height), (1, height));
        assert!(told.reason.contains("forbids submitblock"), "{told:?}");
        fake.now(|_, _| Answer::Result(json!(null)));
        assert_eq!(settled(&board, hash).await.outcome, Outcome::Accepted);
        until(&board.undelivered, "its end", Option::is_none).await;
        stop(tree).await;
    });
}

#[test]
fn an_answer_nobody_knows_is_looked_up_and_believed_at_the_fourth_time() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let solution = solve(&job(&client_with_zmq(&devnode, None)).await, 1);
        let hash = solution.hash;
        let fake = scripted(vec![Answer::Result(json!("not today"))]).await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, &[fake_client(&fake)]).await;
        board.outbox.push(solution);
        let outcome = settled(&board, hash).await.outcome;
        assert_eq!(outcome, Outcome::Rejected("not today".to_owned()));
        assert_eq!(
            (fake.calls("submitblock"), fake.calls("getblockheader")),
            (4, 4)
        );
        stop(tree).await;
    });
}

#[test]
fn a_disk_that_is_full_or_stalls_holds_no_block_back_and_gets_it_later() {
    for which in ["full", "stalled"] {
        run(async {
            let dir = TempDir::new().unwrap();
            let devnode = devnode(dir.path()).await;
            let node = client_with_zmq(&devnode, None);
            let disk = BadDisk::default();
            let bad = if which == "full" {
                &disk.full
            } else {
                &disk.stalled
            };
            let (board, journal) = (Board::new(1), open_on(dir.path(), disk.clone()));
            let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
            bad.store(true, Ordering::SeqCst);
            let solution = solve(&job(&node).await, 1);
            let hash = solution.hash;
            board.outbox.push(solution);
            let settled = settled(&board, hash).await;
            assert_eq!(settled.outcome, Outcome::Accepted, "{which}");
            assert!(
                settled.took >= Duration::from_millis(200),
                "the disk had its chance"
            );
            assert_eq!(list(journal.dir()).unwrap(), [], "{which}");
            bad.store(false, Ordering::SeqCst);
            let entry = entry(&journal, "the block on disk", |_| true).await;
            assert_eq!(entry.hash, hash);
            stop(tree).await;
        });
    }
}

#[test]
fn a_submitter_that_dies_at_any_point_leaves_the_block_to_its_successor() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        let (board, journal) = (Board::new(1), open(dir.path()));
        // Filed by an incarnation that died before it took the block from the outbox; and one that
        // was found while nobody was there.
        let filed = solve(&job(&node).await, 1);
        file(&journal, &filed).await;
        board.outbox.push(filed.clone());
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        assert_eq!(settled(&board, filed.hash).await.outcome, Outcome::Accepted);
        until_true("emptying the outbox", || board.outbox.is_empty()).await;
        stop(tree).await;

        let found_meanwhile = solve(&job(&node).await, 2);
        board.outbox.push(found_meanwhile.clone());
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        assert_eq!(
            settled(&board, found_meanwhile.hash).await.outcome,
            Outcome::Accepted
        );
        // Settled by an incarnation that died before it took it from the outbox: nothing happens.
        board.outbox.push(found_meanwhile.clone());
        until_true("emptying the outbox", || board.outbox.is_empty()).await;
        assert_eq!(board.registry.blocks_accepted.get(), 2);
        assert_eq!(devnode.tip().hash, found_meanwhile.hash);
        stop(tree).await;
    });
}

#[test]
fn a_stop_waits_for_the_answer_and_leaves_open_blocks_in_the_journal() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        let solution = solve(&job(&node).await, 1);
        let hash = solution.hash;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        board.outbox.push(solution);
        stop(tree).await;
        assert_eq!(devnode.tip().hash, hash, "it was still sent");
        assert_eq!(
            list(journal.dir()).unwrap()[0].state,
            EntryState::Accepted,
            "and written down"
        );

        let open_one = solve(&job(&node).await, 1);
        let nobody = named("nobody", "http://127.0.0.1:9");
        let tree = start(&board, &journal, &[nobody]).await;
        board.outbox.push(open_one.clone());
        stop(tree).await;
        let left = journal.unsettled();
        assert_eq!((left.len(), left[0].hash), (1, open_one.hash));
        assert_eq!(journal.trouble(), None);
        assert!(
            !journal.settle(hash, BlockEnd::Stale, "", SystemTime::now()),
            "settled once"
        );
        journal.answered(
            hash,
            &"x".into(),
            NodeFate::Unknown,
            "",
            "",
            SystemTime::now(),
        );
    });
}
