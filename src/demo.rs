//! `run --demo`: a devnode, a temporary home, and transactions that keep its templates full.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use devnode::{Devnode, DevnodeConfig};
use tempfile::TempDir;

use crate::config::{self, Settings};
use crate::logging;

/// Coins that the demo's own traffic can spend from the start.
const COINS: usize = 10;
/// Transactions that arrive at a time, and how often.
const ARRIVALS: usize = 5;
const ARRIVAL_PERIOD: Duration = Duration::from_millis(500);
/// No more arrive while this many wait.
const ENOUGH: usize = 200;

/// A regtest world of its own, gone when dropped.
pub struct Demo {
    node: Devnode,
    home: TempDir,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its home is removed next.
        logging::let_go();
    }
}

impl Demo {
    /// Starts the node and gives it coins and a few transactions.
    ///
    /// # Errors
    /// No temporary directory, no free port.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_in(&std::env::temp_dir(), COINS, ARRIVALS)
    }

    /// The same with a home in `dir`, so many coins and so many transactions.
    ///
    /// # Errors
    /// No directory can be made there, no free port.
    pub fn start_in(dir: &Path, coins: usize, transactions: usize) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("signalcore-demo-")
            .tempdir_in(dir)
            .with_context(|| {
                format!("cannot make a directory for the demo in {}", dir.display())
            })?;
        let node = Devnode::start_blocking(DevnodeConfig::new(home.path().join("node")))
            .context("cannot start the demo's node")?;
        node.fund(coins)
            .context("cannot give the demo's node coins")?;
        node.fill_mempool(transactions)
            .context("cannot fill the demo's mempool")?;
        Ok(Self { node, home })
    }

    /// The node.
    pub fn node(&self) -> &Devnode {
        &self.node
    }

    /// Settings for a run beside this node. The reward goes to the node's own key: regtest coins,
    /// gone with the demo.
    ///
    /// # Errors
    /// The settings are put together as a user's would be, and checked as strictly.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let zmq = self
            .node
            .zmq_endpoint()
            .context("the demo's node publishes no ZMQ")?;
        let text = format!(
            "data_dir = \"{data}\"\n[chain]\nnetwork = \"regtest\"\n[[node]]\nname = \"devnode\"\n\
             rpc_url = \"{rpc}\"\ncookie_file = \"{cookie}\"\nzmq_hashblock = \"{zmq}\"\nzmq_rawblock = \"{zmq}\"\n\
             zmq_sequence = \"{zmq}\"\n[mining]\npayout_address = \"{address}\"\n\
             [api]\nlisten = \"127.0.0.1:0\"\n",
            data = self.home.path().join("data").display(),
            rpc = self.node.rpc_url(),
            cookie = self.node.cookie_file().display(),
            address = self.node.own_address(),
        );
        let file = self.home.path().join("demo.toml");
        std::fs::write(&file, text).context("cannot write the demo's configuration")?;
        tracing::info!(
            "the demo's home is {}; ask it: signalcore status --config {}",
            self.home.path().display(),
            file.display()
        );
        Ok(config::load(Some(&file))?)
    }

    /// Lets transactions arrive for ever.
    pub async fn traffic(&self) {
        let mut period = tokio::time::interval(ARRIVAL_PERIOD);
        loop {
            period.tick().await;
            if self.node.mempool_len() < ENOUGH
                && let Err(error) = self.node.fill_mempool(ARRIVALS)
            {
                // Coins in flight come back with the next block.
                tracing::debug!("no transactions for now: {error}");
            }
        }
    }
}
