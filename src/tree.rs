//! The supervision tree: every child of the program in start order, and nothing else. Read it to see
//! the whole program at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::advisor::{Advisor, AdvisorSettings, AdvisorView, leave_out};
use actors::api::{Api, ApiSettings};
use actors::board::Board;
use actors::health::{Examiner, Premises};
use actors::ingest::{Ingest, IngestSettings};
use actors::messages::{MiningState, NodeState};
use actors::miner::{Miner, progress};
use actors::monitor::Monitor;
use actors::resources::{Resources, Roots, Sensors};
use actors::stats::{ChildView, Identity, Stats, StatsSettings, Status};
use actors::submitter::{Resubmitter, Submitter, SubmitterSettings};
use actors::validator::{Validator, ValidatorSettings, WallClock};
use anyhow::Context as _;
use futures::future::join_all;
use node::Node;
use supervise::{
    Backoff, ChildSpec, ChildState, ChildStatus, Intensity, Liveness, Outcome, Progress, Restart,
    RestartLimits, StopReport, Supervisor,
};
use tokio::sync::broadcast::error::RecvError;

use crate::config::Settings;
use crate::tune::choice;
use crate::world::{Counts, World};

/// How long the threads that ask nodes may take to end, once nobody asks any more.
const NODE_SHUTDOWN: Duration = Duration::from_secs(2);
/// How long the advisor's part may take to come up.
const ADVISOR_START: Duration = Duration::from_secs(30);
/// How long it may take to end, with everything that its command has started.
const ADVISOR_SHUTDOWN: Duration = Duration::from_secs(5);

/// The running tree.
pub struct Tree {
    supervisor: Supervisor,
    nodes: Vec<Node>,
    world: Arc<World>,
    identity: Identity,
    /// What the children's predecessors in earlier trees counted.
    before: Counts,
}

/// What is seen of a tree from outside, for as long as one likes.
#[derive(Debug, Clone)]
pub struct Outlook {
    supervisor: Supervisor,
    board: Board,
    identity: Identity,
}

impl Outlook {
    /// The node's state, and the status document.
    pub fn look(&self) -> (NodeState, Status) {
        let node = self.board.node_state.borrow().clone();
        let rates = *self.board.rates.borrow();
        (node, Status::of(&self.identity, &self.board, &rates))
    }

    /// Resolves when the node's state changes, or after `longest`.
    pub async fn changed(&self, longest: Duration) {
        let mut node = self.board.node_state.subscribe();
        // The board outlives this wait; running out of time is an answer too.
        let _ = tokio::time::timeout(longest, node.changed()).await;
    }

    /// Whether the supervisor answers within `deadline` and keeps the children up.
    pub async fn is_live(&self, deadline: Duration) -> bool {
        self.supervisor.is_live(deadline).await
    }
}

impl Tree {
    /// Starts every child over `world`, in order. `block_limit`: find no more blocks than this.
    ///
    /// # Errors
    /// The threads of a node cannot be made, or a child does not come up.
    pub async fn start(
        world: Arc<World>,
        settings: &Settings,
        block_limit: Option<u64>,
    ) -> anyhow::Result<Self> {
        let board = world.board.clone();
        let journal = Arc::clone(&world.journal);
        let http = world.http(settings.api_listen);
        let nodes = settings
            .nodes
            .iter()
            .map(|config| Ok(Node::start(config.clone())?))
            .collect::<anyhow::Result<Vec<Node>>>()
            .context("cannot start the threads of a node")?;
        let identity = Identity {
            version: env!("CARGO_PKG_VERSION"),
            network: settings.network,
            node: settings
                .nodes
                .first()
                .map(|node| node.name.clone())
                .unwrap_or_default(),
            http: http.address(),
        };

        let hang_after = settings.hang_after;
        let mut tree = Supervisor::builder("signalcore");
        let examiner = Examiner::new(Premises {
            network: settings.network,
            thresholds: settings.health,
            board: board.clone(),
            supervisor: tree.handle(),
            journal: Arc::clone(&journal),
            http_trouble: http.trouble().map(str::to_owned),
        });

        let stats = StatsSettings {
            identity: identity.clone(),
            files: Arc::clone(&world.files),
        };
        let shared = board.clone();
        tree.child(watched("stats", hang_after), move |incarnation| {
            Ok(Stats::new(stats.clone(), shared.clone(), incarnation))
        });

        let dirs = [settings.data_dir.clone(), settings.log_dir.clone()];
        let files = Arc::clone(&world.files);
        let sensors = Sensors::start(Roots::default(), &dirs, settings.resources)
            .context("cannot start the threads that measure the machine")?
            .watching(&settings.data_dir, move |now| {
                files.totals.as_ref()?.busy_for(now)
            });
        let (shared, sensors) = (board.clone(), Arc::new(sensors));
        tree.child(watched("resources", hang_after), move |incarnation| {
            Ok(Resources::new(
                Arc::clone(&sensors),
                shared.clone(),
                incarnation,
            ))
        });

        let mut submitter = SubmitterSettings::new(settings.network, nodes.clone(), journal);
        submitter.journal_deadline = settings.journal_deadline;
        let shared = board.clone();
        tree.child(watched("submitter", hang_after), move |incarnation| {
            Ok(Submitter::new(
                submitter.clone(),
                shared.clone(),
                incarnation,
            ))
        });

        let validator = ValidatorSettings {
            network: settings.network,
            level: settings.level,
            coverage_min: settings.coverage_min,
            nodes: nodes.clone(),
            clock: WallClock::default(),
        };
        let shared = board.clone();
        tree.child(watched("validator", hang_after), move |incarnation| {
            Ok(Validator::new(
                validator.clone(),
                shared.clone(),
                incarnation,
            ))
        });

        let advisor = settings.advisor.clone().map(|advisor| AdvisorSettings {
            command: resolved(&advisor.command),
            ..advisor
        });
        let view = AdvisorView::of(settings.advisor.as_ref());
        board.advisor.send_replace(view);
        if let Some(advisor) = advisor {
            let desk = Arc::clone(&world.advisor);
            let dossier = desk.take_up(&advisor);
            let (shared, network) = (board.clone(), settings.network);
            // It is not worth the whole tree: whoever fails too often here is left out.
            let spec = ChildSpec::new("advisor")
                .restart(Restart::Temporary)
                .start_timeout(ADVISOR_START)
                .shutdown(ADVISOR_SHUTDOWN);
            let limits = advisor_limits()?;
            tree.supervisor(spec, move |_| {
                let mut below = Supervisor::builder("advisor");
                let (advisor, desk) = (advisor.clone(), Arc::clone(&desk));
                let (dossier, shared) = (dossier.clone(), shared.clone());
                let spec = watched("talk", hang_after).limits(limits);
                below.child(spec, move |incarnation| {
                    Ok(Advisor::new(
                        advisor.clone(),
                        network,
                        Arc::clone(&desk),
                        dossier.clone(),
                        shared.clone(),
                        incarnation,
                    ))
                });
                Ok(below)
            });
        }

        let mut mining = settings.mining.clone();
        if let Some(miner) = &mut mining {
            miner.block_limit = block_limit;
            miner.kernel_faults = world.kernel_faults.clone();
            miner.holds = world.holds.clone();
            let file = settings.autotune_file();
            choice::settle(miner, settings.forced, &file, SystemTime::now().into());
        }
        board.mining.send_modify(|view| {
            let mining = mining.as_ref();
            view.threads = mining.map_or(0, |mining| mining.threads);
            view.job = None;
            view.state = match mining {
                Some(_) => MiningState::NoJob {
                    reason: "starting".into(),
                },
                None => MiningState::SwitchedOff {
                    by: "mining.enabled = false".into(),
                },
            };
        });
        if let Some(miner) = mining {
            let shared = board.clone();
            let threads = progress(Arc::clone(&board.registry), miner.threads);
            let spec = watched("miner", hang_after).progress(Progress::new(hang_after, threads));
            tree.child(spec, move |incarnation| {
                Ok(Miner::new(miner.clone(), shared.clone(), incarnation)?)
            });
        }

        let mut ingest = IngestSettings::new(settings.network, nodes.clone());
        ingest.poll_interval = settings.poll_interval;
        let shared = board.clone();
        tree.child(watched("ingest", hang_after), move |incarnation| {
            Ok(Ingest::new(ingest.clone(), shared.clone(), incarnation))
        });

        let api = ApiSettings {
            identity: identity.clone(),
            socket: Arc::clone(&world.socket),
            http,
            examiner: Arc::new(examiner),
            resubmitter: Resubmitter::new(&nodes, Arc::clone(&world.journal)),
            faults: settings.fault_injection.then(|| tree.handle()),
        };
        let shared = board.clone();
        tree.child(watched("api", hang_after), move |incarnation| {
            Ok(Api::new(api.clone(), shared.clone(), incarnation))
        });

        let (shared, who) = (board.clone(), identity.clone());
        tree.child(watched("monitor", hang_after), move |_| {
            Ok(Monitor::new(who.clone(), shared.clone()))
        });

        let supervisor = tree.start().await?;
        Ok(Self {
            supervisor,
            nodes,
            before: world.counts(),
            world,
            identity,
        })
    }

    /// Its supervisor.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// A view of it.
    pub fn outlook(&self) -> Outlook {
        Outlook {
            supervisor: self.supervisor.clone(),
            board: self.world.board.clone(),
            identity: self.identity.clone(),
        }
    }

    /// Resolves when the supervisor has given up, or was stopped. Until then it keeps the board's view
    /// of the children true.
    pub async fn ended(&self) -> Outcome {
        let mut events = self.supervisor.events();
        loop {
            self.publish();
            tokio::select! {
                outcome = self.supervisor.wait() => return outcome,
                // A lagging receiver missed events, not states: the next look shows them all.
                event = events.recv() => if matches!(event, Err(RecvError::Closed)) {
                    return self.supervisor.wait().await;
                },
            }
        }
    }

    /// Stops every child in reverse order, then the threads that ask the nodes.
    pub async fn stop(&self, deadline: Duration) -> StopReport {
        let report = self.supervisor.stop(deadline).await;
        join_all(self.nodes.iter().map(|node| node.shutdown(NODE_SHUTDOWN))).await;
        self.publish();
        self.world.keep_counts(&self.world.board.children.borrow());
        report
    }

    fn publish(&self) {
        let children = self.supervisor.children();
        let mut views: Vec<ChildView> = children.iter().map(view).collect();
        let advisor = children.iter().find(|child| &*child.id == "advisor");
        if let Some(exit) = advisor
            .filter(|child| child.state == ChildState::Ended)
            .and_then(|child| child.last_exit.as_ref())
            .filter(|exit| exit.reason.is_abnormal())
        {
            leave_out(&self.world.board, &exit.reason.to_string());
        }
        self.before.add_to(&mut views);
        self.world.board.children.send_replace(views);
    }
}

/// A child that hangs when its thread does not run, or its actor takes no message, for `hang_after`.
///
/// No child is meant to block for long: files and nodes are waited for by threads of their own, and the longest
/// that one of them computes at a time is a batch of 2,000 headers, or a job of a full block.
fn watched(id: &'static str, hang_after: Duration) -> ChildSpec {
    let every = (hang_after / 5).min(Duration::from_secs(1));
    ChildSpec::new(id)
        .liveness(Liveness::thread(every, hang_after))
        .liveness(Liveness::mailbox(every, hang_after))
}

/// How often the advisor is started again before it is left out: four times in ten minutes, which pauses of its breaker
/// are part of.
fn advisor_limits() -> anyhow::Result<RestartLimits> {
    let backoff = Backoff {
        initial: Duration::from_millis(200),
        ..Backoff::default()
    };
    let intensity = Intensity {
        restarts: 4,
        period: Duration::from_mins(10),
    };
    Ok(RestartLimits::new(backoff, intensity)?)
}

/// A command with this program in the place of `builtin`, which keeps what it learns in its directory.
fn resolved(command: &[String]) -> Vec<String> {
    let Some(("builtin", more)) = command
        .split_first()
        .map(|(name, more)| (name.as_str(), more))
    else {
        return command.to_vec();
    };
    let program = std::env::current_exe().map_or_else(
        |_| "/proc/self/exe".to_owned(),
        |path| path.display().to_string(),
    );
    let own = [program.as_str(), "advisor", "--state", "model.json"].map(str::to_owned);
    own.into_iter().chain(more.iter().cloned()).collect()
}

fn view(child: &ChildStatus) -> ChildView {
    ChildView {
        id: child.id.to_string(),
        state: child.state.name().to_owned(),
        generation: child.generation,
        restarts: child.restarts,
        last_exit: child.last_exit.as_ref().map(|exit| exit.reason.to_string()),
        abandoned: child.abandoned,
    }
}
