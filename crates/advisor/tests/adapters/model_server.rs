//! A server that stands for a language model's: real HTTP on a real socket, the answers of the real APIs, and words that
//! the test puts into the model's mouth.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

/// The model that it has.
pub const MODEL: &str = "tiny:1b";

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Ollama,
    OpenAi,
}

impl Api {
    pub const BOTH: [Self; 2] = [Self::Ollama, Self::OpenAi];

    /// How the adapter calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Ollama => "/api/chat",
            Self::OpenAi => "/v1/chat/completions",
        }
    }

    /// The schema that a request asks its answer to keep.
    pub fn schema(self, body: &Value) -> &Value {
        match self {
            Self::Ollama => &body["format"],
            Self::OpenAi => &body["response_format"]["json_schema"]["schema"],
        }
    }

    /// How hot the model is to be.
    pub fn temperature(self, body: &Value) -> f64 {
        let options = match self {
            Self::Ollama => &body["options"],
            Self::OpenAi => body,
        };
        options["temperature"].as_f64().unwrap()
    }

    fn answer(self, words: &Value) -> Value {
        match self {
            Self::Ollama => json!({
                "model": MODEL,
                "created_at": "2026-01-02T03:04:05.060708Z",
                "message": { "role": "assistant", "content": words },
                "done_reason": "stop",
                "done": true,
                "total_duration": 2_254_970_291_u64,
                "load_duration": 574_751_416,
                "prompt_eval_count": 334,
                "prompt_eval_duration": 150_200_000,
                "eval_count": 42,
                "eval_duration": 1_750_000_000,
            }),
            Self::OpenAi => json!({
                "id": "chatcmpl-2iOQ",
                "object": "chat.completion",
                "created": 1_767_323_045,
                "model": MODEL,
                "choices": [{
                    "index": 0,
                    "message": { "role": "assistant", "content": words, "tool_calls": [] },
                    "logprobs": null,
                    "finish_reason": "stop",
                }],
                "usage": { "prompt_tokens": 334, "completion_tokens": 42, "total_tokens": 376 },
            }),
        }
    }

    fn refusal(self, why: &str) -> Value {
        match self {
            Self::Ollama => json!({ "error": why }),
            Self::OpenAi => {
                json!({ "error": { "message": why, "type": "invalid_request_error", "code": null } })
            }
        }
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Does {
    /// The model says this.
    Says(Value),
    /// The same, in chunks.
    SaysInChunks(Value),
    /// It knows no schemas: it refuses requests with one, and answers others.
    SaysWithoutSchema(Value),
    /// Answers with this status and these bytes.
    Raw(u16, Vec<u8>),
    /// Never answers.
    Hangs,
    /// Sends a byte whenever the other side could lose its patience, for ever.
    Drips,
    /// Closes the connection.
    HangsUp,
}

pub fn says(words: &str) -> Does {
    Does::Says(json!(words))
}

/// Runs `test` with a server that does the same with every request. Answers what the test does, and the bodies of the
/// requests that kept the API's rules.
pub fn serving<T>(api: Api, does: &Does, test: impl FnOnce(&str) -> T) -> (T, Vec<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let base = if api == Api::OpenAi { "/v1" } else { "" };
    let heard = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                serve(api, does, stream.unwrap(), &heard, &over);
            }
        });
        let _closing = Closing(&over, address);
        test(&format!("http://{address}{base}"))
    });
    (result, heard.into_inner().unwrap())
}

/// Ends the server, also where the test fails.
struct Closing<'a>(&'a AtomicBool, SocketAddr);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.1));
    }
}

fn serve(api: Api, does: &Does, stream: TcpStream, heard: &Mutex<Vec<Value>>, over: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut length = 0;
    let mut is_json = false;
    let mut key = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "content-type" => is_json = value == "application/json",
            "authorization" => key = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut stream = reader.into_inner();
    let (status, answer) = match checked(api, &first, is_json, &body) {
        Err(refusal) => refusal,
        Ok(mut body) => {
            let with_schema = api.schema(&body).is_object();
            if let Some(key) = key {
                body["key"] = json!(key);
            }
            heard.lock().unwrap().push(body);
            match does {
                Does::SaysWithoutSchema(_) if with_schema => {
                    let why =
                        "Either \"json_schema\" or \"grammar\" can be specified, but not both";
                    (400, api.refusal(why).to_string().into_bytes())
                }
                Does::Says(words) | Does::SaysWithoutSchema(words) => {
                    (200, api.answer(words).to_string().into_bytes())
                }
                Does::SaysInChunks(words) => {
                    return in_chunks(&mut stream, api.answer(words).to_string().as_bytes());
                }
                Does::Raw(status, bytes) => (*status, bytes.clone()),
                Does::Hangs | Does::Drips => {
                    return keep(&mut stream, matches!(does, Does::Drips), over);
                }
                Does::HangsUp => return,
            }
        }
    };
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    // Whoever has read enough hangs up.
    drop(
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&answer)),
    );
}

/// The body of a request that the real server would take, or what that would answer.
fn checked(api: Api, first: &str, is_json: bool, body: &[u8]) -> Result<Value, (u16, Vec<u8>)> {
    let refused = |status, why: &str| Err((status, api.refusal(why).to_string().into_bytes()));
    if first.trim_end() != format!("POST {} HTTP/1.1", api.path()) {
        return Err((404, b"404 page not found".to_vec()));
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return refused(400, "invalid JSON");
    };
    if !is_json {
        return refused(415, "JSON is expected");
    }
    if body["model"] != MODEL {
        return refused(
            404,
            &format!(
                "model \"{}\" not found, try pulling it first",
                body["model"]
            ),
        );
    }
    let roles: Vec<_> = body["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|m| &m["role"])
        .collect();
    let texts = body["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .all(|m| m["content"].is_string());
    if roles != ["system", "user"] || !texts || body["stream"] != false {
        return refused(400, "not what the adapter is to ask");
    }
    Ok(body)
}

fn in_chunks(stream: &mut TcpStream, answer: &[u8]) {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for part in answer.chunks(7) {
        let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
        stream.write_all(&chunk).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
}

/// Holds the connection until the other side, or the test, ends.
fn keep(stream: &mut TcpStream, dripping: bool, over: &AtomicBool) {
    stream
        .set_read_timeout(Some(std::time::Duration::from_millis(50)))
        .unwrap();
    if dripping {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"));
    }
    while !over.load(Ordering::SeqCst) {
        match stream.read(&mut [0]) {
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            _ => return,
        }
        if dripping && stream.write_all(b" ").is_err() {
            return;
        }
    }
}
