//! What can go wrong with a node, in an operator's words.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

/// A cause that is kept for the error chain.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// A setting that cannot work, found before anything is contacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The RPC address is unusable.
    #[error("the RPC address `{url}` is unusable: {why}")]
    RpcUrl {
        /// The address as given; it holds no credentials.
        url: String,
        /// What is wrong and what to write instead.
        why: &'static str,
    },
    /// The RPC address holds a user or password. It is not repeated here.
    #[error(
        "the RPC address contains credentials; remove everything up to the `@` and name a cookie file, \
         or a user and a password file, instead"
    )]
    CredentialsInUrl,
    /// A ZMQ endpoint is unusable.
    #[error("the ZMQ endpoint `{endpoint}` is unusable: {why}")]
    ZmqEndpoint {
        /// The endpoint as given.
        endpoint: String,
        /// What is wrong and what to write instead.
        why: &'static str,
    },
}

/// A call to a node that failed. `Display` says what was being done and what to do about it; causes
/// are in [`source`](StdError::source).
///
/// Two questions decide what a caller may do, and each has one answer for every variant:
/// [`may_have_executed`](Self::may_have_executed) and [`is_transient`](Self::is_transient).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The request never reached the node in full, so it was certainly not executed: connection
    /// refused, name not found, or cut or out of time while it was being written.
    #[error(
        "cannot reach the node at {url} for {method}: {cause}; is bitcoind running there, with server=1?"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// The method called.
        method: String,
        /// What the operating system or HTTP client said.
        #[source]
        cause: Cause,
    },
    /// The request was written in full, and then the deadline passed or the connection broke. The
    /// node may have executed it, may be executing it now, or may never have read it.
    #[error(
        "{method} was sent to the node at {url}, and no answer came ({cause}, after {waited:.1?}); \
         whether it was executed is unknown"
    )]
    Unanswered {
        /// Where.
        url: String,
        /// The method called.
        method: String,
        /// Time since the call began.
        waited: Duration,
        /// What the operating system or HTTP client said.
        #[source]
        cause: Cause,
    },
    /// The cookie file cannot be read, so no request was made. Core deletes the file at a clean stop.
    #[error(
        "cannot read the cookie file {}: {cause}; if bitcoind is running, give this process read access to it, \
         or correct the path (it is <datadir>/.cookie on main, <datadir>/<chain>/.cookie elsewhere)",
        path.display()
    )]
    Cookie {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// HTTP 401, with a cookie (if any) that is the newest on disk. Not executed.
    #[error("the node at {url} refused the login (401) with {credentials}")]
    Unauthorized {
        /// Where.
        url: String,
        /// Which credentials were used and what to check; never the secret.
        credentials: String,
    },
    /// HTTP 403: `rpcwhitelist` does not allow the method, or `rpcallowip` not this host. Not executed.
    #[error(
        "the node at {url} forbids {method} to this user (403); allow it with rpcwhitelist, or this host with rpcallowip"
    )]
    Forbidden {
        /// Where.
        url: String,
        /// The method called.
        method: String,
    },
    /// HTTP 503: the work queue is full. Not executed; try again.
    #[error(
        "the node at {url} is too busy for {method} (503: {text}); raise rpcworkqueue and rpcthreads if this lasts"
    )]
    Busy {
        /// Where.
        url: String,
        /// The method called.
        method: String,
        /// Core's words.
        text: String,
    },
    /// RPC error -28: the node is starting. Not executed; try again.
    #[error("the node is starting: {text}")]
    WarmingUp {
        /// Core's words, such as `Verifying blocks…`.
        text: String,
    },
    /// RPC error -9: the node has no peers.
    #[error("the node has no peers ({text}); check its network connection")]
    NoPeers {
        /// Core's words.
        text: String,
    },
    /// RPC error -10: the node is still in initial block download.
    #[error("the node is still synchronising ({text})")]
    Syncing {
        /// Core's words.
        text: String,
    },
    /// Any other error answered by the node.
    #[error("the node refused {method}: {message} (code {code})")]
    Rpc {
        /// The method called.
        method: String,
        /// JSON-RPC error code; -5 is "not found", -32601 an unknown method.
        code: i32,
        /// Core's words.
        message: String,
    },
    /// An HTTP status without a JSON-RPC answer.
    #[error(
        "the node at {url} answered {method} with HTTP {status}{excerpt}; is that address Bitcoin Core's RPC port?"
    )]
    Http {
        /// Where.
        url: String,
        /// The method called.
        method: String,
        /// The status code.
        status: u16,
        /// The start of the body, printable, preceded by `: `; empty if there was none.
        excerpt: String,
    },
    /// The answer is not what the method answers: no JSON, the wrong shape, another request's id.
    #[error("the node's answer to {method} cannot be understood: {what}")]
    Malformed {
        /// The method called.
        method: String,
        /// What is wrong with it.
        what: String,
    },
    /// The answer is larger than any real one.
    #[error("the node's answer to {method} is larger than {limit} bytes and was not read")]
    TooLarge {
        /// The method called.
        method: String,
        /// The bound in bytes.
        limit: usize,
    },
    /// The lane's queue is full. Not sent.
    #[error(
        "too many calls are waiting for the node ({lane} lane: {capacity}); it answers too slowly"
    )]
    Overloaded {
        /// `poll`, `submit` or `longpoll`.
        lane: &'static str,
        /// The queue's bound.
        capacity: usize,
    },
    /// The deadline passed while the call waited for its turn. Not sent.
    #[error(
        "{method} waited {waited:.1?} for its turn on the {lane} lane and was not sent; the node answers too slowly"
    )]
    Expired {
        /// `poll`, `submit` or `longpoll`.
        lane: &'static str,
        /// The method called.
        method: String,
        /// Time spent in the queue.
        waited: Duration,
    },
    /// The node changed its best chain between two steps of one reading. Read again.
    #[error("the node changed its chain while {what} was being read")]
    ChainMoved {
        /// What was being read.
        what: String,
    },
    /// The [`Node`](crate::Node) was shut down.
    #[error("the link to the node has been shut down")]
    Stopped,
    /// A worker thread could not be started.
    #[error("cannot start thread {name}")]
    Thread {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

impl NodeError {
    /// Whether the node may have executed the call although no answer says so. Only then does sending
    /// it again risk doing it twice.
    pub fn may_have_executed(&self) -> bool {
        match self {
            Self::Unanswered { .. } | Self::Malformed { .. } | Self::TooLarge { .. } => true,
            Self::Http { status, .. } => *status < 400,
            _ => false,
        }
    }

    /// Whether waiting and calling again can help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Unanswered { .. }
            | Self::Cookie { .. }
            | Self::Unauthorized { .. }
            | Self::Busy { .. }
            | Self::WarmingUp { .. }
            | Self::NoPeers { .. }
            | Self::Syncing { .. }
            | Self::Overloaded { .. }
            | Self::Expired { .. }
            | Self::ChainMoved { .. } => true,
            Self::Http { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether the node answered at all: it is there, and what failed is the call.
    pub fn node_answered(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. }
                | Self::Forbidden { .. }
                | Self::Busy { .. }
                | Self::WarmingUp { .. }
                | Self::NoPeers { .. }
                | Self::Syncing { .. }
                | Self::Rpc { .. }
                | Self::Http { .. }
                | Self::Malformed { .. }
                | Self::TooLarge { .. }
                | Self::ChainMoved { .. }
        )
    }

    /// Whether the node says that it does not know the block or transaction asked for (-5).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Rpc { code: -5, .. })
    }

    /// A short, stable name for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Unanswered { .. } => "unanswered",
            Self::Cookie { .. } => "cookie",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::Busy { .. } => "busy",
            Self::WarmingUp { .. } => "warming_up",
            Self::NoPeers { .. } => "no_peers",
            Self::Syncing { .. } => "syncing",
            Self::Rpc { .. } => "rpc",
            Self::Http { .. } => "http",
            Self::Malformed { .. } => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::Overloaded { .. } => "overloaded",
            Self::Expired { .. } => "expired",
            Self::ChainMoved { .. } => "chain_moved",
            Self::Stopped => "stopped",
            Self::Thread { .. } => "thread",
        }
    }

    /// The error that a JSON-RPC error object stands for.
    pub(crate) fn from_rpc(method: &str, code: i32, message: &str) -> Self {
        // A usage text is pages long, and its beginning says which method it is.
        let text: String = one_line(message, 300);
        match code {
            -28 => Self::WarmingUp { text },
            -9 => Self::NoPeers { text },
            -10 => Self::Syncing { text },
            _ => Self::Rpc {
                method: method.to_owned(),
                code,
                message: text,
            },
        }
    }

    pub(crate) fn malformed(method: &str, what: impl Into<String>) -> Self {
        Self::Malformed {
            method: method.to_owned(),
            what: what.into(),
        }
    }
}

/// The start of a foreign text on one line, without control characters, for use in a message.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().count() > limit {
            return line
                .chars()
                .take(limit)
                .chain(std::iter::once('…'))
                .collect();
        }
    }
    line
}
