//! An embedded regtest node: Bitcoin Core's JSON-RPC over real HTTP and its notifications over real
//! ZMQ, with a chain of its own. The default peer of the demo, the peer of the tests, and a node to
//! play with.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use signalcore_devnode::{Devnode, DevnodeConfig};
//!
//! let node = Devnode::start(DevnodeConfig::new("/tmp/regtest")).await?;
//! node.fund(10)?;
//! node.fill_mempool(100)?;
//! assert!(node.rpc_url().starts_with("http://127.0.0.1:"));
//! node.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is real
//! - **The wire.** HTTP/1.0 and 1.1 with keep-alive and pipelining, Basic authentication by cookie or
//!   fixed user, JSON-RPC 1.0 and 2.0 and batches; names, shapes, error codes and HTTP statuses as
//!   Bitcoin Core 31.99 gives them. A ZMQ PUB socket for hashblock, rawblock and sequence.
//! - **The chain.** A block tree with chainwork, side branches, headers without bodies, reorganisations,
//!   `invalidateblock`; header rules by crate `chain`, body rules, coins, subsidies and fees.
//! - **The mempool.** Signed segwit transactions, templates with fees, sigops and dependencies,
//!   proposals, and the long poll with Bitcoin Core's timing.
//!
//! # What goes wrong
//! Nothing, unless a [`FaultScript`] says so: then calls are delayed, refused, cut and answered with
//! nonsense, notifications are lost, and the node restarts, freezes or reorganises, on cue.
//!
//! # What is not
//! - **Scripts.** p2wpkh signatures are verified, and p2wsh outputs whose script is OP_TRUE; a p2wsh
//!   spend must show the script it committed to. Every other script, and relative lock times (BIP68),
//!   pass unverified.
//! - **Policy.** No replacement, no packages, no eviction; templates take transactions in order of
//!   arrival, not by fee.
//! - **Peers.** There is no peer-to-peer side, and no wallet beyond the key that
//!   [`fund`](Devnode::fund) pays and [`fill_mempool`](Devnode::fill_mempool) spends.
//! - **Help.** A call with the wrong number of parameters is answered with one line of usage.
#![forbid(unsafe_code)]

mod activate;
mod auth;
mod clock;
mod coins;
mod config;
mod deployments;
mod devnode;
mod envelope;
mod error;
mod events;
mod faults;
mod http;
mod index;
mod mempool;
mod methods;
mod mine;
mod node;
mod reject;
mod response;
mod rules;
mod scripts;
mod seat;
mod server;
mod store;
mod submit;
mod template;
mod wallet;
mod world;
mod zmq;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::DevnodeConfig;
pub use devnode::{Devnode, Tip};
pub use error::DevnodeError;
pub use faults::{FaultScript, FaultScriptError};
