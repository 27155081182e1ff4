//! What ingest's tasks share: one node, what is known of it, and how they wake each other.

use std::cell::{Cell, RefCell, RefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::Template;
use node::{Node, NodeError};
use supervise::GenerationGuard;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::IngestSettings;
use super::gate::{Admission, Gate};
use super::silence::Silence;
use super::state::is_news;
use super::tips::{Hint, News, Tips};
use super::warnings::{explained, is_of_rules};
use crate::board::Board;
use crate::messages::{BlockSeen, NodeName, NodeState, TemplateSeen, TipSeen, TipSource};
use crate::publish::Publish as _;

/// The link to the preferred node. Lives on the actor's thread; nothing is borrowed across a wait.
pub(super) struct Link {
    pub settings: IngestSettings,
    pub board: Board,
    guard: GenerationGuard,
    pub node: Node,
    name: NodeName,
    tips: RefCell<Tips>,
    silence: RefCell<Silence>,
    gate: RefCell<Gate<TemplateSeen>>,
    /// Whether the node answers and is on our network: without that no template is asked for.
    usable: watch::Sender<bool>,
    /// The id of the newest template received, for the next long poll.
    long_poll_id: RefCell<Option<String>>,
    /// Whether a long poll is pending at the node, so that it will tell of a new tip by itself.
    pub long_polling: Cell<bool>,
    /// Wakes `tip`.
    pub announced: Notify,
    /// Wakes `template`: the tip has none.
    pub template_missing: Notify,
    /// Wakes `long poll`: there is an id to poll with.
    pub long_poll_ready: Notify,
    /// Wakes `zmq`: the sockets are dead and must be made anew.
    pub zmq_dead: Notify,
}

impl Link {
    pub fn new(settings: IngestSettings, board: Board, guard: GenerationGuard) -> Self {
        let node = settings.nodes[0].clone();
        let tip = board.tip_seen.borrow().as_ref().map(|seen| seen.hash);
        Self {
            name: Arc::from(node.name()),
            node,
            settings,
            board,
            guard,
            tips: RefCell::new(Tips::resume(tip)),
            silence: RefCell::default(),
            gate: RefCell::new(Gate::new(tip)),
            usable: watch::Sender::new(false),
            long_poll_id: RefCell::default(),
            long_polling: Cell::new(false),
            announced: Notify::new(),
            template_missing: Notify::new(),
            long_poll_ready: Notify::new(),
            zmq_dead: Notify::new(),
        }
    }

    pub fn name(&self) -> &NodeName {
        &self.name
    }

    pub fn tips(&self) -> RefMut<'_, Tips> {
        self.tips.borrow_mut()
    }

    pub fn silence(&self) -> RefMut<'_, Silence> {
        self.silence.borrow_mut()
    }

    /// Whether any ZMQ endpoint is configured.
    pub fn has_zmq(&self) -> bool {
        !self.node.config().zmq.is_empty()
    }

    /// Something says that there may be another tip.
    pub fn announce(&self, source: TipSource, at: Instant, tip: Option<BlockHash>) {
        if self.tips().announce(Hint { source, at, tip }) {
            self.announced.notify_one();
        }
    }

    /// Whether the node was on its best tip when it was last asked.
    pub fn is_ready(&self) -> bool {
        *self.board.node_state.borrow() == NodeState::Ready
    }

    /// The node published a block.
    pub fn publish_block(&self, block: BlockSeen) {
        self.board.block_seen.publish(&self.guard, Some(block));
    }

    /// The tip was read: publishes it if it is news, and the template that waited for it.
    pub fn tip_was_read(&self, tip: BlockHash, now: Instant) {
        let news = self.tips().read(tip, now);
        if let Some(News {
            tip,
            source,
            seen_at,
        }) = news
        {
            self.board.registry.tips_seen.increment();
            let seen = TipSeen {
                hash: tip,
                node: Arc::clone(&self.name),
                source,
                seen_at,
            };
            self.board.tip_seen.publish(&self.guard, Some(seen));
        }
        let held = self.gate.borrow_mut().tip_read(tip);
        if let Some(template) = held {
            self.board.template.publish(&self.guard, Some(template));
        }
        if self.lacks_template() {
            self.template_missing.notify_one();
        }
    }

    /// A template arrived: publishes it if it builds on the known tip, else has the tip read again.
    pub fn template_arrived(&self, template: Template, source: TipSource) {
        let received_at = Instant::now();
        self.board.registry.templates.increment();
        self.long_poll_id.replace(Some(template.longpollid.clone()));
        self.long_poll_ready.notify_one();
        let prev = template.previousblockhash;
        let seen = TemplateSeen {
            template: Arc::new(template),
            node: Arc::clone(&self.name),
            received_at,
        };
        let (admission, passed) = self.gate.borrow_mut().arrived(prev, seen);
        if let Some(seen) = passed {
            self.board.template.publish(&self.guard, Some(seen));
        }
        if admission == Admission::Hold {
            self.announce(source, received_at, Some(prev));
        }
    }

    /// Whether the known tip has no template yet.
    pub fn lacks_template(&self) -> bool {
        self.gate.borrow().lacks_template()
    }

    /// The id for the next long poll, if there was a template yet.
    pub fn long_poll_id(&self) -> Option<String> {
        self.long_poll_id
            .borrow()
            .clone()
            .filter(|id| !id.is_empty())
    }

    /// The node does not know this id.
    pub fn forget_long_poll_id(&self) {
        self.long_poll_id.replace(None);
    }

    /// Publishes the node's state; a change is said once.
    pub fn set_state(&self, state: NodeState) {
        let usable = state.is_up();
        self.board.node_state.publish_with(&self.guard, |before| {
            if *before == state {
                return false;
            }
            if is_news(before, &state) {
                self.say(&state);
            }
            *before = state;
            true
        });
        self.usable
            .send_if_modified(|before| std::mem::replace(before, usable) != usable);
    }

    /// What the node warns of, each time that it is asked.
    pub fn set_warnings(&self, texts: &[String]) {
        let node = &self.name;
        self.board
            .node_warnings
            .publish_with(&self.guard, |before| {
                if before.iter().map(|warning| &warning.text).eq(texts) {
                    return false;
                }
                let after: Vec<_> = texts.iter().map(|text| explained(text)).collect();
                for warning in after.iter().filter(|warning| !before.contains(warning)) {
                    if is_of_rules(warning) {
                        warn!(%node, "the node warns: {warning}; ask whether it needs an update");
                    } else {
                        info!(%node, "the node warns: {warning}");
                    }
                }
                *before = after;
                true
            });
    }

    fn say(&self, state: &NodeState) {
        let node = &self.name;
        match state {
            NodeState::Unknown => {}
            NodeState::Ready => info!(%node, "node is up and on its best tip"),
            NodeState::Syncing {
                blocks,
                headers,
                ibd: true,
            } => {
                info!(%node, blocks, headers, "node is up, in initial block download");
            }
            NodeState::Syncing {
                blocks,
                headers,
                ibd: false,
            } => {
                warn!(%node, blocks, headers, "node is behind its best header");
            }
            NodeState::Absent { reason } => {
                warn!(%node, "node does not answer, trying again at every poll: {reason}");
            }
            NodeState::Refused { reason } => {
                tracing::error!(%node, "node is of no use as it is, looking again at every poll: {reason}");
            }
        }
    }

    /// Resolves once the node answers and is on our network.
    pub async fn usable(&self) {
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.usable.subscribe().wait_for(|usable| *usable).await;
    }

    /// Waits after a failure, no longer than until the node is found usable again.
    pub async fn pause(&self, wait: Duration) {
        let mut usable = self.usable.subscribe();
        let back =
            async { while usable.changed().await.is_ok() && !*usable.borrow_and_update() {} };
        // Elapsed or back: either way it is time.
        let _ = tokio::time::timeout(wait, back).await;
    }

    /// Whether it is so now.
    pub fn is_usable(&self) -> bool {
        *self.usable.borrow()
    }

    /// Counts a failed call.
    pub fn count(&self, _: &NodeError) {
        self.board.registry.rpc_errors.increment();
    }
}
