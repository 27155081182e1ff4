//! Several nodes: which one gives tips and templates, and what becomes of them when they fail or disagree.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod disagreement;
mod failover;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::path::Path;
use std::time::Duration;

use chain::Network;
use devnode::{Devnode, DevnodeConfig};
use node::{Auth, Node, NodeConfig, ZmqEndpoints};
use signalcore_actors::board::Board;
use signalcore_actors::ingest::{Ingest, IngestSettings};
use signalcore_actors::messages::{NodeView, TipValidated};
use signalcore_actors::validator::{Validator, ValidatorSettings, WallClock};
use supervise::Supervisor;
use support::{supervise, until};

/// Short, so that a test sees a preferred node return.
const STEADY: Duration = Duration::from_millis(500);
/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);

const LOGIN: &str = "several";

/// A devnode that takes a password, so that a client can reach it by another way.
async fn devnode(dir: &Path, name: &str) -> Devnode {
    let mut config = DevnodeConfig::new(dir.join(name));
    config.rpc_user = Some(LOGIN.into());
    config.rpc_password = Some(LOGIN.into());
    Devnode::start(config).await.expect("the devnode starts")
}

/// A client of what answers at `url`, called `name`.
fn client(name: &str, url: &str, zmq: Option<&str>) -> Node {
    let auth = Auth::UserPassword {
        user: LOGIN.into(),
        password: LOGIN.into(),
    };
    let mut config = NodeConfig::new(name, url.parse().expect("a URL"), auth);
    if let Some(zmq) = zmq {
        config.zmq = ZmqEndpoints::all_at(zmq.parse().expect("an endpoint"));
    }
    Node::start(config).expect("the lanes start")
}

fn client_of(name: &str, devnode: &Devnode) -> Node {
    client(name, &devnode.rpc_url(), devnode.zmq_endpoint())
}

/// Ingest and validator over the nodes, in order of preference.
struct Following {
    ingest: Supervisor,
    validator: Supervisor,
}

impl Following {
    async fn start(board: &Board, nodes: &[Node], steady: Duration) -> Self {
        let validator = ValidatorSettings {
            network: Network::Regtest,
            level: 16_000,
            coverage_min: 0.7,
            nodes: nodes.to_vec(),
            clock: WallClock::default(),
        };
        let shared = board.clone();
        let validator = supervise(move |incarnation| {
            Ok(Validator::new(
                validator.clone(),
                shared.clone(),
                incarnation,
            ))
        })
        .await;
        let mut settings = IngestSettings::new(Network::Regtest, nodes.to_vec());
        settings.steady = steady;
        let shared = board.clone();
        let ingest = supervise(move |incarnation| {
            Ok(Ingest::new(settings.clone(), shared.clone(), incarnation))
        })
        .await;
        Self { ingest, validator }
    }

    async fn stop(self) {
        support::stop(self.ingest).await;
        support::stop(self.validator).await;
    }
}

/// Waits until a node is shown as wanted.
async fn shown(board: &Board, name: &str, what: &str, wanted: impl Fn(&NodeView) -> bool) {
    until(&board.nodes, &format!("{name}: {what}"), |nodes| {
        nodes.iter().any(|node| &*node.name == name && wanted(node))
    })
    .await;
}

/// Waits until tips and templates come from this node, the template on its tip.
async fn in_use(board: &Board, name: &str) {
    shown(board, name, "being in use", |node| node.active).await;
    until(&board.template, &format!("a template of {name}"), |seen| {
        seen.as_ref().is_some_and(|seen| &*seen.node == name)
    })
    .await;
}

/// Waits until this devnode's tip is verified.
async fn verified(board: &Board, devnode: &Devnode) -> TipValidated {
    let tip = devnode.tip().hash;
    let seen = until(&board.tip_validated, "the tip's verification", |seen| {
        seen.as_ref().is_some_and(|seen| seen.hash == tip)
    });
    seen.await.expect("just seen")
}

/// Gives `to` every block of `from`'s chain, as peers would.
fn sync(from: &Devnode, to: &Devnode) {
    for height in 1..=from.tip().height {
        let hash = from.block_hash(height).expect("below the tip");
        let raw = from.raw_block(&hash).expect("in the chain");
        // What it knows it refuses.
        let _ = to.submit(&raw);
    }
}

/// Two nodes with the same chain of a few blocks.
async fn pair(dir: &Path) -> (Devnode, Devnode) {
    let (near, far) = (devnode(dir, "near").await, devnode(dir, "far").await);
    near.generate(5).expect("blocks");
    sync(&near, &far);
    assert_eq!(near.tip().hash, far.tip().hash);
    (near, far)
}

/// The same, followed, with the first one in use.
async fn followed(dir: &Path, steady: Duration) -> (Devnode, Devnode, Board, Following) {
    let (near, far) = pair(dir).await;
    let board = Board::new(1);
    let nodes = [client_of("near", &near), client_of("far", &far)];
    let following = Following::start(&board, &nodes, steady).await;
    in_use(&board, "near").await;
    (near, far, board, following)
}

/// Mines blocks that no other node mines.
fn fork(devnode: &Devnode, blocks: u32) {
    let anyone = bitcoin::ScriptBuf::from_bytes(vec![0x51]);
    devnode.generate_to(blocks, &anyone).expect("blocks");
}
