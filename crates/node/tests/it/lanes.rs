//! The async face: lanes that do not wait for each other, bounds, deadlines, shutdown.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use node::{Node, NodeError, Submission, SubmitAnswer};
use serde_json::json;

use crate::http_server::{After, Server, answer, answer_result, wait_for_close, with_id};
use crate::{PATIENCE, config};

/// A gate that the server's answers wait at.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let guard = self.open.lock().unwrap();
        let (guard, _) = self
            .opened
            .wait_timeout_while(guard, PATIENCE, |open| !*open)
            .unwrap();
        assert!(*guard, "the gate never opened");
    }
}

/// A server that holds `getblock` and long polls until the gate opens, and answers all else at once.
fn slow_server() -> (Server, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let server = Server::start(move |request, stream| {
        let result = match request.method().as_str() {
            "getblock" | "getblocktemplate" => {
                held.pass();
                json!("held")
            }
            "submitblock" => json!(null),
            _ => json!(1),
        };
        answer_result(stream, request, &result);
        After::KeepAlive
    });
    (server, gate)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn count(server: &Server, method: &str) -> usize {
    server
        .requests()
        .iter()
        .filter(|request| request.method() == method)
        .count()
}

#[tokio::test]
async fn a_pending_long_poll_holds_up_neither_polls_nor_submissions_nor_shutdown() {
    let (server, gate) = slow_server();
    let node = Node::start(config(&server.url)).unwrap();
    let waiting = tokio::spawn({
        let node = node.clone();
        async move {
            node.wait_for_block_template(chain::Network::Regtest, "id")
                .await
        }
    });
    until("the long poll is at the node", || {
        count(&server, "getblocktemplate") == 1
    })
    .await;
    assert_eq!(node.get_block_count().await.unwrap(), 1);
    assert_eq!(
        node.submit_block(vec![0; 81]).await.unwrap(),
        SubmitAnswer::Accepted
    );

    let begun = Instant::now();
    assert!(node.shutdown(PATIENCE).await, "all threads ended");
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
    assert!(matches!(
        node.get_block_count().await,
        Err(NodeError::Stopped)
    ));
    gate.open();
}

#[tokio::test]
async fn a_call_that_is_dropped_before_its_turn_is_never_sent() {
    let (server, gate) = slow_server();
    let node = Node::start(config(&server.url)).unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { node.get_block(BlockHash::all_zeros()).await })
        })
        .collect();
    until("both threads are busy", || count(&server, "getblock") == 2).await;
    let dropped = tokio::time::timeout(Duration::from_millis(50), node.get_best_block_hash()).await;
    assert!(dropped.is_err(), "it waits for its turn");
    gate.open();
    for call in held {
        assert!(matches!(
            call.await.unwrap(),
            Err(NodeError::Malformed { .. })
        ));
    }
    assert_eq!(
        node.get_block_count().await.unwrap(),
        1,
        "a later call gets its turn"
    );
    assert_eq!(count(&server, "getbestblockhash"), 0);
}

#[tokio::test]
async fn a_call_that_does_not_get_its_turn_in_time_says_that_it_was_not_sent() {
    let (server, gate) = slow_server();
    let mut config = config(&server.url);
    config.timeouts.call = Duration::from_millis(200);
    let node = Node::start(config).unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { node.get_block(BlockHash::all_zeros()).await })
        })
        .collect();
    until("both threads are busy", || count(&server, "getblock") == 2).await;
    let error = node.get_best_block_hash().await.unwrap_err();
    assert!(
        matches!(error, NodeError::Expired { lane: "poll", .. }),
        "{error}"
    );
    assert!(!error.may_have_executed());
    gate.open();
    for call in held {
        call.await.unwrap().unwrap_err();
    }
    assert_eq!(count(&server, "getbestblockhash"), 0);
}

#[tokio::test]
async fn a_full_queue_refuses_and_forgets_those_who_left() {
    let (server, gate) = slow_server();
    let node = Node::start(config(&server.url)).unwrap();
    let poll =
        |node: Node| tokio::spawn(async move { node.get_block(BlockHash::all_zeros()).await });
    let mut calls: Vec<_> = (0..2).map(|_| poll(node.clone())).collect();
    until("both threads are busy", || count(&server, "getblock") == 2).await;
    calls.extend((0..100).map(|_| poll(node.clone())));
    let mut refused = 0;
    until("the surplus is refused", || {
        refused = calls.iter().filter(|call| call.is_finished()).count();
        refused == 100 - 64
    })
    .await;
    // The waiting ones give up, and make room.
    for call in &calls[2..] {
        call.abort();
    }
    until("they have left", || {
        calls[2..].iter().all(tokio::task::JoinHandle::is_finished)
    })
    .await;
    let next = poll(node.clone());
    gate.open();
    let error = next.await.unwrap().unwrap_err();
    assert!(
        matches!(error, NodeError::Malformed { .. }),
        "it was sent: {error}"
    );
    assert_eq!(count(&server, "getblock"), 3);
}

#[tokio::test]
async fn submissions_go_over_a_connection_that_was_opened_before() {
    // No submission is answered before there are two, so that both threads take part.
    let both = Barrier::new(2);
    let server = Server::start(move |request, stream| {
        if request.method() == "submitblock" {
            both.wait();
        }
        let result = if request.method() == "uptime" {
            json!(1)
        } else {
            json!(null)
        };
        answer_result(stream, request, &result);
        After::KeepAlive
    });
    let node = Node::start(config(&server.url)).unwrap();
    until("a connection was warmed", || {
        node.metrics()
            .submit
            .get("uptime")
            .is_some_and(|uptime| uptime.calls >= 1)
    })
    .await;
    let (one, two) = tokio::join!(
        node.submit_block(vec![0; 81]),
        node.submit_block(vec![1; 81])
    );
    assert_eq!(
        (one.unwrap(), two.unwrap()),
        (SubmitAnswer::Accepted, SubmitAnswer::Accepted)
    );
    let by = |method: &str| -> BTreeSet<usize> {
        let requests = server.requests();
        requests
            .iter()
            .filter(|r| r.method() == method)
            .map(|r| r.connection)
            .collect()
    };
    assert_eq!(by("submitblock").len(), 2);
    assert!(
        by("uptime").is_subset(&by("submitblock")),
        "{:?} {:?}",
        by("uptime"),
        by("submitblock")
    );
}

#[tokio::test]
async fn calls_errors_and_bytes_are_counted_by_method() {
    let server = Server::start(|request, stream| {
        if request.method() == "getblockcount" {
            answer_result(stream, request, &json!(1));
        } else {
            answer_result(stream, request, &json!("nonsense"));
        }
        After::KeepAlive
    });
    let node = Node::start(config(&server.url)).unwrap();
    for _ in 0..3 {
        node.get_block_count().await.unwrap();
    }
    node.get_network_info().await.unwrap_err();
    let metrics = node.metrics();
    let count = metrics.poll["getblockcount"];
    assert_eq!((count.calls, count.errors), (3, 0));
    let sent: usize = server
        .requests()
        .iter()
        .filter(|r| r.method() == "getblockcount")
        .map(|r| r.body.len())
        .sum();
    assert_eq!(count.bytes_sent, sent as u64);
    assert!(count.bytes_received > 0 && count.last_latency > Duration::ZERO);
    assert!(count.max_latency >= count.last_latency && count.total_latency >= count.max_latency);
    assert!(count.p50_latency > Duration::ZERO && count.p50_latency <= count.p99_latency);
    assert!(count.p99_latency <= count.max_latency);
    assert_eq!(metrics.poll["getnetworkinfo"].calls, 1);
    assert!(!metrics.submit.contains_key("getblockcount"));
}

#[tokio::test]
async fn a_node_that_hangs_ends_every_call_at_its_deadline() {
    let server = Server::start(|_, stream| {
        wait_for_close(stream);
        After::Close
    });
    let mut config = config(&server.url);
    config.timeouts.call = Duration::from_millis(300);
    let node = Node::start(config).unwrap();
    let error = node.get_block_count().await.unwrap_err();
    assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
    assert_eq!(node.metrics().poll["getblockcount"].errors, 1);
}

#[tokio::test]
async fn a_node_that_answers_while_a_call_waits_has_a_thread_to_spare() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let server = Server::start(move |request, stream| {
        let result = if request.method() == "waitfornewblock" {
            held.pass();
            json!({})
        } else {
            let active = ["waitfornewblock", "getrpcinfo"].map(|method| json!({"method": method}));
            json!({ "active_commands": active })
        };
        answer_result(stream, request, &result);
        After::KeepAlive
    });
    let node = Node::start(config(&server.url)).unwrap();
    assert!(node.has_thread_to_spare().await.unwrap());
    gate.open();
}

#[tokio::test]
async fn a_node_that_answers_one_call_after_the_other_has_none() {
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let server = Server::start(move |request, stream| {
        let result = if request.method() == "waitfornewblock" {
            held.open();
            json!({})
        } else {
            held.pass();
            json!({ "active_commands": [{ "method": "getrpcinfo" }] })
        };
        answer_result(stream, request, &result);
        After::KeepAlive
    });
    let node = Node::start(config(&server.url)).unwrap();
    assert!(!node.has_thread_to_spare().await.unwrap());
}

#[tokio::test]
async fn a_node_that_must_not_be_asked_for_a_thread_is_taken_to_have_one() {
    let unknown =
        r#"{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":$ID}"#;
    for (status, body) in [(403, ""), (404, unknown)] {
        let server = Server::start(move |request, stream| {
            answer(stream, status, &with_id(body, request));
            After::KeepAlive
        });
        let node = Node::start(config(&server.url)).unwrap();
        assert!(node.has_thread_to_spare().await.unwrap(), "{status}");
    }
}

/// Submits a block of so many bytes; the answer, and when the request was written.
async fn submit_timed(
    server: &Server,
    bytes: usize,
) -> (Result<SubmitAnswer, NodeError>, Option<Instant>) {
    let mut config = config(&server.url);
    config.timeouts.submit = Duration::from_secs(1);
    let node = Node::start(config).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let answer = node
        .submit_prepared(Submission::new(&vec![0; bytes]), move |at| {
            tell.send(at).unwrap();
        })
        .await;
    node.shutdown(PATIENCE).await;
    (answer, told.try_recv().ok())
}

#[tokio::test]
async fn it_is_told_when_a_submission_was_written_whatever_its_answer() {
    let answering = Server::answering(200, r#"{"result":null,"error":null,"id":$ID}"#);
    let begun = Instant::now();
    let (answer, written) = submit_timed(&answering, 2_000_000).await;
    assert_eq!(answer.unwrap(), SubmitAnswer::Accepted);
    assert!((begun..=Instant::now()).contains(&written.unwrap()));

    let silent = Server::start(|_, stream| {
        wait_for_close(stream);
        After::Close
    });
    let (answer, written) = submit_timed(&silent, 81).await;
    assert!(answer.unwrap_err().may_have_executed());
    assert!(written.is_some());

    // It accepts and never reads: the system's buffers fill up.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let deaf = Server::connections_to(move |stream| {
        let _ = held.lock().unwrap().recv();
        drop(stream);
    });
    let (answer, written) = submit_timed(&deaf, 12 << 20).await;
    assert!(answer.is_err());
    assert_eq!(written, None);
    drop(hold);
}
