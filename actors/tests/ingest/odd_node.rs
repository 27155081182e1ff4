//! What ingest makes of a node that refuses, babbles, or answers what no healthy node does.

use std::time::Duration;

use advisor::breaker::BreakerState;
use serde_json::{Value, json};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{NodeState, NodeWarning, TipSource};

use crate::support::fake::{Answer, FakeNode};
use crate::support::{client_at, devnode, run, stop, until, until_true};
use crate::{FAST, NEVER, ingest, is_up};

const GENESIS: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";

fn info() -> Value {
    json!({
        "chain": "regtest", "blocks": 0, "headers": 0, "bestblockhash": GENESIS, "difficulty": 4.6e-10,
        "time": 1_296_688_602, "mediantime": 1_296_688_602, "verificationprogress": 1.0,
        "initialblockdownload": false, "chainwork": format!("{:064x}", 2), "pruned": false, "warnings": []
    })
}

fn template(long_poll_id: &str) -> Value {
    json!({
        "version": 0x2000_0000, "rules": ["csv", "!segwit"], "previousblockhash": GENESIS, "transactions": [],
        "coinbasevalue": 5_000_000_000_u64, "longpollid": long_poll_id, "mintime": 1_296_688_603,
        "curtime": 1_795_227_628, "bits": "207fffff", "height": 1
    })
}

fn answer(method: &str, template: &Answer) -> Answer {
    match method {
        "getblockchaininfo" => Answer::Result(info()),
        "getbestblockhash" => Answer::Result(json!(GENESIS)),
        "getblocktemplate" => template.clone(),
        _ => Answer::Error(-32601, "Method not found"),
    }
}

/// A template, or, for a long poll, what the test wants.
fn plain_or(params: &Value, long_poll: Answer) -> Answer {
    if params[0].get("longpollid").is_some() {
        long_poll
    } else {
        Answer::Result(template("id-1"))
    }
}

#[test]
fn a_refused_template_is_asked_for_again_without_haste_until_there_is_one() {
    run(async {
        for (code, message) in [
            (-9, "Bitcoin Core is not connected!"),
            (
                -10,
                "Bitcoin Core is in initial sync and waiting for blocks...",
            ),
            (-28, "Verifying blocks…"),
            (
                -1,
                "TestBlockValidity failed: time-too-new, block timestamp too far in the future",
            ),
            (-32603, "something new"),
        ] {
            let fake =
                FakeNode::start(move |method, _| answer(method, &Answer::Error(code, message)))
                    .await;
            let board = Board::new(1);
            let tree = ingest(&board, client_at(fake.address, None), |_| {}).await;
            until(&board.node_state, "the node being up", is_up).await;
            until_true("a first call", || fake.calls("getblocktemplate") > 0).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let calls = fake.calls("getblocktemplate");
            assert!(
                calls <= 8,
                "{calls} calls within about a second after {code}"
            );
            assert!(board.registry.rpc_errors.get() > 0);
            fake.now(|method, params| match method {
                "getblocktemplate" => plain_or(params, Answer::Error(-1, "not in this test")),
                _ => answer(method, &Answer::Http(500, "")),
            });
            until(&board.template, "a template at last", Option::is_some).await;
            stop(tree).await;
        }
    });
}

#[test]
fn a_node_whose_templates_cannot_be_read_is_followed_all_the_same() {
    run(async {
        let garbage = Answer::Result(json!({"version": "three"}));
        let script = garbage.clone();
        let fake = FakeNode::start(move |method, _| answer(method, &script)).await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |settings| {
            settings.poll_interval = NEVER;
        })
        .await;
        until_true("many a template", || fake.calls("getblocktemplate") > 5).await;
        let view = board.nodes.borrow()[0].clone();
        assert!(view.state.is_up(), "{view:?}");
        assert_eq!(view.breaker, BreakerState::Closed);
        let next = "00000000000000000000000000000000000000000000000000000000000000ff";
        fake.now(move |method, _| {
            let mut info = info();
            info["bestblockhash"] = json!(next);
            match method {
                "getblockchaininfo" => Answer::Result(info),
                "getbestblockhash" => Answer::Result(json!(next)),
                _ => answer(method, &garbage),
            }
        });
        board.look.notify_one();
        until(&board.tip_seen, "the next tip", |seen| {
            seen.as_ref()
                .is_some_and(|seen| seen.hash.to_string() == next)
        })
        .await;
        stop(tree).await;
    });
}

#[test]
fn a_node_that_forbids_one_way_to_read_its_tip_is_read_by_the_other() {
    run(async {
        let next = "00000000000000000000000000000000000000000000000000000000000000ff";
        let on = |tip: &'static str| {
            move |method: &str, _: &Value| {
                let mut info = info();
                info["bestblockhash"] = json!(tip);
                match method {
                    "getblockchaininfo" => Answer::Result(info),
                    "getbestblockhash" => Answer::Http(403, ""),
                    _ => answer(method, &Answer::Result(template("id-1"))),
                }
            }
        };
        let fake = FakeNode::start(on(GENESIS)).await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |settings| {
            settings.poll_interval = NEVER;
        })
        .await;
        until(&board.tip_seen, "the first tip", Option::is_some).await;
        let states = board.node_state.subscribe();
        fake.now(on(next));
        board.look.notify_one();
        until(&board.tip_seen, "the next tip", |seen| {
            seen.as_ref()
                .is_some_and(|seen| seen.hash.to_string() == next)
        })
        .await;
        assert!(fake.calls("getbestblockhash") > 0);
        assert!(!states.has_changed().unwrap(), "{:?}", states.borrow());
        stop(tree).await;
    });
}

#[test]
fn what_the_node_warns_of_is_shown_and_explained_where_it_is_expected() {
    run(async {
        let warning_of = |warnings: Value| {
            move |method: &str, _: &Value| match method {
                "getblockchaininfo" => {
                    let mut info = info();
                    info["warnings"] = warnings.clone();
                    Answer::Result(info)
                }
                _ => answer(method, &Answer::Result(template("id-1"))),
            }
        };
        let rolled = "Unknown new rules activated (versionbit 13)";
        let unknown = "Unknown new rules activated (versionbit 3)";
        let fake = FakeNode::start(warning_of(json!([rolled, unknown]))).await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |_| {}).await;
        let two = |warnings: &Vec<NodeWarning>| warnings.len() == 2;
        until(&board.node_warnings, "both warnings", two).await;
        let shown: Vec<String> = board
            .node_warnings
            .borrow()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            shown[0].starts_with(rolled) && shown[0].contains("expected: miners roll"),
            "{shown:?}"
        );
        assert_eq!(shown[1], unknown);
        fake.now(warning_of(json!("")));
        until(&board.node_warnings, "no warnings", Vec::is_empty).await;
        stop(tree).await;
    });
}

#[test]
fn headers_ahead_of_their_blocks_are_a_node_that_syncs_and_no_new_tip() {
    run(async {
        let serving = |headers: u32, ibd: bool| {
            move |method: &str, _: &Value| match method {
                "getblockchaininfo" => {
                    let mut info = info();
                    info["headers"] = json!(headers);
                    info["initialblockdownload"] = json!(ibd);
                    Answer::Result(info)
                }
                _ => answer(method, &Answer::Result(template("id-1"))),
            }
        };
        let fake = FakeNode::start(serving(0, false)).await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |settings| {
            settings.poll_interval = FAST;
        })
        .await;
        until(&board.node_state, "readiness", |state| {
            *state == NodeState::Ready
        })
        .await;
        for (headers, ibd, state) in [
            (1, false, NodeState::Ready),
            (40, false, syncing(40, false)),
            (800_000, true, syncing(800_000, true)),
            (0, true, syncing(0, true)),
            (0, false, NodeState::Ready),
        ] {
            fake.now(serving(headers, ibd));
            let asked = fake.calls("getblockchaininfo");
            until_true("two polls", || fake.calls("getblockchaininfo") > asked + 1).await;
            until(&board.node_state, "the state", |known| *known == state).await;
        }
        assert_eq!(board.registry.tips_seen.get(), 1);
        stop(tree).await;
    });
}

/// At the genesis block, with headers beyond it.
fn syncing(headers: u32, ibd: bool) -> NodeState {
    NodeState::Syncing {
        blocks: 0,
        headers,
        ibd,
    }
}

#[test]
fn a_long_poll_that_does_not_wait_is_no_busy_loop() {
    run(async {
        let fake = FakeNode::start(|method, params| match method {
            "getblocktemplate" => plain_or(params, Answer::Result(template("id-1"))),
            _ => answer(method, &Answer::Http(500, "")),
        })
        .await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |_| {}).await;
        until(&board.template, "a template", Option::is_some).await;
        until_true("a few long polls", || fake.calls("getblocktemplate") >= 4).await;
        let before = fake.calls("getblocktemplate");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let calls = fake.calls("getblocktemplate") - before;
        assert!(calls <= 5, "{calls} calls within two seconds");
        stop(tree).await;
    });
}

#[test]
fn a_node_without_a_thread_to_spare_is_spared_the_long_poll() {
    run(async {
        let no_thread = |method: &str, params: &Value| match method {
            "waitfornewblock" => Answer::Result(json!({})),
            "getrpcinfo" => {
                Answer::Result(json!({ "active_commands": [{ "method": "getrpcinfo" }] }))
            }
            "getblocktemplate" => plain_or(params, Answer::Error(-1, "a long poll")),
            _ => answer(method, &Answer::Http(500, "")),
        };
        let fake = FakeNode::start(no_thread).await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |_| {}).await;
        until(&board.template, "a template", Option::is_some).await;
        until_true("it asks again", || fake.calls("waitfornewblock") >= 3).await;
        assert_eq!(fake.calls("getblocktemplate"), 1, "no long poll");
        fake.now(move |method, params| match method {
            // It does not say: then it is trusted.
            "waitfornewblock" | "getrpcinfo" => Answer::Error(-32601, "Method not found"),
            _ => no_thread(method, params),
        });
        until_true("a long poll", || fake.calls("getblocktemplate") >= 2).await;
        stop(tree).await;
    });
}

#[test]
fn a_long_poll_id_that_the_node_does_not_take_is_replaced() {
    run(async {
        let fake = FakeNode::start(|method, params| match method {
            "getblocktemplate" => plain_or(
                params,
                Answer::Error(-8, "longpollid must be of length 64 (not 4, for 'id-1')"),
            ),
            _ => answer(method, &Answer::Http(500, "")),
        })
        .await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |_| {}).await;
        until_true("a second template", || board.registry.templates.get() >= 2).await;
        stop(tree).await;
    });
}

#[test]
fn garbage_from_the_node_is_absence_in_words_and_over_when_it_is_over() {
    run(async {
        for garbage in [
            Answer::Http(200, "<html>It works!</html>"),
            Answer::Http(200, ""),
            Answer::Http(503, "Work queue depth exceeded"),
            Answer::Http(404, "not here"),
            Answer::Result(json!({"chain": 7})),
            Answer::Error(-28, "Loading block index…"),
        ] {
            let fake = FakeNode::start(move |_, _| garbage.clone()).await;
            let board = Board::new(1);
            let tree = ingest(&board, client_at(fake.address, None), |settings| {
                settings.poll_interval = FAST;
            })
            .await;
            let state = until(&board.node_state, "a state", |state| {
                *state != NodeState::Unknown
            })
            .await;
            assert!(matches!(state, NodeState::Absent { .. }), "{state:?}");
            until_true("errors being counted", || {
                board.registry.rpc_errors.get() >= 2
            })
            .await;
            fake.now(|method, params| match method {
                "getblocktemplate" => plain_or(params, Answer::Error(-1, "not in this test")),
                _ => answer(method, &Answer::Http(500, "")),
            });
            until(&board.node_state, "the node being up", |state| {
                *state == NodeState::Ready
            })
            .await;
            until(&board.template, "a template", Option::is_some).await;
            stop(tree).await;
        }
    });
}

#[test]
fn refused_credentials_are_not_mistaken_for_absence() {
    run(async {
        for code in [401, 403] {
            let fake = FakeNode::start(move |_, _| Answer::Http(code, "")).await;
            let board = Board::new(1);
            let tree = ingest(&board, client_at(fake.address, None), |settings| {
                settings.poll_interval = FAST;
            })
            .await;
            let state = until(&board.node_state, "a state", |state| {
                *state != NodeState::Unknown
            })
            .await;
            assert!(
                matches!(state, NodeState::Refused { .. }),
                "{code}: {state:?}"
            );
            stop(tree).await;
        }
    });
}

#[test]
fn a_look_or_a_template_that_was_asked_for_is_taken_before_any_poll() {
    run(async {
        let fake = FakeNode::start(|method, params| match method {
            "getblocktemplate" => plain_or(params, Answer::Error(-9, "no peers")),
            _ => answer(method, &Answer::Http(500, "")),
        })
        .await;
        let board = Board::new(1);
        let tree = ingest(&board, client_at(fake.address, None), |settings| {
            settings.poll_interval = NEVER;
        })
        .await;
        until(&board.template, "a template", Option::is_some).await;
        let other = "7f5e569e5dea12d145924cf68fff0ee0a02cc1743477da758bbbefb125ae65d7";
        fake.now(move |method, params| match method {
            "getbestblockhash" => Answer::Result(json!(other)),
            "getblocktemplate" => {
                let mut fresh = template("id-2");
                fresh["previousblockhash"] = json!(other);
                if params[0].get("longpollid").is_some() {
                    return Answer::Error(-9, "no peers");
                }
                Answer::Result(fresh)
            }
            _ => Answer::Error(-32601, "not in this test"),
        });
        board.look.notify_one();
        let seen = until(&board.tip_seen, "the look", |seen| {
            seen.as_ref()
                .is_some_and(|seen| seen.hash.to_string() == other)
        })
        .await;
        assert_eq!(seen.unwrap().source, TipSource::Submission);
        until(&board.template, "the new tip's template", |seen| {
            seen.as_ref()
                .is_some_and(|seen| seen.template.previousblockhash.to_string() == other)
        })
        .await;
        let templates = board.registry.templates.get();
        board.want_template.notify_one();
        until_true("another template", || {
            board.registry.templates.get() > templates
        })
        .await;
        stop(tree).await;
    });
}

#[test]
fn a_notification_alone_has_the_tip_read_over_rpc_which_is_believed() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let publisher = devnode(dir.path()).await;
        let fake =
            FakeNode::start(|method, _| answer(method, &Answer::Error(-9, "no peers"))).await;
        let board = Board::new(1);
        let node = client_at(fake.address, publisher.zmq_endpoint());
        let tree = ingest(&board, node, |settings| {
            settings.poll_interval = NEVER;
        })
        .await;
        until(&board.tip_seen, "the first look", Option::is_some).await;
        until_true("a notification", || {
            publisher.generate(1).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            board.registry.zmq_messages.get() > 0
        })
        .await;
        // The first one may still be found by a read that the new connection asked for.
        let mut source = TipSource::Poll;
        for other in [
            "7f5e569e5dea12d145924cf68fff0ee0a02cc1743477da758bbbefb125ae65d7",
            "3d6ea1a1f4d3a1a0e1e8a9c4a5a2f0b3c1d9e7f60f5e4d3c2b1a09182736455f",
        ] {
            fake.now(move |method, _| match method {
                "getbestblockhash" => Answer::Result(json!(other)),
                _ => Answer::Error(-9, "no peers"),
            });
            publisher.generate(1).unwrap();
            let seen = until(&board.tip_seen, "the tip that RPC names", |seen| {
                seen.as_ref()
                    .is_some_and(|seen| seen.hash.to_string() == other)
            })
            .await;
            source = seen.unwrap().source;
        }
        let zmq = [
            TipSource::ZmqHashblock,
            TipSource::ZmqRawblock,
            TipSource::ZmqSequence,
        ];
        assert!(zmq.contains(&source), "{source}");
        stop(tree).await;
    });
}

#[test]
fn what_a_node_publishes_while_it_is_not_on_its_best_tip_is_not_handed_on() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let publisher = devnode(dir.path()).await;
        let state = |headers: u32, ibd: bool| {
            move |method: &str, _: &Value| match method {
                "getblockchaininfo" => {
                    let mut info = info();
                    info["headers"] = json!(headers);
                    info["initialblockdownload"] = json!(ibd);
                    Answer::Result(info)
                }
                "getbestblockhash" => Answer::Result(json!(GENESIS)),
                _ => Answer::Error(-9, "no peers"),
            }
        };
        let fake = FakeNode::start(state(0, true)).await;
        let board = Board::new(1);
        let node = client_at(fake.address, publisher.zmq_endpoint());
        let tree = ingest(&board, node, |settings| settings.poll_interval = FAST).await;
        for (what, headers, ibd) in [("in initial block download", 0, true), ("behind", 9, false)] {
            fake.now(state(headers, ibd));
            until(
                &board.node_state,
                what,
                |now| matches!(now, NodeState::Syncing { ibd: is, .. } if *is == ibd),
            )
            .await;
            let before = board.registry.zmq_messages.get();
            until_true("a whole block and more", || {
                publisher.generate(1).unwrap();
                board.registry.zmq_messages.get() >= before + 6
            })
            .await;
            assert!(board.block_seen.borrow().is_none(), "{what}");
        }
        fake.now(state(0, false));
        until(&board.node_state, "the best tip", |now| {
            *now == NodeState::Ready
        })
        .await;
        let block = publisher.generate(1).unwrap()[0];
        until(&board.block_seen, "the block", |seen| {
            seen.as_ref().is_some_and(|seen| seen.hash == block)
        })
        .await;
        stop(tree).await;
    });
}
