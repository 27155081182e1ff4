//! The miner: turns tips and templates into jobs, and keeps the hashing threads on the newest one.
//!
//! ```text
//!  board.tip_validated ──┐
//!  board.tip_provisional ┤
//!  board.tip_doubt ──────┤
//!  board.template ───────┤            plan             publish           scan
//!  board.degradation ────┤
//!  board.node_state ─────┼─ Look ──> Planner ──> Task ────────> Dispatch ────> hash-0, hash-1, ...
//!  board.proposals ──────┤
//!  board.counsel ────────┤
//!  board.settled ────────┤                                                        │ solution
//!  news of the threads ──┘<───────────────────────────────────────────────────────┴──> board.outbox
//! ```
//!
//! | file | what it decides |
//! |---|---|
//! | `planner` (`sight` in, `plan` out) | what the threads do next |
//! | `work` | which job there is for a tip |
//! | `refresh` | whether a newer template is worth a new job |
//! | `decide`, `policy`, `holds` | whether it is allowed and worth it |
//! | `clock` | which timestamps a job may carry |
//! | `pace`, `rate` | how hard the target is on regtest, from the measured hash rate |
//! | `dispatch` | how an order reaches the threads |
//! | `threads`, `partition` | who scans what |
//! | `crew`, `affinity` | in which thread of the system, and on which CPU |
//! | `faults` | what becomes of threads and kernels that fail |
//! | `progress` | whether every thread goes round |
//! | `arrival` | which tips' way to the first hash is timed |
//! | `herald` | what of it is worth a line in the log |
//!
//! The miner never blocks: hashing happens in threads of its own, which belong to its incarnation.

mod affinity;
mod arrival;
mod clock;
mod crew;
mod decide;
mod dispatch;
mod faults;
#[cfg(test)]
pub(crate) mod fixtures;
mod herald;
mod holds;
mod pace;
mod partition;
mod plan;
mod planner;
mod policy;
mod progress;
mod rate;
mod refresh;
mod settings;
mod sight;
mod threads;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use bitcoin::BlockHash;
use pow::Kernel;
use supervise::{Incarnation, Shutdown};

pub use affinity::{Affinity, MAX_CPUS, Machine, Placement, parse_cpus};
pub use decide::{
    Case, Course, Decision, Guards, Holding, Judged, Refresh, Switches, Validation, decide,
};
pub use faults::KernelFaults;
pub use holds::{Holds, Limits};
pub use pace::{Interval, IntervalError, PaceMode, Pacing};
pub(crate) use partition::first_extranonce;
pub use policy::{Economics, Policy, PowerCost, gain_sat_per_s, recommend, stale_risk};
pub use progress::progress;
pub use settings::MinerSettings;

use crate::advisor;
use crate::board::Board;
use crate::messages::{
    DecisionView, JobView, KernelSource, MiningState, MiningView, NodeName, TemplateRefused,
};
use crate::publish::Publish as _;
use crate::resources::Alert;
use arrival::Arrival;
use dispatch::Round;
use herald::Herald;
use plan::{Plan, Task};
use planner::Planner;
use sight::{Counts, Sight, tip_to_build_on};
use threads::{Shared, Standing, Worker};

/// Why the miner cannot start.
#[derive(Debug, thiserror::Error)]
pub enum MinerError {
    /// The payout address is one of another network.
    #[error(
        "the payout address is one of {payout}, and the network is {network}; configure an address of {network}"
    )]
    WrongNetwork {
        /// The address's network.
        payout: chain::Network,
        /// The network.
        network: chain::Network,
    },
    /// The registry was made for fewer threads.
    #[error("{threads} hashing threads are configured, and there are counters for {counters}")]
    Counters {
        /// Threads wanted.
        threads: usize,
        /// Counters there are.
        counters: usize,
    },
    /// This CPU cannot run the kernel.
    #[error("this CPU cannot run the hashing kernel {0}; set mining.kernel = \"auto\"")]
    Kernel(&'static str),
    /// Every kernel has failed.
    #[error("every hashing kernel of this machine has failed; {0}: {1}")]
    NoKernel(&'static str, String),
}

/// The actor. See the [module](self).
pub struct Miner {
    settings: MinerSettings,
    board: Board,
    incarnation: Incarnation,
    planner: Planner,
    shared: Arc<Shared>,
    /// What the threads were ordered to scan.
    task: Option<Task>,
    /// The round of the last order, by its number.
    round: (u64, Arc<Round>),
    arrival: Arrival,
    herald: Herald,
    /// The tip whose first job was announced.
    announced: Option<BlockHash>,
}

impl Miner {
    /// A miner for one incarnation.
    ///
    /// # Errors
    /// [`MinerError`] where the settings contradict each other or the machine.
    pub fn new(
        mut settings: MinerSettings,
        board: Board,
        incarnation: Incarnation,
    ) -> Result<Self, MinerError> {
        if settings.payout.network() != settings.network {
            let payout = settings.payout.network();
            return Err(MinerError::WrongNetwork {
                payout,
                network: settings.network,
            });
        }
        let counters = board.registry.threads.len();
        if settings.threads > counters {
            return Err(MinerError::Counters {
                threads: settings.threads,
                counters,
            });
        }
        if !settings.kernel.is_supported() {
            return Err(MinerError::Kernel(settings.kernel.name()));
        }
        let sound = sound_kernel(&settings)?;
        if sound.name() != settings.kernel.name() {
            settings.kernel = sound;
            settings.kernel_source = KernelSource::Fallback;
            settings.tuned_hs = None;
        }
        let planner = Planner::new(
            settings.clone(),
            fastrand::Rng::new(),
            &Counts::of(&board.registry),
        );
        let shared = Shared::new(
            settings.threads,
            settings.block_limit,
            Arc::clone(&board.registry),
            Arc::clone(&board.outbox),
        );
        let inside = settings
            .kernel_faults
            .begin(settings.kernel, settings.threads);
        let shared = Arc::new(
            shared
                .with_faults(settings.kernel_faults.clone(), inside)
                .with_latencies(Arc::clone(&board.latencies))
                .with_standing(Standing {
                    guard: incarnation.guard(),
                    tip: board.tip_validated.clone(),
                    ahead: board.tip_provisional.clone(),
                }),
        );
        Ok(Self {
            settings,
            board,
            incarnation,
            planner,
            shared,
            task: None,
            round: (0, Arc::default()),
            arrival: Arrival::default(),
            herald: Herald::default(),
            announced: None,
        })
    }

    /// Looks at the board, plans, and acts on the plan.
    fn look(&mut self) -> Duration {
        for trouble in self.shared.take_troubles() {
            tracing::error!(
                "hash-{} goes on after a pause: {}",
                trouble.thread,
                trouble.message
            );
        }
        let now = Instant::now();
        let plan = {
            let degradation = *self.board.degradation.borrow();
            let scarce = scarce(&self.board.alerts.borrow());
            let node = self.board.node_state.borrow().clone();
            let validated = self.board.tip_validated.borrow().clone();
            let ahead = self.board.tip_provisional.borrow().clone();
            let doubt = self.board.tip_doubt.borrow().clone();
            let template = self.board.template.borrow().clone();
            let settled = self.board.settled.borrow().clone();
            let proposals = self.board.proposals.borrow().clone();
            let counsel = self.board.counsel.borrow().clone();
            let is_advised = self.board.advisor.borrow().standing == advisor::Standing::Asked;
            let (tip, until) = tip_to_build_on(
                validated.as_ref(),
                ahead.as_ref(),
                &self.settings,
                template.as_ref(),
                now,
            );
            let found = self.board.outbox.latest(tip.map(|tip| tip.hash));
            let plan = self.planner.plan(&Sight {
                now,
                node: &node,
                tip,
                until,
                doubt: doubt.as_ref(),
                template: template.as_ref(),
                found: found.as_deref(),
                settled: settled.as_ref(),
                counsel: counsel.as_ref(),
                is_advised,
                proposals: &proposals,
                counts: Counts::of(&self.board.registry),
                degradation,
                scarce: &scarce,
            });
            if let Some(tip) = tip {
                self.arrival.note(tip, &plan);
            }
            plan
        };
        if plan.want_template {
            self.board.want_template.notify_one();
        }
        if plan.want_look {
            self.board.look.notify_one();
        }
        self.offer(&plan);
        self.judge_templates(plan.no_use.as_ref(), now);
        self.order(&plan, now);
        self.show(&plan.state, plan.fallback.as_ref());
        self.explain(plan.decision.as_ref(), now);
        plan.look_again
    }

    /// Has the node asked about a job of a shape it has not seen.
    fn offer(&self, plan: &Plan) {
        let Some(candidate) = &plan.candidate else {
            return;
        };
        let guard = self.incarnation.guard();
        self.board.candidate.publish_with(&guard, |offered| {
            let same = offered
                .as_ref()
                .is_some_and(|offered| Arc::ptr_eq(&offered.job, &candidate.job));
            if !same {
                *offered = Some(candidate.clone());
            }
            !same
        });
    }

    /// Says whose templates are of no use: another node's may be.
    fn judge_templates(&self, no_use: Option<&NodeName>, now: Instant) {
        let guard = self.incarnation.guard();
        self.board.template_refused.publish_with(&guard, |refused| {
            let same = refused.as_ref().map(|refused| &refused.node) == no_use;
            if !same {
                *refused = no_use.map(|node| TemplateRefused {
                    node: Arc::clone(node),
                    since: now,
                });
            }
            !same
        });
    }

    /// Gives the threads a new order where the plan is not what they do already.
    fn order(&mut self, plan: &Plan, now: Instant) {
        let Some(task) = &plan.task else {
            if self.task.take().is_some() {
                self.shared.dispatch.publish(dispatch::Work::Park);
            }
            return;
        };
        if self
            .task
            .as_ref()
            .is_some_and(|current| current.is_same(task, now))
        {
            return;
        }
        if self.round.0 != task.round {
            self.round = (task.round, Arc::default());
        }
        let scan = dispatch::Scan::new(
            Arc::clone(&task.job),
            self.settings.versions(&task.job),
            task.target,
            task.time,
            Arc::clone(&self.round.1),
        )
        .on(task.threads)
        .on_news_of(self.arrival.take());
        let is_new = self
            .task
            .as_ref()
            .is_none_or(|current| !Arc::ptr_eq(&current.job, &task.job));
        if is_new {
            let job = Some(Arc::clone(&task.job));
            if !self.board.job.publish(&self.incarnation.guard(), job) {
                return;
            }
            self.board.registry.jobs.increment();
        }
        self.shared.dispatch.publish(dispatch::Work::Scan(scan));
        if is_new {
            self.announce(task);
        }
        self.task = Some(task.clone());
    }

    fn announce(&mut self, task: &Task) {
        let job = &task.job;
        let kind = if task.coinbase_only {
            "coinbase only"
        } else {
            "template"
        };
        let (height, prev) = (job.height(), job.prev());
        let (transactions, value) = (job.transactions() + 1, job.value());
        let fees = job.fees().unwrap_or(0);
        if self.announced.replace(prev) == Some(prev) {
            tracing::debug!(
                "job refreshed ({kind}): block {height} on {prev}, {transactions} transactions, \
                 {fees} sat of fees in {value} sat"
            );
        } else {
            tracing::info!(
                "new job ({kind}): block {height} on {prev}, {transactions} transactions, \
                 {fees} sat of fees in {value} sat"
            );
        }
        for note in job.notes() {
            tracing::info!("block {height}: {note}");
        }
    }

    /// Publishes the miner's public face if it changed.
    fn show(&mut self, state: &MiningState, fallback: Option<&String>) {
        let now = Instant::now();
        if self.herald.says(state, now) {
            tracing::info!("mining: {state}");
        } else if self.board.mining.borrow().state != *state {
            tracing::debug!("mining: {state}");
        }
        if self.herald.says_fallback(fallback.is_some(), now)
            && let Some(reason) = fallback
        {
            tracing::warn!("{reason}");
        }
        let job = self.task.as_ref().map(|task| JobView {
            height: task.job.height(),
            prev: task.job.prev().to_string(),
            transactions: task.job.transactions() + 1,
            versions: self.settings.versions(&task.job).len(),
        });
        let kernel = self.settings.kernel.name();
        let active = self.task.as_ref().map_or(0, |task| task.threads);
        let guard = self.incarnation.guard();
        self.board.mining.publish_with(&guard, |view| {
            let same = view.state == *state && view.active == active;
            let same = same && view.fallback.as_ref() == fallback;
            if same && view.job == job && view.kernel == kernel {
                return false;
            }
            *view = MiningView {
                state: state.clone(),
                kernel,
                kernel_source: self.settings.kernel_source,
                tuned_hs: self.settings.tuned_hs,
                threads: self.settings.threads,
                active,
                job,
                fallback: fallback.cloned(),
            };
            true
        });
    }

    /// Publishes what was decided, says what is news, and has the books of HOLDs kept.
    fn explain(&mut self, decision: Option<&Decision>, now: Instant) {
        let MinerSettings { limits, holds, .. } = &self.settings;
        if let Some(decision) = decision {
            if self.herald.explains(decision) {
                tracing::info!(
                    "decision: {} by {}: {}",
                    decision.course.name(),
                    decision.by,
                    decision.in_words()
                );
            }
            let view = DecisionView {
                course: decision.course.name(),
                by: decision.by,
                reason: decision.in_words(),
                counsel: decision.counsel,
                loses: decision.loses,
                held: holds.held(now),
                hold_allowed: limits.allowance(),
            };
            self.board
                .decision
                .publish_with(&self.incarnation.guard(), |last| {
                    let differs = last.as_ref() != Some(&view);
                    *last = Some(view);
                    differs
                });
        }
        holds.keep(self.incarnation.guard(), now);
    }

    fn park(&mut self, why: &str) {
        self.task = None;
        self.shared.dispatch.publish(dispatch::Work::Park);
        let state = MiningState::NoJob {
            reason: why.to_owned(),
        };
        self.show(&state, None);
    }
}

/// The kernel to use: the one that is configured, unless something is held against it.
fn sound_kernel(settings: &MinerSettings) -> Result<&'static dyn Kernel, MinerError> {
    let (faults, wanted) = (&settings.kernel_faults, settings.kernel);
    let kernel = faults.choose(wanted, &settings.next_kernels);
    if let Some(why) = faults.against(wanted.name()) {
        let Some(kernel) = kernel else {
            return Err(MinerError::NoKernel(wanted.name(), why));
        };
        tracing::error!(
            "the hashing kernel {} is not used any more ({why}): hashing goes on with {}; set \
             mining.kernel = \"{}\" and report this line",
            wanted.name(),
            kernel.name(),
            kernel.name()
        );
    }
    Ok(kernel.unwrap_or(wanted))
}

impl Actor for Miner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let MinerSettings {
            threads,
            kernel,
            ref affinity,
            nice,
            ..
        } = self.settings;
        let workers =
            (0..threads).map(|index| Worker::new(index, kernel, Arc::clone(&self.shared)));
        let workers = workers.collect();
        let crew = crew::start(workers, &self.shared, &self.incarnation, affinity, nice);
        if let Err(error) = crew {
            self.incarnation.fail(error);
            return;
        }
        tracing::info!("{threads} hashing threads with kernel {}", kernel.name());
        self.incarnation.spawn_essential(
            "miner watch",
            watch(self.board.clone(), Arc::clone(&self.shared), ctx.address()),
        );
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.park("the miner has stopped");
    }
}

/// The names of the resources that are scarce.
fn scarce(alerts: &[Alert]) -> String {
    let mut names: Vec<String> = alerts.iter().map(|a| a.resource.to_string()).collect();
    names.dedup();
    names.join(", ")
}

/// Wakes the miner at every change of what it looks at, and when it asked to be woken.
async fn watch(
    board: Board,
    shared: Arc<Shared>,
    miner: actix::Addr<Miner>,
) -> Result<(), supervise::BoxError> {
    let mut node_state = board.node_state.subscribe();
    let mut tip = board.tip_validated.subscribe();
    let mut ahead = board.tip_provisional.subscribe();
    let mut doubt = board.tip_doubt.subscribe();
    let mut template = board.template.subscribe();
    let mut settled = board.settled.subscribe();
    let mut degradation = board.degradation.subscribe();
    let mut proposals = board.proposals.subscribe();
    let mut counsel = board.counsel.subscribe();
    loop {
        let look_again = miner.send(Look).await?;
        tokio::select! {
            changed = ahead.changed() => changed?,
            changed = tip.changed() => changed?,
            () = shared.news.notified() => {}
            changed = doubt.changed() => changed?,
            changed = template.changed() => changed?,
            changed = settled.changed() => changed?,
            changed = degradation.changed() => changed?,
            changed = proposals.changed() => changed?,
            changed = counsel.changed() => changed?,
            changed = node_state.changed() => changed?,
            () = tokio::time::sleep(look_again) => {}
        }
    }
}

/// Something changed: look at the board. The answer is when to look again at the latest.
struct Look;

impl Message for Look {
    type Result = Duration;
}

impl Handler<Look> for Miner {
    type Result = actix::MessageResult<Look>;

    fn handle(&mut self, _: Look, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(self.look())
    }
}

impl Handler<Shutdown> for Miner {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        self.park("the miner is stopping");
        ctx.stop();
    }
}
