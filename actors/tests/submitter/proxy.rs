//! A node behind a connection that breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use devnode::Devnode;
use node::Node;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::relay::{ask, read_request};

/// When the connection of the first `submitblock` breaks.
#[derive(Clone, Copy, PartialEq)]
pub enum Cut {
    BeforeReading,
    AfterReading,
}

/// Passes calls on to a devnode, one to a connection, but for the first `submitblock`.
pub struct Proxy {
    address: SocketAddr,
    submissions: Arc<AtomicU32>,
}

impl Proxy {
    pub async fn start(devnode: &Devnode, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let submissions = Arc::new(AtomicU32::new(0));
        let (counter, behind) = (Arc::clone(&submissions), devnode.rpc_addr());
        actix::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                actix::spawn(pass(client, behind, cut, Arc::clone(&counter)));
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

    /// How often a block was submitted.
    pub fn submissions(&self) -> u32 {
        self.submissions.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, behind: SocketAddr, cut: Cut, counter: Arc<AtomicU32>) {
    let Some(request) = read_request(&mut client).await else {
        return;
    };
    let submits = String::from_utf8_lossy(&request).contains("\"submitblock\"");
    let cuts = submits && counter.fetch_add(1, Ordering::SeqCst) == 0;
    if cuts && cut == Cut::BeforeReading {
        return;
    }
    let answer = ask(behind, &request).await;
    if !cuts {
        client.write_all(&answer).await.ok();
    }
}
