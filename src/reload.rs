//! SIGHUP: the configuration is read again, checked, and taken over whole or not at all.

use std::path::Path;
use std::sync::Arc;

use tracing::{error, info, warn};

use crate::config::{self, Profile, Settings};
use crate::lifecycle::{Life, STOP_DEADLINE};
use crate::profile;
use crate::tree::Tree;

/// What became of a reload.
#[derive(Debug)]
pub enum Reloaded {
    /// The new configuration is in force.
    New(Box<Settings>),
    /// The old one still is, or again; why, in words.
    Old(String),
    /// Neither: the process was asked to stop meanwhile.
    Stop,
    /// Neither: not even the old one would start again.
    Failed,
}

/// Reads a configuration for an instance that runs with `old` and holds it against what cannot change.
///
/// # Errors
/// Why it cannot be taken over, in words.
pub fn read(old: &Settings, profile: Profile, file: Option<&Path>) -> Result<Settings, String> {
    let new = config::load(file).map_err(|error| error.to_string())?;
    profile::check(profile, &new, file).map_err(|error| error.to_string())?;
    let fixed = fixed(old, &new);
    if fixed.is_empty() {
        return Ok(new);
    }
    Err(format!(
        "{} cannot change while signalcore runs; restart it for that",
        fixed.join(", ")
    ))
}

/// The keys that differ and must not: what the process has claimed or was started as.
fn fixed(old: &Settings, new: &Settings) -> Vec<&'static str> {
    [
        ("data_dir", old.data_dir != new.data_dir),
        ("runtime_dir", old.runtime_dir != new.runtime_dir),
        ("log_dir", old.log_dir != new.log_dir),
        ("profile", old.profile != new.profile),
        ("chain.network", old.network != new.network),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// Whether `new` asks the same nodes for the same as `old`: then what is known of the chain stays good.
fn same_view(old: &Settings, new: &Settings) -> bool {
    let nodes = |settings: &Settings| {
        let nodes = settings.nodes.iter();
        nodes
            .map(|node| (node.name.clone(), node.rpc_url.to_string()))
            .collect::<Vec<_>>()
    };
    nodes(old) == nodes(new) && old.level == new.level
}

impl Life {
    /// Stops the tree in order and starts one with the settings `new` over the same world; where
    /// that does not start, one with `old` again. A request to stop meanwhile is heeded in between.
    pub async fn swap(&mut self, old: &Settings, new: Settings) -> Reloaded {
        let report = self.signals.during(self.tree.stop(STOP_DEADLINE)).await;
        if !report.is_clean() {
            // They can do no harm: their generations are revoked.
            warn!(
                "left behind by the reload, still running: {}",
                report.still_running.join(", ")
            );
        }
        if self.signals.asked().is_some() {
            return Reloaded::Stop;
        }
        if !same_view(old, &new) {
            self.world.board.forget_node();
        }
        let why = match self.restart(&new).await {
            Ok(()) => return Reloaded::New(Box::new(new)),
            Err(error) => format!("{error:#}"),
        };
        if self.signals.asked().is_some() {
            return Reloaded::Stop;
        }
        error!("the new configuration does not start ({why}): starting the old one again");
        match self.restart(old).await {
            Ok(()) => Reloaded::Old(why),
            Err(error) => {
                error!("the old configuration does not start any more either: {error:#}");
                Reloaded::Failed
            }
        }
    }

    async fn restart(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let start = Tree::start(Arc::clone(&self.world), settings, None);
        self.tree = self.signals.during(start).await?;
        info!("every part runs");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use actors::messages::NodeState;

    use super::*;
    use crate::exit::Exit;

    /// A configuration whose node does not exist.
    fn settings(dir: &Path) -> Settings {
        let file = dir.join("signalcore.toml");
        let text = format!(
            "data_dir = \"{data}\"\n[chain]\nnetwork = \"regtest\"\n[[node]]\nname = \"local\"\n\
             rpc_url = \"http://127.0.0.1:1\"\ncookie_file = \"{data}/cookie\"\n[api]\nlisten = \"\"\n\
             [mining]\nthreads = 1\npayout_address = \"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080\"\n",
            data = dir.join("data").display(),
        );
        std::fs::write(&file, text).unwrap();
        config::load(Some(&file)).unwrap()
    }

    #[test]
    fn what_differs_and_must_not_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let old = settings(dir.path());
        let mut new = old.clone();
        new.level = 7;
        new.mining = None;
        assert!(fixed(&old, &new).is_empty());
        new.data_dir = "/elsewhere".into();
        new.network = chain::Network::Signet;
        new.profile = Some(Profile::Production);
        assert_eq!(fixed(&old, &new), ["data_dir", "profile", "chain.network"]);
    }

    /// Settings that pass every check, and with which the miner does not start.
    fn unstartable(old: &Settings) -> Settings {
        let mut new = old.clone();
        new.level = old.level + 1;
        let miner = new.mining.as_mut().unwrap();
        miner.network = chain::Network::Main;
        new
    }

    #[test]
    fn where_the_new_one_does_not_start_the_old_one_runs_again_and_counts_on() {
        let dir = tempfile::tempdir().unwrap();
        let old = settings(dir.path());
        actix::System::new().block_on(async {
            let mut life = Life::start(&old, None).await.unwrap().unwrap();
            life.world.board.registry.blocks_found.add(3);
            life.tree.stop(STOP_DEADLINE).await;
            let before = life.world.board.children.borrow().clone();
            let Reloaded::Old(why) = life.swap(&old, unstartable(&old)).await else {
                panic!("the old configuration is in force");
            };
            assert!(
                why.contains("miner") && why.contains("payout address"),
                "{why}"
            );
            assert_eq!(life.world.board.registry.blocks_found.get(), 3);
            assert!(life.tree.outlook().is_live(STOP_DEADLINE).await);
            life.tree.stop(STOP_DEADLINE).await;
            let after = life.world.board.children.borrow().clone();
            assert_eq!(after.len(), before.len());
            for (before, after) in before.iter().zip(&after) {
                assert!(after.generation > before.generation, "{before:?} {after:?}");
            }
            assert_eq!(life.stop(Exit::Ok).await, Exit::Ok);
        });
    }

    #[test]
    fn where_neither_starts_the_process_has_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let old = settings(dir.path());
        actix::System::new().block_on(async {
            let mut life = Life::start(&old, None).await.unwrap().unwrap();
            let (bad, worse) = (unstartable(&old), unstartable(&old));
            assert!(matches!(life.swap(&bad, worse).await, Reloaded::Failed));
            assert!(!life.tree.outlook().is_live(STOP_DEADLINE).await);
            life.stop(Exit::Internal).await;
        });
    }

    #[test]
    fn another_node_is_not_taken_for_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let old = settings(dir.path());
        actix::System::new().block_on(async {
            let mut life = Life::start(&old, None).await.unwrap().unwrap();
            let mut state = life.world.board.node_state.subscribe();
            let absent = |state: &NodeState| matches!(state, NodeState::Absent { .. });
            state.wait_for(absent).await.unwrap();
            let mut new = old.clone();
            new.nodes[0].name = "other".into();
            let swapped = life.swap(&old, new).await;
            assert!(matches!(swapped, Reloaded::New(_)));
            assert_eq!(life.tree.outlook().look().1.node.name, "other");
            assert!(life.world.board.tip_validated.borrow().is_none());
            life.stop(Exit::Ok).await;
        });
    }
}
