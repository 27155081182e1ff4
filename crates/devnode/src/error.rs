//! What can go wrong with a devnode, seen from the program that runs it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use bitcoin::BlockHash;

/// Why a devnode could not be started, or could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevnodeError {
    /// The address for JSON-RPC cannot be bound.
    #[error(
        "cannot listen for JSON-RPC on {addr}: {source}; choose another port, or 0 for a free one"
    )]
    RpcBind {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The address for ZMQ cannot be bound.
    #[error("cannot publish ZMQ on {addr}: {reason}; choose another port, or 0 for a free one")]
    ZmqBind {
        /// The address asked for.
        addr: SocketAddr,
        /// The library's reason.
        reason: String,
    },
    /// A file of the data directory cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `blocks.dat` holds something that is not a devnode's block file.
    #[error("{} is not a block file of this node (at byte {offset}: {reason}); move it away to start afresh", path.display())]
    BlockFile {
        /// The file.
        path: PathBuf,
        /// Where the unreadable record begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The user name came without a password, or the other way round.
    #[error("rpc_user and rpc_password go together: give both or neither")]
    HalfCredentials,
    /// The runtime of the node's thread could not be made, or the thread ended before it had started.
    #[error("cannot start the devnode's thread: {0}")]
    Thread(#[source] io::Error),
    /// The random numbers for the cookie cannot be had.
    #[error("cannot draw random bytes for the RPC cookie: {0}")]
    Random(String),
    /// A block of the node's own making was refused, for the reason Bitcoin Core would give.
    #[error("the node refused its own block: {reason}")]
    OwnBlock {
        /// For instance `time-too-new`.
        reason: String,
    },
    /// No block with this hash is known.
    #[error("block {0} is not known to the devnode")]
    UnknownBlock(BlockHash),
    /// The node's own key has too few mature coins for what was asked.
    #[error(
        "the devnode's key has no coin left to spend (made {made} of {wanted} transactions); call fund() first"
    )]
    NoCoins {
        /// How many transactions were made.
        made: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// A transaction was refused, for the reason Bitcoin Core would give.
    #[error("the node refused the transaction: {reason}")]
    Transaction {
        /// For instance `bad-txns-inputs-missingorspent`.
        reason: String,
    },
}
