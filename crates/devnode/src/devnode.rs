//! The handle: a node on a thread and a runtime of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bitcoin::{Address, BlockHash, Network, ScriptBuf, Transaction, Txid};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::auth::Credentials;
use crate::config::DevnodeConfig;
use crate::error::DevnodeError;
use crate::events::EventSink;
use crate::faults::stage::{self, SkewedClock};
use crate::faults::{FaultScript, Faults};
use crate::node::Node;
use crate::server;
use crate::world::World;
use crate::zmq;

/// The subdirectory of the data directory that Bitcoin Core uses on regtest.
const CHAIN_DIR: &str = "regtest";

/// How long RPC calls may still be at work when everything else has stopped.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// The best block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height; 0 is the genesis block.
    pub height: u32,
    /// Its header's time stamp, in seconds since the Unix epoch.
    pub time: u32,
}

/// A running regtest node.
///
/// It owns a thread with a tokio runtime of its own, so that it can be started from any runtime or
/// from none and never shares the caller's. Dropping it stops it and waits until its ports are free;
/// [`stop`](Self::stop) does the same without blocking the caller's runtime.
///
/// The methods below act on the node from inside the process, without RPC. They are synchronous and
/// take as long as the node's own work does (a transaction costs a signature, so `fill_mempool(7000)`
/// about a second); what they change is announced over ZMQ and wakes long polls as if a peer had done it.
pub struct Devnode {
    node: Arc<Node>,
    rpc_addr: SocketAddr,
    stopped: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread reports once its sockets are bound.
struct Started {
    node: Arc<Node>,
    rpc_addr: SocketAddr,
    stopped: watch::Receiver<bool>,
}

impl Devnode {
    /// Starts the node; when this returns, it answers RPC calls and accepts ZMQ subscribers.
    ///
    /// # Errors
    /// An address in use, a data directory that cannot be written, or a block file that is none.
    pub async fn start(config: DevnodeConfig) -> Result<Self, DevnodeError> {
        let (started, thread) = spawn(config)?;
        let started = started
            .await
            .map_err(|_| thread_ended())
            .and_then(|result| result);
        Self::assemble(started, thread)
    }

    /// [`start`](Self::start) for callers without a runtime.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// When called from asynchronous code.
    pub fn start_blocking(config: DevnodeConfig) -> Result<Self, DevnodeError> {
        let (started, thread) = spawn(config)?;
        let started = started
            .blocking_recv()
            .map_err(|_| thread_ended())
            .and_then(|result| result);
        Self::assemble(started, thread)
    }

    fn assemble(
        started: Result<Started, DevnodeError>,
        thread: JoinHandle<()>,
    ) -> Result<Self, DevnodeError> {
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                // The thread has nothing left to do but to end.
                join(thread);
                return Err(error);
            }
        };
        Ok(Self {
            node: started.node,
            rpc_addr: started.rpc_addr,
            stopped: started.stopped,
            thread: Some(thread),
        })
    }

    /// Where JSON-RPC is served, port resolved.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.rpc_addr
    }

    /// `http://127.0.0.1:PORT`.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.rpc_addr)
    }

    /// The file with the credentials of this start: `__cookie__:` and 64 hex digits.
    pub fn cookie_file(&self) -> &Path {
        self.node.credentials.cookie_file()
    }

    /// `tcp://127.0.0.1:PORT`, for hashblock, rawblock and sequence alike; `None` without ZMQ.
    pub fn zmq_endpoint(&self) -> Option<&str> {
        self.node.zmq_endpoint.as_deref()
    }

    /// The best block.
    pub fn tip(&self) -> Tip {
        self.node.world().tip()
    }

    /// The hash at `height` of the best chain.
    pub fn block_hash(&self, height: u32) -> Option<BlockHash> {
        self.node.world().index().active_hash(height)
    }

    /// A known block in network serialisation, side branches included.
    pub fn raw_block(&self, hash: &BlockHash) -> Option<Vec<u8>> {
        self.node
            .world()
            .index()
            .raw_block(hash)
            .map(|raw| raw.to_vec())
    }

    /// The address of the node's own key (p2wpkh).
    pub fn own_address(&self) -> Address {
        // The wallet's script is p2wpkh by construction.
        Address::p2wpkh(&self.node.world().wallet().public_key(), Network::Regtest)
    }

    /// Mines `blocks` blocks on the best one, with the mempool's transactions, paying the node's own key.
    ///
    /// # Errors
    /// [`DevnodeError::OwnBlock`], for instance when the chain's time runs two hours ahead of the clock.
    pub fn generate(&self, blocks: u32) -> Result<Vec<BlockHash>, DevnodeError> {
        let script = self.node.world().wallet().script();
        self.node.generate(blocks, &script)
    }

    /// [`generate`](Self::generate), paying `script`.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn generate_to(
        &self,
        blocks: u32,
        script: &ScriptBuf,
    ) -> Result<Vec<BlockHash>, DevnodeError> {
        self.node.generate(blocks, script)
    }

    /// Mines until the node's own key holds at least `coins` mature outputs: up to `coins + 100` blocks.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn fund(&self, coins: usize) -> Result<(), DevnodeError> {
        self.node.world().fund(coins)
    }

    /// Puts `transactions` new, signed, spendable segwit transactions of the node's own key into the
    /// mempool, parents before children, and returns their ids in that order. Each spends one p2wpkh
    /// coin and makes two; once the confirmed coins are used up, they spend one another.
    ///
    /// # Errors
    /// [`DevnodeError::NoCoins`] when there is nothing (left) to spend: call [`fund`](Self::fund) first.
    /// The transactions made until then stay.
    pub fn fill_mempool(&self, transactions: usize) -> Result<Vec<Txid>, DevnodeError> {
        self.node.world().fill_mempool(transactions)
    }

    /// Puts transactions of another chain into the mempool, mainnet's for instance, parents before
    /// children, and returns how many of them. The coins that they spend and that this chain has never
    /// seen are invented, with a fee of 10 sat/vB or more; apart from that, all rules hold. Left
    /// out are coinbases and those that may not be in the next block yet (BIP113).
    ///
    /// What is invented is not kept on disk: with [`DevnodeConfig::persist`], blocks that spend it are
    /// not accepted again at the next start.
    pub fn adopt(&self, transactions: Vec<Transaction>) -> usize {
        self.node.world().adopt(transactions)
    }

    /// How many transactions are in the mempool.
    pub fn mempool_len(&self) -> usize {
        self.node.world().mempool().len()
    }

    /// What `submitblock` would answer to this serialised block: `Ok` where it says null, else its
    /// reason, `Block decode failed` included.
    ///
    /// # Errors
    /// The reason, in Bitcoin Core's words (`duplicate`, `inconclusive`, `high-hash`, ...).
    pub fn submit(&self, raw: &[u8]) -> Result<(), String> {
        match self.node.world().submit_raw(raw) {
            Some(verdict) => verdict.map_or(Ok(()), Err),
            None => Err("Block decode failed".to_owned()),
        }
    }

    /// Marks a block and its descendants invalid; the tip goes back and on to the best other branch.
    ///
    /// # Errors
    /// [`DevnodeError::UnknownBlock`].
    pub fn invalidate(&self, hash: &BlockHash) -> Result<(), DevnodeError> {
        self.node.world().invalidate(*hash)
    }

    /// Takes back [`invalidate`](Self::invalidate) for a block, its ancestors and its descendants.
    ///
    /// # Errors
    /// [`DevnodeError::UnknownBlock`].
    pub fn reconsider(&self, hash: &BlockHash) -> Result<(), DevnodeError> {
        self.node.world().reconsider(*hash)
    }

    /// Loads other faults in place of those that there were; their counters and times begin now.
    /// What is under way already, a restart for instance, runs its course.
    pub fn set_faults(&self, script: FaultScript) {
        self.node.faults.load(script);
    }

    /// Waits until the node has stopped, for instance because a peer called `stop`.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // An error means that the sender is gone, and with it the node.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Stops the node: pending long polls are answered, the cookie is removed, and on return the
    /// ports are free and the thread has ended.
    pub async fn stop(mut self) {
        self.node.stop();
        self.stopped().await;
        if let Some(thread) = self.thread.take() {
            // The thread has said that it is done: this does not block.
            join(thread);
        }
    }
}

impl Drop for Devnode {
    fn drop(&mut self) {
        self.node.stop();
        if let Some(thread) = self.thread.take() {
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the devnode's thread panicked");
    }
}

fn thread_ended() -> DevnodeError {
    DevnodeError::Thread(std::io::Error::other(
        "the thread ended before it had started",
    ))
}

type StartReport = oneshot::Receiver<Result<Started, DevnodeError>>;

fn spawn(config: DevnodeConfig) -> Result<(StartReport, JoinHandle<()>), DevnodeError> {
    let (report, started) = oneshot::channel();
    #[allow(
        clippy::disallowed_methods,
        reason = "joined when the devnode is dropped"
    )]
    let thread = std::thread::Builder::new()
        .name("devnode".to_owned())
        .spawn(move || run(config, report))
        .map_err(DevnodeError::Thread)?;
    Ok((started, thread))
}

/// The thread: a runtime that lives exactly as long as the node.
fn run(config: DevnodeConfig, report: oneshot::Sender<Result<Started, DevnodeError>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("devnode-io")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(DevnodeError::Thread(error)));
            return;
        }
    };
    let (stopped, stopped_watch) = watch::channel(false);
    runtime.block_on(async {
        match bind(config).await {
            Ok(bound) => {
                let started = Started {
                    node: Arc::clone(&bound.node),
                    rpc_addr: bound.rpc_addr,
                    stopped: stopped_watch,
                };
                if report.send(Ok(started)).is_ok() {
                    bound.serve().await;
                }
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        }
    });
    // Ends what is left (ZMQ connections), so that no socket outlives the node. Calls still at work
    // are given up on after a while.
    runtime.shutdown_timeout(SHUTDOWN);
    stopped.send_replace(true);
}

/// Everything that can fail is done; what remains is to serve.
struct Bound {
    node: Arc<Node>,
    rpc_addr: SocketAddr,
    listener: TcpListener,
    publisher: Option<zmq::Publisher>,
}

async fn bind(config: DevnodeConfig) -> Result<Bound, DevnodeError> {
    let faults = Faults::new();
    let clock = SkewedClock::new(Arc::clone(&config.clock));
    let dir = config.data_dir.join(CHAIN_DIR);
    fs::create_dir_all(&dir).map_err(|source| DevnodeError::File {
        action: "create the data directory",
        path: dir.clone(),
        source,
    })?;
    let rpc_bind = |source| DevnodeError::RpcBind {
        addr: config.rpc_listen,
        source,
    };
    let listener = TcpListener::bind(config.rpc_listen)
        .await
        .map_err(rpc_bind)?;
    let rpc_addr = listener.local_addr().map_err(rpc_bind)?;
    let (sink, publisher, zmq_endpoint) = match config.zmq_listen {
        Some(addr) => {
            let (socket, addr) = zmq::bind(addr).await?;
            let (sink, messages) = EventSink::new(faults.clone());
            let publisher = zmq::Publisher {
                socket,
                messages,
                addr,
            };
            (sink, Some(publisher), Some(format!("tcp://{addr}")))
        }
        None => (EventSink::disabled(faults.clone()), None, None),
    };
    let world = World::open(&config, &dir, clock.clone(), faults.clone(), sink)?;
    // Last, so that a start that fails leaves the cookie of a running node alone.
    let credentials = Credentials::create(
        &dir,
        config.rpc_user.as_deref(),
        config.rpc_password.as_deref(),
    )?;
    Ok(Bound {
        node: Node::new(config, credentials, zmq_endpoint, faults, clock, world),
        rpc_addr,
        listener,
        publisher,
    })
}

impl Bound {
    async fn serve(self) {
        tracing::info!(rpc = %self.rpc_addr, zmq = ?self.node.zmq_endpoint, "devnode is up");
        let mut parts = JoinSet::new();
        if let Some(publisher) = self.publisher {
            let node = Arc::clone(&self.node);
            parts.spawn(async move { zmq::run(publisher, &node).await });
        }
        parts.spawn(stage::run(Arc::clone(&self.node)));
        if let Err(error) = server::run(self.listener, Arc::clone(&self.node)).await {
            tracing::error!(%error, "the RPC server cannot come back");
            self.node.stop();
        }
        while let Some(ended) = parts.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the devnode ended badly");
            }
        }
        self.node.credentials.remove_cookie();
        tracing::info!("devnode has stopped");
    }
}
