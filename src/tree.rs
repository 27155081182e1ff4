//! The supervision tree: every child of the program in start order, and nothing else. Read it to see
//! the whole program at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::api::{Api, ControlSocket};
use actors::board::Board;
use actors::ingest::{Ingest, IngestSettings};
use actors::messages::MiningState;
use actors::miner::Miner;
use actors::monitor::Monitor;
use actors::stats::{ChildView, Identity, Stats, StatsSettings};
use actors::submitter::journal::{Journal, RealDisk};
use actors::submitter::{Submitter, SubmitterSettings};
use actors::validator::{Validator, ValidatorSettings, WallClock};
use anyhow::Context as _;
use node::Node;
use supervise::{ChildSpec, ChildStatus, Outcome, StopReport, Supervisor};
use tokio::sync::broadcast::error::RecvError;

use crate::config::Settings;

/// The running tree.
pub struct Tree {
    supervisor: Supervisor,
    /// The cells between the children.
    pub board: Board,
}

impl Tree {
    /// Starts every child, in order. `block_limit`: find no more blocks than this.
    ///
    /// # Errors
    /// Something outside the children cannot be made (the control socket, the journal, a node's
    /// threads), or a child does not come up.
    pub async fn start(settings: &Settings, block_limit: Option<u64>) -> anyhow::Result<Self> {
        let board = Board::new(settings.mining.as_ref().map_or(0, |mining| mining.threads));
        let nodes = settings
            .nodes
            .iter()
            .map(|config| Ok(Node::start(config.clone())?))
            .collect::<anyhow::Result<Vec<Node>>>()
            .context("cannot start the threads of a node")?;
        let journal = Arc::new(Journal::open(
            &settings.journal_dir(),
            Arc::new(RealDisk),
            SystemTime::now(),
        )?);
        let socket = Arc::new(ControlSocket::bind(&settings.control_socket())?);
        let identity = Identity {
            version: env!("CARGO_PKG_VERSION"),
            network: settings.network,
            node: settings
                .nodes
                .first()
                .map(|node| node.name.clone())
                .unwrap_or_default(),
        };

        let mut tree = Supervisor::builder("signalcore");

        let stats = StatsSettings {
            identity: identity.clone(),
            status_file: settings.runtime_dir.join("status.json"),
        };
        let shared = board.clone();
        tree.child(ChildSpec::new("stats"), move |incarnation| {
            Ok(Stats::new(stats.clone(), shared.clone(), incarnation))
        });

        let mut submitter = SubmitterSettings::new(settings.network, nodes.clone(), journal);
        submitter.journal_deadline = settings.journal_deadline;
        let shared = board.clone();
        tree.child(ChildSpec::new("submitter"), move |incarnation| {
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
        tree.child(ChildSpec::new("validator"), move |incarnation| {
            Ok(Validator::new(
                validator.clone(),
                shared.clone(),
                incarnation,
            ))
        });

        if settings.mining.is_none() {
            let off = MiningState::SwitchedOff {
                by: "mining.enabled = false".into(),
            };
            board.mining.send_modify(|view| view.state = off);
        }
        if let Some(mut miner) = settings.mining.clone() {
            miner.block_limit = block_limit;
            let shared = board.clone();
            tree.child(ChildSpec::new("miner"), move |incarnation| {
                Ok(Miner::new(miner.clone(), shared.clone(), incarnation)?)
            });
        }

        let mut ingest = IngestSettings::new(settings.network, nodes);
        ingest.poll_interval = settings.poll_interval;
        let shared = board.clone();
        tree.child(ChildSpec::new("ingest"), move |incarnation| {
            Ok(Ingest::new(ingest.clone(), shared.clone(), incarnation))
        });

        let (shared, who) = (board.clone(), identity.clone());
        tree.child(ChildSpec::new("api"), move |incarnation| {
            Ok(Api::new(
                who.clone(),
                shared.clone(),
                Arc::clone(&socket),
                incarnation,
            ))
        });

        let (shared, who) = (board.clone(), identity);
        tree.child(ChildSpec::new("monitor"), move |_| {
            Ok(Monitor::new(who.clone(), shared.clone()))
        });

        let supervisor = tree.start().await?;
        Ok(Self { supervisor, board })
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

    /// Stops every child in reverse order.
    pub async fn stop(&self, deadline: Duration) -> StopReport {
        self.supervisor.stop(deadline).await
    }

    fn publish(&self) {
        let views = self.supervisor.children().iter().map(view).collect();
        self.board.children.send_replace(views);
    }
}

fn view(child: &ChildStatus) -> ChildView {
    ChildView {
        id: child.id.to_string(),
        state: child.state.name().to_owned(),
        generation: child.generation,
        restarts: child.restarts,
        last_exit: child.last_exit.as_ref().map(|exit| exit.reason.to_string()),
    }
}
