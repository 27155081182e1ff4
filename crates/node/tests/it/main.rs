//! The node link against real sockets: HTTP and ZMQ peers that behave, misbehave, and repeat what Bitcoin
//! Core was recorded saying.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

// The name by which the workspace knows this crate.
extern crate signalcore_node as node;

mod auth;
mod bitcoin_core;
mod embedded_node;
mod headers;
mod http_answers;
mod http_faults;
mod http_server;
mod lanes;
mod node_process;
mod processes;
mod properties;
mod proxies;
mod recordings;
mod zmq_dead;
mod zmq_faults;
mod zmq_memory;
mod zmq_publisher;
mod zmq_recordings;
mod zmq_stream;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use node::{Auth, NodeConfig, Rpc};

/// Longer than anything takes on a loaded machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_mins(1);

/// A configuration for a server at `url`, logged in by password.
fn config(url: &str) -> NodeConfig {
    let auth = Auth::UserPassword {
        user: "miner".to_owned(),
        password: "hunter2".into(),
    };
    NodeConfig::new("test", url.parse().unwrap(), auth)
}

/// A blocking client of the server at `url`.
fn rpc(url: &str) -> Rpc {
    Rpc::new(&config(url))
}

/// Waits for `condition`, and fails when it does not come true.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The recordings of Bitcoin Core, or `None` with a word on why the test is skipped.
#[allow(clippy::print_stderr)]
fn recordings(below: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("SIGNALCORE_TESTDATA") else {
        eprintln!("skipped: SIGNALCORE_TESTDATA not set");
        return None;
    };
    Some(PathBuf::from(root).join("core").join(below))
}
