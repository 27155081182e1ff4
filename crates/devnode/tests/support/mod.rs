//! What the tests of this crate share: a node in a temporary directory, a client that speaks raw
//! HTTP, blocks made without the node's help, and the recordings of Bitcoin Core.

// Not every test file uses everything.
#![allow(dead_code)]
#![allow(clippy::missing_panics_doc, clippy::print_stderr)]

pub mod blocks;
pub mod recordings;
pub mod shape;
pub mod zmtp;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use signalcore_devnode::{Devnode, DevnodeConfig};
use tempfile::TempDir;

/// Generous, for a loaded machine: reaching it is a failure, never a way to pass.
pub const LIMIT: Duration = Duration::from_mins(1);

/// A node and the directory that goes with it.
pub struct Node {
    pub devnode: Devnode,
    pub dir: TempDir,
}

pub fn start() -> Node {
    start_with(|_| {})
}

pub fn start_with(change: impl FnOnce(&mut DevnodeConfig)) -> Node {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut config = DevnodeConfig::new(dir.path());
    change(&mut config);
    let devnode = Devnode::start_blocking(config).expect("devnode starts");
    Node { devnode, dir }
}

/// An HTTP answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status_line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON body")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An RPC error: code and message.
pub type RpcFailure = (i64, String);

impl Node {
    pub fn authorization(&self) -> String {
        let cookie = std::fs::read(self.devnode.cookie_file()).expect("cookie file");
        basic(&cookie)
    }

    /// Sends a body to `/` on a fresh connection.
    pub fn post(&self, body: &str) -> Answer {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.authorization(),
            body.len()
        );
        exchange(self.devnode.rpc_addr(), request.as_bytes())
    }

    /// Calls a method by position (array) or by name (object).
    pub fn rpc(&self, method: &str, params: &Value) -> Result<Value, RpcFailure> {
        let answer = self.post(&json!({"id": 1, "method": method, "params": params}).to_string());
        let mut reply = answer.json();
        match reply["error"].take() {
            Value::Null => Ok(reply["result"].take()),
            error => Err((
                error["code"].as_i64().expect("code"),
                error["message"].as_str().expect("message").to_owned(),
            )),
        }
    }

    /// A call that must succeed.
    pub fn ok(&self, method: &str, params: &Value) -> Value {
        self.rpc(method, params)
            .unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    pub fn template(&self) -> Value {
        self.ok("getblocktemplate", &json!([{"rules": ["segwit"]}]))
    }

    /// What submitblock answers: null or a reason.
    pub fn submit(&self, block: &bitcoin::Block) -> Value {
        self.ok(
            "submitblock",
            &json!([bitcoin::consensus::encode::serialize_hex(block)]),
        )
    }

    /// What a proposal of this block is answered with.
    pub fn propose(&self, block: &bitcoin::Block) -> Value {
        let data = bitcoin::consensus::encode::serialize_hex(block);
        self.ok(
            "getblocktemplate",
            &json!([{"mode": "proposal", "data": data}]),
        )
    }
}

pub fn basic(credentials: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    format!("Basic {encoded}")
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the node listens");
    stream.set_read_timeout(Some(LIMIT)).expect("timeout");
    stream
}

/// Sends bytes and reads one answer, or what there is until the connection ends.
pub fn exchange(addr: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = connect(addr);
    stream.write_all(request).expect("request sent");
    read_answer(&mut stream)
}

pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        assert!(
            read_some(stream, &mut bytes) > 0,
            "answer ends early: {bytes:?}"
        );
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).expect("ASCII head");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("status line").to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").expect("header");
            (name.to_owned(), value.to_owned())
        })
        .collect();
    let mut body = bytes.split_off(head_end + 4);
    let length = headers
        .iter()
        .find(|(name, _)| name == "Content-Length")
        .map(|(_, value)| value.parse::<usize>().expect("length"));
    match length {
        Some(length) => {
            while body.len() < length {
                assert!(read_some(stream, &mut body) > 0, "body ends early");
            }
            assert_eq!(body.len(), length, "nothing after the body");
        }
        None => while read_some(stream, &mut body) > 0 {},
    }
    Answer {
        status_line,
        headers,
        body: String::from_utf8(body).expect("UTF-8 body"),
    }
}

fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> usize {
    let mut chunk = [0_u8; 8_192];
    let n = stream.read(&mut chunk).expect("readable");
    bytes.extend_from_slice(&chunk[..n]);
    n
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
