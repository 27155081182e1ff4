//! The async face of a node.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::address::NetworkUnchecked;
use bitcoin::block::Header;
use bitcoin::{Address, BlockHash};

use crate::auth::Credentials;
use crate::config::NodeConfig;
use crate::error::NodeError;
use crate::lane::{Lane, LaneSpec};
use crate::metrics::{Meter, NodeMetrics};
use crate::rpc::types::{
    AddressInfo, BlockchainInfo, ChainTip, HeaderInfo, NetworkInfo, ProposalAnswer, SubmitAnswer,
    ZmqPublisher,
};
use crate::rpc::{Rpc, Submission};

/// Ordinary calls. Two threads, so that a block being fetched does not hold up a look at the tip.
const POLL: LaneSpec = LaneSpec {
    name: "poll",
    threads: 2,
    capacity: 64,
    keep_warm: false,
};

/// Submissions. Two threads, each with a warm connection: one may be waiting for Core to connect a block.
const SUBMIT: LaneSpec = LaneSpec {
    name: "submit",
    threads: 2,
    capacity: 64,
    keep_warm: true,
};

/// The long poll. One at a time, for each holds a thread of Core's.
const LONG_POLL: LaneSpec = LaneSpec {
    name: "longpoll",
    threads: 1,
    capacity: 4,
    keep_warm: false,
};

/// One Bitcoin Core node, for async code. Cheap to clone; clones share everything.
///
/// Calls run on three lanes (`poll`, `submit`, `longpoll`), each with threads, connections and a bounded queue of
/// its own, so that no call waits behind one of another lane. Each call has a total deadline, the
/// time in the queue included. Dropping a future is safe: a call that has not begun is withdrawn; one
/// that has begun ends unheard. When the last clone is dropped the threads end by themselves.
///
/// Needs a tokio runtime with its timer enabled.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    poll: Lane,
    submit: Lane,
    long_poll: Lane,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts the lanes. Whether the node is there shows with the first call.
    ///
    /// # Errors
    /// [`NodeError::Thread`] if the system has no thread left.
    pub fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let credentials = Arc::new(Credentials::new(config.auth.clone()));
        let inner = Inner {
            poll: Lane::start(&config, &credentials, POLL)?,
            submit: Lane::start(&config, &credentials, SUBMIT)?,
            long_poll: Lane::start(&config, &credentials, LONG_POLL)?,
            config,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The operator's name for the node.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// What the node was started with.
    pub fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    /// Counters per lane and method.
    pub fn metrics(&self) -> NodeMetrics {
        self.meter().read()
    }

    /// The same, for whoever wants to read them again and again.
    pub fn meter(&self) -> Meter {
        Meter {
            node: self.name().into(),
            poll: self.inner.poll.metrics(),
            submit: self.inner.submit.metrics(),
            long_poll: self.inner.long_poll.metrics(),
        }
    }

    /// Refuses new calls, fails waiting ones with [`NodeError::Stopped`], interrupts those under way (a
    /// pending long poll too) and waits up to `deadline` for the threads to end. Answers whether all did.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let lanes = [&self.inner.poll, &self.inner.submit, &self.inner.long_poll];
        for lane in lanes {
            lane.close();
        }
        let until = Instant::now() + deadline;
        loop {
            let running: usize = lanes.iter().map(|lane| lane.join(Instant::now())).sum();
            if running == 0 {
                return true;
            }
            if Instant::now() >= until {
                tracing::warn!(
                    node = self.name(),
                    running,
                    "RPC threads still run after the deadline"
                );
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// See [`Rpc::get_blockchain_info`].
    pub async fn get_blockchain_info(&self) -> Result<BlockchainInfo, NodeError> {
        self.poll("getblockchaininfo", Rpc::get_blockchain_info)
            .await
    }

    /// See [`Rpc::get_network_info`].
    pub async fn get_network_info(&self) -> Result<NetworkInfo, NodeError> {
        self.poll("getnetworkinfo", Rpc::get_network_info).await
    }

    /// See [`Rpc::get_best_block_hash`].
    pub async fn get_best_block_hash(&self) -> Result<BlockHash, NodeError> {
        self.poll("getbestblockhash", Rpc::get_best_block_hash)
            .await
    }

    /// See [`Rpc::get_block_count`].
    pub async fn get_block_count(&self) -> Result<u32, NodeError> {
        self.poll("getblockcount", Rpc::get_block_count).await
    }

    /// See [`Rpc::get_block_hash`].
    pub async fn get_block_hash(&self, height: u32) -> Result<BlockHash, NodeError> {
        self.poll("getblockhash", move |rpc| rpc.get_block_hash(height))
            .await
    }

    /// See [`Rpc::get_block_header`].
    pub async fn get_block_header(&self, hash: BlockHash) -> Result<Header, NodeError> {
        self.poll("getblockheader", move |rpc| rpc.get_block_header(&hash))
            .await
    }

    /// See [`Rpc::get_block_header_info`].
    pub async fn get_block_header_info(&self, hash: BlockHash) -> Result<HeaderInfo, NodeError> {
        self.poll("getblockheader", move |rpc| {
            rpc.get_block_header_info(&hash)
        })
        .await
    }

    /// See [`Rpc::get_headers`].
    pub async fn get_headers(&self, start: u32, count: usize) -> Result<Vec<Header>, NodeError> {
        self.bulk("getblockheader", move |rpc| rpc.get_headers(start, count))
            .await
    }

    /// See [`Rpc::walk_back`]. `is_known` runs on a thread of the lane.
    pub async fn walk_back(
        &self,
        tip: BlockHash,
        max: usize,
        is_known: impl FnMut(&BlockHash) -> bool + Send + 'static,
    ) -> Result<Vec<Header>, NodeError> {
        self.bulk("getblockheader", move |rpc| {
            rpc.walk_back(tip, max, is_known)
        })
        .await
    }

    /// See [`Rpc::get_block`].
    pub async fn get_block(&self, hash: BlockHash) -> Result<Vec<u8>, NodeError> {
        self.bulk("getblock", move |rpc| rpc.get_block(&hash)).await
    }

    /// See [`Rpc::get_chain_tips`].
    pub async fn get_chain_tips(&self) -> Result<Vec<ChainTip>, NodeError> {
        self.poll("getchaintips", Rpc::get_chain_tips).await
    }

    /// See [`Rpc::get_zmq_notifications`].
    pub async fn get_zmq_notifications(&self) -> Result<Vec<ZmqPublisher>, NodeError> {
        self.poll("getzmqnotifications", Rpc::get_zmq_notifications)
            .await
    }

    /// See [`Rpc::validate_address`].
    pub async fn validate_address(
        &self,
        address: Address<NetworkUnchecked>,
    ) -> Result<AddressInfo, NodeError> {
        self.poll("validateaddress", move |rpc| rpc.validate_address(&address))
            .await
    }

    /// See [`Rpc::uptime`].
    pub async fn uptime(&self) -> Result<u64, NodeError> {
        self.poll("uptime", Rpc::uptime).await
    }

    /// See [`Rpc::get_block_template`].
    pub async fn get_block_template(
        &self,
        network: chain::Network,
    ) -> Result<chain::Template, NodeError> {
        self.poll("getblocktemplate", move |rpc| {
            rpc.get_block_template(network)
        })
        .await
    }

    /// See [`Rpc::wait_for_block_template`]. On the long-poll lane, one at a time: a poll whose future was
    /// dropped stays with the node until it answers (to cut it would cost the node an RPC thread just
    /// the same), and the next one waits behind it; its id is stale by then, so it is answered at once.
    pub async fn wait_for_block_template(
        &self,
        network: chain::Network,
        long_poll_id: impl Into<String>,
    ) -> Result<chain::Template, NodeError> {
        let id = long_poll_id.into();
        let budget = self.inner.config.timeouts.long_poll;
        self.inner
            .long_poll
            .run("getblocktemplate", budget, move |rpc| {
                rpc.wait_for_block_template(network, &id)
            })
            .await
    }

    /// Whether the node can hold a long poll and answer other calls at the same time. With
    /// `-rpcthreads=1`, or when earlier clients left their long polls behind, it cannot, and a long
    /// poll would shut out everybody, this program's submissions too, until a new block comes from elsewhere.
    ///
    /// It is tried: a call that waits is sent on the long-poll lane, and the node, asked at the same time,
    /// must name it as being executed. Costs a few milliseconds where the answer is yes. Where it is no,
    /// the node answers nothing else for the fifth of a second; a node too busy to be
    /// asked in that time counts as no. A node that does not let us ask counts as yes.
    pub async fn has_thread_to_spare(&self) -> Result<bool, NodeError> {
        const HELD: Duration = Duration::from_millis(200);
        const AGAIN: Duration = Duration::from_millis(2);
        let budget = self.inner.config.timeouts.call;
        let waiting = self.inner.long_poll.run("waitfornewblock", budget, |rpc| {
            rpc.wait_for_new_block(HELD)
        });
        let seen = async {
            loop {
                let active = self.poll("getrpcinfo", Rpc::get_active_methods).await?;
                if active.iter().any(|method| method == "waitfornewblock") {
                    return Ok(());
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        let answer = tokio::select! {
            biased;
            waited = waiting => waited.map(|()| false),
            seen = seen => seen.map(|()| true),
        };
        match answer {
            Err(NodeError::Forbidden { .. } | NodeError::Rpc { code: -32601, .. }) => Ok(true),
            answer => answer,
        }
    }

    /// See [`Rpc::propose_block`].
    pub async fn propose_block(
        &self,
        network: chain::Network,
        block: Vec<u8>,
    ) -> Result<ProposalAnswer, NodeError> {
        self.bulk("getblocktemplate", move |rpc| {
            rpc.propose_block(network, &block)
        })
        .await
    }

    /// See [`Rpc::submit_block`]. On the submit lane.
    pub async fn submit_block(
        &self,
        block: impl AsRef<[u8]> + Send + 'static,
    ) -> Result<SubmitAnswer, NodeError> {
        let budget = self.inner.config.timeouts.submit;
        self.inner
            .submit
            .run("submitblock", budget, move |rpc| {
                rpc.submit_block(block.as_ref())
            })
            .await
    }

    /// See [`Rpc::submit_prepared`]. On the submit lane. Tells when the request had been handed to the system in
    /// full, as far as it got there; told on a thread of the lane, whether the answer is waited for or not.
    pub async fn submit_prepared(
        &self,
        block: Submission,
        written: impl FnOnce(Instant) + Send + 'static,
    ) -> Result<SubmitAnswer, NodeError> {
        let budget = self.inner.config.timeouts.submit;
        self.inner
            .submit
            .run("submitblock", budget, move |rpc| {
                let answer = rpc.submit_prepared(&block);
                if let Some(at) = rpc.written_at() {
                    written(at);
                }
                answer
            })
            .await
    }

    async fn poll<T, F>(&self, method: &'static str, call: F) -> Result<T, NodeError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Rpc) -> Result<T, NodeError> + Send + 'static,
    {
        self.inner
            .poll
            .run(method, self.inner.config.timeouts.call, call)
            .await
    }

    async fn bulk<T, F>(&self, method: &'static str, call: F) -> Result<T, NodeError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Rpc) -> Result<T, NodeError> + Send + 'static,
    {
        self.inner
            .poll
            .run(method, self.inner.config.timeouts.bulk, call)
            .await
    }
}
