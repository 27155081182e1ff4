//! Faults of calls and answers, over real sockets.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use serde_json::{Value, json};
use signalcore_devnode::{FaultScript, FaultScriptError};
use support::{Answer, Node, blocks, connect, exchange, read_answer, start};

fn script(text: &str) -> FaultScript {
    FaultScript::parse(text).unwrap()
}

/// A node whose every call has this fault.
fn struck(fault: &str) -> Node {
    let node = start();
    node.devnode
        .set_faults(script(&format!("[[rpc]]\nmethod = '*'\nfault = {fault}")));
    node
}

fn request(node: &Node, body: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{body}",
        node.authorization(),
        body.len()
    )
}

const COUNT: &str = r#"{"id":7,"method":"getblockcount"}"#;

/// Asks for the number of blocks on a connection that is to be kept.
fn ask(node: &Node) -> TcpStream {
    let mut stream = connect(node.devnode.rpc_addr());
    stream.write_all(request(node, COUNT).as_bytes()).unwrap();
    stream
}

/// All that comes until the node closes the connection. A reset ends it as well.
fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(node: &Node) -> Answer {
    read_answer(&mut ask(node))
}

/// A block that the node does not know yet.
fn new_block(node: &Node) -> bitcoin::Block {
    blocks::branch(node, node.devnode.tip().hash, 1, "new").remove(0)
}

#[test]
fn an_error_takes_the_place_of_an_answer_for_the_method_and_the_count_it_is_for() {
    let node = start();
    node.devnode.set_faults(script(
        "[[rpc]]\nmethod = 'getblockcount'\nwhen = { nth = 2 }\nfault = { error = { code = -28, message = 'Loading…' } }",
    ));
    assert_eq!(node.ok("getblockcount", &json!([])), json!(0));
    assert_eq!(node.ok("uptime", &json!([])), json!(0));
    let struck = answer(&node);
    assert_eq!(struck.status_line, "HTTP/1.1 500 Internal Server Error");
    assert_eq!(
        struck.json(),
        json!({"result": null, "error": {"code": -28, "message": "Loading…"}, "id": 7})
    );
    assert_eq!(answer(&node).json()["result"], json!(0));
}

#[test]
fn statuses_come_with_bitcoin_cores_bodies() {
    for (status, line, body) in [
        (401, "401 Unauthorized", ""),
        (403, "403 Forbidden", ""),
        (500, "500 Internal Server Error", ""),
        (503, "503 Service Unavailable", "Work queue depth exceeded"),
    ] {
        let node = struck(&format!("{{ status = {status} }}"));
        let answer = answer(&node);
        assert_eq!(answer.status_line, format!("HTTP/1.1 {line}"));
        assert_eq!(answer.body, body);
    }
}

#[test]
fn a_call_whose_answer_is_lost_was_carried_out_or_not_as_the_rule_says() {
    for (carried_out, height) in [(false, 0), (true, 1)] {
        for fault in [
            "{ drop = 'read' }",
            "{ status = 503 }",
            "{ result = '\"inconclusive\"' }",
        ] {
            let node = start();
            node.devnode.set_faults(script(&format!(
                "[[rpc]]\nmethod = 'submitblock'\ncarried_out = {carried_out}\nfault = {fault}"
            )));
            let body = json!({"id": 1, "method": "submitblock", "params": [serialize_hex(&new_block(&node))]});
            let request = request(&node, &body.to_string()).replace("HTTP/1.1", "HTTP/1.0");
            let mut stream = connect(node.devnode.rpc_addr());
            stream.write_all(request.as_bytes()).unwrap();
            let seen = until_closed(stream);
            assert_eq!(seen.is_empty(), fault.contains("drop"), "{seen}");
            assert_eq!(node.devnode.tip().height, height, "{fault}");
        }
    }
}

#[test]
fn a_request_is_dropped_before_its_body_is_read() {
    let node = struck("{ drop = 'unread' }");
    let mut stream = connect(node.devnode.rpc_addr());
    let head = request(&node, "").replace("Content-Length: 0", "Content-Length: 20000000");
    stream.write_all(head.as_bytes()).unwrap();
    // The body is larger than what buffers hold: writing must fail, as nobody reads.
    let mut written = 0;
    while written < 20_000_000 && stream.write_all(&[b' '; 16_000]).is_ok() {
        written += 16_000;
    }
    assert!(written < 20_000_000, "the node has read all of it");
    assert_eq!(until_closed(stream), "");
}

#[test]
fn garbage_comes_in_place_of_answers() {
    let node = struck("{ garbage = 'not_http' }");
    let seen = until_closed(ask(&node));
    assert!(!seen.is_empty() && !seen.starts_with("HTTP"), "{seen}");

    let node = struck("{ garbage = 'not_json' }");
    let seen = answer(&node);
    assert_eq!(seen.status_line, "HTTP/1.1 200 OK");
    assert!(seen.body.starts_with("<!DOCTYPE html>"), "{seen:?}");

    let node = struck("{ garbage = 'empty' }");
    assert_eq!(answer(&node).header("Content-Length"), Some("0"));

    let node = struck("{ garbage = 'wrong_id' }");
    let seen = answer(&node).json();
    assert_eq!(seen["result"], json!(0));
    assert_ne!(seen["id"], json!(7));

    let node = struck("{ garbage = 'wrong_types' }");
    assert!(answer(&node).json()["result"].is_object());

    let node = struck("{ garbage = 'no_result' }");
    assert_eq!(answer(&node).json(), json!({"id": 7}));
}

#[test]
fn answers_end_too_early_or_are_announced_with_another_length() {
    let whole = {
        let node = start();
        let head = request(&node, COUNT).replace("HTTP/1.1", "HTTP/1.0");
        exchange(node.devnode.rpc_addr(), head.as_bytes()).body
    };
    let node = struck("{ half = 'head' }");
    let seen = until_closed(ask(&node));
    assert!(
        seen.starts_with("HTTP/1.1 200 OK\r\n") && !seen.contains("\r\n\r\n"),
        "{seen}"
    );

    let node = struck("{ half = 'body' }");
    let seen = until_closed(ask(&node));
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}", whole.len())),
        "{seen}"
    );
    assert_eq!(body, &whole[..whole.len() / 2]);

    let node = struck("{ half = 'length_too_short' }");
    let mut stream = ask(&node);
    let more = |stream: &mut TcpStream| {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap();
        String::from_utf8(chunk[..n].to_vec()).unwrap()
    };
    let mut seen = String::new();
    while !seen.contains(&whole) {
        seen += &more(&mut stream);
    }
    assert!(
        seen.contains(&format!("Content-Length: {}\r\n", whole.len() / 2)),
        "{seen}"
    );

    let node = struck("{ half = 'length_too_long' }");
    let mut stream = ask(&node);
    let mut seen = String::new();
    while !seen.contains(&whole) {
        seen += &more(&mut stream);
    }
    assert!(
        seen.contains(&format!("Content-Length: {}\r\n", whole.len() + 1_000)),
        "{seen}"
    );
    // And nothing more, nor an end: the node waits until we go.
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let nothing = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn calls_and_answers_take_their_time() {
    let node = start();
    for rule in ["delay_s = 0.3", "hold_s = 0.3", "fault = { drip_s = 0.3 }"] {
        node.devnode
            .set_faults(script(&format!("[[rpc]]\nmethod = '*'\n{rule}")));
        let asked = Instant::now();
        assert_eq!(answer(&node).json()["result"], json!(0));
        assert!(asked.elapsed() >= Duration::from_millis(290), "{rule}");
    }
    // A block is taken in before the answer is held back, and after the call is delayed.
    let block = new_block(&node);
    for (rule, before) in [("delay_s = 600", false), ("hold_s = 600", true)] {
        let text = format!("[[rpc]]\nmethod = 'submitblock'\nwhen = {{ times = 1 }}\n{rule}");
        node.devnode.set_faults(script(&text));
        let body = json!({"id": 1, "method": "submitblock", "params": [serialize_hex(&block)]});
        let mut stream = connect(node.devnode.rpc_addr());
        stream
            .write_all(request(&node, &body.to_string()).as_bytes())
            .unwrap();
        if before {
            support::eventually("the block is taken in", || node.devnode.tip().height == 1);
        } else {
            // The next call is not held up, and finds no block.
            assert_eq!(answer(&node).json()["result"], json!(0));
        }
    }
}

#[test]
fn bodies_are_huge_and_framed_otherwise() {
    let node = struck("{ huge_bytes = 3_000_000 }");
    let seen = answer(&node);
    assert_eq!(seen.body.len(), 3_000_000);
    assert_eq!(
        seen.json()["result"].as_str().unwrap().len(),
        3_000_000 - 11 - 22
    );

    let node = struck("{ framing = 'chunked' }");
    let mut stream = ask(&node);
    let mut seen = String::new();
    while !seen.ends_with("0\r\n\r\n") {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap();
        seen += std::str::from_utf8(&chunk[..n]).unwrap();
    }
    assert!(
        seen.contains("Transfer-Encoding: chunked") && !seen.contains("Content-Length"),
        "{seen}"
    );

    let node = struck("{ framing = 'http10' }");
    let seen = until_closed(ask(&node));
    assert!(
        seen.starts_with("HTTP/1.0 200 OK") && !seen.contains("Content-Length"),
        "{seen}"
    );
}

#[test]
fn the_node_lies_about_its_tip_and_its_state() {
    let node = start();
    let hashes = node.devnode.generate(5).unwrap();
    node.devnode.set_faults(script(
        "[[rpc]]\nmethod = 'getbestblockhash'\nfault = { behind = 2 }\n\
         [[rpc]]\nmethod = 'getblockcount'\nfault = { behind = 2 }\n\
         [[rpc]]\nmethod = 'getblockchaininfo'\nfault = { patch = '{\"initialblockdownload\": true}' }\n\
         [[rpc]]\nmethod = 'submitblock'\nfault = { result = 'null' }\n",
    ));
    assert_eq!(
        node.ok("getbestblockhash", &json!([])),
        json!(hashes[2].to_string())
    );
    assert_eq!(node.ok("getblockcount", &json!([])), json!(3));
    let info = node.ok("getblockchaininfo", &json!([]));
    assert_eq!(
        (&info["initialblockdownload"], &info["blocks"]),
        (&json!(true), &json!(5))
    );
    assert_eq!(node.submit(&new_block(&node)), Value::Null);
    assert_eq!(
        node.devnode.tip().height,
        5,
        "accepted, it says, and is not"
    );
    node.devnode.set_faults(FaultScript::default());
    assert_eq!(node.ok("getblockcount", &json!([])), json!(5));
}

#[test]
fn the_uses_of_getblocktemplate_are_told_apart() {
    let node = start();
    node.devnode.generate(1).unwrap();
    node.devnode.set_faults(script(
        "[[rpc]]\nmethod = 'getblocktemplate'\nmode = 'proposal'\nfault = { error = { code = -1, message = 'no' } }",
    ));
    let template = node.template();
    let block = blocks::from_template(&template);
    let proposal = json!([{"mode": "proposal", "data": serialize_hex(&block)}]);
    assert_eq!(
        node.rpc("getblocktemplate", &proposal),
        Err((-1, "no".to_owned()))
    );
    assert_eq!(node.submit(&block), Value::Null);
}

#[test]
fn every_call_of_a_batch_is_struck_by_a_rule_for_all_methods_alone() {
    let node = start();
    let batch = r#"[{"id":1,"method":"getblockcount"},{"id":2,"method":"uptime"}]"#;
    node.devnode.set_faults(script(
        "[[rpc]]\nmethod = 'getblockcount'\nfault = { result = '9' }",
    ));
    assert_eq!(node.post(batch).json()[0]["result"], json!(0));
    node.devnode
        .set_faults(script("[[rpc]]\nmethod = '*'\nfault = { result = '9' }"));
    let seen = node.post(batch).json();
    assert_eq!(
        (&seen[0]["result"], &seen[1]["result"]),
        (&json!(9), &json!(9))
    );
}

#[test]
fn what_is_wrong_with_a_script_is_told_with_its_key() {
    let error =
        FaultScript::parse("[[rpc]]\nmethod = 'getblockcount'\nfault = { drip_s = 'slow' }");
    assert!(matches!(
        error,
        Err(FaultScriptError::Rule { path: None, key, .. }) if key == "rpc[0].fault.drip_s"
    ));
}
