//! Connections that break, stall or never end: what is reported, and that nothing is sent twice.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use node::{NodeError, Rpc};

use crate::http_server::{
    After, Server, answer, answer_result, read_request, wait_for_close, with_id,
};
use crate::processes::Reserved;
use crate::{config, rpc, wait_for};

/// A client whose calls have this total deadline.
fn hasty(url: &str, deadline: Duration) -> Rpc {
    let mut config = config(url);
    config.timeouts.call = deadline;
    config.timeouts.submit = deadline;
    Rpc::new(&config)
}

const SOON: Duration = Duration::from_secs(1);
/// A stalled call must end long before the peer does.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_refused_connection_was_certainly_not_sent() {
    let nobody = Reserved::new();
    let url = format!("http://{}", nobody.address);
    match rpc(&url).submit_block(&[0; 81]).unwrap_err() {
        error @ NodeError::Unreachable { .. } => {
            assert!(!error.may_have_executed() && error.is_transient() && !error.node_answered());
            assert!(error.to_string().contains(&url), "{error}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_name_that_does_not_exist_was_certainly_not_sent() {
    let error = rpc("http://no-such-host.invalid:8332")
        .get_block_count()
        .unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
}

#[test]
fn the_deadline_is_total_over_an_answer_that_drips() {
    for drip_head in [true, false] {
        let server = Server::start(move |_, stream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
            let text = if drip_head {
                "HTTP/1.1 200 OK\r\nX-Long: "
            } else {
                head
            };
            let _ = stream.write_all(text.as_bytes());
            // Each byte comes well within any time-out per read.
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
            After::Close
        });
        let begun = Instant::now();
        let error = hasty(&server.url, SOON).get_block_count().unwrap_err();
        assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
        assert!(
            begun.elapsed() >= SOON && begun.elapsed() < LONG,
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_node_that_never_answers_is_given_up_at_the_deadline() {
    let server = Server::start(|_, stream| {
        wait_for_close(stream);
        After::Close
    });
    let begun = Instant::now();
    let error = hasty(&server.url, SOON).submit_block(&[0; 81]).unwrap_err();
    match &error {
        NodeError::Unanswered { waited, .. } => assert!(*waited >= SOON),
        other => panic!("{other}"),
    }
    assert!(error.may_have_executed());
    assert!(begun.elapsed() < LONG);
    wait_for("the connection is closed, not kept", || server.open() == 0);
}

#[test]
fn a_request_that_could_not_be_written_in_full_was_not_executed() {
    // The peer accepts and never reads: the kernel's buffers fill up.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = Server::connections_to(move |stream| {
        let _ = held.lock().unwrap().recv();
        drop(stream);
    });
    let error = hasty(&server.url, SOON)
        .submit_block_hex(&"00".repeat(12 << 20))
        .unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    assert!(!error.may_have_executed());
    drop(hold);
}

#[test]
fn a_connection_cut_after_the_request_leaves_its_fate_unknown_and_is_not_repeated() {
    let server = Server::start(|_, _| After::Close);
    let error = rpc(&server.url).submit_block(&[0; 81]).unwrap_err();
    assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
    assert!(error.may_have_executed());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.connections(), 1);
}

#[test]
fn an_answer_cut_in_the_middle_leaves_the_fate_unknown_and_is_not_repeated() {
    let server = Server::start(|request, stream| {
        let body = with_id(r#"{"result":null,"error":null,"id":$ID}"#, request);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
            body.len(),
            &body[..10]
        )
        .unwrap();
        After::Close
    });
    let error = rpc(&server.url).submit_block(&[0; 81]).unwrap_err();
    assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_connection_cut_before_the_request_is_read_is_not_repeated() {
    let server = Server::connections_to(drop);
    let error = rpc(&server.url).submit_block(&[0; 81]).unwrap_err();
    // Which of the two it is depends on how far the kernel got; it is never a second attempt.
    assert!(
        matches!(
            error,
            NodeError::Unanswered { .. } | NodeError::Unreachable { .. }
        ),
        "{error}"
    );
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_kept_connection_that_the_server_has_closed_is_replaced_before_anything_is_sent() {
    let server = Server::start(|request, stream| {
        answer_result(stream, request, &serde_json::json!(1));
        // As if the server's idle time-out had come.
        After::Close
    });
    let mut rpc = rpc(&server.url);
    for calls in 1..=3 {
        assert_eq!(rpc.get_block_count().unwrap(), 1);
        wait_for("the server has closed", || server.open() == 0);
        assert_eq!(server.requests().len(), calls);
        assert_eq!(server.connections(), calls);
    }
}

#[test]
fn a_kept_connection_that_dies_under_a_request_is_not_repeated() {
    let server = Server::start(|request, stream| {
        if request.method() == "submitblock" {
            return After::Close;
        }
        answer_result(stream, request, &serde_json::json!(1));
        After::KeepAlive
    });
    let mut rpc = rpc(&server.url);
    rpc.uptime().unwrap();
    let error = rpc.submit_block(&[0; 81]).unwrap_err();
    assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
    let submissions = server
        .requests()
        .iter()
        .filter(|request| request.method() == "submitblock")
        .count();
    assert_eq!(submissions, 1);
    assert_eq!(server.connections(), 1, "the kept connection was used");
    rpc.uptime().unwrap();
    assert_eq!(server.connections(), 2, "and not kept afterwards");
}

#[test]
fn bytes_nobody_asked_for_end_a_kept_connection() {
    let server = Server::start(|request, stream| {
        let body = with_id(r#"{"result":1,"error":null,"id":$ID}"#, request);
        answer(stream, 200, &body);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        After::KeepAlive
    });
    let mut rpc = rpc(&server.url);
    for _ in 0..3 {
        assert_eq!(rpc.get_block_count().unwrap(), 1);
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn an_answer_that_announces_too_much_is_not_read() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n");
        wait_for_close(stream);
        After::Close
    });
    let error = rpc(&server.url).get_block_count().unwrap_err();
    assert!(matches!(error, NodeError::TooLarge { .. }), "{error}");
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
        After::Close
    });
    let error = rpc(&server.url).get_block_count().unwrap_err();
    assert!(matches!(error, NodeError::TooLarge { .. }), "{error}");
    wait_for("the connection is closed", || server.open() == 0);
}

#[test]
fn a_head_without_end_is_cut_off() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"X-Padding: ..............................................\r\n")
            .is_ok()
        {}
        After::Close
    });
    let error = rpc(&server.url).get_block_count().unwrap_err();
    assert!(matches!(error, NodeError::Unanswered { .. }), "{error}");
}

#[test]
fn what_is_no_http_at_all_is_an_error() {
    for hello in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\u{0}\u{1}\u{2}\u{3}",
        "HTTP/9.9 banana\r\n\r\n",
    ] {
        let server = Server::connections_to(move |mut stream| {
            let _ = read_request(&stream, 0);
            let _ = stream.write_all(hello.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 64]);
        });
        let error = rpc(&server.url).get_block_count().unwrap_err();
        assert!(
            matches!(error, NodeError::Unanswered { .. }),
            "{hello:?}: {error}"
        );
    }
}
