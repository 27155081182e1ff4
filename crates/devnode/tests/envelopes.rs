//! JSON-RPC envelopes and HTTP answers, compared with Bitcoin Core's word by word.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;

use serde_json::{Value, json};
use support::recordings::{self, Recording};
use support::shape::Shape;
use support::{basic, connect, exchange, read_answer};

/// Height of the chain while a recording is replayed.
const HEIGHT: u32 = 3;

/// Sends what was sent to Bitcoin Core, byte for byte but for the credentials.
fn replay(node: &support::Node, recording: &Recording) -> support::Answer {
    let mut request = format!("{} {} HTTP/1.1\r\n", recording.method, recording.path);
    let right = node.authorization();
    for (name, value) in &recording.request_headers {
        let value = match (name.as_str(), value.as_str()) {
            ("Authorization", _) => match recording.name.as_str() {
                "http/401_wrong_password" => basic(b"x:y"),
                "http/401_bad_base64" => "Basic ###".to_owned(),
                "http/401_bad_scheme" => right.replace("Basic", "Bearer"),
                "http/401_lowercase_basic" => right.replace("Basic", "basic"),
                _ => right.clone(),
            },
            (_, value) => value.to_owned(),
        };
        request.extend([name, ": ", &value, "\r\n"]);
    }
    if !recording
        .request_headers
        .iter()
        .any(|(name, _)| name == "Connection")
    {
        request.push_str("Connection: close\r\n");
    }
    request.push_str("\r\n");
    request.push_str(&recording.request);
    exchange(node.devnode.rpc_addr(), request.as_bytes())
}

fn header_names(headers: &[(String, String)]) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_str()).collect()
}

/// Results and help texts aside, an answer is the same.
fn normalised(body: &str) -> Value {
    fn soften(reply: &mut Value) {
        if reply.get("result").is_some_and(|result| !result.is_null()) {
            reply["result"] = json!("something");
        }
        if reply["error"]["code"] == -1 {
            let message = reply["error"]["message"].as_str().unwrap();
            let first_word = message.split([' ', '\n']).next().unwrap().to_owned();
            reply["error"]["message"] = json!(first_word);
        }
    }
    if body.is_empty() {
        return Value::Null;
    }
    let mut value: Value = serde_json::from_str(body).unwrap();
    match &mut value {
        Value::Array(replies) => replies.iter_mut().for_each(soften),
        reply => soften(reply),
    }
    value
}

#[test]
fn every_recorded_envelope_comes_back_the_same() {
    let Some(dir) = recordings::directory() else {
        return;
    };
    let node = support::start();
    node.devnode.generate(HEIGHT).unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(dir.join("jsonrpc")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if stem == "unknown_wallet" {
            // There are no wallets here: every method is known or not.
            continue;
        }
        let recording = recordings::read(&dir, &format!("jsonrpc/{stem}"));
        let answer = replay(&node, &recording);
        assert_eq!(answer.status_line, recording.status_line, "{stem}");
        assert_eq!(
            header_names(&answer.headers),
            header_names(&recording.headers),
            "{stem}"
        );
        assert_eq!(
            answer.header("Content-Type"),
            recording
                .headers
                .iter()
                .find(|(n, _)| n == "Content-Type")
                .map(|(_, v)| v.as_str()),
            "{stem}"
        );
        assert_eq!(
            normalised(&answer.body),
            normalised(&recording.body),
            "{stem}"
        );
        if !answer.body.is_empty() {
            assert!(answer.body.ends_with('\n'), "{stem}");
            let difference = Shape::of(&answer.body).differs(&Shape::of(&recording.body), &[]);
            assert_eq!(difference, None, "{stem}");
        }
        compared += 1;
    }
    assert!(compared >= 30, "only {compared} recordings found");
}

#[test]
fn every_recorded_refusal_comes_back_the_same() {
    let Some(dir) = recordings::directory() else {
        return;
    };
    let node = support::start_with(|config| config.auth_delay = std::time::Duration::ZERO);
    for name in [
        "401_no_auth",
        "401_wrong_password",
        "401_bad_base64",
        "401_bad_scheme",
        "401_lowercase_basic",
        "405_get",
    ] {
        let recording = recordings::read(&dir, &format!("http/{name}"));
        let answer = replay(&node, &recording);
        assert_eq!(answer.status_line, recording.status_line, "{name}");
        assert_eq!(
            header_names(&answer.headers),
            header_names(&recording.headers),
            "{name}"
        );
        assert_eq!(answer.header("WWW-Authenticate"), {
            let headers = &recording.headers;
            headers
                .iter()
                .find(|(n, _)| n == "WWW-Authenticate")
                .map(|(_, v)| v.as_str())
        });
        assert_eq!(answer.body, recording.body, "{name}");
    }
}

#[test]
fn wrong_credentials_are_answered_late_and_missing_ones_at_once() {
    let node = support::start();
    let started = std::time::Instant::now();
    let request = format!(
        "POST / HTTP/1.1\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        basic(b"x:y")
    );
    let answer = exchange(node.devnode.rpc_addr(), request.as_bytes());
    assert_eq!(answer.status_line, "HTTP/1.1 401 Unauthorized");
    assert!(started.elapsed() >= std::time::Duration::from_millis(250));
    assert_eq!(answer.body, "");
}

#[test]
fn a_connection_is_kept_through_errors_and_pipelined_requests() {
    let node = support::start();
    let mut stream = connect(node.devnode.rpc_addr());
    let request = |body: &str| {
        let authorization = node.authorization();
        let length = body.len();
        format!(
            "POST / HTTP/1.1\r\nAuthorization: {authorization}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let fails = request(r#"{"id":1,"method":"getblockhash","params":[999999]}"#);
    stream.write_all(fails.as_bytes()).unwrap();
    let answer = read_answer(&mut stream);
    assert_eq!(answer.status_line, "HTTP/1.1 500 Internal Server Error");
    assert_eq!(
        answer.body,
        "{\"result\":null,\"error\":{\"code\":-8,\"message\":\"Block height out of range\"},\"id\":1}\n"
    );
    assert_eq!(answer.header("Connection"), None);
    let good = request(r#"{"id":2,"method":"getblockcount"}"#);
    stream.write_all(good.as_bytes()).unwrap();
    assert_eq!(
        read_answer(&mut stream).body,
        "{\"result\":0,\"error\":null,\"id\":2}\n"
    );
}

#[test]
fn http_1_0_answers_end_with_the_connection() {
    let node = support::start();
    let body = r#"{"id":1,"method":"getblockcount"}"#;
    let request = format!(
        "POST / HTTP/1.0\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{body}",
        node.authorization(),
        body.len()
    );
    let answer = exchange(node.devnode.rpc_addr(), request.as_bytes());
    assert_eq!(answer.status_line, "HTTP/1.0 200 OK");
    assert_eq!(header_names(&answer.headers), ["Content-Type"]);
    assert_eq!(answer.body, "{\"result\":0,\"error\":null,\"id\":1}\n");
}

#[test]
fn garbage_is_answered_400_and_the_node_goes_on() {
    let node = support::start();
    for garbage in [
        &b"hello world\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nnonsense\r\n\r\n",
    ] {
        let answer = exchange(node.devnode.rpc_addr(), garbage);
        assert_eq!(
            answer.status_line, "HTTP/1.1 400 Bad Request",
            "{garbage:?}"
        );
        assert_eq!(answer.body, "");
    }
    let request = "POST / HTTP/1.1\r\nContent-Length: 33554433\r\n\r\n";
    let answer = exchange(node.devnode.rpc_addr(), request.as_bytes());
    assert_eq!(answer.status_line, "HTTP/1.1 413 Content too large");
    // Half a request, then gone.
    let mut stream = connect(node.devnode.rpc_addr());
    stream
        .write_all(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"id\"")
        .unwrap();
    drop(stream);
    assert_eq!(node.ok("getblockcount", &json!([])), json!(0));
}

#[test]
fn a_silent_client_is_hung_up_on() {
    use std::io::Read as _;
    let node = support::start_with(|config| {
        config.http_timeout = std::time::Duration::from_millis(50);
    });
    let mut stream = connect(node.devnode.rpc_addr());
    stream.write_all(b"POST / HTTP/1.1\r\n").unwrap();
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0);
}
