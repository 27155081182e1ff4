//! `run`: the whole program in the foreground.

use std::time::Duration;

use actix::System;
use actors::board::Board;
use actors::messages::Outcome;
use actors::monitor::hashrate;
use serde::Serialize;

use tokio::time::timeout;
use tracing::{info, warn};

use crate::cli::{Global, Run};
use crate::config::{self, Profile, Settings};
use crate::demo::Demo;
use crate::exit::{Exit, ExitError};
use crate::lifecycle::{self, Event, Life};
use crate::logging;
use crate::output::Output;
use crate::signals::HANGUP;

/// How long the last block of `--blocks` may take to become the verified tip.
const LAST_TIP: Duration = Duration::from_secs(5);

/// The last line of a run.
#[derive(Debug, Serialize)]
struct Summary {
    blocks_found: u64,
    blocks_accepted: u64,
    blocks_rejected: u64,
    blocks_stale: u64,
    hashes: u64,
    hashrate_hs: f64,
    elapsed_s: f64,
    restarts: u64,
    tip: Option<Tip>,
}

#[derive(Debug, Serialize)]
struct Tip {
    height: u32,
    hash: String,
}

/// Runs until a signal, until `--blocks` are accepted, or until the tree gives up.
///
/// # Errors
/// A configuration that cannot be used, another instance, a child that does not start.
pub fn run(options: &Run, global: &Global, output: Output) -> anyhow::Result<Exit> {
    let demo = options.demo.then(Demo::start).transpose()?;
    let settings = match &demo {
        Some(demo) => demo.settings()?,
        None => config::load(global.config.as_deref())?,
    };
    if options.blocks.is_some() && settings.mining.is_none() {
        return Err(ExitError::new(Exit::Config, "--blocks needs mining.enabled = true").into());
    }
    let profile = settings.profile.unwrap_or(Profile::Development);
    lifecycle::prepare(&settings, profile, global.config.as_deref())?;
    System::new().block_on(supervised(&settings, demo.as_ref(), options.blocks, output))
}

async fn supervised(
    settings: &Settings,
    demo: Option<&Demo>,
    blocks: Option<u64>,
    output: Output,
) -> anyhow::Result<Exit> {
    let Some(mut life) = Life::start(settings, blocks).await? else {
        return Ok(Exit::Ok);
    };
    let board = life.world.board.clone();
    let done = settled(&board, blocks);
    let traffic = async {
        match demo {
            Some(demo) => demo.traffic().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(done, traffic);
    let exit = loop {
        tokio::select! {
            event = life.next() => match event {
                Event::Stop => break Exit::Ok,
                Event::Hangup => logging::go_silent(HANGUP),
                Event::GaveUp => break Exit::Internal,
            },
            () = &mut done => {
                info!("every block of --blocks is settled, stopping");
                break Exit::Ok;
            }
            () = &mut traffic => break Exit::Internal,
        }
    };
    let exit = life.stop(exit).await;
    let summary = summary(&board);
    output.last_word(&summary, || text(&summary))?;
    logging::conclude();
    Ok(exit)
}

/// Resolves when `blocks` found blocks are accepted, none is open, and the last of them is the verified
/// tip; never without a limit.
async fn settled(board: &Board, blocks: Option<u64>) {
    let Some(blocks) = blocks else {
        return std::future::pending().await;
    };
    let registry = &board.registry;
    let mut changes = board.settled.subscribe();
    // The board, and so every sender, outlives this wait.
    let _ = changes
        .wait_for(|_| {
            let accepted = registry.blocks_accepted.get();
            let closed = accepted + registry.blocks_rejected.get() + registry.blocks_stale.get();
            accepted >= blocks && closed >= registry.blocks_found.get()
        })
        .await;
    let height = changes
        .borrow()
        .as_ref()
        .filter(|settled| settled.outcome == Outcome::Accepted)
        .map(|settled| settled.height);
    let mut tips = board.tip_validated.subscribe();
    let verified = tips.wait_for(|tip| tip.as_ref().map(|tip| tip.height) >= height);
    if timeout(LAST_TIP, verified).await.is_err() {
        warn!("the node has not shown the last block as its tip");
    }
}

fn summary(board: &Board) -> Summary {
    let registry = &board.registry;
    let elapsed_s = registry.started_at.elapsed().as_secs_f64();
    let hashes = registry.hashes();
    let tip = board.tip_validated.borrow().as_ref().map(|tip| Tip {
        height: tip.height,
        hash: tip.hash.to_string(),
    });
    Summary {
        blocks_found: registry.blocks_found.get(),
        blocks_accepted: registry.blocks_accepted.get(),
        blocks_rejected: registry.blocks_rejected.get(),
        blocks_stale: registry.blocks_stale.get(),
        hashes,
        hashrate_hs: hashes as f64 / elapsed_s,
        elapsed_s,
        restarts: board
            .children
            .borrow()
            .iter()
            .map(|child| child.restarts)
            .sum(),
        tip,
    }
}

fn text(summary: &Summary) -> String {
    let tip = summary.tip.as_ref().map_or_else(
        || "no tip".to_owned(),
        |tip| format!("tip {} {}", tip.height, tip.hash),
    );
    format!(
        "{} blocks found, {} accepted, {} rejected, {} stale in {:.1} s at {}; {} restarts; {tip}",
        summary.blocks_found,
        summary.blocks_accepted,
        summary.blocks_rejected,
        summary.blocks_stale,
        summary.elapsed_s,
        hashrate(summary.hashrate_hs),
        summary.restarts,
    )
}
