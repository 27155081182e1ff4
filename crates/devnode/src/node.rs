//! What the RPC methods, the servers and the handle share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bitcoin::{BlockHash, ScriptBuf};
use tokio::sync::watch;

use crate::auth::Credentials;
use crate::config::DevnodeConfig;
use crate::error::DevnodeError;
use crate::world::World;

/// The running node.
pub(crate) struct Node {
    pub(crate) settings: DevnodeConfig,
    pub(crate) credentials: Credentials,
    pub(crate) zmq_endpoint: Option<String>,
    started: Instant,
    stop: watch::Sender<bool>,
    tip: watch::Receiver<BlockHash>,
    world: Mutex<World>,
}

impl Node {
    pub(crate) fn new(
        settings: DevnodeConfig,
        credentials: Credentials,
        zmq_endpoint: Option<String>,
        world: World,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            credentials,
            zmq_endpoint,
            started: Instant::now(),
            stop: watch::Sender::new(false),
            tip: world.watch_tip(),
            world: Mutex::new(world),
        })
    }

    /// The chain and the mempool. A panic under the lock would be a bug in one request; the others go on.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mines block after block and lets others have the world in between. A stop ends it early.
    pub(crate) fn generate(
        &self,
        blocks: u32,
        script: &ScriptBuf,
    ) -> Result<Vec<BlockHash>, DevnodeError> {
        let mut hashes = Vec::new();
        for _ in 0..blocks {
            if *self.stop.borrow() {
                break;
            }
            hashes.push(self.world().generate(script)?);
        }
        Ok(hashes)
    }

    /// Whole seconds since the start.
    pub(crate) fn uptime_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Ends the servers; answers under way are finished first.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Turns true when the node stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Changes with the best block, in either direction.
    pub(crate) fn tip(&self) -> watch::Receiver<BlockHash> {
        self.tip.clone()
    }
}
