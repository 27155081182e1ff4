//! What the RPC methods, the servers and the handle share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{BlockHash, ScriptBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::Credentials;
use crate::config::DevnodeConfig;
use crate::error::DevnodeError;
use crate::faults::Faults;
use crate::faults::stage::{SkewedClock, Stage};
use crate::world::World;

/// The running node.
pub(crate) struct Node {
    pub(crate) settings: DevnodeConfig,
    pub(crate) credentials: Credentials,
    pub(crate) zmq_endpoint: Option<String>,
    pub(crate) faults: Faults,
    pub(crate) stage: Stage,
    pub(crate) clock: Arc<SkewedClock>,
    started: Mutex<Instant>,
    stop: watch::Sender<bool>,
    tip: watch::Receiver<BlockHash>,
    world: Mutex<World>,
}

impl Node {
    pub(crate) fn new(
        settings: DevnodeConfig,
        credentials: Credentials,
        zmq_endpoint: Option<String>,
        faults: Faults,
        clock: Arc<SkewedClock>,
        world: World,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            credentials,
            zmq_endpoint,
            faults,
            stage: Stage::new(),
            clock,
            started: Mutex::new(Instant::now()),
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

    /// The best block's height.
    pub(crate) fn height(&self) -> u32 {
        self.world().index().height()
    }

    /// Whole seconds since the start.
    pub(crate) fn uptime_s(&self) -> u64 {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.elapsed().as_secs()
    }

    /// What a start brings: a cookie of its own, and time counted from it.
    pub(crate) fn start_again(&self) -> Result<(), DevnodeError> {
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.world().start_again();
        self.credentials.renew_cookie()
    }

    /// Whether calls are refused because the node has just started.
    pub(crate) fn is_warming_up(&self) -> bool {
        let until = *self.stage.warm_until.borrow();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Waits, but not beyond a stop.
    pub(crate) async fn pause_until(&self, until: Instant) {
        pause_until(self.stopping(), until).await;
    }

    /// Waits while the node is frozen.
    pub(crate) async fn thaw(&self) {
        let until = *self.stage.frozen_until.borrow();
        if let Some(until) = until {
            self.pause_until(until).await;
        }
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

/// A timer counts whole milliseconds: where there is nothing to wait for, none is set.
async fn pause_until(mut stop: watch::Receiver<bool>, until: Instant) {
    if until <= Instant::now() {
        return;
    }
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = tokio::time::sleep_until(until) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_not_delayed_waits_for_no_timer() {
        let stop = watch::Sender::new(false);
        for _ in 0..100 {
            let pause = pause_until(stop.subscribe(), Instant::now());
            assert!(pause.now_or_never().is_some());
        }
        let later = Instant::now() + Duration::from_hours(1);
        assert!(
            pause_until(stop.subscribe(), later)
                .now_or_never()
                .is_none()
        );
        stop.send_replace(true);
        assert!(
            pause_until(stop.subscribe(), later)
                .now_or_never()
                .is_some()
        );
    }
}
