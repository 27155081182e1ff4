//! HTTP over a real socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use signalcore_actors::api::Http;
use signalcore_actors::health::Condition;
use signalcore_actors::resources::Degradation;
use supervise::Fault;

use super::office::{HANG, Office};
use super::support::{LIMIT, run};

struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// One request, as it is on the wire, and the whole answer until the server closes.
async fn raw(address: SocketAddr, request: String) -> std::io::Result<Answer> {
    let text = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    let text = text.await.expect("asked")?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| std::io::Error::other(format!("no answer: {text:?}")))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.unwrap_or_else(|| panic!("no status in {head}")),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

async fn with(office: &Office, method: &str, path: &str, host: &str) -> Answer {
    let address = office.http.address().expect("it listens");
    let host = if host.is_empty() {
        String::new()
    } else {
        format!("Host: {host}\r\n")
    };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    raw(address, request).await.expect("an answer")
}

async fn get(office: &Office, path: &str) -> Answer {
    with(office, "GET", path, "127.0.0.1").await
}

#[test]
fn documents_are_served_to_an_ordinary_client() {
    run(async {
        let office = Office::open().await;
        let base = format!("http://{}", office.http.address().expect("it listens"));
        let fetch = move |path: &str| {
            let url = format!("{base}{path}");
            tokio::task::spawn_blocking(move || {
                let mut answer = ureq::get(url).call().expect("200");
                let text = answer.body_mut().read_to_string().expect("a body");
                serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
            })
        };
        let status = fetch("/api/v1/status").await.expect("fetched");
        assert_eq!(status["version"], "1.2.3");
        assert_eq!(status["network"], "regtest");
        let health = fetch("/api/v1/health").await.expect("fetched");
        assert_eq!(health["components"]["patient"]["status"], "OK");
        office.close().await;
    });
}

#[test]
fn alive_is_not_ready() {
    run(async {
        let office = Office::open().await;
        let alive = get(&office, "/livez").await;
        assert_eq!((alive.status, alive.body.as_str()), (200, "ok\n"));
        let ready = get(&office, "/readyz?verbose").await;
        assert_eq!(ready.status, 503);
        assert!(ready.body.contains("[-]node unknown"), "{}", ready.body);
        assert!(ready.body.contains("[+]patient ok"), "{}", ready.body);
        assert!(ready.body.ends_with("readyz check failed\n"));
        assert_eq!(get(&office, "/nothing").await.status, 404);
        office.close().await;
    });
}

#[test]
fn a_child_that_hangs_is_no_reason_to_restart_the_program() {
    run(async {
        let office = Office::open().await;
        office.harm("patient", Fault::Hang(HANG)).await;
        assert_eq!(get(&office, "/livez").await.status, 200);
        let health = get(&office, "/api/v1/health").await;
        assert!(health.body.contains("hangs"), "{}", health.body);
    });
}

#[test]
fn nothing_but_reading_is_allowed() {
    run(async {
        let office = Office::open().await;
        let head = with(&office, "HEAD", "/livez", "127.0.0.1").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = with(&office, method, "/api/v1/status", "127.0.0.1").await;
            assert_eq!(answer.status, 405, "{method}");
            assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
        }
        office.close().await;
    });
}

#[test]
fn a_name_that_is_not_ours_is_refused_and_nothing_is_shared_with_other_origins() {
    run(async {
        let office = Office::open().await;
        let rebound = with(&office, "GET", "/api/v1/status", "evil.example").await;
        assert_eq!(rebound.status, 421);
        assert!(!rebound.body.contains("version"));
        let nameless = with(&office, "GET", "/api/v1/status", "").await;
        assert_eq!(nameless.status, 400);
        let ours = with(&office, "GET", "/api/v1/status", "localhost:9833").await;
        assert_eq!(ours.status, 200);
        assert!(!ours.head.contains("access-control"), "{}", ours.head);
        assert!(ours.head.contains("cache-control: no-store"));
        office.close().await;
    });
}

#[test]
fn where_resources_are_short_only_probes_are_answered() {
    run(async {
        let office = Office::open().await;
        office.board.degradation.send_replace(Degradation::Trimmed);
        let refused = get(&office, "/api/v1/status").await;
        assert_eq!(refused.status, 503);
        assert!(refused.body.contains("resources are short"));
        assert_eq!(get(&office, "/livez").await.status, 200);
        assert!(get(&office, "/readyz").await.body.contains("[-]node"));
        office.board.degradation.send_replace(Degradation::None);
        assert_eq!(get(&office, "/api/v1/status").await.status, 200);
        office.close().await;
    });
}

#[test]
fn connections_that_say_nothing_do_not_keep_a_probe_out() {
    run(async {
        let office = Office::open().await;
        let address = office.http.address().expect("it listens");
        let idle: Vec<TcpStream> = (0..64)
            .map(|_| TcpStream::connect(address).expect("let in"))
            .collect();
        assert_eq!(get(&office, "/livez").await.status, 200);
        drop(idle);
        office.close().await;
    });
}

#[test]
fn the_listener_survives_the_death_of_the_child() {
    run(async {
        let office = Office::open().await;
        let before = office.http.address();
        office.harm("api", Fault::Panic).await;
        office.restarted("api").await;
        assert_eq!(get(&office, "/livez").await.status, 200);
        assert_eq!(office.http.address(), before);
        office.close().await;
    });
}

#[test]
fn a_port_in_use_is_a_warning_and_no_more() {
    run(async {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound");
        assert!(Http::open(Some(address)).address().is_none());
        let office = Office::open_with(Some(address), true).await;
        assert_eq!(office.http.address(), None);
        let api = office.health().await.components["api"].clone();
        assert_eq!(api.status, Condition::Warning, "{api:?}");
        assert!(api.message.contains(&address.to_string()), "{api:?}");
        office.close().await;
    });
}
