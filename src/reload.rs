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
