//! Where events happen: what the node is away, frozen or warming up for, and the task that brings it about.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bitcoin::BlockHash;
use tokio::sync::watch;
use tokio::time::Instant;

use super::event::{EventFault, Invalidate, Meanwhile};
use crate::clock::Clock;
use crate::error::DevnodeError;
use crate::node::Node;

/// A node that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) until: Instant,
    /// How long it answers -28 afterwards.
    pub(crate) warm_up: Duration,
    /// Whether the cookie is removed.
    pub(crate) clean: bool,
}

/// A publisher that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) until: Instant,
    pub(crate) meanwhile: Meanwhile,
}

/// What events have brought about, for the servers to act on.
pub(crate) struct Stage {
    pub(crate) absence: watch::Sender<Option<Absence>>,
    pub(crate) silence: watch::Sender<Option<Silence>>,
    pub(crate) frozen_until: watch::Sender<Option<Instant>>,
    pub(crate) warm_until: watch::Sender<Option<Instant>>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            absence: watch::Sender::new(None),
            silence: watch::Sender::new(None),
            frozen_until: watch::Sender::new(None),
            warm_until: watch::Sender::new(None),
        }
    }
}

/// Another clock, set forwards or backwards.
pub(crate) struct SkewedClock {
    clock: Arc<dyn Clock>,
    skew_s: AtomicI64,
}

impl SkewedClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            skew_s: AtomicI64::new(0),
        })
    }

    fn skew(&self, seconds: i32) {
        self.skew_s.store(seconds.into(), Ordering::SeqCst);
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> u32 {
        let now = i64::from(self.clock.now()) + self.skew_s.load(Ordering::SeqCst);
        now.clamp(0, u32::MAX.into()) as u32
    }
}

/// Makes events happen until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut stop = node.stopping();
    let mut tip = node.tip();
    let mut loaded = node.faults.loaded();
    let mut invalid: Vec<(Instant, BlockHash)> = Vec::new();
    loop {
        while let Some(event) = node.faults.event(node.height()) {
            perform(&node, event, &mut invalid).await;
        }
        let next = node
            .faults
            .to_next_event()
            .map(|wait| Instant::now() + wait);
        let next = next
            .into_iter()
            .chain(invalid.iter().map(|(at, _)| *at))
            .min();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            changed = tip.changed() => if changed.is_err() { return },
            changed = loaded.changed() => if changed.is_err() { return },
            () = sleep_until(next) => {}
        }
        let due: Vec<BlockHash> = invalid
            .extract_if(.., |(at, _)| *at <= Instant::now())
            .map(|(_, hash)| hash)
            .collect();
        for hash in due {
            on_chain(&node, move |node| node.world().reconsider(hash)).await;
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn perform(node: &Arc<Node>, event: EventFault, invalid: &mut Vec<(Instant, BlockHash)>) {
    let now = Instant::now();
    let stage = &node.stage;
    match event {
        EventFault::Restart(restart) => {
            let until = now + restart.down_s.0;
            stage.silence.send_replace(Some(Silence {
                until,
                meanwhile: Meanwhile::Closed,
            }));
            stage.absence.send_replace(Some(Absence {
                until,
                warm_up: restart.warm_up_s.0,
                clean: restart.clean,
            }));
        }
        EventFault::ZmqRestart(restart) => {
            stage.silence.send_replace(Some(Silence {
                until: now + restart.down_s.0,
                meanwhile: restart.meanwhile,
            }));
        }
        EventFault::FreezeS(time) => {
            stage.frozen_until.send_replace(Some(now + time.0));
        }
        EventFault::WarmUpS(time) => {
            stage.warm_until.send_replace(Some(now + time.0));
        }
        EventFault::Invalidate(Invalidate { blocks, for_s }) => {
            if let Some(hash) = nth_from_tip(node, blocks.get()) {
                on_chain(node, move |node| node.world().invalidate(hash)).await;
                invalid.extend(for_s.map(|time| (now + time.0, hash)));
            }
        }
        EventFault::Reorg(depth) => {
            if let Some(hash) = nth_from_tip(node, depth.get()) {
                on_chain(node, move |node| {
                    let script = node.world().wallet().script();
                    node.world().invalidate(hash)?;
                    node.generate(depth.get() + 1, &script)?;
                    node.world().reconsider(hash)
                })
                .await;
            }
        }
        EventFault::Generate(blocks) => {
            on_chain(node, move |node| {
                let script = node.world().wallet().script();
                node.generate(blocks.get(), &script).map(|_| ())
            })
            .await;
        }
        EventFault::ClockSkewS(seconds) => node.clock.skew(seconds),
    }
}

/// The best block is the first from the tip. The genesis block is never meant.
fn nth_from_tip(node: &Node, nth: u32) -> Option<BlockHash> {
    let world = node.world();
    let index = world.index();
    let height = (index.height() + 1)
        .checked_sub(nth)
        .filter(|height| *height > 0);
    let hash = height.and_then(|height| index.active_hash(height));
    if hash.is_none() {
        tracing::warn!(nth, "fault not possible: the chain is too short");
    }
    hash
}

async fn on_chain(
    node: &Arc<Node>,
    work: impl FnOnce(&Node) -> Result<(), DevnodeError> + Send + 'static,
) {
    let node = Arc::clone(node);
    match tokio::task::spawn_blocking(move || work(&node)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "fault not possible"),
        Err(error) => tracing::error!(%error, "a fault panicked"),
    }
}
