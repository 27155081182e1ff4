//! ingest: sees a new tip first, fetches its template, and knows how the nodes are doing.
//!
//! In: ZMQ notifications and polls of every node, `getblocktemplate` and its long polls of the node in use; what
//! the validator makes of tips that differ; requests for a look or a template on the [`Board`]; [`Shutdown`].
//! Out, on the board: [`NodeState`](crate::messages::NodeState), [`NodeView`](crate::messages::NodeView)s,
//! [`TipSeen`](crate::messages::TipSeen), [`TemplateSeen`](crate::messages::TemplateSeen).
//!
//! Five tasks share one link to each node: `tip` reads the tip at every poll and whenever something
//! announced another one, `zmq` and `long poll` announce, `template` fetches what the long poll
//! does not bring in time, `peers` asks now and then how many there are. What the links find out comes together
//! in the hub, which chooses the node in use and publishes what that one says.

mod choice;
mod gate;
mod hub;
mod link;
mod long_poll;
mod pacing;
mod peers;
mod proposal;
mod silence;
mod state;
mod template;
mod tip;
mod tips;
mod vitals;
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
use hub::Hub;
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
    /// How long a preferred node that had failed must be as it should be before it is used again; longer each time
    /// that it fails soon after.
    pub steady: Duration,
}

impl IngestSettings {
    /// The defaults: a poll a second, no template older than half a minute, and half a minute to prove steady.
    pub fn new(network: Network, nodes: Vec<Node>) -> Self {
        Self {
            network,
            nodes,
            poll_interval: Duration::from_secs(1),
            template_max_age: Duration::from_secs(30),
            steady: Duration::from_secs(30),
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
        let settings = Rc::new(self.settings.clone());
        let hub = Rc::new(Hub::new(
            &settings,
            self.board.clone(),
            self.incarnation.guard(),
        ));
        let meters = self.settings.nodes.iter().map(Node::meter).collect();
        self.board.meters.publish(&self.incarnation.guard(), meters);
        let tasks = &self.incarnation;
        tasks.spawn_essential(
            "proposal",
            proposal::run(
                settings.network,
                settings.nodes.clone(),
                self.board.clone(),
                self.incarnation.guard(),
            ),
        );
        let mut links = Vec::new();
        for index in 0..settings.nodes.len() {
            let (settings, hub) = (Rc::clone(&settings), Rc::clone(&hub));
            let link = Rc::new(Link::new(settings, index, hub, self.incarnation.guard()));
            tasks.spawn_essential("tip", tip::run(Rc::clone(&link)));
            tasks.spawn_essential("template", template::run(Rc::clone(&link)));
            tasks.spawn_essential("long poll", long_poll::run(Rc::clone(&link)));
            tasks.spawn_essential("peers", peers::run(Rc::clone(&link)));
            if link.has_zmq() {
                tasks.spawn_essential("zmq", zmq::run(Rc::clone(&link)));
            }
            links.push(link);
        }
        tasks.spawn_essential("look", hub::look(Rc::clone(&hub), links));
        tasks.spawn_essential("choose", hub::choose(hub));
    }
}

impl Handler<Shutdown> for Ingest {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
