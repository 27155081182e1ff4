//! A node behind a connection that breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use devnode::Devnode;
use node::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// When the connection of the first `submitblock` breaks.
#[derive(Clone, Copy, PartialEq)]
pub enum Cut {
    BeforeReading,
    AfterReading,
}

/// Passes calls on to a devnode and cuts the connection of the first `submitblock`.
pub struct Proxy {
    address: SocketAddr,
    submissions: Arc<AtomicU32>,
}

impl Proxy {
    pub async fn start(devnode: &Arc<Devnode>, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let submissions = Arc::new(AtomicU32::new(0));
        let (counted, behind) = (Arc::clone(&submissions), devnode.rpc_addr());
        let cookie = std::fs::read_to_string(devnode.cookie_file()).unwrap();
        let (user, password) = cookie.split_once(':').unwrap();
        let login = base64(format!("{user}:{password}").as_bytes());
        let cut_once = Arc::new(AtomicBool::new(false));
        actix::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (counted, cut_once) = (Arc::clone(&counted), Arc::clone(&cut_once));
                let login = login.clone();
                actix::spawn(async move {
                    while let Some(body) = read_request(&mut client).await {
                        let submits = body.contains("\"submitblock\"");
                        let cuts = submits
                            && !cut_once
                                .swap(submits || cut_once.load(Ordering::SeqCst), Ordering::SeqCst);
                        if submits {
                            counted.fetch_add(1, Ordering::SeqCst);
                        }
                        if cuts && cut == Cut::BeforeReading {
                            return;
                        }
                        let mut server = TcpStream::connect(behind).await.unwrap();
                        let head = format!(
                            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {login}\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        server.write_all(head.as_bytes()).await.unwrap();
                        server.write_all(body.as_bytes()).await.unwrap();
                        let mut answer = Vec::new();
                        server.read_to_end(&mut answer).await.unwrap();
                        if cuts {
                            return;
                        }
                        client.write_all(&answer).await.ok();
                        return;
                    }
                });
            }
        });
        Self {
            address,
            submissions,
        }
    }

    pub fn client(&self) -> Node {
        crate::named("proxied", &format!("http://{}", self.address))
    }

    pub fn submissions(&self) -> u32 {
        self.submissions.load(Ordering::SeqCst)
    }
}

/// The body of one HTTP request.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(body.to_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}
