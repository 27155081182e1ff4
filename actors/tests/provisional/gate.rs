//! A node whose answers a test can hold back.

use std::net::SocketAddr;

use devnode::Devnode;
use node::{Auth, Node, NodeConfig, ZmqEndpoints};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::relay::{ask, read_request};

/// Passes calls on to a devnode, one to a connection; those that read are held back while it is shut.
pub struct Gate {
    address: SocketAddr,
    shut: watch::Sender<&'static [&'static str]>,
}

/// What reads the node's chain, and the template on it.
pub const READS: &[&str] = &[
    "getbestblockhash",
    "getblockchaininfo",
    "getblockheader",
    "getblock",
    "getblocktemplate",
];

impl Gate {
    pub async fn start(devnode: &Devnode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shut = watch::Sender::new(&[][..]);
        let (held, behind) = (shut.clone(), devnode.rpc_addr());
        actix::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                actix::spawn(pass(client, behind, held.subscribe()));
            }
        });
        Self { address, shut }
    }

    /// Holds back these calls, and lets the others through.
    pub fn shut(&self, methods: &'static [&'static str]) {
        self.shut.send_replace(methods);
    }

    /// A client whose calls go through the gate, and that listens to a publisher.
    pub fn client(&self, devnode: &Devnode, zmq: &str) -> Node {
        let cookie = Auth::CookieFile(devnode.cookie_file().to_owned());
        let url = format!("http://{}", self.address).parse().unwrap();
        let mut config = NodeConfig::new("local", url, cookie);
        config.zmq = ZmqEndpoints::all_at(zmq.parse().unwrap());
        Node::start(config).unwrap()
    }
}

async fn pass(
    mut client: TcpStream,
    behind: SocketAddr,
    mut shut: watch::Receiver<&'static [&'static str]>,
) {
    let Some(request) = read_request(&mut client).await else {
        return;
    };
    let text = String::from_utf8_lossy(&request).into_owned();
    let is_held = |methods: &&[&str]| {
        let mut names = methods.iter().map(|method| format!("\"{method}\""));
        names.any(|name| text.contains(&name))
    };
    if shut.wait_for(|methods| !is_held(methods)).await.is_err() {
        return;
    }
    let answer = ask(behind, &request).await;
    // Asked before it was shut, and answered after: held back as well.
    if shut.wait_for(|methods| !is_held(methods)).await.is_ok() {
        client.write_all(&answer).await.ok();
    }
}
