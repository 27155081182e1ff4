//! Logging in, and what happens when the node has a new cookie.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use node::{Auth, NodeConfig, NodeError, Rpc};
use serde_json::json;
use tempfile::TempDir;

use crate::config;
use crate::http_server::{After, Server, answer, answer_result};

/// A server that accepts one cookie, which can be changed, and answers 401 to all others.
fn guarded() -> (Server, Arc<Mutex<String>>) {
    let valid = Arc::new(Mutex::new("__cookie__:first".to_owned()));
    let checked = Arc::clone(&valid);
    let server = Server::start(move |request, stream| {
        let expected = format!("Basic {}", STANDARD.encode(&*checked.lock().unwrap()));
        if request.header("authorization") == [expected] {
            answer_result(stream, request, &json!(101));
        } else {
            answer(stream, 401, "");
        }
        After::KeepAlive
    });
    (server, valid)
}

fn with_cookie(server: &Server, content: &str) -> (TempDir, Rpc) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(".cookie");
    std::fs::write(&path, content).unwrap();
    let config = NodeConfig::new("test", server.url.parse().unwrap(), Auth::CookieFile(path));
    let rpc = Rpc::new(&config);
    (dir, rpc)
}

#[test]
fn a_new_cookie_is_picked_up_after_a_401() {
    let (server, valid) = guarded();
    let (dir, mut rpc) = with_cookie(&server, "__cookie__:first");
    assert_eq!(rpc.get_block_count().unwrap(), 101);
    // The node restarts.
    "__cookie__:second".clone_into(&mut valid.lock().unwrap());
    std::fs::write(dir.path().join(".cookie"), "__cookie__:second\n").unwrap();
    assert_eq!(rpc.get_block_count().unwrap(), 101);
    assert_eq!(rpc.get_block_count().unwrap(), 101);
    assert_eq!(
        server.requests().len(),
        4,
        "one of them was refused, and was repeated once"
    );
}

#[test]
fn a_cookie_that_is_still_refused_is_not_tried_again() {
    let (server, _) = guarded();
    let (dir, mut rpc) = with_cookie(&server, "__cookie__:of-another-node");
    let error = rpc.get_block_count().unwrap_err();
    assert_eq!(
        server.requests().len(),
        1,
        "the cookie on disk is the one that was refused"
    );
    let text = error.to_string();
    assert!(matches!(error, NodeError::Unauthorized { .. }), "{text}");
    assert!(
        text.contains(dir.path().to_str().unwrap()),
        "names the file: {text}"
    );
    assert!(
        !text.contains("of-another-node"),
        "and not what is in it: {text}"
    );
    assert!(!error.may_have_executed());
}

#[test]
fn a_changed_cookie_that_is_wrong_too_is_tried_once() {
    let (server, valid) = guarded();
    let (dir, mut rpc) = with_cookie(&server, "__cookie__:first");
    rpc.get_block_count().unwrap();
    "__cookie__:third".clone_into(&mut valid.lock().unwrap());
    std::fs::write(dir.path().join(".cookie"), "__cookie__:second").unwrap();
    assert!(matches!(
        rpc.get_block_count(),
        Err(NodeError::Unauthorized { .. })
    ));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_cookie_that_has_gone_leaves_the_refusal_as_the_error() {
    let (server, valid) = guarded();
    let (dir, mut rpc) = with_cookie(&server, "__cookie__:first");
    rpc.get_block_count().unwrap();
    "__cookie__:second".clone_into(&mut valid.lock().unwrap());
    std::fs::remove_file(dir.path().join(".cookie")).unwrap();
    assert!(matches!(
        rpc.get_block_count(),
        Err(NodeError::Unauthorized { .. })
    ));
}

#[test]
fn a_missing_or_senseless_cookie_file_is_reported_by_name_and_nothing_is_sent() {
    let (server, _) = guarded();
    let long = "x:".repeat(10_000);
    for content in ["", "no colon", "two:\nlines", "nul:\0", &long] {
        let (dir, mut rpc) = with_cookie(&server, content);
        let text = match rpc.get_block_count().unwrap_err() {
            error @ NodeError::Cookie { .. } => error.to_string(),
            other => panic!("{other}"),
        };
        assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
        assert!(content.is_empty() || !text.contains(content), "{text}");
    }
    let missing = Auth::CookieFile("/no/such/file/.cookie".into());
    match missing.check().unwrap_err() {
        NodeError::Cookie { cause, .. } => {
            let cause = cause.downcast::<std::io::Error>().unwrap();
            assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other}"),
    }
    let config = NodeConfig::new("test", server.url.parse().unwrap(), missing);
    let error = Rpc::new(&config).get_block_count().unwrap_err();
    assert!(matches!(error, NodeError::Cookie { .. }), "{error}");
    assert!(
        error.is_transient(),
        "the node may not have been started yet"
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_refused_password_is_not_tried_again_and_not_shown() {
    let (server, _) = guarded();
    let config = config(&server.url);
    let error = Rpc::new(&config).get_block_count().unwrap_err();
    assert_eq!(server.requests().len(), 1);
    assert!(error.to_string().contains("`miner`"), "{error}");
    for shown in [
        error.to_string(),
        format!("{error:?}"),
        format!("{config:?}"),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
