//! A connection to a node that can be held still: what was sent stays unanswered, nothing is refused.
#![allow(
    clippy::disallowed_methods,
    reason = "what is spawned ends with the test's runtime"
)]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;

/// Passes bytes on, or holds them.
pub struct Wire {
    pub address: SocketAddr,
    flows: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let flows = watch::Sender::new(true);
        let gate = flows.clone();
        actix::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let gate = gate.clone();
                actix::spawn(async move {
                    let Ok(server) = TcpStream::connect(behind).await else {
                        return;
                    };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    actix::spawn(pass(from_client, to_server, gate.subscribe()));
                    actix::spawn(pass(from_server, to_client, gate.subscribe()));
                });
            }
        });
        Self { address, flows }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn hold(&self) {
        self.flows.send_replace(false);
    }

    pub fn release(&self) {
        self.flows.send_replace(true);
    }
}

async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut flows: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if flows.wait_for(|flows| *flows).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}
