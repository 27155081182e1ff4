//! The cells and counters between the children: created once by whoever builds the tree, shared by
//! all, and untouched by the death of any child.
//!
//! A cell holds the latest value only, so that a slow reader costs nobody memory.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chain::Job;
use node::Meter;
use node::zmq::Connections;
use tokio::sync::{Notify, watch};

use crate::advisor::AdvisorView;
use crate::health::Glance;
use crate::latency::Latencies;
use crate::messages::{
    BlockSeen, Counsel, DecisionView, KernelSource, MiningState, MiningView, NodeName, NodeState,
    NodeView, NodeWarning, Settled, TemplateRefused, TemplateSeen, TipDoubt, TipProvisional,
    TipSeen, TipValidated, TipWeight, Undelivered,
};
use crate::monitor::LogBook;
use crate::proposals::{Candidate, Proposals};
use crate::resources::{Alert, Degradation, Samples};
use crate::stale::StaleWork;
use crate::stats::{ChildView, Rates, Registry, Totals};
use crate::submitter::Outbox;

/// All shared cells. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Board {
    /// ingest -> miner, status: the state of the node in use.
    pub node_state: watch::Sender<NodeState>,
    /// ingest -> status: what the node in use warns of.
    pub node_warnings: watch::Sender<Vec<NodeWarning>>,
    /// ingest -> status: counters of the calls to each node.
    pub meters: watch::Sender<Vec<Meter>>,
    /// ingest -> status, health, submitter: every configured node, preferred one first.
    pub nodes: watch::Sender<Vec<NodeView>>,
    /// ingest -> status: the connections to each node's publishers.
    pub publishers: watch::Sender<BTreeMap<NodeName, Connections>>,
    /// ingest -> validator: the tip of the node in use.
    pub tip_seen: watch::Sender<Option<TipSeen>>,
    /// ingest -> validator: the tip of each node that answers, where they are not all the same; else empty.
    pub tips_apart: watch::Sender<Vec<TipSeen>>,
    /// validator -> ingest: what those tips are worth.
    pub tip_weights: watch::Sender<Vec<TipWeight>>,
    /// ingest -> validator: the block that was published last.
    pub block_seen: watch::Sender<Option<BlockSeen>>,
    /// submitter -> validator: the block of ours that a node accepted last.
    pub block_accepted: watch::Sender<Option<BlockSeen>>,
    /// ingest -> validator: when the question was asked that the node in use answered last with its tip.
    pub tip_asked: watch::Sender<Option<Instant>>,
    /// validator -> miner, status.
    pub tip_validated: watch::Sender<Option<TipValidated>>,
    /// validator -> miner, status: a tip ahead of the validated one, until the node has confirmed it.
    pub tip_provisional: watch::Sender<Option<TipProvisional>>,
    /// validator -> miner: set while the node's tip is refused or ahead of the clock.
    pub tip_doubt: watch::Sender<Option<TipDoubt>>,
    /// ingest -> miner.
    pub template: watch::Sender<Option<TemplateSeen>>,
    /// miner -> ingest: the node whose templates are of no use at present.
    pub template_refused: watch::Sender<Option<TemplateRefused>>,
    /// advisor -> miner, status: how the newest question ended.
    pub counsel: watch::Sender<Option<Counsel>>,
    /// advisor -> miner, status, health, monitor: how the advisor does.
    pub advisor: watch::Sender<AdvisorView>,
    /// miner -> status, advisor: what was decided last.
    pub decision: watch::Sender<Option<DecisionView>>,
    /// miner -> submitter: the newest job, whose transactions are journalled before it is solved.
    pub job: watch::Sender<Option<Arc<Job>>>,
    /// miner -> ingest: the newest job, whether it is mined or not, for the node to be asked about.
    pub candidate: watch::Sender<Option<Candidate>>,
    /// ingest -> miner, status: what the node said of blocks like it.
    pub proposals: watch::Sender<Proposals>,
    /// miner -> submitter: found blocks wait here until they are in the journal.
    pub outbox: Arc<Outbox>,
    /// submitter -> miner.
    pub settled: watch::Sender<Option<Settled>>,
    /// submitter -> health: found blocks that no node is known to have.
    pub undelivered: watch::Sender<Option<Undelivered>>,
    /// miner -> status, monitor.
    pub mining: watch::Sender<MiningView>,
    /// api -> status, health, monitor: hashing on a block that is not the node's best one any more.
    pub stale: watch::Sender<Option<StaleWork>>,
    /// the tree -> status, monitor: the children, in start order.
    pub children: watch::Sender<Vec<ChildView>>,
    /// stats -> status, monitor: rates over the last interval.
    pub rates: watch::Sender<Rates>,
    /// resources -> status, health, monitor: what is scarce at the moment.
    pub alerts: watch::Sender<Vec<Alert>>,
    /// resources -> advisor: what was measured of the machine.
    pub samples: watch::Sender<Samples>,
    /// resources -> miner, stats, api: what is given up at the moment.
    pub degradation: watch::Sender<Degradation>,
    /// the log -> monitor, status: errors and warnings; monitor -> the terminal: the line.
    pub log: Arc<LogBook>,
    /// api -> status: how the whole is, looked at every second without asking the children.
    pub health: watch::Sender<Option<Glance>>,
    /// anyone -> ingest: look at the node's tip now.
    pub look: Arc<Notify>,
    /// miner -> ingest: the template in hand is of no more use, fetch another now.
    pub want_template: Arc<Notify>,
    /// What earlier runs counted; set once, before the children start.
    pub past: Arc<OnceLock<Totals>>,
    /// Every counter of the program.
    pub registry: Arc<Registry>,
    /// How long the steps of a block's way took.
    pub latencies: Arc<Latencies>,
}

impl Board {
    /// An empty board, with counters for `threads` hashing threads.
    pub fn new(threads: usize) -> Self {
        Self {
            node_state: watch::Sender::new(NodeState::Unknown),
            node_warnings: watch::Sender::default(),
            meters: watch::Sender::default(),
            publishers: watch::Sender::default(),
            nodes: watch::Sender::default(),
            tips_apart: watch::Sender::default(),
            tip_weights: watch::Sender::default(),
            tip_seen: watch::Sender::new(None),
            block_seen: watch::Sender::new(None),
            block_accepted: watch::Sender::new(None),
            tip_asked: watch::Sender::new(None),
            tip_validated: watch::Sender::new(None),
            tip_provisional: watch::Sender::new(None),
            tip_doubt: watch::Sender::new(None),
            template: watch::Sender::new(None),
            template_refused: watch::Sender::new(None),
            counsel: watch::Sender::new(None),
            advisor: watch::Sender::default(),
            decision: watch::Sender::new(None),
            job: watch::Sender::new(None),
            candidate: watch::Sender::new(None),
            proposals: watch::Sender::default(),
            outbox: Arc::default(),
            settled: watch::Sender::new(None),
            undelivered: watch::Sender::new(None),
            mining: watch::Sender::new(MiningView {
                state: MiningState::NoJob {
                    reason: "starting".into(),
                },
                kernel: "",
                kernel_source: KernelSource::default(),
                tuned_hs: None,
                threads,
                active: 0,
                job: None,
                fallback: None,
            }),
            stale: watch::Sender::default(),
            children: watch::Sender::default(),
            rates: watch::Sender::default(),
            alerts: watch::Sender::default(),
            samples: watch::Sender::default(),
            degradation: watch::Sender::default(),
            log: Arc::default(),
            health: watch::Sender::default(),
            look: Arc::default(),
            want_template: Arc::default(),
            past: Arc::default(),
            registry: Arc::new(Registry::new(threads)),
            latencies: Arc::default(),
        }
    }

    /// Empties the cells about the node and its chain, for children that follow another node from now
    /// on. What was found and every count stays.
    pub fn forget_node(&self) {
        self.node_state.send_replace(NodeState::Unknown);
        self.node_warnings.send_replace(Vec::new());
        self.nodes.send_replace(Vec::new());
        self.meters.send_replace(Vec::new());
        self.publishers.send_replace(BTreeMap::new());
        self.tips_apart.send_replace(Vec::new());
        self.tip_weights.send_replace(Vec::new());
        self.tip_seen.send_replace(None);
        self.block_seen.send_replace(None);
        self.block_accepted.send_replace(None);
        self.tip_asked.send_replace(None);
        self.tip_validated.send_replace(None);
        self.tip_provisional.send_replace(None);
        self.tip_doubt.send_replace(None);
        self.template.send_replace(None);
        self.template_refused.send_replace(None);
        self.counsel.send_replace(None);
        self.decision.send_replace(None);
        self.job.send_replace(None);
        self.candidate.send_replace(None);
        self.proposals.send_replace(Proposals::default());
    }
}
