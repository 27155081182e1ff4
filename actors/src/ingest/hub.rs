//! What the links to all nodes know together: which node is in use, and what of it is published.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::{Network, Verdict};
use supervise::{BoxError, GenerationGuard};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant as Timer, sleep_until};
use tracing::{info, warn};

use super::IngestSettings;
use super::choice::{Choice, Claim, Fitness, NoTemplate, Says, Standing};
use super::link::Link;
use super::vitals::Vitals;
use crate::board::Board;
use crate::messages::{
    NodeName, NodeState, NodeView, NodeWarning, TipSeen, TipSource, TipVerdict, TipWeight,
};
use crate::publish::Publish as _;
use advisor::breaker::BreakerState;

/// How long a block may take from one node to another before it is said that they disagree.
const PROPAGATION: Duration = Duration::from_secs(10);

/// What a link has found out about its node.
#[derive(Debug)]
pub(super) struct Facts {
    pub name: NodeName,
    pub state: NodeState,
    pub warnings: Vec<NodeWarning>,
    /// Its best block, as it was read last.
    pub tip: Option<TipSeen>,
    /// The height of the tip that was polled last.
    pub height: Option<(BlockHash, u32)>,
    /// When it was asked for what it has not answered yet.
    pub asked_at: Option<Instant>,
    /// When it was asked for the tip that it answered last.
    pub answered: Option<Instant>,
    pub no_template: Option<NoTemplate>,
    /// What it gives is of no use to the miner.
    no_use: Option<NoTemplate>,
    pub vitals: Vitals,
    pub peers: Option<u32>,
    pub breaker: BreakerState,
    apart_since: Option<Instant>,
    apart_said: bool,
}

/// Shared by the links. Nothing is borrowed across a wait.
pub(super) struct Hub {
    pub board: Board,
    guard: GenerationGuard,
    network: Network,
    facts: RefCell<Vec<Facts>>,
    choice: RefCell<Choice>,
    active: watch::Sender<usize>,
    due: Cell<Option<Instant>>,
    due_changed: Notify,
}

impl Hub {
    /// Goes on with the node that was in use before.
    pub fn new(settings: &IngestSettings, board: Board, guard: GenerationGuard) -> Self {
        let nodes = &settings.nodes;
        let used = board
            .nodes
            .borrow()
            .iter()
            .find(|node| node.active)
            .map(|node| Arc::clone(&node.name));
        let active = nodes
            .iter()
            .position(|node| used.as_deref() == Some(node.name()))
            .unwrap_or(0);
        let known = board.tip_seen.borrow().clone();
        let facts = nodes.iter().map(|node| Facts {
            name: Arc::from(node.name()),
            state: NodeState::Unknown,
            warnings: Vec::new(),
            tip: known.clone().filter(|tip| &*tip.node == node.name()),
            height: None,
            asked_at: None,
            answered: None,
            no_template: None,
            no_use: None,
            vitals: Vitals::default(),
            peers: None,
            breaker: BreakerState::default(),
            apart_since: None,
            apart_said: false,
        });
        Self {
            facts: RefCell::new(facts.collect()),
            choice: RefCell::new(Choice::new(nodes.len(), active, settings.steady)),
            active: watch::Sender::new(active),
            due: Cell::new(None),
            due_changed: Notify::new(),
            board,
            guard,
            network: settings.network,
        }
    }

    /// Follows the number of the node in use.
    pub fn active(&self) -> watch::Receiver<usize> {
        self.active.subscribe()
    }

    /// Whether node number `index` is in use.
    pub fn is_active(&self, index: usize) -> bool {
        *self.active.borrow() == index
    }

    /// Whether there is more than one node.
    pub fn has_several(&self) -> bool {
        self.facts.borrow().len() > 1
    }

    /// The tip that node number `index` was last known to name.
    pub fn tip(&self, index: usize) -> Option<BlockHash> {
        self.facts.borrow()[index].tip.as_ref().map(|tip| tip.hash)
    }

    /// Notes something about node number `index`, and decides anew.
    pub fn note(&self, index: usize, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.borrow_mut()[index]);
        self.decide(Instant::now());
    }

    fn decide(&self, now: Instant) {
        self.hear_the_miner(now);
        let weights = self.board.tip_weights.borrow().clone();
        let doubt = self.board.tip_doubt.borrow().clone();
        let refused = doubt
            .filter(|doubt| doubt.verdict == Verdict::Rejected)
            .map(|doubt| doubt.hash);
        let standings: Vec<Standing> = {
            let facts = self.facts.borrow();
            facts
                .iter()
                .map(|facts| self.standing(facts, &weights, refused))
                .collect()
        };
        let decision = self.choice.borrow_mut().decide(&standings, now);
        let before = *self.active.borrow();
        if decision.active != before {
            self.say_change(before, decision.active, decision.fitness[before]);
            self.active.send_replace(decision.active);
        }
        let apart_due = self.watch_apart(decision.active, now);
        self.publish(decision.active, &decision.fitness, &weights);
        let due = decision.due.into_iter().chain(apart_due).min();
        if self.due.replace(due) != due {
            self.due_changed.notify_one();
        }
    }

    /// Takes note of what the miner says of the templates of the node in use. What it said of another one stays.
    fn hear_the_miner(&self, now: Instant) {
        let refused = self.board.template_refused.borrow().clone();
        let facts = &mut self.facts.borrow_mut()[*self.active.borrow()];
        facts.no_use = refused
            .filter(|refused| refused.node == facts.name)
            .map(|refused| NoTemplate {
                since: refused.since,
                last: now,
            });
    }

    fn standing(
        &self,
        facts: &Facts,
        weights: &[TipWeight],
        refused: Option<BlockHash>,
    ) -> Standing {
        let tip = facts.tip.as_ref().map(|tip| tip.hash);
        let weight = weights.iter().find(|weight| Some(weight.hash) == tip);
        Standing {
            says: says(&facts.state, self.network),
            asked_at: facts.asked_at,
            tip,
            claim: match weight.map(|weight| &weight.verdict) {
                _ if tip.is_some() && tip == refused => Claim::Refused,
                None => Claim::Unproven,
                Some(TipVerdict::Verified { work, .. }) => Claim::Proven(*work),
                Some(TipVerdict::Refused(_)) => Claim::Refused,
            },
            no_template: facts.no_template.or(facts.no_use),
        }
    }

    fn say_change(&self, from: usize, to: usize, why: Fitness) {
        let facts = self.facts.borrow();
        let (from, node) = (&facts[from].name, &facts[to].name);
        if why == Fitness::Good {
            info!(%node, "node {node} is steady again: tips and templates come from it, no longer from {from}");
        } else {
            warn!(%node, "node {from} {why}: tips and templates come from {node} until it is steady again");
        }
    }

    /// Watches whether the other nodes that are on their best tip name the same one as the active node. Returns
    /// when to look again.
    fn watch_apart(&self, active: usize, now: Instant) -> Option<Instant> {
        let mut facts = self.facts.borrow_mut();
        let on_tip = |facts: &Facts| match says(&facts.state, self.network) {
            Says::Ready => facts.tip.as_ref().map(|tip| tip.hash),
            _ => None,
        };
        let (reference, used) = (on_tip(&facts[active]), Arc::clone(&facts[active].name));
        let mut due = None;
        for facts in facts.iter_mut() {
            let (node, tip) = (Arc::clone(&facts.name), on_tip(facts));
            let (Some(theirs), Some(ours)) = (tip, reference) else {
                facts.apart_since = None;
                continue;
            };
            if theirs == ours {
                facts.apart_since = None;
                if std::mem::take(&mut facts.apart_said) {
                    info!(%node, "node {node} names the same tip as {used} again");
                }
                continue;
            }
            let since = *facts.apart_since.get_or_insert(now);
            if now < since + PROPAGATION {
                due = Some(due.map_or(since + PROPAGATION, |due: Instant| {
                    due.min(since + PROPAGATION)
                }));
            } else if !std::mem::replace(&mut facts.apart_said, true) {
                warn!(
                    %node, %theirs, %ours,
                    "the nodes disagree: {node} names another tip than {used} for {} s; the tip with more work \
                     counts, as verified here (compare getchaintips of both)",
                    (now - since).as_secs()
                );
            }
        }
        due
    }

    fn publish(&self, active: usize, fitness: &[Fitness], weights: &[TipWeight]) {
        let facts = self.facts.borrow();
        let board = &self.board;
        let used = &facts[active];
        board
            .node_state
            .publish_with(&self.guard, |before| replace(before, &used.state));
        board
            .node_warnings
            .publish_with(&self.guard, |before| replace(before, &used.warnings));
        if let Some(tip) = &used.tip {
            board.tip_seen.publish_with(&self.guard, |before| {
                let same = before
                    .as_ref()
                    .is_some_and(|before| before.hash == tip.hash);
                if same
                    && before
                        .as_ref()
                        .is_some_and(|before| before.node == tip.node)
                {
                    return false;
                }
                if !same {
                    board.registry.tips_seen.increment();
                }
                *before = Some(tip.clone());
                true
            });
        }
        board
            .tip_asked
            .publish_with(&self.guard, |before| replace(before, &used.answered));
        let apart = tips_apart(&facts, fitness);
        board.tips_apart.publish_with(&self.guard, |before| {
            let named = |tips: &[TipSeen]| -> Vec<(NodeName, BlockHash)> {
                tips.iter()
                    .map(|tip| (Arc::clone(&tip.node), tip.hash))
                    .collect()
            };
            let changed = named(before) != named(&apart);
            *before = apart;
            changed
        });
        let views = views(&facts, active, fitness, weights);
        board
            .nodes
            .publish_with(&self.guard, |before| replace(before, &views));
    }
}

/// Task `choose`: decides again whenever time alone, or the validator, may have changed something.
pub(super) async fn choose(hub: Rc<Hub>) -> Result<(), BoxError> {
    let mut weights = hub.board.tip_weights.subscribe();
    let mut doubt = hub.board.tip_doubt.subscribe();
    let mut refused = hub.board.template_refused.subscribe();
    loop {
        hub.decide(Instant::now());
        let due = hub.due.get();
        tokio::select! {
            () = hub.due_changed.notified() => {}
            changed = weights.changed() => changed?,
            changed = doubt.changed() => changed?,
            changed = refused.changed() => changed?,
            () = sleep_until(Timer::from_std(due.unwrap_or_else(Instant::now))), if due.is_some() => {}
        }
    }
}

/// Task `look`: has every node's tip read when somebody on the board asks for it.
pub(super) async fn look(hub: Rc<Hub>, links: Vec<Rc<Link>>) -> Result<(), BoxError> {
    loop {
        hub.board.look.notified().await;
        for link in &links {
            link.announce(TipSource::Submission, Instant::now(), None);
        }
    }
}

fn replace<T: Clone + PartialEq>(before: &mut T, after: &T) -> bool {
    let changed = before != after;
    if changed {
        before.clone_from(after);
    }
    changed
}

/// A regtest node whose tip is a day old calls it initial block download; nothing is missing.
fn says(state: &NodeState, network: Network) -> Says {
    match state {
        NodeState::Unknown => Says::Nothing,
        NodeState::Absent { .. } | NodeState::Refused { .. } => Says::Down,
        NodeState::Syncing {
            blocks,
            headers,
            ibd,
        } => {
            let complete = *ibd && blocks >= headers && network == Network::Regtest;
            if complete { Says::Ready } else { Says::Syncing }
        }
        NodeState::Ready => Says::Ready,
    }
}

/// The tips of the nodes that answer, where there are several.
fn tips_apart(facts: &[Facts], fitness: &[Fitness]) -> Vec<TipSeen> {
    let answers =
        |fitness: &Fitness| !matches!(fitness, Fitness::Unknown | Fitness::Down | Fitness::Silent);
    let nodes = facts.iter().zip(fitness);
    let tips: Vec<TipSeen> = nodes
        .filter(|(_, fitness)| answers(fitness))
        .filter_map(|(facts, _)| facts.tip.clone())
        .collect();
    let distinct: HashSet<BlockHash> = tips.iter().map(|tip| tip.hash).collect();
    if distinct.len() > 1 { tips } else { Vec::new() }
}

fn views(
    facts: &[Facts],
    active: usize,
    fitness: &[Fitness],
    weights: &[TipWeight],
) -> Vec<NodeView> {
    let verified = |tip: BlockHash| {
        weights.iter().find_map(|weight| match weight.verdict {
            TipVerdict::Verified { height, .. } if weight.hash == tip => Some(height),
            _ => None,
        })
    };
    let highest = weights
        .iter()
        .filter_map(|weight| verified(weight.hash))
        .max();
    let view = |(index, facts): (usize, &Facts)| {
        let tip = facts.tip.as_ref().map(|tip| tip.hash);
        let proven = tip.and_then(verified);
        let polled = facts.height.filter(|(hash, _)| Some(*hash) == tip);
        let fault = match fitness[index] {
            Fitness::Good | Fitness::Unknown => None,
            fault => Some(Arc::from(fault.to_string())),
        };
        NodeView {
            name: Arc::clone(&facts.name),
            state: facts.state.clone(),
            active: index == active,
            tip,
            height: proven.or(polled.map(|(_, height)| height)),
            lag: highest
                .zip(proven)
                .map(|(highest, height)| highest.saturating_sub(height)),
            apart_since: facts.apart_since,
            latency: facts.vitals.latency(),
            peers: facts.peers,
            breaker: facts.breaker,
            answers_since: facts.vitals.answers_since(),
            fault,
        }
    };
    facts.iter().enumerate().map(view).collect()
}
