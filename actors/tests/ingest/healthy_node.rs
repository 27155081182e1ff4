//! What ingest sees of a node that is as it should be, whatever happens to its chain and its sockets.

use std::time::{Duration, Instant};

use chain::Network;
use devnode::{Devnode, DevnodeConfig};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{NodeState, TipSource};

use crate::support::{
    self, client, client_with_zmq, devnode, run, stop, tip_is_seen, until, until_true,
};
use crate::{FAST, NEVER, ingest, is_up};

async fn template_is_on_the_tip(board: &Board, devnode: &Devnode) {
    let tip = devnode.tip().hash;
    until(&board.template, "a template on the tip", |seen| {
        seen.as_ref()
            .is_some_and(|seen| seen.template.previousblockhash == tip)
    })
    .await;
}

async fn zmq_is_connected(board: &Board, devnode: &Devnode) {
    until_true("a notification", || {
        if board.registry.zmq_messages.get() == 0 {
            devnode.generate(1).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        board.registry.zmq_messages.get() > 0
    })
    .await;
    tip_is_seen(board, devnode).await;
}

#[test]
fn a_new_block_is_seen_at_once_and_its_template_follows_although_no_poll_is_due() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let board = Board::new(1);
        let tree = ingest(&board, client(&devnode), |settings| {
            settings.poll_interval = NEVER;
        })
        .await;
        tip_is_seen(&board, &devnode).await;
        zmq_is_connected(&board, &devnode).await;
        let mut announced = 0;
        for _ in 0..5 {
            let before = Instant::now();
            devnode.generate(1).unwrap();
            tip_is_seen(&board, &devnode).await;
            let seen = board.tip_seen.borrow().clone().unwrap();
            // A template that was fetched for the tip before may come with the next one, and be first.
            announced += u32::from(seen.source != TipSource::Poll);
            assert!(
                seen.seen_at >= before,
                "seen_at is when the announcement arrived"
            );
            template_is_on_the_tip(&board, &devnode).await;
        }
        assert!(announced > 0, "no block was announced");
        stop(tree).await;
    });
}

#[test]
fn however_many_announcements_a_block_has_it_is_one_tip() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let board = Board::new(1);
        let tree = ingest(&board, client(&devnode), |settings| {
            settings.poll_interval = FAST;
        })
        .await;
        tip_is_seen(&board, &devnode).await;
        zmq_is_connected(&board, &devnode).await;
        let (tips, messages) = (
            board.registry.tips_seen.get(),
            board.registry.zmq_messages.get(),
        );
        for _ in 0..10 {
            devnode.generate(1).unwrap();
            tip_is_seen(&board, &devnode).await;
        }
        // hashblock, rawblock and sequence of each.
        until_true("thirty notifications", || {
            board.registry.zmq_messages.get() >= messages + 30
        })
        .await;
        assert_eq!(board.registry.tips_seen.get() - tips, 10);
        stop(tree).await;
    });
}

#[test]
fn without_zmq_every_tip_is_seen_all_the_same() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let board = Board::new(1);
        let node = client_with_zmq(&devnode, None);
        let tree = ingest(&board, node, |settings| settings.poll_interval = FAST).await;
        for _ in 0..5 {
            devnode.generate(1).unwrap();
            tip_is_seen(&board, &devnode).await;
            template_is_on_the_tip(&board, &devnode).await;
        }
        assert_eq!(board.registry.zmq_messages.get(), 0);
        stop(tree).await;
    });
}

#[test]
fn a_tip_that_goes_back_is_seen_with_a_template_to_match_and_no_socket_is_blamed() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(5).unwrap();
        let board = Board::new(1);
        let tree = ingest(&board, client(&devnode), |settings| {
            settings.poll_interval = FAST;
        })
        .await;
        tip_is_seen(&board, &devnode).await;
        zmq_is_connected(&board, &devnode).await;
        let (tip, below) = (devnode.tip(), devnode.tip().height - 2);
        devnode
            .invalidate(&devnode.block_hash(below + 1).unwrap())
            .unwrap();
        assert_eq!(devnode.tip().height, below);
        tip_is_seen(&board, &devnode).await;
        template_is_on_the_tip(&board, &devnode).await;
        devnode.reconsider(&tip.hash).unwrap();
        assert_eq!(devnode.tip().hash, tip.hash);
        tip_is_seen(&board, &devnode).await;
        template_is_on_the_tip(&board, &devnode).await;
        assert_eq!(board.registry.zmq_resets.get(), 0);
        stop(tree).await;
    });
}

#[test]
fn a_tip_that_goes_back_unannounced_is_found_by_a_poll_and_no_socket_is_blamed() {
    run(async {
        let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let devnode = devnode(dir.path()).await;
        devnode.generate(9).unwrap();
        // Publishes nothing, for nothing happens to its chain.
        let silent = support::devnode(other_dir.path()).await;
        let board = Board::new(1);
        let node = client_with_zmq(&devnode, silent.zmq_endpoint());
        let tree = ingest(&board, node, |settings| settings.poll_interval = FAST).await;
        tip_is_seen(&board, &devnode).await;
        for height in [7, 3, 1] {
            devnode
                .invalidate(&devnode.block_hash(height + 1).unwrap())
                .unwrap();
            assert_eq!(devnode.tip().height, height);
            tip_is_seen(&board, &devnode).await;
            template_is_on_the_tip(&board, &devnode).await;
        }
        assert_eq!(board.registry.zmq_resets.get(), 0);
        stop(tree).await;
    });
}

#[test]
fn a_socket_that_says_nothing_while_the_tip_moves_is_made_anew() {
    run(async {
        let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let devnode = devnode(dir.path()).await;
        // Publishes nothing, for it has no blocks: what a frozen publisher looks like.
        let silent = support::devnode(other_dir.path()).await;
        devnode.generate(1).unwrap();
        let board = Board::new(1);
        let node = client_with_zmq(&devnode, silent.zmq_endpoint());
        let tree = ingest(&board, node, |settings| settings.poll_interval = FAST).await;
        tip_is_seen(&board, &devnode).await;
        devnode.generate(1).unwrap();
        tip_is_seen(&board, &devnode).await;
        until_true("a new socket", || board.registry.zmq_resets.get() > 0).await;
        // It works on regardless, and hears again when there is something to hear.
        devnode.generate(1).unwrap();
        tip_is_seen(&board, &devnode).await;
        until_true("a notification", || {
            silent.generate(1).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            board.registry.zmq_messages.get() > 0
        })
        .await;
        stop(tree).await;
    });
}

#[test]
fn a_node_that_stops_is_absent_and_is_found_again_with_its_new_cookie() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = DevnodeConfig::new(dir.path());
        config.persist = true;
        let first = Devnode::start(config.clone()).await.unwrap();
        config.rpc_listen = first.rpc_addr();
        let zmq = first
            .zmq_endpoint()
            .unwrap()
            .strip_prefix("tcp://")
            .unwrap();
        config.zmq_listen = Some(zmq.parse().unwrap());
        first.generate(3).unwrap();

        let board = Board::new(1);
        let tree = ingest(&board, client(&first), |settings| {
            settings.poll_interval = FAST;
        })
        .await;
        tip_is_seen(&board, &first).await;
        zmq_is_connected(&board, &first).await;
        let tip = first.tip();
        first.stop().await;
        let absent = until(&board.node_state, "absence", |state| {
            matches!(state, NodeState::Absent { .. })
        })
        .await;
        assert!(absent.to_string().len() > "absent: ".len(), "{absent}");

        let second = Devnode::start(config).await.unwrap();
        assert_eq!(second.tip().hash, tip.hash, "the same chain");
        until(&board.node_state, "its return", is_up).await;
        second.generate(1).unwrap();
        tip_is_seen(&board, &second).await;
        template_is_on_the_tip(&board, &second).await;
        let messages = board.registry.zmq_messages.get();
        until_true("notifications of the new publisher", || {
            second.generate(1).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            board.registry.zmq_messages.get() > messages
        })
        .await;
        stop(tree).await;
    });
}

#[test]
fn a_node_on_another_network_is_refused_in_words_and_nothing_of_it_is_published() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(1).unwrap();
        let board = Board::new(1);
        let tree = ingest(&board, client(&devnode), |settings| {
            settings.network = Network::Testnet4;
            settings.poll_interval = FAST;
        })
        .await;
        let state = until(&board.node_state, "a refusal", |state| {
            *state != NodeState::Unknown
        })
        .await;
        let NodeState::Refused { reason } = state else {
            panic!("{state:?}")
        };
        assert!(
            reason.contains("regtest") && reason.contains("testnet4"),
            "{reason}"
        );
        // Announcements of the other network's blocks change nothing.
        for _ in 0..5 {
            devnode.generate(1).unwrap();
            tokio::time::sleep(FAST).await;
        }
        assert!(board.tip_seen.borrow().is_none());
        assert!(board.template.borrow().is_none());
        stop(tree).await;
    });
}

#[test]
fn a_template_that_has_grown_old_is_fetched_again() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let board = Board::new(1);
        let tree = ingest(&board, client(&devnode), |settings| {
            settings.template_max_age = FAST;
        })
        .await;
        until_true("five templates of one tip", || {
            board.registry.templates.get() >= 5
        })
        .await;
        assert_eq!(board.registry.tips_seen.get(), 1);
        stop(tree).await;
    });
}

#[test]
fn the_calls_to_a_node_are_counted_by_method() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(1).unwrap();
        let board = Board::new(1);
        let tree = ingest(&board, client(&devnode), |settings| {
            settings.poll_interval = FAST;
        })
        .await;
        template_is_on_the_tip(&board, &devnode).await;
        let meters = board.meters.borrow().clone();
        assert_eq!(meters.len(), 1);
        let counted = meters[0].read();
        let polls = counted.poll["getblockchaininfo"];
        assert!(polls.calls > 0 && polls.errors == 0 && polls.bytes_received > 0);
        assert!(counted.poll["getblocktemplate"].calls > 0);
        stop(tree).await;
    });
}

#[test]
fn the_connection_to_a_publisher_is_shown_while_it_stands_and_when_it_does_not() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let board = Board::new(1);
        let tree = ingest(&board, client(&devnode), |settings| {
            settings.poll_interval = FAST;
        })
        .await;
        zmq_is_connected(&board, &devnode).await;
        let shown = || {
            let shown = board.publishers.borrow().clone();
            assert_eq!(shown.len(), 1, "one node");
            shown.into_values().next().unwrap().state().remove(0)
        };
        let up = shown();
        assert!(up.connected_since.is_some() && up.connects == 1);
        assert!(up.counters.values().any(|topic| topic.received > 0));
        devnode.stop().await;
        until_true("it is gone", || shown().connected_since.is_none()).await;
        assert!(shown().last_error.is_some());
        stop(tree).await;
    });
}
