//! The node in use fails, in every way there is, and comes back.

use std::time::Instant;

use advisor::breaker::BreakerState;
use serde_json::json;
use signalcore_actors::board::Board;
use signalcore_actors::messages::{NodeState, TemplateRefused};

use crate::support::fake::{Answer, FakeNode};
use crate::support::{run, tip_is_seen, until_true};
use crate::wire::Wire;
use crate::{
    Following, NEVER, STEADY, client, client_of, followed, in_use, pair, shown, sync, verified,
};

#[test]
fn the_preferred_node_is_in_use_and_the_other_one_is_watched() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far) = pair(dir.path()).await;
        let board = Board::new(1);
        let nodes = [client_of("near", &near), client_of("far", &far)];
        let following = Following::start(&board, &nodes, STEADY).await;
        in_use(&board, "near").await;
        let tip = near.tip();
        for name in ["near", "far"] {
            shown(&board, name, "tip, height, lag, speed and peers", |node| {
                node.tip == Some(tip.hash)
                    && node.height == Some(tip.height)
                    && node.lag == Some(0)
                    && node.latency.is_some()
                    && node.peers.is_some()
                    && node.answers_since.is_some()
                    && node.breaker == BreakerState::Closed
                    && node.fault.is_none()
            })
            .await;
        }
        // A block that reaches both is one tip, and no template is asked of the other.
        near.generate(1).unwrap();
        sync(&near, &far);
        verified(&board, &near).await;
        let tip = near.tip().hash;
        shown(&board, "far", "the new tip", |node| node.tip == Some(tip)).await;
        assert!(!nodes[1].metrics().poll.contains_key("getblocktemplate"));
        assert!(
            !nodes[1]
                .metrics()
                .long_poll
                .contains_key("getblocktemplate")
        );
        following.stop().await;
    });
}

#[test]
fn tips_and_templates_come_from_the_other_node_when_the_one_in_use_dies() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far, board, following) = followed(dir.path(), NEVER).await;
        verified(&board, &near).await;
        near.stop().await;
        in_use(&board, "far").await;
        assert_eq!(*board.node_state.borrow(), NodeState::Ready);
        far.generate(1).unwrap();
        tip_is_seen(&board, &far).await;
        verified(&board, &far).await;
        shown(&board, "near", "its failure", |node| {
            matches!(node.state, NodeState::Absent { .. }) && node.fault.is_some()
        })
        .await;
        following.stop().await;
    });
}

#[test]
fn a_node_that_freezes_is_left_and_returned_to_when_it_was_steady_for_a_while() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far) = pair(dir.path()).await;
        let board = Board::new(1);
        let wire = Wire::to(near.rpc_addr()).await;
        let nodes = [client("near", &wire.url(), None), client_of("far", &far)];
        let following = Following::start(&board, &nodes, STEADY).await;
        in_use(&board, "near").await;
        wire.hold();
        in_use(&board, "far").await;
        far.generate(1).unwrap();
        verified(&board, &far).await;
        // It comes back with an old tip: that is not enough.
        wire.release();
        shown(&board, "near", "being behind", |node| node.lag == Some(1)).await;
        assert!(board.nodes.borrow()[1].active);
        sync(&far, &near);
        in_use(&board, "near").await;
        following.stop().await;
    });
}

#[test]
fn a_node_that_goes_to_another_network_or_starts_to_sync_is_left() {
    run(async {
        for change in [json!({"chain": "test"}), json!({"headers": 1_000})] {
            let dir = tempfile::tempdir().unwrap();
            let (near, far) = pair(dir.path()).await;
            let behind = client_of("behind", &near);
            let info = behind.get_blockchain_info().await.unwrap();
            let info = json!({
                "chain": "regtest", "blocks": info.blocks, "headers": info.headers,
                "bestblockhash": info.best_block, "difficulty": 1.0, "initialblockdownload": false,
                "chainwork": info.chainwork.to_string()
            });
            let answers = |info: serde_json::Value| {
                move |method: &str, _: &serde_json::Value| match method {
                    "getblockchaininfo" => Answer::Result(info.clone()),
                    "getbestblockhash" => Answer::Result(info["bestblockhash"].clone()),
                    _ => Answer::Error(-32601, "Method not found"),
                }
            };
            let fake = FakeNode::start(answers(info.clone())).await;
            let board = Board::new(1);
            let url = format!("http://{}", fake.address);
            let nodes = [client("near", &url, None), client_of("far", &far)];
            let following = Following::start(&board, &nodes, NEVER).await;
            shown(&board, "near", "being up", |node| {
                node.state == NodeState::Ready
            })
            .await;
            let mut changed = info.clone();
            for (key, value) in change.as_object().unwrap() {
                changed[key] = value.clone();
            }
            fake.now(answers(changed));
            in_use(&board, "far").await;
            following.stop().await;
        }
    });
}

#[test]
fn a_node_that_answers_and_gives_no_templates_is_left() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far) = pair(dir.path()).await;
        let tip = near.tip();
        let info = json!({
            "chain": "regtest", "blocks": tip.height, "headers": tip.height, "bestblockhash": tip.hash,
            "difficulty": 1.0, "initialblockdownload": false, "chainwork": format!("{:064x}", 12)
        });
        let fake = FakeNode::start(move |method, _| match method {
            "getblockchaininfo" => Answer::Result(info.clone()),
            "getbestblockhash" => Answer::Result(info["bestblockhash"].clone()),
            "getblocktemplate" => Answer::Error(-9, "Bitcoin Core is not connected!"),
            _ => Answer::Error(-32601, "Method not found"),
        })
        .await;
        let board = Board::new(1);
        let url = format!("http://{}", fake.address);
        let nodes = [client("near", &url, None), client_of("far", &far)];
        let following = Following::start(&board, &nodes, NEVER).await;
        in_use(&board, "far").await;
        shown(&board, "near", "what is wrong with it", |node| {
            node.fault.as_deref() == Some("gives no templates of use")
        })
        .await;
        following.stop().await;
    });
}

#[test]
fn a_node_whose_templates_are_of_no_use_is_left_for_another() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (_near, _far, board, following) = followed(dir.path(), STEADY).await;
        board.template_refused.send_replace(Some(TemplateRefused {
            node: "near".into(),
            since: Instant::now(),
        }));
        in_use(&board, "far").await;
        board.template_refused.send_replace(None);
        shown(&board, "near", "what is wrong with it", |node| {
            !node.active && node.fault.as_deref() == Some("gives no templates of use")
        })
        .await;
        following.stop().await;
    });
}

#[test]
fn a_node_that_is_overwhelmed_is_left_alone_for_a_while_and_then_tried_again() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far) = pair(dir.path()).await;
        let overwhelmed =
            || |_: &str, _: &serde_json::Value| Answer::Http(500, "<html>out of order</html>");
        let fake = FakeNode::start(overwhelmed()).await;
        let board = Board::new(1);
        let url = format!("http://{}", fake.address);
        let nodes = [client("near", &url, None), client_of("far", &far)];
        let following = Following::start(&board, &nodes, NEVER).await;
        shown(&board, "near", "an open breaker", |node| {
            node.breaker == BreakerState::Open
        })
        .await;
        let calls = fake.calls("getblockchaininfo");
        assert!(calls <= 6, "{calls} calls until it was left alone");
        in_use(&board, "far").await;
        let tip = near.tip();
        fake.now(move |method, _| match method {
            "getblockchaininfo" => Answer::Result(json!({
                "chain": "regtest", "blocks": tip.height, "headers": tip.height, "bestblockhash": tip.hash,
                "difficulty": 1.0, "initialblockdownload": false, "chainwork": format!("{:064x}", 12)
            })),
            _ => Answer::Error(-32601, "Method not found"),
        });
        shown(&board, "near", "a closed breaker", |node| {
            node.breaker == BreakerState::Closed && node.state == NodeState::Ready
        })
        .await;
        following.stop().await;
    });
}

#[test]
fn a_look_that_is_asked_for_is_taken_at_every_node() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far) = pair(dir.path()).await;
        let board = Board::new(1);
        let nodes = [client_of("near", &near), client_of("far", &far)];
        let following = Following::start(&board, &nodes, STEADY).await;
        in_use(&board, "near").await;
        let looks = |node: &node::Node| {
            let metrics = node.metrics();
            metrics
                .poll
                .get("getbestblockhash")
                .map_or(0, |calls| calls.calls)
        };
        let before = [looks(&nodes[0]), looks(&nodes[1])];
        board.look.notify_one();
        until_true("a look at each", || {
            looks(&nodes[0]) > before[0] && looks(&nodes[1]) > before[1]
        })
        .await;
        following.stop().await;
    });
}
