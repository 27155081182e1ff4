//! A server that speaks HTTP in bytes, so that it can speak it wrongly.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// One request as it was read.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which connection it came over, from 0.
    pub connection: usize,
    /// Request line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The method called.
    pub fn method(&self) -> String {
        self.json()["method"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// What to do with the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    KeepAlive,
    Close,
}

type Handler = dyn Fn(&Received, &mut TcpStream) -> After + Send + Sync;

/// A running server. Its threads end with their connections.
pub struct Server {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    handler: Box<Handler>,
}

impl Server {
    /// Serves every request with `handler`, which writes the whole answer.
    pub fn start(
        handler: impl Fn(&Received, &mut TcpStream) -> After + Send + Sync + 'static,
    ) -> Self {
        Self::start_raw(
            move |shared, stream, number| {
                while let Some(request) = read_request(&stream, number) {
                    shared.requests.lock().unwrap().push(request.clone());
                    let mut writer = stream.try_clone().unwrap();
                    if (shared.handler)(&request, &mut writer) == After::Close {
                        break;
                    }
                }
                let _ = stream.shutdown(Shutdown::Both);
            },
            handler,
        )
    }

    /// Hands every connection to `serve`, which reads and writes as it likes.
    pub fn connections_to(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::start_raw(move |_, stream, _| serve(stream), |_, _| After::Close)
    }

    fn start_raw(
        serve: impl Fn(&Shared, TcpStream, usize) + Send + Sync + 'static,
        handler: impl Fn(&Received, &mut TcpStream) -> After + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            handler: Box::new(handler),
        });
        let serve = Arc::new(serve);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let number = accepting.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, serve) = (Arc::clone(&accepting), Arc::clone(&serve));
                shared.open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    serve(&shared, stream, number);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, shared }
    }

    /// Answers every request with this status and body, over HTTP/1.1 with keep-alive.
    pub fn answering(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |request, stream| {
            answer(stream, status, &with_id(&body, request));
            After::KeepAlive
        })
    }

    /// Every request read so far.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

/// Writes an HTTP/1.1 answer with a length.
pub fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // The client may have gone; the test looks at that from its side.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()));
}

/// Answers a request's method with a result.
pub fn answer_result(stream: &mut TcpStream, request: &Received, result: &Value) {
    let body = json!({"jsonrpc": "2.0", "result": result, "id": request.json()["id"]});
    answer(stream, 200, &body.to_string());
}

/// Puts the request's id where a prepared answer says `$ID`.
pub fn with_id(body: &str, request: &Received) -> String {
    let id = serde_json::from_slice::<Value>(&request.body)
        .map_or(Value::Null, |json| json["id"].clone());
    body.replace("$ID", &id.to_string())
}

/// Reads one request; `None` at the end of the connection.
pub fn read_request(mut stream: &TcpStream, connection: usize) -> Option<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let request = Received {
        connection,
        head,
        body: Vec::new(),
    };
    let length: usize = request.header("content-length").first()?.parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Received { body, ..request })
}

/// Waits until the client has closed its side.
pub fn wait_for_close(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let mut rest = [0; 1024];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
