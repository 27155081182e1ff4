//! ingest against real sockets: what it sees, how it survives, and what it says.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod healthy_node;
mod odd_node;
mod proposals;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use chain::Network;
use node::Node;
use signalcore_actors::board::Board;
use signalcore_actors::ingest::{Ingest, IngestSettings};
use signalcore_actors::messages::NodeState;
use supervise::Supervisor;
use support::supervise;

const NEVER: Duration = Duration::from_hours(1);
const FAST: Duration = Duration::from_millis(100);

async fn ingest(board: &Board, node: Node, change: impl FnOnce(&mut IngestSettings)) -> Supervisor {
    let mut settings = IngestSettings::new(Network::Regtest, vec![node]);
    change(&mut settings);
    let board = board.clone();
    supervise(move |incarnation| Ok(Ingest::new(settings.clone(), board.clone(), incarnation)))
        .await
}

fn is_up(state: &NodeState) -> bool {
    state.is_up()
}
