//! The long poll: what ends it, and when.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::{LIMIT, Node, start, start_with};

/// So long that only an event can end a wait within a test.
const NEVER: Duration = Duration::from_hours(1);

/// Starts a long poll and returns where its answer will come.
fn long_poll(node: &Node, id: &Value) -> mpsc::Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    let body = json!({
        "id": 1,
        "method": "getblocktemplate",
        "params": [{"rules": ["segwit"], "longpollid": id}]
    })
    .to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nAuthorization: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        node.authorization(),
        body.len()
    );
    let addr = node.devnode.rpc_addr();
    thread::spawn(move || {
        let answer = support::exchange(addr, request.as_bytes());
        assert_eq!(answer.status_line, "HTTP/1.1 200 OK");
        // The test may be over by now.
        let _ = sender.send(answer.json()["result"].take());
    });
    receiver
}

/// Shows that a poll is still waiting. This cannot fail a right node, only overlook a wrong one.
fn still_waits(poll: &mpsc::Receiver<Value>) {
    let early = poll.recv_timeout(Duration::from_millis(150));
    assert!(early.is_err(), "returned too early: {early:?}");
}

#[test]
fn a_new_tip_ends_the_wait_in_either_direction() {
    let node = start_with(|config| config.longpoll_first_check = NEVER);
    node.devnode.generate(3).unwrap();
    let id = node.template()["longpollid"].clone();
    let poll = long_poll(&node, &id);
    still_waits(&poll);
    let hash = node.devnode.generate(1).unwrap()[0];
    let template = poll.recv_timeout(LIMIT).unwrap();
    assert_eq!(template["previousblockhash"], json!(hash.to_string()));
    assert_eq!(template["height"], json!(5));

    let poll = long_poll(&node, &template["longpollid"]);
    still_waits(&poll);
    node.devnode.invalidate(&hash).unwrap();
    let template = poll.recv_timeout(LIMIT).unwrap();
    assert_eq!(template["height"], json!(4));
}

#[test]
fn an_outdated_or_unknown_id_returns_at_once() {
    let node = start_with(|config| config.longpoll_first_check = NEVER);
    node.devnode.generate(3).unwrap();
    let id = node.template()["longpollid"].clone();
    node.devnode.generate(1).unwrap();
    for id in [id, json!("ab".repeat(32) + "7")] {
        let template = long_poll(&node, &id).recv_timeout(LIMIT).unwrap();
        assert_eq!(template["height"], json!(5));
    }
}

#[test]
fn a_changed_mempool_ends_the_wait_at_the_next_look() {
    let node = start_with(|config| {
        config.longpoll_first_check = Duration::from_millis(700);
        config.longpoll_next_check = Duration::from_millis(20);
        config.template_max_age = Duration::ZERO;
    });
    node.devnode.fund(2).unwrap();
    let template = node.template();
    let asked = std::time::Instant::now();
    let poll = long_poll(&node, &template["longpollid"]);
    node.devnode.fill_mempool(2).unwrap();
    let changed = poll.recv_timeout(LIMIT).unwrap();
    assert!(
        asked.elapsed() >= Duration::from_millis(700),
        "the first look comes late"
    );
    assert_eq!(changed["transactions"].as_array().unwrap().len(), 2);
    assert_ne!(changed["longpollid"], template["longpollid"]);

    // After the first look without a change, the next ones come often.
    let poll = long_poll(&node, &changed["longpollid"]);
    thread::sleep(Duration::from_millis(800));
    still_waits(&poll);
    node.devnode.fill_mempool(1).unwrap();
    let again = poll.recv_timeout(LIMIT).unwrap();
    assert_eq!(again["transactions"].as_array().unwrap().len(), 3);
}

#[test]
fn a_stopping_node_answers_with_a_normal_template_and_the_same_id() {
    let node = start_with(|config| config.longpoll_first_check = NEVER);
    node.devnode.generate(3).unwrap();
    let id = node.template()["longpollid"].clone();
    let poll = long_poll(&node, &id);
    still_waits(&poll);
    assert_eq!(node.ok("stop", &json!([])), json!("Bitcoin Core stopping"));
    let template = poll.recv_timeout(LIMIT).unwrap();
    assert_eq!(template["longpollid"], id);
    assert_eq!(template["height"], json!(4));
}

#[test]
fn a_plain_call_may_see_the_mempool_late_but_never_the_tip() {
    let node = start_with(|config| config.template_max_age = NEVER);
    node.devnode.fund(2).unwrap();
    let count = |template: &Value| template["transactions"].as_array().unwrap().len();
    let before = node.template();
    assert_eq!(count(&before), 0);
    node.devnode.fill_mempool(5).unwrap();
    let cached = node.template();
    assert_eq!(
        (count(&cached), &cached["longpollid"]),
        (0, &before["longpollid"])
    );
    node.devnode.generate(1).unwrap();
    node.devnode.fill_mempool(3).unwrap();
    assert_eq!(count(&node.template()), 3);
}

#[test]
fn waiting_polls_do_not_hold_up_other_calls() {
    let node = start_with(|config| config.longpoll_first_check = NEVER);
    let id = node.template()["longpollid"].clone();
    let polls: Vec<_> = (0..20).map(|_| long_poll(&node, &id)).collect();
    assert_eq!(node.ok("getblockcount", &json!([])), json!(0));
    let node_tip = node.devnode.generate(1).unwrap()[0].to_string();
    for poll in polls {
        let template = poll.recv_timeout(LIMIT).unwrap();
        assert_eq!(template["previousblockhash"], json!(node_tip));
    }
    drop(start());
}
