//! What becomes of a block after it is settled.

use signalcore_actors::submitter::Resubmitter;
use signalcore_actors::submitter::journal::show;

use super::*;

/// Has the node come back, again and again, until a condition holds.
async fn node_comes_back_until(board: &Board, what: &str, mut holds: impl FnMut() -> bool) {
    let mut ready = false;
    until_true(what, || {
        ready = !ready;
        let down = NodeState::Absent {
            reason: "down".to_owned(),
        };
        let state = if ready { NodeState::Ready } else { down };
        board.nodes.send_replace(vec![view("local", state)]);
        holds()
    })
    .await;
}

/// A devnode of no blocks where another one was.
async fn fresh_at(dir: &Path, address: std::net::SocketAddr) -> Devnode {
    let mut config = with_password(dir);
    config.rpc_listen = address;
    Devnode::start(config).await.unwrap()
}

#[test]
fn blocks_that_the_node_has_lost_are_given_to_it_again_and_counted_once() {
    run(async {
        let dir = TempDir::new().unwrap();
        let first = Devnode::start(with_password(&dir.path().join("first")))
            .await
            .unwrap();
        let address = first.rpc_addr();
        let node = named("local", &format!("http://{address}"));
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        let mut last = None;
        for extranonce in 1..=3 {
            let solution = solve(&job(&node).await, extranonce);
            last = Some(solution.hash);
            board.outbox.push(solution.clone());
            assert_eq!(
                settled(&board, solution.hash).await.outcome,
                Outcome::Accepted
            );
        }
        first.stop().await;
        let second = fresh_at(&dir.path().join("second"), address).await;
        node_comes_back_until(&board, "the node has all three again", || {
            Some(second.tip().hash) == last
        })
        .await;
        assert_eq!(counts(&board), [3, 0, 0]);
        stop(tree).await;
        let entries = list(journal.dir()).unwrap();
        let accepted = |entry: &JournalEntry| entry.state == EntryState::Accepted;
        assert!(
            entries.len() == 3 && entries.iter().all(accepted),
            "{entries:?}"
        );
    });
}

#[test]
fn a_block_of_an_earlier_run_that_the_node_has_lost_is_given_to_it_again() {
    run(async {
        let dir = TempDir::new().unwrap();
        let first = Devnode::start(with_password(&dir.path().join("first")))
            .await
            .unwrap();
        let address = first.rpc_addr();
        let node = named("local", &format!("http://{address}"));
        let solution = solve(&job(&node).await, 1);
        let hash = solution.hash;
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        board.outbox.push(solution);
        settled(&board, hash).await;
        stop(tree).await;
        drop(journal);
        first.stop().await;

        let second = fresh_at(&dir.path().join("second"), address).await;
        let (board, journal) = (Board::new(1), open(dir.path()));
        assert_eq!(journal.report().unsettled, 0);
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        node_comes_back_until(&board, "the node has it again", || {
            second.tip().hash == hash
        })
        .await;
        assert_eq!(counts(&board), [0; 3]);
        stop(tree).await;
    });
}

#[test]
fn a_reorganisation_moves_a_settled_block_and_back_and_changes_no_count() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        let (board, journal) = (Board::new(1), open(dir.path()));
        let tree = start(&board, &journal, std::slice::from_ref(&node)).await;
        let solution = solve(&job(&node).await, 1);
        let hash = solution.hash;
        board.outbox.push(solution);
        settled(&board, hash).await;
        let state = || list(journal.dir()).unwrap()[0].state;

        devnode.invalidate(&hash).unwrap();
        node_comes_back_until(&board, "it is out", || state() == EntryState::Stale).await;
        devnode.reconsider(&hash).unwrap();
        node_comes_back_until(&board, "it is back", || state() == EntryState::Accepted).await;
        assert_eq!(counts(&board), [1, 0, 0]);
        assert_eq!(
            devnode.tip().hash,
            hash,
            "it was not given to anybody meanwhile, nor refused"
        );
        stop(tree).await;
        let shown = show(journal.dir(), &hash.to_string()).unwrap();
        let events = shown.history.iter().map(|step| step.event);
        let events: Vec<&str> = events.collect();
        assert_eq!(
            events,
            ["found", "sent", "answered", "settled", "moved", "moved"]
        );
        assert_eq!(shown.entry.settled_as, Some(BlockEnd::Accepted));
        drop(journal);
        let again = open(dir.path());
        assert_eq!(again.recent()[0].end, BlockEnd::Accepted);
    });
}

/// More settled blocks than are remembered in any way, all found after `since`.
async fn settle_many(journal: &Journal, since: SystemTime) {
    let body = Body::empty();
    for n in 1..=4_200_u32 {
        let mut header = [0xfe; 80];
        header[..4].copy_from_slice(&n.to_le_bytes());
        let found_at = since + Duration::from_secs(n.into());
        let block = FoundBlock::new(header, n, vec![1], Arc::clone(&body), found_at);
        assert!(matches!(journal.found(&block), Filed::New(_)));
        assert!(journal.settle(block.hash(), BlockEnd::Stale, "", found_at));
    }
    within(journal.flushed()).await;
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

#[test]
fn however_old_a_block_is_it_is_accepted_once_a_node_takes_it_and_nothing_of_it_is_kept() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        let solution = solve(&job(&node).await, 1);
        let hash = solution.hash;
        let journal = open(dir.path());
        file(&journal, &solution).await;
        let refused = "by mistake";
        journal.answered(
            hash,
            &"local".into(),
            NodeFate::Rejected,
            refused,
            refused,
            SystemTime::now(),
        );
        assert!(journal.settle(hash, BlockEnd::Rejected, refused, SystemTime::now()));
        within(journal.flushed()).await;
        settle_many(&journal, solution.found_time).await;
        let remembered = journal.recent();
        assert!(remembered.iter().all(|block| block.hash != hash));

        let resubmitter = Resubmitter::new(&[node], Arc::clone(&journal));
        for _ in 0..2 {
            let answers = resubmitter.resubmit(hash, None).await.unwrap();
            assert_eq!(answers[0].state, EntryState::Accepted);
        }
        let shown = show(journal.dir(), &hash.to_string()).unwrap();
        assert_eq!(shown.entry.state, EntryState::Accepted);
        assert_eq!(shown.entry.nodes[0].state, EntryState::Accepted);
        assert_eq!(shown.entry.settled_as, Some(BlockEnd::Rejected));
        let moves = shown.history.iter().filter(|step| step.event == "moved");
        assert_eq!(moves.count(), 1, "{:?}", shown.history);
        assert_eq!(journal.recent(), remembered);
        assert!(journal.unsettled().is_empty());
    });
}

#[test]
fn what_nodes_make_of_a_block_is_told_when_the_disk_takes_nothing() {
    run(async {
        let dir = TempDir::new().unwrap();
        let devnode = devnode(dir.path()).await;
        let node = client_with_zmq(&devnode, None);
        let solution = solve(&job(&node).await, 1);
        let disk = BadDisk::default();
        let journal = open_on(dir.path(), disk.clone());
        file(&journal, &solution).await;
        assert!(journal.settle(solution.hash, BlockEnd::Stale, "", SystemTime::now()));
        within(journal.flushed()).await;
        disk.stalled.store(true, Ordering::SeqCst);
        let resubmitter = Resubmitter::new(&[node], Arc::clone(&journal));
        let answers = within(resubmitter.resubmit(solution.hash, None)).await;
        assert_eq!(answers.unwrap()[0].state, EntryState::Accepted);
        disk.stalled.store(false, Ordering::SeqCst);
        within(journal.flushed()).await;
        let entries = list(journal.dir()).unwrap();
        assert_eq!(entries[0].state, EntryState::Accepted);
    });
}

#[test]
fn a_block_is_given_again_to_whom_it_is_asked_for() {
    run(async {
        let dir = TempDir::new().unwrap();
        let near = Devnode::start(with_password(&dir.path().join("near")))
            .await
            .unwrap();
        let far = Devnode::start(with_password(&dir.path().join("far")))
            .await
            .unwrap();
        let url = |devnode: &Devnode| format!("http://{}", devnode.rpc_addr());
        let nodes = [
            named("near", &url(&near)),
            named("far", &url(&far)),
            named("nobody", "http://127.0.0.1:9"),
        ];
        let solution = solve(&job(&nodes[0]).await, 1);
        let hash = solution.hash;
        let journal = open(dir.path());
        file(&journal, &solution).await;
        assert!(journal.settle(hash, BlockEnd::Rejected, "by mistake", SystemTime::now()));
        let resubmitter = Resubmitter::new(&nodes, Arc::clone(&journal));

        let refused = resubmitter
            .resubmit(hash, Some("elsewhere"))
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("near, far, nobody"),
            "{refused}"
        );
        let answers = resubmitter.resubmit(hash, Some("far")).await.unwrap();
        let said: Vec<_> = answers.iter().map(|a| (a.name.as_str(), a.state)).collect();
        assert_eq!(said, [("far", EntryState::Accepted)]);
        assert_eq!((far.tip().hash, near.tip().height), (hash, 0));
        assert_eq!(list(journal.dir()).unwrap()[0].state, EntryState::Accepted);

        let answers = resubmitter.resubmit(hash, None).await.unwrap();
        let states: Vec<EntryState> = answers.iter().map(|answer| answer.state).collect();
        let (accepted, unknown) = (EntryState::Accepted, EntryState::Unknown);
        assert_eq!(states, [accepted, accepted, unknown]);
        assert!(
            answers[2]
                .reason
                .as_deref()
                .unwrap()
                .contains("cannot reach")
        );
        near.invalidate(&hash).unwrap();
        let answers = resubmitter.resubmit(hash, Some("near")).await.unwrap();
        assert_eq!(answers[0].state, EntryState::Rejected, "{answers:?}");
        let unknown = resubmitter
            .resubmit(near.tip().hash, None)
            .await
            .unwrap_err();
        assert!(unknown.to_string().contains("cannot be read"), "{unknown}");
    });
}
