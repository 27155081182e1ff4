//! What is looked at: everything that decides on health, as it is at one instant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::Network;
use supervise::{ChildState, ChildStatus};

use crate::advisor::AdvisorView;
use crate::board::Board;
use crate::messages::{MiningState, NodeState, NodeView, TipDoubt, Undelivered};
use crate::resources::{Alert, Degradation};
use crate::stale::StaleWork;

/// One look at the program.
#[derive(Debug, Clone)]
pub struct Look {
    /// When.
    pub now: Instant,
    /// When the tree began to start.
    pub started_at: Instant,
    /// Configured network.
    pub network: Network,
    /// The node in use.
    pub node: NodeState,
    /// Every configured node.
    pub nodes: Vec<NodeView>,
    /// The node's best block, as ingest read it.
    pub tip_seen: Option<BlockHash>,
    /// The tip whose headers are verified, and its height.
    pub tip_validated: Option<(BlockHash, u32)>,
    /// Why the node's tip does not pass.
    pub tip_doubt: Option<TipDoubt>,
    /// When the template in hand arrived.
    pub template_at: Option<Instant>,
    /// Why the node would refuse the block that is being made.
    pub refusal: Option<String>,
    /// What the hashing threads do.
    pub mining: MiningState,
    /// Why that is not on the newest template, and on what instead.
    pub fallback: Option<String>,
    /// The rate of one hashing thread that `tune` measured.
    pub tuned_hs: Option<f64>,
    /// Parent of the block that is being made.
    pub job_parent: Option<BlockHash>,
    /// Hashing on a block that is not the node's best one any more.
    pub stale: Option<StaleWork>,
    /// The counters of the hashing threads.
    pub threads: Vec<ThreadLook>,
    /// Verifications so far, passed and failed.
    pub verifications: u64,
    /// Found blocks that wait to be taken over by the submitter.
    pub outbox: usize,
    /// Found blocks that no node is known to have.
    pub undelivered: Option<Undelivered>,
    /// Why the journal of found blocks does not get to disk.
    pub journal_trouble: Option<String>,
    /// Why there is no HTTP server although one is configured.
    pub http_trouble: Option<String>,
    /// What is scarce.
    pub alerts: Vec<Alert>,
    /// What is given up.
    pub degradation: Degradation,
    /// How the advisor does.
    pub advisor: AdvisorView,
    /// The children, in start order.
    pub children: Vec<ChildLook>,
    /// What they answered; none where nobody was asked.
    pub roll_call: Option<RollCall>,
}

/// A hashing thread's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThreadLook {
    /// Hashes so far.
    pub hashes: u64,
    /// Nanoseconds spent scanning.
    pub busy_ns: u64,
    /// Rounds of its loop, scanning or parked.
    pub rounds: u64,
}

/// A child, as its supervisor sees it.
#[derive(Debug, Clone)]
pub struct ChildLook {
    /// Its id.
    pub id: Arc<str>,
    /// What it is doing.
    pub state: ChildState,
    /// Since when.
    pub since: Instant,
    /// How often it was started again.
    pub restarts: u64,
    /// Incarnations that hang and still exist.
    pub abandoned: u32,
    /// How the last one ended, in words.
    pub last_exit: Option<String>,
}

impl From<&ChildStatus> for ChildLook {
    fn from(child: &ChildStatus) -> Self {
        Self {
            id: Arc::clone(&child.id),
            state: child.state,
            since: child.since,
            restarts: child.restarts,
            abandoned: child.abandoned,
            last_exit: child.last_exit.as_ref().map(|exit| exit.reason.to_string()),
        }
    }
}

/// What came of asking everybody.
#[derive(Debug, Clone)]
pub struct RollCall {
    /// How long the supervisor's own task took to answer; none: it did not, or does not supervise.
    pub supervisor: Option<Duration>,
    /// The children.
    pub pinged: Vec<Pinged>,
}

/// What came of asking one child through its mailbox.
#[derive(Debug, Clone)]
pub struct Pinged {
    /// Its id.
    pub child: Arc<str>,
    /// What came.
    pub answer: Answer,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// An answer, after this long.
    Came(Duration),
    /// None within this time: it hangs.
    Missing(Duration),
    /// It is down at the moment, or went down over the question.
    Down,
}

impl Look {
    /// Looks at the board. What the board does not show is left empty for the caller to fill in.
    pub fn at(board: &Board, network: Network, started_at: Instant, now: Instant) -> Self {
        // Each cell is let go of before the next is looked at: no two are ever held together.
        let registry = &board.registry;
        let mining = board.mining.borrow().clone();
        let node = board.node_state.borrow().clone();
        let nodes = board.nodes.borrow().clone();
        let tip_seen = board.tip_seen.borrow().as_ref().map(|tip| tip.hash);
        let tip_validated = board
            .tip_validated
            .borrow()
            .as_ref()
            .map(|tip| (tip.hash, tip.height));
        let tip_doubt = board.tip_doubt.borrow().clone();
        let template_at = board
            .template
            .borrow()
            .as_ref()
            .map(|seen| seen.received_at);
        let candidate = board.candidate.borrow().clone();
        let refusal = candidate.and_then(|candidate| {
            let proposals = board.proposals.borrow();
            proposals.refusal(&candidate).map(str::to_owned)
        });
        let undelivered = board.undelivered.borrow().clone();
        let alerts = board.alerts.borrow().clone();
        let stale = board.stale.borrow().clone();
        let degradation = *board.degradation.borrow();
        // There are more counters than threads: a reload may want more of those.
        let threads = registry.threads.iter().take(mining.threads);
        let threads = threads.map(|thread| ThreadLook {
            hashes: thread.hashes.get(),
            busy_ns: thread.busy_ns.get(),
            rounds: thread.rounds.get(),
        });
        Self {
            now,
            started_at,
            network,
            node,
            nodes,
            tip_seen,
            tip_validated,
            tip_doubt,
            template_at,
            refusal,
            // Published as text, for people; what is no hash is no job.
            job_parent: mining.job.and_then(|job| job.prev.parse().ok()),
            tuned_hs: mining.tuned_hs,
            mining: mining.state,
            fallback: mining.fallback,
            stale,
            threads: threads.collect(),
            verifications: registry.verifications_passed.get()
                + registry.verifications_failed.get(),
            outbox: board.outbox.len(),
            undelivered,
            journal_trouble: None,
            http_trouble: None,
            alerts,
            degradation,
            advisor: board.advisor.borrow().clone(),
            children: Vec::new(),
            roll_call: None,
        }
    }

    /// A child by its id.
    pub fn child(&self, id: &str) -> Option<&ChildLook> {
        self.children.iter().find(|child| &*child.id == id)
    }

    /// What a child answered; none if it was not asked.
    pub fn answer_of(&self, id: &str) -> Option<Answer> {
        let pinged = &self.roll_call.as_ref()?.pinged;
        let found = pinged.iter().find(|pinged| &*pinged.child == id)?;
        Some(found.answer)
    }

    /// For how long the tree runs.
    pub fn uptime(&self) -> Duration {
        self.now.saturating_duration_since(self.started_at)
    }

    /// Whether this instance mines at all.
    pub fn mines(&self) -> bool {
        self.child("miner").is_some()
    }
}
