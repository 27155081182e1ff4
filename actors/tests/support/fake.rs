//! A node that answers what a test tells it to, over real HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// An answer to one call.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A result.
    Result(Value),
    /// A JSON-RPC error.
    Error(i32, &'static str),
    /// Anything else: a status line's code, and a body.
    Http(u16, &'static str),
}

type Script = dyn Fn(&str, &Value) -> Answer + Send;

struct State {
    script: Mutex<Box<Script>>,
    calls: Mutex<HashMap<String, u32>>,
}

/// The fake. It ends with the System it was started in.
pub struct FakeNode {
    state: Arc<State>,
    pub address: SocketAddr,
}

impl FakeNode {
    /// Starts it; `script` answers each call by method and parameters.
    pub async fn start(script: impl Fn(&str, &Value) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            script: Mutex::new(Box::new(script)),
            calls: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        actix::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                actix::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { state, address }
    }

    /// Answers by another script from now on.
    pub fn now(&self, script: impl Fn(&str, &Value) -> Answer + Send + 'static) {
        *self.state.script.lock().unwrap() = Box::new(script);
    }

    /// How often a method was called.
    pub fn calls(&self, method: &str) -> u32 {
        self.state
            .calls
            .lock()
            .unwrap()
            .get(method)
            .copied()
            .unwrap_or(0)
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(body) = request(&mut stream).await {
        let (code, text) = respond(&body, &state);
        let head = format!(
            "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        if stream
            .write_all(format!("{head}{text}").as_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// The body of the next request, if there is one.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

fn respond(body: &Value, state: &State) -> (u16, String) {
    let Value::Array(batch) = body else {
        return match one(body, state) {
            Ok(answer) => {
                let code = if answer["error"].is_null() { 200 } else { 500 };
                (code, answer.to_string())
            }
            Err(http) => http,
        };
    };
    let mut answers = Vec::new();
    for call in batch {
        match one(call, state) {
            Ok(answer) => answers.push(answer),
            Err(http) => return http,
        }
    }
    (200, Value::Array(answers).to_string())
}

fn one(call: &Value, state: &State) -> Result<Value, (u16, String)> {
    let method = call["method"].as_str().unwrap_or_default();
    *state
        .calls
        .lock()
        .unwrap()
        .entry(method.to_owned())
        .or_default() += 1;
    let answer = (state.script.lock().unwrap())(method, &call["params"]);
    let id = &call["id"];
    match answer {
        Answer::Result(result) => Ok(json!({"result": result, "error": null, "id": id})),
        Answer::Error(code, message) => {
            Ok(json!({"result": null, "error": {"code": code, "message": message}, "id": id}))
        }
        Answer::Http(code, body) => Err((code, body.to_owned())),
    }
}
