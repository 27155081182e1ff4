//! Faults that come by themselves: restarts, freezes, chains that go backwards.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signalcore_devnode::FaultScript;
use support::zmtp::Subscriber;
use support::{LIMIT, Node, eventually, start};

fn load(node: &Node, text: &str) {
    node.devnode.set_faults(FaultScript::parse(text).unwrap());
}

fn zmq_addr(node: &Node) -> SocketAddr {
    let endpoint = node.devnode.zmq_endpoint().unwrap();
    endpoint.strip_prefix("tcp://").unwrap().parse().unwrap()
}

/// Whether connections are refused.
fn is_closed(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_err()
}

#[test]
fn a_restarted_node_has_another_cookie_and_counts_from_0() {
    let node = start();
    let mut subscriber = Subscriber::connect(&node, &["hashblock"]);
    let tip = node.devnode.generate(1).unwrap()[0];
    assert_eq!(subscriber.take(1)[0].text(), format!("hashblock {tip}"));
    let old = node.authorization();
    let mut pending = support::connect(node.devnode.rpc_addr());

    load(
        &node,
        "[[event]]\nat_s = 0\nfault = { restart = { down_s = 3, warm_up_s = 1 } }",
    );
    let (rpc, zmq) = (node.devnode.rpc_addr(), zmq_addr(&node));
    eventually("both ports are closed", || is_closed(rpc) && is_closed(zmq));
    // One that was not accepted yet is reset.
    match pending.read(&mut [0; 1]) {
        Ok(read) => assert_eq!(read, 0, "connections are cut"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(node.authorization(), old, "a killed node leaves its cookie");

    eventually("the node is back", || !is_closed(rpc) && !is_closed(zmq));
    eventually("its cookie is new", || node.authorization() != old);
    eventually("it has warmed up", || {
        match node.rpc("getblockcount", &json!([])) {
            Ok(height) => height == json!(node.devnode.tip().height),
            Err((code, message)) => {
                assert_eq!((code, message.as_str()), (-28, "Loading block index…"));
                false
            }
        }
    });
    assert_eq!(node.devnode.tip().hash, tip, "the chain is the same");
    let again = Subscriber::connect(&node, &["hashblock"]);
    drop(again);
    let mut again = Subscriber::connect(&node, &["hashblock"]);
    let mined = node.devnode.tip().height;
    node.devnode.generate(1).unwrap();
    assert!(
        again.take(1)[0].sequence < mined,
        "counted from the restart"
    );
}

#[test]
fn a_node_that_stops_properly_takes_its_cookie_with_it() {
    let node = start();
    load(
        &node,
        "[[event]]\nat_s = 0\nfault = { restart = { down_s = 1, clean = true } }",
    );
    let file = node.devnode.cookie_file();
    eventually("the cookie is gone", || !file.exists());
    eventually("there is another one", || file.exists());
    eventually("it is good", || {
        !is_closed(node.devnode.rpc_addr()) && node.rpc("uptime", &json!([])).is_ok()
    });
}

#[test]
fn a_node_that_is_away_can_be_stopped() {
    let node = start();
    load(
        &node,
        "[[event]]\nat_s = 0\nfault = { restart = { down_s = 3600 } }",
    );
    let rpc = node.devnode.rpc_addr();
    eventually("the port is closed", || is_closed(rpc));
    drop(node);
}

/// Has the publisher go away, and returns when the connections to it are gone.
fn take_the_publisher_away(node: &Node, down_s: u32, meanwhile: &str) {
    let subscriber = Subscriber::connect(node, &["hashblock"]);
    load(
        node,
        &format!(
            "[[event]]\nat_s = 0\nfault = {{ zmq_restart = {{ down_s = {down_s}, meanwhile = '{meanwhile}' }} }}"
        ),
    );
    subscriber.wait_for_hangup();
}

#[test]
fn a_publisher_that_is_away_comes_back() {
    let node = start();
    take_the_publisher_away(&node, 1, "closed");
    eventually("the publisher is back", || !is_closed(zmq_addr(&node)));
    let mut subscriber = Subscriber::connect(&node, &["hashblock"]);
    let hash = node.devnode.generate(1).unwrap()[0];
    assert_eq!(subscriber.take(1)[0].text(), format!("hashblock {hash}"));
}

#[test]
fn a_publisher_that_is_away_misleads() {
    for meanwhile in ["mute", "garbage"] {
        let node = start();
        // Longer than the test takes.
        take_the_publisher_away(&node, 3_000, meanwhile);
        let mut stream = None;
        eventually("somebody else listens there", || {
            stream = TcpStream::connect(zmq_addr(&node)).ok();
            stream.is_some()
        });
        let mut stream = stream.unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut seen = [0; 12];
        if meanwhile == "garbage" {
            stream.read_exact(&mut seen).unwrap();
            assert_eq!(&seen, b"HTTP/1.1 400");
        } else {
            // Not a byte of a greeting, which a publisher sends at once.
            stream
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            assert!(stream.read(&mut seen).is_err());
        }
    }
}

#[test]
fn a_frozen_node_answers_late() {
    let node = start();
    load(&node, "[[event]]\nevery_s = 1.5\nfault = { freeze_s = 1 }");
    eventually("an answer comes late", || {
        let asked = Instant::now();
        node.ok("uptime", &json!([]));
        asked.elapsed() >= Duration::from_millis(500)
    });
}

#[test]
fn the_chain_goes_backwards_and_comes_back() {
    let node = start();
    let hashes = node.devnode.generate(5).unwrap();
    load(
        &node,
        "[[event]]\nat_height = 6\nfault = { invalidate = { blocks = 3, for_s = 0.5 } }",
    );
    let tip = node.devnode.generate(1).unwrap()[0];
    eventually("three blocks less", || node.devnode.tip().hash == hashes[2]);
    eventually("three blocks more", || node.devnode.tip().hash == tip);
}

#[test]
fn another_branch_takes_the_place_of_blocks() {
    let node = start();
    let hashes = node.devnode.generate(5).unwrap();
    load(&node, "[[event]]\nat_s = 0\nfault = { reorg = 2 }");
    eventually("one block more", || node.devnode.tip().height == 6);
    assert_eq!(node.devnode.block_hash(3), Some(hashes[2]));
    assert_ne!(node.devnode.block_hash(4), Some(hashes[3]));
    // What it replaced is a side branch, not invalid.
    let tips = node.ok("getchaintips", &json!([]));
    let states: Vec<&Value> = tips
        .as_array()
        .unwrap()
        .iter()
        .map(|tip| &tip["status"])
        .collect();
    assert_eq!(states, ["active", "valid-fork"]);
}

#[test]
fn a_reorganisation_deeper_than_the_chain_is_left_out() {
    let node = start();
    load(
        &node,
        "[[event]]\nat_s = 0\nfault = { reorg = 9 }\n[[event]]\nat_s = 0\nfault = { generate = 2 }",
    );
    eventually("the next event comes", || node.devnode.tip().height == 2);
}

#[test]
fn blocks_come_again_and_again() {
    let node = start();
    load(&node, "[[event]]\nevery_s = 0.1\nfault = { generate = 1 }");
    eventually("blocks come", || node.devnode.tip().height >= 3);
    node.devnode.set_faults(FaultScript::default());
    let height = node.devnode.tip().height;
    // One may have been on its way.
    assert!(node.devnode.tip().height <= height + 1);
}

#[test]
fn the_clock_goes_wrong_and_right_again() {
    let node = start();
    let time = |node: &Node| node.template()["curtime"].as_i64().unwrap();
    let now = time(&node);
    load(
        &node,
        "[[event]]\nat_s = 0\nfault = { clock_skew_s = 7000 }",
    );
    eventually("the clock is ahead", || time(&node) >= now + 7_000);
    load(&node, "[[event]]\nat_s = 0\nfault = { clock_skew_s = 0 }");
    eventually("the clock is right", || time(&node) < now + 7_000);
}

#[test]
fn calls_are_refused_while_the_node_warms_up() {
    let node = start();
    load(&node, "[[event]]\nat_s = 0\nfault = { warm_up_s = 0.5 }");
    eventually("it warms up", || {
        node.rpc("uptime", &json!([])) == Err((-28, "Loading block index…".to_owned()))
    });
    eventually("it is warm", || node.rpc("uptime", &json!([])).is_ok());
}
