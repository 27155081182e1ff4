//! What a devnode is started with.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};

/// How a [`Devnode`](crate::Devnode) is started. [`DevnodeConfig::new`] gives usable values for all
/// but the data directory.
#[derive(Clone)]
pub struct DevnodeConfig {
    /// Where JSON-RPC is served; port 0 takes a free one (see [`Devnode::rpc_addr`](crate::Devnode::rpc_addr)).
    pub rpc_listen: SocketAddr,
    /// Where ZMQ notifications are published; `None` publishes nothing. Port 0 takes a free one.
    pub zmq_listen: Option<SocketAddr>,
    /// Holds `regtest/.cookie` and, with [`persist`](Self::persist), `regtest/blocks.dat`. Created if absent.
    pub data_dir: PathBuf,
    /// A fixed user name, accepted beside the cookie. Needs [`rpc_password`](Self::rpc_password) too.
    pub rpc_user: Option<String>,
    /// The password that goes with [`rpc_user`](Self::rpc_user).
    pub rpc_password: Option<String>,
    /// Keep blocks on disk, so that the next start with this data directory continues the chain.
    /// The mempool is never kept.
    pub persist: bool,
    /// The time of day for the consensus rules and the answers.
    pub clock: Arc<dyn Clock>,
    /// How long a long poll waits before a changed mempool ends it (Bitcoin Core: 60 s).
    pub longpoll_first_check: Duration,
    /// The interval of later looks at the mempool by the same long poll (Bitcoin Core: 10 s).
    pub longpoll_next_check: Duration,
    /// A template is built anew for a changed mempool only when it is older than this
    /// (Bitcoin Core: 5 s). A new tip always builds a new one.
    pub template_max_age: Duration,
    /// Idle connections, and requests that do not arrive whole, are closed after this
    /// (Bitcoin Core's `-rpcservertimeout`: 30 s).
    pub http_timeout: Duration,
    /// How long an answer to wrong credentials is held back (Bitcoin Core: 250 ms).
    pub auth_delay: Duration,
}

impl DevnodeConfig {
    /// Free loopback ports for RPC and ZMQ, cookie authentication only, nothing kept on disk but
    /// the cookie, the machine's clock and Bitcoin Core's intervals.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            rpc_listen: free_port,
            zmq_listen: Some(free_port),
            data_dir: data_dir.into(),
            rpc_user: None,
            rpc_password: None,
            persist: false,
            clock: Arc::new(SystemClock),
            longpoll_first_check: Duration::from_mins(1),
            longpoll_next_check: Duration::from_secs(10),
            template_max_age: Duration::from_secs(5),
            http_timeout: Duration::from_secs(30),
            auth_delay: Duration::from_millis(250),
        }
    }
}

impl fmt::Debug for DevnodeConfig {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevnodeConfig")
            .field("rpc_listen", &self.rpc_listen)
            .field("zmq_listen", &self.zmq_listen)
            .field("data_dir", &self.data_dir)
            .field("rpc_user", &self.rpc_user)
            .field("persist", &self.persist)
            .finish_non_exhaustive()
    }
}
