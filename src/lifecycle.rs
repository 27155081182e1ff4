//! The life of the supervised tree: started over its world, watched, stopped in order. `run` and
//! `daemon` share it; each adds what is its own.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use supervise::Outcome;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::config::{ConfigError, Profile, Settings};
use crate::exit::Exit;
use crate::faults::{self, Plan};
use crate::profile;
use crate::signals::{Signal, Signals};
use crate::tree::Tree;
use crate::world::World;

/// How long all children together may take to stop.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// A tree, what it runs over, and the signals that concern it.
pub struct Life {
    /// What outlives the tree.
    pub world: Arc<World>,
    /// The tree.
    pub tree: Tree,
    faults: Plan,
    since: Instant,
    pub(crate) signals: Signals,
}

/// What happened to a life.
#[derive(Debug)]
pub enum Event {
    /// It was asked to stop.
    Stop,
    /// SIGHUP.
    Hangup,
    /// The supervisor has given up; a child could not be kept up.
    GaveUp,
}

impl Life {
    /// Opens the world and starts the tree in it. None where a signal came first. `block_limit`: find
    /// no more blocks than this.
    ///
    /// # Errors
    /// What [`World::open`] and [`Tree::start`] say; a plan of faults that cannot be used.
    pub async fn start(
        settings: &Settings,
        block_limit: Option<u64>,
    ) -> anyhow::Result<Option<Self>> {
        let faults = Plan::read(
            env::var_os(faults::VARIABLE).as_deref(),
            settings.fault_injection,
        )?;
        let mut signals = Signals::new().context("cannot handle signals")?;
        let world = Arc::new(World::open(settings)?);
        let start = Tree::start(Arc::clone(&world), settings, block_limit);
        tokio::pin!(start);
        let tree = loop {
            tokio::select! {
                tree = &mut start => break tree?,
                // A start that is given up stops what it had started.
                signal = signals.next() => if matches!(signal, Signal::Stop(_)) {
                    return Ok(None);
                },
            }
        };
        let since = Instant::now();
        let children: Vec<_> = tree
            .supervisor()
            .children()
            .iter()
            .map(|child| Arc::clone(&child.id))
            .collect();
        let life = Self {
            world,
            tree,
            faults,
            since,
            signals,
        };
        if let Err(error) = life.faults.check(&children) {
            life.stop(Exit::Config).await;
            return Err(error.into());
        }
        Ok(Some(life))
    }

    /// Resolves when something happens. Cancelling loses nothing.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            signal = self.signals.next() => match signal {
                Signal::Stop(name) => {
                    info!("{name}: stopping; a second one exits at once");
                    Event::Stop
                }
                Signal::Hangup => Event::Hangup,
            },
            outcome = self.tree.ended() => {
                explain(&outcome);
                Event::GaveUp
            }
            never = self.faults.carry_out(self.since, self.tree.supervisor()) => match never {},
        }
    }

    /// Stops the tree in reverse order and writes everything out. The exit code is `exit`, or 75
    /// where that is 0 and something had to be left behind.
    pub async fn stop(mut self, exit: Exit) -> Exit {
        let report = self.signals.during(self.tree.stop(STOP_DEADLINE)).await;
        let took = report.took.as_secs_f64();
        if !report.is_clean() {
            warn!(
                "still running after {took:.1} s: {}",
                report.still_running.join(", ")
            );
        }
        let written = self.world.close();
        if report.is_clean() && written {
            info!("everything has stopped, in {took:.1} s");
            return exit;
        }
        match exit {
            Exit::Ok => Exit::TryLater,
            other => other,
        }
    }
}

/// Before anything is opened: holds the settings against the profile, and applies that to the process.
///
/// # Errors
/// What [`profile::check`] says.
pub fn prepare(
    settings: &Settings,
    profile: Profile,
    file: Option<&Path>,
) -> Result<(), ConfigError> {
    profile::check(profile, settings, file)?;
    profile::apply(profile);
    Ok(())
}

fn explain(outcome: &Outcome) {
    match outcome {
        Outcome::Stopped => error!("the tree has stopped without being asked to"),
        Outcome::Escalated {
            child,
            cause,
            exits,
        } => {
            error!("{child} could not be kept up: {cause}; its last exits:");
            for exit in exits {
                error!("  {exit}");
            }
        }
    }
}
