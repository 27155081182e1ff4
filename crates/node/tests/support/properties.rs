//! What must hold of any bytes that come from a node. `cargo test` tries some; the fuzz targets search for more.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use node::zmq::{Events, Settings, Subscriber, ZmqEvent};
use node::{Auth, NodeConfig, Rpc, SubmitAnswer, ZmqEndpoints};

/// Longer than anything takes on a loaded machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_mins(1);

/// A subscriber that outlives the publishers it is given.
struct Ear {
    listener: TcpListener,
    runtime: tokio::runtime::Runtime,
    subscriber: Subscriber,
    events: Events,
    /// Connections whose end was told.
    lost: u64,
}

static EAR: OnceLock<Mutex<Ear>> = OnceLock::new();

fn ear() -> Ear {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let endpoint = format!("tcp://{address}").parse().expect("an endpoint");
    let settings = Settings {
        reconnect_min: Duration::from_millis(1),
        reconnect_max: Duration::from_millis(1),
        ..Settings::default()
    };
    let start = || Subscriber::start("any", &ZmqEndpoints::all_at(endpoint), settings);
    let (subscriber, events) = {
        let _inside = runtime.enter();
        start()
    };
    Ear {
        listener,
        runtime,
        subscriber,
        events,
        lost: 0,
    }
}

/// A publisher that sends these bytes and closes: the first says how far it gets before it goes astray. The subscriber
/// survives it, connects anew, and has told nothing that is not in the bytes.
///
/// # Panics
/// If not.
pub fn publisher(bytes: &[u8]) {
    let Some((stage, bytes)) = bytes.split_first() else {
        return;
    };
    let mut ear = EAR
        .get_or_init(|| Mutex::new(ear()))
        .lock()
        .expect("no panic");
    let ear = &mut *ear;
    let (mut stream, _) = ear.listener.accept().expect("the subscriber comes again");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let greeted = match stage % 3 {
        0 => true,
        1 => greet(&mut stream, false),
        _ => greet(&mut stream, true),
    };
    if greeted {
        // It may hang up at any byte.
        let _ = stream.write_all(bytes);
    }
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    drop(stream);
    // What it tells of this connection, to the end of it if it ever stood.
    let stood = ear.subscriber.state()[0].connects;
    while ear.lost < stood {
        let event = ear.runtime.block_on(ear.events.recv());
        match event.expect("the subscriber lives") {
            ZmqEvent::Lost { reason, .. } => {
                assert!(!reason.chars().any(char::is_control), "{reason:?}");
                ear.lost += 1;
            }
            ZmqEvent::Notification(heard) => {
                let topic = heard.topic.as_str().as_bytes();
                let said = bytes.windows(topic.len()).any(|part| part == topic);
                assert!(said, "{heard:?} was never said");
            }
            _ => {}
        }
    }
}

/// Greets as ZMTP 3.1, and as a publisher if `ready`; false if the subscriber hung up.
fn greet(stream: &mut TcpStream, ready: bool) -> bool {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10..12].copy_from_slice(&[3, 1]);
    greeting[12..16].copy_from_slice(b"NULL");
    if stream.write_all(&greeting).is_err() || stream.read_exact(&mut greeting).is_err() {
        return false;
    }
    !ready
        || stream
            .write_all(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB")
            .is_ok()
}

/// A server that gives one answer to every request.
struct Answerer {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    requests: Arc<AtomicUsize>,
}

static ANSWERER: OnceLock<Mutex<Answerer>> = OnceLock::new();

fn answerer() -> Answerer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let answerer = Answerer {
        address: listener.local_addr().expect("bound"),
        answer: Arc::default(),
        requests: Arc::default(),
    };
    let (answer, requests) = (Arc::clone(&answerer.answer), Arc::clone(&answerer.requests));
    #[allow(
        clippy::disallowed_methods,
        reason = "one for the whole process, which ends it"
    )]
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(id) = read_request(&mut stream) else {
                continue;
            };
            requests.fetch_add(1, Ordering::SeqCst);
            let answer = with_id(&answer.lock().expect("no panic"), &id);
            // The client may have had enough.
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    answerer
}

/// Reads one request; the text of its id, which a batch has several of.
fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&chunk[..count]);
        let Some(body) = find(&request, b"\r\n\r\n").map(|end| end + 4) else {
            continue;
        };
        let length: usize = std::str::from_utf8(&number_after(&request, b"ontent-Length: ")?)
            .ok()?
            .parse()
            .ok()?;
        if request.len() >= body + length {
            return number_after(&request[body..], b"\"id\":");
        }
    }
}

fn number_after(text: &[u8], what: &[u8]) -> Option<Vec<u8>> {
    let from = find(text, what)? + what.len();
    let digits = text[from..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.copied().collect())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

/// The answer with the request's id where it says `$ID`.
fn with_id(answer: &[u8], id: &[u8]) -> Vec<u8> {
    match find(answer, b"$ID") {
        Some(at) => [&answer[..at], id, &answer[at + 3..]].concat(),
        None => answer.to_vec(),
    }
}

/// A server that answers with these bytes, be they HTTP or not, and closes: every call ends before its deadline, is sent
/// once, says in one line what went wrong, and no block counts as accepted without a `null`.
///
/// # Panics
/// If not.
pub fn http_answer(bytes: &[u8]) {
    let server = ANSWERER.get_or_init(|| Mutex::new(answerer()));
    let server = server.lock().expect("no panic");
    bytes.clone_into(&mut server.answer.lock().expect("no panic"));
    let auth = Auth::UserPassword {
        user: "miner".to_owned(),
        password: "secret".into(),
    };
    let url = format!("http://{}", server.address);
    let config = NodeConfig::new("any", url.parse().expect("an address"), auth);
    let once = |call: &dyn Fn(&mut Rpc) -> Result<(), node::NodeError>| {
        let before = server.requests.load(Ordering::SeqCst);
        let result = call(&mut Rpc::new(&config));
        let sent = server.requests.load(Ordering::SeqCst) - before;
        assert!(sent <= 1, "sent {sent} times");
        if let Err(error) = result {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(text.len() < 2000, "{text}");
        }
    };
    once(&|rpc| {
        let answer = rpc.submit_block(&[0; 81])?;
        assert!(answer != SubmitAnswer::Accepted || find(bytes, b"null").is_some());
        Ok(())
    });
    once(&|rpc| rpc.get_blockchain_info().map(drop));
    once(&|rpc| rpc.get_block_template(chain::Network::Regtest).map(drop));
    once(&|rpc| rpc.get_headers(0, 3).map(drop));
}
