//! ingest: sees a new tip first, fetches its template, and knows how the node is doing.
//!
//! In: ZMQ notifications, `getblocktemplate` long polls and polls of the preferred node; requests
//! for a look or a template on the [`Board`]; [`Shutdown`]. Out, on the board:
//! [`NodeState`](crate::messages::NodeState), [`TipSeen`](crate::messages::TipSeen),
//! [`TemplateSeen`](crate::messages::TemplateSeen).
//!
//! Four tasks share one link to the node: `tip` reads the tip at every poll and whenever something
//! announced another one, `zmq` and `long poll` announce, `template` fetches what the long poll
//! does not bring in time.

mod gate;
mod link;
mod long_poll;
mod pacing;
mod proposal;
mod silence;
mod state;
mod template;
mod tip;
mod tips;
mod warnings;
mod zmq;

pub use state::{ChainFacts, of_answer as node_state};

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, Context, Handler};
use chain::Network;
use node::Node;
use supervise::{Incarnation, Shutdown};

use crate::board::Board;
use crate::publish::Publish as _;
use link::Link;

/// What ingest is configured with.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The network the node has to be on.
    pub network: Network,
    /// The nodes, preferred one first; never empty.
    pub nodes: Vec<Node>,
    /// Time between polls, always (`ingest.poll_interval_s`); four times as often while no ZMQ
    /// socket is known to live.
    pub poll_interval: Duration,
    /// A template older than this is fetched again, whether the long poll has returned or not.
    pub template_max_age: Duration,
}

impl IngestSettings {
    /// The defaults: a poll a second, and no template older than half a minute.
    pub fn new(network: Network, nodes: Vec<Node>) -> Self {
        Self {
            network,
            nodes,
            poll_interval: Duration::from_secs(1),
            template_max_age: Duration::from_secs(30),
        }
    }
}

/// The actor.
#[derive(Debug)]
pub struct Ingest {
    settings: IngestSettings,
    board: Board,
    incarnation: Incarnation,
}

impl Ingest {
    /// A fresh incarnation. What its predecessor published stays in force until something newer is known.
    pub fn new(settings: IngestSettings, board: Board, incarnation: Incarnation) -> Self {
        Self {
            settings,
            board,
            incarnation,
        }
    }
}

impl Actor for Ingest {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        let link = Rc::new(Link::new(
            self.settings.clone(),
            self.board.clone(),
            self.incarnation.guard(),
        ));
        let meters = self.settings.nodes.iter().map(Node::meter).collect();
        self.board.meters.publish(&self.incarnation.guard(), meters);
        let tasks = &self.incarnation;
        let settings = &self.settings;
        tasks.spawn_essential(
            "proposal",
            proposal::run(
                settings.network,
                settings.nodes.clone(),
                self.board.clone(),
                self.incarnation.guard(),
            ),
        );
        tasks.spawn_essential("tip", tip::run(Rc::clone(&link)));
        tasks.spawn_essential("template", template::run(Rc::clone(&link)));
        tasks.spawn_essential("long poll", long_poll::run(Rc::clone(&link)));
        if link.has_zmq() {
            tasks.spawn_essential("zmq", zmq::run(link));
        }
    }
}

impl Handler<Shutdown> for Ingest {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
