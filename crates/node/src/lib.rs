//! Bitcoin Core over JSON-RPC and ZMQ.
//!
//! - [`NodeConfig`]: where a node is and how to log in; checked when made.
//! - [`Node`]: calls from async code, over bounded lanes for polling, submitting and long-polling.
//! - [`Rpc`]: the same calls, blocking, for commands and tests.
//! - [`zmq::Subscriber`]: notifications of new blocks.
//! - [`NodeError`]: what went wrong, whether the call may have been executed, and what to do.
//!
//! Nothing here believes what a node says: answers are checked for their form, headers for the hash
//! that was asked for, and no more. The rules of the chain are crate `chain`'s.
#![forbid(unsafe_code)]
#![allow(unexpected_cfgs, reason = "`fuzzing` is what cargo-fuzz sets")]

mod auth;
mod config;
mod error;
mod http;
mod lane;
mod metrics;
mod node;
mod rpc;
mod transport;
pub mod zmq;

pub use config::{Auth, NodeConfig, Password, RpcUrl, Timeouts, ZmqEndpoint, ZmqEndpoints};
pub use error::{Cause, ConfigError, NodeError};
pub use metrics::{Meter, MethodMetrics, NodeMetrics};
pub use node::Node;
pub use rpc::types::{
    AddressInfo, BlockchainInfo, ChainTip, ChainWork, HeaderInfo, NetworkInfo, ProposalAnswer,
    SubmitAnswer, TipStatus, ZmqPublisher,
};
pub use rpc::{BlockHex, MAX_BATCH, Rpc, Submission};
