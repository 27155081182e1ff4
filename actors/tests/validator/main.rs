//! The validator against real sockets: what it verifies, refuses, and follows.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod sound_chain;
#[path = "../support/mod.rs"]
mod support;
mod unsound_chain;

use std::time::Instant;

use bitcoin::BlockHash;
use chain::Network;
use devnode::Devnode;
use node::Node;
use signalcore_actors::board::Board;
use signalcore_actors::messages::{BodyState, TipSeen, TipSource, TipValidated};
use signalcore_actors::validator::{Validator, ValidatorSettings, WallClock};
use supervise::Supervisor;
use support::{supervise, until};

fn settings(node: Node) -> ValidatorSettings {
    ValidatorSettings {
        network: Network::Regtest,
        level: 16_000,
        coverage_min: 0.7,
        nodes: vec![node],
        clock: WallClock::default(),
    }
}

async fn validator(board: &Board, settings: ValidatorSettings) -> Supervisor {
    let board = board.clone();
    supervise(move |incarnation| Ok(Validator::new(settings.clone(), board.clone(), incarnation)))
        .await
}

/// Plays ingest: the node's tip is seen.
fn see(board: &Board, node: &str, hash: BlockHash) {
    board.tip_seen.send_replace(Some(TipSeen {
        hash,
        node: node.into(),
        source: TipSource::Poll,
        seen_at: Instant::now(),
    }));
}

fn see_tip(board: &Board, devnode: &Devnode) {
    see(board, "local", devnode.tip().hash);
}

async fn verified(board: &Board, hash: BlockHash) -> TipValidated {
    let tip = until(&board.tip_validated, "the tip's verification", |tip| {
        tip.as_ref().is_some_and(|tip| tip.hash == hash)
    });
    tip.await.expect("just seen")
}

async fn checked(board: &Board, hash: BlockHash) -> TipValidated {
    let tip = until(
        &board.tip_validated,
        "the check of the tip's block",
        |tip| {
            tip.as_ref()
                .is_some_and(|tip| tip.hash == hash && !matches!(tip.body, BodyState::Pending))
        },
    );
    tip.await.expect("just seen")
}
