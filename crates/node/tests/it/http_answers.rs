//! What each kind of answer becomes.

use std::io::Write;

use node::{NodeError, SubmitAnswer};

use crate::http_server::{After, Server, with_id};
use crate::rpc;

/// The error that `getblockcount` ends with when the server answers so.
fn error_for(status: u16, body: &str) -> NodeError {
    let server = Server::answering(status, body);
    let result = rpc(&server.url).get_block_count();
    assert_eq!(server.requests().len(), 1, "exactly one request");
    result.unwrap_err()
}

#[test]
fn answers_of_either_protocol_version_are_understood() {
    for body in [
        r#"{"jsonrpc":"2.0","result":125,"id":$ID}"#,
        r#"{"result":125,"error":null,"id":$ID}"#,
    ] {
        let server = Server::answering(200, body);
        assert_eq!(rpc(&server.url).get_block_count().unwrap(), 125);
    }
}

#[test]
fn errors_of_either_protocol_version_are_understood() {
    for (status, body) in [
        (
            200,
            r#"{"jsonrpc":"2.0","error":{"code":-8,"message":"Block height out of range"},"id":$ID}"#,
        ),
        (
            500,
            r#"{"result":null,"error":{"code":-8,"message":"Block height out of range"},"id":$ID}"#,
        ),
    ] {
        match error_for(status, body) {
            NodeError::Rpc {
                code: -8, message, ..
            } => assert_eq!(message, "Block height out of range"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn codes_with_a_meaning_become_errors_of_their_own() {
    let body = |code: i32| {
        format!(
            r#"{{"result":null,"error":{{"code":{code},"message":"Verifying blocks…"}},"id":$ID}}"#
        )
    };
    match error_for(500, &body(-28)) {
        NodeError::WarmingUp { text } => assert_eq!(text, "Verifying blocks…"),
        other => panic!("{other}"),
    }
    assert!(matches!(
        error_for(500, &body(-9)),
        NodeError::NoPeers { .. }
    ));
    assert!(matches!(
        error_for(500, &body(-10)),
        NodeError::Syncing { .. }
    ));
    assert!(error_for(500, &body(-5)).is_not_found());
    assert!(matches!(
        error_for(404, &body(-32601)),
        NodeError::Rpc { code: -32601, .. }
    ));
}

#[test]
fn a_request_that_the_node_could_not_read_is_answered_without_an_id() {
    let body = r#"{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}"#;
    assert!(matches!(
        error_for(500, body),
        NodeError::Rpc { code: -32700, .. }
    ));
}

#[test]
fn statuses_without_json_say_what_they_are() {
    let forbidden = error_for(403, "");
    assert!(
        matches!(forbidden, NodeError::Forbidden { .. }),
        "{forbidden}"
    );
    match error_for(503, "Work queue depth exceeded") {
        busy @ NodeError::Busy { .. } => {
            assert!(
                busy.to_string().contains("Work queue depth exceeded"),
                "{busy}"
            );
            assert!(busy.is_transient() && !busy.may_have_executed());
        }
        other => panic!("{other}"),
    }
    for status in [301, 400, 404, 405, 413, 500, 502] {
        match error_for(status, "<html>no such thing</html>") {
            error @ NodeError::Http { .. } => {
                assert!(error.to_string().contains(&status.to_string()), "{error}");
                assert!(error.to_string().contains("no such thing"), "{error}");
            }
            other => panic!("{status}: {other}"),
        }
    }
    assert!(matches!(
        error_for(500, ""),
        NodeError::Http { status: 500, .. }
    ));
}

#[test]
fn garbage_is_malformed_and_may_have_been_executed() {
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "garbage",
        "{}",
        "null",
        "125",
        r#"{"id":$ID}"#,
        r#"{"result":125}"#,
        r#"{"result":125,"id":999999}"#,
        r#"{"result":125,"id":null}"#,
        r#"{"result":125,"error":null,"id":$ID"#,
        r#"{"result":125,"error":null,"id":$ID} trailing"#,
        r#"{"result":"125","error":null,"id":$ID}"#,
        r#"{"result":-1,"error":null,"id":$ID}"#,
        r#"{"result":null,"error":null,"id":$ID}"#,
        r#"{"result":null,"error":"no","id":$ID}"#,
        &deep,
    ] {
        match error_for(200, body) {
            error @ NodeError::Malformed { .. } => {
                assert!(error.may_have_executed());
                assert!(error.to_string().len() < 400, "{error}");
            }
            other => panic!("{body:.40}: {other}"),
        }
    }
}

#[test]
fn only_an_explicit_null_accepts_a_block() {
    let submit = |body: &str| {
        let server = Server::answering(200, body);
        rpc(&server.url).submit_block(&[0; 81])
    };
    assert_eq!(
        submit(r#"{"result":null,"error":null,"id":$ID}"#).unwrap(),
        SubmitAnswer::Accepted
    );
    for body in [
        "{}",
        r#"{"id":$ID}"#,
        r#"{"error":null,"id":$ID}"#,
        r#"{"result":null,"id":7777}"#,
        "null",
    ] {
        assert!(
            matches!(submit(body), Err(NodeError::Malformed { .. })),
            "{body}"
        );
    }
}

#[test]
fn a_block_that_is_not_hex_is_not_sent() {
    let server = Server::answering(200, r#"{"result":null,"error":null,"id":$ID}"#);
    let error = rpc(&server.url).submit_block_hex("00\",\"ff").unwrap_err();
    assert!(!error.may_have_executed(), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn warnings_are_a_string_in_one_version_and_a_list_in_others() {
    let info = |warnings: &str| {
        let hash = "0".repeat(64);
        let body = format!(
            r#"{{"result":{{"chain":"main","blocks":1,"headers":1,"bestblockhash":"{hash}","difficulty":1,"mediantime":1,
            "verificationprogress":1,"initialblockdownload":true,"chainwork":"{hash}","size_on_disk":1,"pruned":false,
            "something_new":{{"a":[1]}}{warnings}}},"error":null,"id":$ID}}"#
        );
        let server = Server::answering(200, &body);
        rpc(&server.url).get_blockchain_info().unwrap().warnings
    };
    assert_eq!(info(r#","warnings":"look out""#), ["look out"]);
    assert_eq!(info(r#","warnings":["one","two"]"#), ["one", "two"]);
    assert!(info(r#","warnings":"""#).is_empty());
    assert!(info("").is_empty());
}

#[test]
fn a_header_that_is_not_the_one_asked_for_is_refused() {
    // Bitcoin's genesis header for every question.
    let genesis = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e\
                   67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
    let server = Server::answering(
        200,
        &format!(r#"{{"result":"{genesis}","error":null,"id":$ID}}"#),
    );
    let mut rpc = rpc(&server.url);
    let asked = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
        .parse()
        .unwrap();
    assert_eq!(rpc.get_block_header(&asked).unwrap().block_hash(), asked);
    let other = "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"
        .parse()
        .unwrap();
    let error = rpc.get_block_header(&other).unwrap_err();
    assert!(error.to_string().contains(&asked.to_string()), "{error}");
}

#[test]
fn chunked_answers_are_read_and_the_connection_is_kept() {
    let server = Server::start(|request, stream| {
        let body = with_id(r#"{"result":7,"error":null,"id":$ID}"#, request);
        let (one, two) = body.split_at(5);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x};a=b\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        )
        .unwrap();
        After::KeepAlive
    });
    let mut rpc = rpc(&server.url);
    assert_eq!(rpc.get_block_count().unwrap(), 7);
    assert_eq!(rpc.get_block_count().unwrap(), 7);
    assert_eq!(server.connections(), 1);
}

#[test]
fn an_answer_over_http_1_0_ends_with_the_connection() {
    let server = Server::start(|request, stream| {
        let body = with_id(r#"{"result":7,"error":null,"id":$ID}"#, request);
        write!(
            stream,
            "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}\n"
        )
        .unwrap();
        After::Close
    });
    let mut rpc = rpc(&server.url);
    assert_eq!(rpc.get_block_count().unwrap(), 7);
    assert_eq!(rpc.get_block_count().unwrap(), 7);
    assert_eq!(server.connections(), 2);
}

#[test]
fn requests_are_plain_posts_with_one_length_and_no_expectation() {
    let server = Server::answering(200, r#"{"result":null,"error":null,"id":$ID}"#);
    rpc(&server.url).submit_block(&vec![7; 3_000_000]).unwrap();
    let request = server.requests().remove(0);
    assert!(
        request.head.starts_with("POST / HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(
        request.header("content-length"),
        [request.body.len().to_string()]
    );
    assert!(request.header("expect").is_empty());
    assert!(request.header("transfer-encoding").is_empty());
    // miner:hunter2
    assert_eq!(
        request.header("authorization"),
        ["Basic bWluZXI6aHVudGVyMg=="]
    );
    assert_eq!(request.json()["jsonrpc"], "2.0");
    assert_eq!(
        request.json()["params"][0].as_str().unwrap().len(),
        6_000_000
    );
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Server::answering(200, r#"{"result":1,"error":null,"id":$ID}"#);
    let target = elsewhere.url.clone();
    for status in [301, 302, 303, 307, 308] {
        let location = target.clone();
        let server = Server::start(move |_, stream| {
            write!(
                stream,
                "HTTP/1.1 {status} Moved\r\nLocation: {location}/\r\nContent-Length: 0\r\n\r\n"
            )
            .unwrap();
            After::KeepAlive
        });
        let error = rpc(&server.url).get_block_count().unwrap_err();
        assert!(matches!(error, NodeError::Http { .. }), "{error}");
    }
    assert_eq!(elsewhere.connections(), 0);
}
