//! The `status` document: what the command, the control socket and `status.json` show.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use node::zmq::Connections;
use serde::{Deserialize, Serialize};

use super::calls::NodeCalls;
use super::nodes::NodeRow;
use super::publishers::PublisherRow;
use super::registry::{Registry, ThreadCounter};
use super::sample::Rates;
use super::totals::Totals;
use crate::advisor::AdvisorStatus;
use crate::board::Board;
use crate::health::{Condition, Glance};
use crate::latency::LatencyStatus;
use crate::messages::{JobView, KernelSource, MiningState, NodeName, NodeState, NodeWarning};
use crate::miner::Placement;
use crate::monitor::LogStatus;
use crate::proposals::ProposalView;
use crate::resources::{Alert, Degradation};
use crate::stale::{StaleCause, StaleWork};

/// Without a result for this long, verifying counts as idle.
const QUIET: Duration = Duration::from_secs(10);

/// The whole document. What is unknown is null.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// What the hashing threads do: scanning, paced, held, switched_off, no_job, ibd.
    pub state: String,
    /// Why they do not hash, in words. An instance that only verifies says here, too, for how long
    /// there was nothing to verify.
    pub idle_reason: Option<String>,
    /// How the whole is, as far as it can be seen without asking the parts; `health-check` asks them.
    #[serde(default)]
    pub health: Option<HealthStatus>,
    /// Version of the program.
    pub version: String,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// Configured network.
    pub network: String,
    /// The node in use.
    pub node: NodeStatus,
    /// Every configured node, preferred one first.
    #[serde(default)]
    pub nodes: Vec<NodeRow>,
    /// The tip whose headers this program verified.
    pub tip: Option<TipStatus>,
    /// A block that was published, passes every rule for headers, and is mined on until the node has confirmed it,
    /// for two seconds at most.
    #[serde(default)]
    pub provisional_tip: Option<ProvisionalStatus>,
    /// The hashing threads.
    pub mining: MiningStatus,
    /// Work and resources over the last interval.
    pub rates: RatesStatus,
    /// The children of the supervision tree, in start order.
    pub children: Vec<ChildView>,
    /// Blocks of this run.
    pub blocks: BlocksStatus,
    /// Who is asked before power is committed, and what was decided.
    pub advisor: AdvisorStatus,
    /// Where tips and templates come from.
    pub ingest: IngestStatus,
    /// The connections to ZMQ publishers.
    #[serde(default)]
    pub zmq: Vec<PublisherRow>,
    /// RPC calls by node and method.
    #[serde(default)]
    pub rpc: Vec<NodeCalls>,
    /// How long the steps of a block's way took, since the start.
    #[serde(default)]
    pub latency: LatencyStatus,
    /// What is scarce at the moment.
    #[serde(default)]
    pub alerts: Vec<Alert>,
    /// What is given up for it.
    #[serde(default)]
    pub degradation: Degradation,
    /// All runs together, this one included.
    #[serde(default)]
    pub lifetime: Option<Totals>,
    /// Errors and warnings of this run, and what became of the lines.
    #[serde(default)]
    pub log: LogStatus,
    /// Where HTTP is answered; null where it is not.
    #[serde(default)]
    pub http: Option<SocketAddr>,
}

/// How the whole is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// OK, WARNING, CRITICAL or UNKNOWN.
    pub status: Condition,
    /// The worst component and why.
    pub message: String,
    /// Seconds since the last verification ended.
    pub no_result_s: f64,
}

/// The node in use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Configured name.
    pub name: String,
    /// Whether it is on the best tip it knows.
    pub synced: bool,
    /// Its state in words.
    pub state: String,
    /// What it warns of.
    #[serde(default)]
    pub warnings: Vec<NodeWarning>,
}

/// The verified tip.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TipStatus {
    /// Height.
    pub height: u32,
    /// Hash in display order.
    pub hash: String,
    /// Seconds since the block's own timestamp; never negative.
    pub age_s: f64,
    /// Headers verified behind it.
    pub verified: u32,
    /// Verdict over the header window.
    pub verdict: chain::Verdict,
}

/// A tip that the node has not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionalStatus {
    /// Height.
    pub height: u32,
    /// Hash in display order.
    pub hash: String,
}

/// The hashing threads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MiningStatus {
    /// Hashes per second over the last interval.
    pub hashrate_hs: f64,
    /// Threads.
    pub threads: usize,
    /// Each of them, in order.
    #[serde(default)]
    pub workers: Vec<WorkerStatus>,
    /// Kernel.
    pub kernel: String,
    /// Who chose it.
    #[serde(default)]
    pub kernel_source: KernelSource,
    /// Hashes per second of one thread, as `tune` measured them.
    #[serde(default)]
    pub tuned_thread_hs: Option<f64>,
    /// Current job.
    pub job: Option<JobView>,
    /// Why that is not of the node's newest template on its tip, and what is hashed instead, in words; null where it
    /// is, or where none has come yet.
    #[serde(default)]
    pub fallback: Option<String>,
    /// Hashing on a block that is not the node's best one any more; null while there is none.
    #[serde(default)]
    pub stale: Option<StaleStatus>,
    /// How often there was any in this run.
    #[serde(default)]
    pub stale_alarms: u64,
}

/// Hashing that can earn nothing any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StaleStatus {
    /// Seconds since the block that is worked on stopped being the node's best one.
    pub age_s: f64,
    /// The node's best block, in display order.
    pub best: String,
    /// How far that has come: unverified, no_job, not_taken_up.
    pub cause: StaleCause,
    /// The threads that work on another one, by name.
    pub threads: Vec<String>,
    /// All of it in words, and what to do.
    pub message: String,
}

/// A hashing thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its name, as the system shows it: `hash-0`.
    pub name: String,
    /// The only CPU that it may run on; null where it may run on several.
    pub cpu: Option<usize>,
    /// Its niceness, -20 to 19.
    pub nice: i32,
    /// Hashes computed in this run.
    pub hashes: u64,
    /// How often another thread of the system took its place after a panic.
    pub restarts: u64,
}

/// Work and resources over the last interval.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RatesStatus {
    /// Verifications per second.
    pub vps: f64,
    /// Passed of all verifications, 0 to 1.
    pub success_rate: Option<f64>,
    /// CPU time per time; 1 is one core.
    pub cpu: Option<f64>,
    /// Resident memory in bytes.
    pub memory_bytes: Option<u64>,
}

/// A child of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildView {
    /// Its id.
    pub id: String,
    /// running, starting, backing off, stopped ...
    pub state: String,
    /// How many incarnations there were.
    pub generation: u64,
    /// How often it was restarted.
    pub restarts: u64,
    /// How the last incarnation ended, in words.
    pub last_exit: Option<String>,
    /// Incarnations that hang: abandoned, and not ended since.
    #[serde(default)]
    pub abandoned: u32,
}

/// Blocks of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksStatus {
    /// Found.
    pub found: u64,
    /// Accepted by a node.
    pub accepted: u64,
    /// Refused.
    pub rejected: u64,
    /// Valid, and beaten.
    pub stale: u64,
}

/// Where tips and templates come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IngestStatus {
    /// Tips seen.
    pub tips: u64,
    /// What announced the current one first.
    pub last_source: Option<String>,
    /// Reorganisations followed.
    pub reorgs: u64,
    /// Tips mined on before the node had confirmed them.
    #[serde(default)]
    pub provisional_tips: u64,
    /// Of those, given up since the node did not confirm them.
    #[serde(default)]
    pub provisional_cancelled: u64,
    /// Templates received.
    pub templates: u64,
    /// What the node says of the blocks that are made here, one shape of block after the other.
    #[serde(default)]
    pub proposals: Vec<ProposalView>,
    /// RPC calls that failed.
    pub rpc_errors: u64,
    /// Valid ZMQ messages.
    pub zmq_messages: u64,
    /// ZMQ messages refused as garbage.
    pub zmq_garbage: u64,
    /// ZMQ messages known to be lost.
    pub zmq_lost: u64,
}

/// What never changes in a run.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Version of the program.
    pub version: &'static str,
    /// Configured network.
    pub network: chain::Network,
    /// Name of the preferred node.
    pub node: String,
    /// Where HTTP is answered.
    pub http: Option<SocketAddr>,
}

impl Status {
    /// Puts the document together from the board.
    pub fn of(identity: &Identity, board: &Board, rates: &Rates) -> Self {
        // Each cell is let go of before the next is looked at: a cell that is borrowed twice at a time, with a
        // writer waiting in between, blocks all three for ever. Within the document's own expression they
        // would be held to its end.
        let registry = &board.registry;
        let children = board.children.borrow().clone();
        let alerts = board.alerts.borrow().clone();
        let degradation = *board.degradation.borrow();
        let mining = board.mining.borrow().clone();
        let node_state = board.node_state.borrow().clone();
        let warnings = board.node_warnings.borrow().clone();
        let stale = board.stale.borrow().clone();
        let nodes = board.nodes.borrow().clone();
        let used = nodes.iter().find(|node| node.active);
        let node = used.map_or_else(|| identity.node.clone(), |node| node.name.to_string());
        let now = Instant::now();
        let view = board.advisor.borrow().clone();
        let decision = board.decision.borrow().clone();
        let advice_s = board.latencies.advice.quantiles();
        let advisor = AdvisorStatus::of(&view, decision.as_ref(), advice_s, now);
        let glance = board.health.borrow().clone();
        let meters = board.meters.borrow().clone();
        let proposals = board.proposals.borrow().views();
        let publishers = board.publishers.borrow().clone();
        let source = board.tip_seen.borrow().as_ref().map(|tip| tip.source);
        let tip = board.tip_validated.borrow().as_ref().map(|tip| TipStatus {
            height: tip.height,
            hash: tip.hash.to_string(),
            age_s: age_s(tip.header.time, SystemTime::now()),
            verified: tip.report.verified,
            verdict: tip.report.verdict,
        });
        let ahead = board.tip_provisional.borrow().clone();
        let provisional_tip = ahead.map(|ahead| ProvisionalStatus {
            height: ahead.tip.height,
            hash: ahead.tip.hash.to_string(),
        });
        Self {
            state: mining.state.name().to_owned(),
            idle_reason: idle_reason(&mining.state, glance.as_ref()),
            health: glance.map(HealthStatus::from),
            version: identity.version.to_owned(),
            uptime_s: registry.started_at.elapsed().as_secs_f64(),
            network: identity.network.to_string(),
            node: NodeStatus {
                name: node,
                synced: node_state == NodeState::Ready,
                state: node_state.to_string(),
                warnings,
            },
            nodes: nodes.iter().map(|node| NodeRow::of(node, now)).collect(),
            tip,
            provisional_tip,
            mining: MiningStatus {
                hashrate_hs: rates.hashrate_hs,
                threads: mining.threads,
                workers: workers(registry, mining.threads),
                kernel: mining.kernel.to_owned(),
                kernel_source: mining.kernel_source,
                tuned_thread_hs: mining.tuned_hs,
                job: mining.job,
                fallback: mining.fallback,
                stale: stale.map(StaleStatus::from),
                stale_alarms: registry.stale_alarms.get(),
            },
            rates: RatesStatus {
                vps: rates.vps,
                success_rate: rates.success_rate,
                cpu: rates.cpu,
                memory_bytes: rates.memory_bytes,
            },
            children,
            blocks: BlocksStatus {
                found: registry.blocks_found.get(),
                accepted: registry.blocks_accepted.get(),
                rejected: registry.blocks_rejected.get(),
                stale: registry.blocks_stale.get(),
            },
            advisor,
            ingest: IngestStatus {
                tips: registry.tips_seen.get(),
                last_source: source.map(|source| source.to_string()),
                reorgs: registry.reorgs.get(),
                provisional_tips: registry.provisional_tips.get(),
                provisional_cancelled: registry.provisional_cancelled.get(),
                templates: registry.templates.get(),
                proposals,
                rpc_errors: registry.rpc_errors.get(),
                zmq_messages: registry.zmq_messages.get(),
                zmq_garbage: registry.zmq_garbage.get(),
                zmq_lost: registry.zmq_lost.get(),
            },
            zmq: publishers_of(&publishers, now),
            rpc: meters.iter().map(NodeCalls::of).collect(),
            latency: board.latencies.status(),
            alerts,
            degradation,
            lifetime: lifetime(board, SystemTime::now()),
            log: board.log.status(),
            http: identity.http,
        }
    }
}

fn publishers_of(publishers: &BTreeMap<NodeName, Connections>, now: Instant) -> Vec<PublisherRow> {
    let of = |(node, connections): (&NodeName, &Connections)| {
        let rows = connections.state().into_iter();
        rows.map(|state| PublisherRow::of(node, &state, now))
            .collect::<Vec<_>>()
    };
    publishers.iter().flat_map(of).collect()
}

fn workers(registry: &Registry, threads: usize) -> Vec<WorkerStatus> {
    let threads = registry.threads.iter().take(threads).enumerate();
    let worker = |(index, thread): (usize, &ThreadCounter)| {
        let Placement { cpu, nice } = thread.placement();
        WorkerStatus {
            name: format!("hash-{index}"),
            cpu,
            nice,
            hashes: thread.hashes.get(),
            restarts: thread.restarts.get(),
        }
    };
    threads.map(worker).collect()
}

/// All runs together; none where earlier ones are not known.
pub fn lifetime(board: &Board, now: SystemTime) -> Option<Totals> {
    let restarts = board.children.borrow().iter().map(|c| c.restarts).sum();
    let past = board.past.get()?;
    Some(past.with_run(&board.registry, restarts, now))
}

impl From<StaleWork> for StaleStatus {
    fn from(stale: StaleWork) -> Self {
        let now = Instant::now();
        Self {
            age_s: stale.age(now).as_secs_f64(),
            best: stale.best.to_string(),
            cause: stale.cause,
            message: stale.in_words(now),
            threads: stale.threads.iter().map(|n| format!("hash-{n}")).collect(),
        }
    }
}

impl From<Glance> for HealthStatus {
    fn from(glance: Glance) -> Self {
        Self {
            status: glance.status,
            message: glance.message,
            no_result_s: glance.no_result.as_secs_f64(),
        }
    }
}

/// Why nothing is done. Where mining is off, verifying is all there is to do, and it can be idle too.
fn idle_reason(state: &MiningState, glance: Option<&Glance>) -> Option<String> {
    let reason = state.idle_reason()?;
    let quiet = glance.map_or(Duration::ZERO, |glance| glance.no_result);
    Some(match state {
        MiningState::SwitchedOff { .. } if quiet >= QUIET => {
            format!("{reason}; no new block to verify for {} s", quiet.as_secs())
        }
        _ => reason,
    })
}

/// Seconds from a block's timestamp to `now`; zero for a block from the future.
pub fn age_s(block_time: u32, now: SystemTime) -> f64 {
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    (now - f64::from(block_time)).max(0.0)
}

impl MiningState {
    /// The state's name, as in the JSON documents.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scanning => "scanning",
            Self::Paced => "paced",
            Self::Held { .. } => "held",
            Self::SwitchedOff { .. } => "switched_off",
            Self::NoJob { .. } => "no_job",
            Self::Ibd => "ibd",
        }
    }

    /// Why nothing is hashed; none while something is.
    pub fn idle_reason(&self) -> Option<String> {
        match self {
            Self::Scanning | Self::Paced => None,
            Self::Held { reason, .. } | Self::NoJob { reason } => Some(reason.clone()),
            Self::SwitchedOff { by } => Some(by.clone()),
            Self::Ibd => Some("the node has not caught up with the chain".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, RecvTimeoutError};

    use super::*;

    fn quiet(seconds: u64) -> Glance {
        Glance {
            status: Condition::Ok,
            message: String::new(),
            no_result: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn an_instance_that_only_verifies_says_when_it_is_idle() {
        let off = MiningState::SwitchedOff {
            by: "mining.enabled = false".into(),
        };
        let reason = |glance: Option<&Glance>| idle_reason(&off, glance).expect("it is idle");
        assert_eq!(reason(None), "mining.enabled = false");
        assert_eq!(reason(Some(&quiet(9))), "mining.enabled = false");
        assert_eq!(
            reason(Some(&quiet(600))),
            "mining.enabled = false; no new block to verify for 600 s"
        );
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "threads that hang are what is looked for"
    )]
    fn a_document_is_put_together_while_every_cell_of_it_is_written() {
        let board = Board::new(1);
        let identity = Identity {
            version: "1",
            network: chain::Network::Regtest,
            node: "node".into(),
            http: None,
        };
        let (done, is_done) = mpsc::channel();
        for _ in 0..2 {
            let (board, identity, done) = (board.clone(), identity.clone(), done.clone());
            std::thread::spawn(move || {
                for _ in 0..20_000 {
                    Status::of(&identity, &board, &Rates::default());
                }
                drop(done);
            });
        }
        std::thread::spawn(move || {
            for _ in 0..20_000 {
                board.children.send_modify(|_| {});
                board.alerts.send_modify(|_| {});
                board.degradation.send_modify(|_| {});
            }
            drop(done);
        });
        // A deadlock would leave the channel open for ever.
        let end: Result<(), _> = is_done.recv_timeout(Duration::from_mins(2));
        assert_eq!(end, Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_miner_that_hashes_is_not_idle_however_quiet_the_chain_is() {
        assert_eq!(idle_reason(&MiningState::Scanning, Some(&quiet(600))), None);
    }
}
