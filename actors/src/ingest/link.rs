//! What the tasks of one node share: what is known of it, and how they wake each other.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::Template;
use node::zmq::Connections;
use node::{Node, NodeError};
use supervise::GenerationGuard;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant as Timer, sleep_until};
use tracing::{info, warn};

use super::IngestSettings;
use super::choice::NoTemplate;
use super::gate::{Admission, Gate};
use super::hub::Hub;
use super::silence::Silence;
use super::state::{is_news, leaves_undone};
use super::tips::{Hint, News, Tips};
use super::warnings::{explained, is_of_rules};
use crate::board::Board;
use crate::messages::{BlockSeen, NodeName, NodeState, TemplateSeen, TipSeen, TipSource};
use crate::publish::Publish as _;
use advisor::breaker::{Breaker, BreakerState, Limits};

/// The link to one node. Lives on the actor's thread; nothing is borrowed across a wait.
pub(super) struct Link {
    pub settings: Rc<IngestSettings>,
    pub board: Board,
    guard: GenerationGuard,
    hub: Rc<Hub>,
    /// Which of the hub's nodes this is.
    index: usize,
    pub node: Node,
    name: NodeName,
    tips: RefCell<Tips>,
    silence: RefCell<Silence>,
    gate: RefCell<Gate<TemplateSeen>>,
    breaker: RefCell<Breaker>,
    /// Whether the node answers and is on our network: without that no template is asked for.
    up: watch::Sender<bool>,
    /// What it was said to be last.
    state: RefCell<NodeState>,
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
    /// Wakes `tip`: the node, which was left alone for a while, is alive.
    alive: Notify,
    /// Wakes `zmq`: the sockets are dead and must be made anew.
    pub zmq_dead: Notify,
}

impl Link {
    /// The link to node number `index` of the settings.
    pub fn new(
        settings: Rc<IngestSettings>,
        index: usize,
        hub: Rc<Hub>,
        guard: GenerationGuard,
    ) -> Self {
        let node = settings.nodes[index].clone();
        let tip = hub.tip(index);
        Self {
            name: Arc::from(node.name()),
            node,
            settings,
            board: hub.board.clone(),
            guard,
            hub,
            index,
            tips: RefCell::new(Tips::resume(tip)),
            silence: RefCell::default(),
            gate: RefCell::new(Gate::new(tip)),
            breaker: RefCell::new(Breaker::new(Limits::default())),
            up: watch::Sender::new(false),
            state: RefCell::new(NodeState::Unknown),
            long_poll_id: RefCell::default(),
            long_polling: Cell::new(false),
            announced: Notify::new(),
            template_missing: Notify::new(),
            long_poll_ready: Notify::new(),
            alive: Notify::new(),
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

    /// Where the state of its ZMQ connections is to be read.
    pub fn shows_publishers(&self, connections: Connections) {
        self.board.publishers.publish_with(&self.guard, |shown| {
            shown.insert(Arc::clone(&self.name), connections);
            true
        });
    }

    /// Something says that there may be another tip.
    pub fn announce(&self, source: TipSource, at: Instant, tip: Option<BlockHash>) {
        if self.tips().announce(Hint { source, at, tip }) {
            self.announced.notify_one();
        }
    }

    /// Whether the node was on its best tip when it was last asked.
    pub fn is_ready(&self) -> bool {
        *self.state.borrow() == NodeState::Ready
    }

    /// The node published a block.
    pub fn publish_block(&self, block: BlockSeen) {
        self.board.block_seen.publish(&self.guard, Some(block));
    }

    /// A question that decides on the node's use is put to it.
    pub fn asks(&self) -> Instant {
        let now = Instant::now();
        self.hub.note(self.index, |facts| {
            facts.asked_at.get_or_insert(now);
        });
        now
    }

    /// The node answered that question with its tip, which is published if it is news and the node is in use, and
    /// with it the template that waited for it.
    pub fn tip_was_read(&self, tip: BlockHash, height: Option<u32>, asked: Instant) {
        let now = Instant::now();
        self.succeeded();
        let news = self.tips().read(tip, now);
        self.hub.note(self.index, |facts| {
            facts.asked_at = None;
            facts.answered = Some(asked);
            facts.vitals.answered(asked, now);
            if let Some(height) = height {
                facts.height = Some((tip, height));
            }
            if let Some(News {
                tip,
                source,
                seen_at,
            }) = news
            {
                facts.tip = Some(TipSeen {
                    hash: tip,
                    node: Arc::clone(&self.name),
                    source,
                    seen_at,
                });
            }
        });
        let held = self.gate.borrow_mut().tip_read(tip);
        if let Some(template) = held {
            self.publish_template(template);
        }
        if self.lacks_template() {
            self.template_missing.notify_one();
        }
    }

    /// A template arrived: publishes it if it builds on the known tip, else has the tip read again. What comes of a
    /// long poll after the node has gone out of use says no more than that there may be another tip.
    pub fn template_arrived(&self, template: Template, source: TipSource) {
        let received_at = Instant::now();
        self.board.registry.templates.increment();
        self.succeeded();
        self.hub.note(self.index, |facts| facts.no_template = None);
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
            self.publish_template(seen);
        }
        if admission == Admission::Hold {
            self.announce(source, received_at, Some(prev));
        }
    }

    fn publish_template(&self, seen: TemplateSeen) {
        if self.is_active() {
            self.board.template.publish(&self.guard, Some(seen));
        }
    }

    /// The node was asked for a template and gave none.
    pub fn template_failed(&self) {
        let last = Instant::now();
        self.hub.note(self.index, |facts| {
            let since = facts.no_template.map_or(last, |trouble| trouble.since);
            facts.no_template = Some(NoTemplate { since, last });
        });
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

    /// The node's state, after a question was answered or failed; a change is said once.
    pub fn set_state(&self, state: NodeState) {
        if is_news(&self.state.borrow(), &state) {
            self.say(&state);
        }
        let up = state.is_up();
        self.state.replace(state.clone());
        self.hub.note(self.index, |facts| {
            facts.asked_at = None;
            if !up {
                facts.vitals.failed();
            }
            facts.state = state;
        });
        self.up
            .send_if_modified(|before| std::mem::replace(before, up) != up);
    }

    /// What the node warns of, each time that it is asked.
    pub fn set_warnings(&self, texts: &[String]) {
        let node = &self.name;
        self.hub.note(self.index, |facts| {
            let before = &facts.warnings;
            if before.iter().map(|warning| &warning.text).eq(texts) {
                return;
            }
            let after: Vec<_> = texts.iter().map(|text| explained(text)).collect();
            for warning in after.iter().filter(|warning| !before.contains(warning)) {
                if is_of_rules(warning) {
                    warn!(%node, "the node warns: {warning}; ask whether it needs an update");
                } else {
                    info!(%node, "the node warns: {warning}");
                }
            }
            facts.warnings = after;
        });
    }

    /// How many peers the node has.
    pub fn set_peers(&self, peers: Option<u32>) {
        self.hub.note(self.index, |facts| facts.peers = peers);
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

    /// Resolves once templates are wanted of the node: it is in use, answers, and is on our network.
    pub async fn wanted(&self) {
        self.until_wanted(true).await;
    }

    /// Resolves once no templates are wanted of the node.
    pub async fn unwanted(&self) {
        self.until_wanted(false).await;
    }

    async fn until_wanted(&self, wanted: bool) {
        let (mut up, mut active) = (self.up.subscribe(), self.hub.active());
        loop {
            let is = *up.borrow_and_update() && *active.borrow_and_update() == self.index;
            if is == wanted {
                return;
            }
            // The senders live as long as `self`: waiting cannot fail.
            tokio::select! {
                _ = up.changed() => {}
                _ = active.changed() => {}
            }
        }
    }

    /// Waits after a failure, no longer than until templates are wanted again after they were not.
    pub async fn pause(&self, wait: Duration) {
        let again = async {
            self.unwanted().await;
            self.wanted().await;
        };
        // Elapsed or wanted again: either way it is time.
        let _ = tokio::time::timeout(wait, again).await;
    }

    /// Resolves once the node answers and is on our network.
    pub async fn up(&self) {
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.up.subscribe().wait_for(|up| *up).await;
    }

    /// Whether it is so now.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Whether tips and templates are taken from this node.
    pub fn is_active(&self) -> bool {
        self.hub.is_active(self.index)
    }

    /// Whether there is another node.
    pub fn has_company(&self) -> bool {
        self.hub.has_several()
    }

    /// Resolves once the node may be asked: at once, unless too many calls have failed of late.
    pub async fn admitted(&self) {
        loop {
            let admission = self.breaker.borrow_mut().admit(Instant::now());
            self.note_breaker();
            let Err(until) = admission else { return };
            if self.is_up() {
                let reason =
                    "too many calls failed of late: it is left alone for a few seconds".into();
                self.set_state(NodeState::Absent { reason });
            }
            tokio::select! {
                () = sleep_until(Timer::from_std(until)) => {}
                () = self.alive.notified() => {}
            }
        }
    }

    /// The node said something by itself: whatever was wrong with it may be over.
    pub fn is_alive(&self) {
        let mut breaker = self.breaker.borrow_mut();
        if breaker.state() == BreakerState::Open {
            breaker.heard();
            self.alive.notify_one();
        }
    }

    /// A call was answered.
    fn succeeded(&self) {
        self.breaker.borrow_mut().succeeded(Instant::now());
        self.note_breaker();
    }

    /// Counts a failed call.
    pub fn count(&self, error: &NodeError) {
        self.board.registry.rpc_errors.increment();
        if !leaves_undone(error) {
            return;
        }
        let now = Instant::now();
        let opened = self.breaker.borrow_mut().failed(now, fastrand::f64());
        if opened {
            warn!(
                node = %self.name,
                "too many calls failed of late: the node is left alone for a while before it is asked again \
                 (found blocks are sent to it all the same); the last failure: {error}"
            );
        }
        self.note_breaker();
    }

    fn note_breaker(&self) {
        let state = self.breaker.borrow().state();
        self.hub.note(self.index, |facts| facts.breaker = state);
    }
}
