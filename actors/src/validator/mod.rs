//! validator: follows the node's tip with a window of headers that it has verified itself.
//!
//! In: [`TipSeen`](crate::messages::TipSeen) from ingest (the latest counts; a newer one interrupts
//! the work on an older), [`Shutdown`]. Out: [`TipValidated`](crate::messages::TipValidated), twice
//! for each tip: as soon as its header chain is verified, and again with the verdict on its block;
//! [`TipDoubt`](crate::messages::TipDoubt) while the headers of the node's tip do not pass;
//! [`TipWeight`](crate::messages::TipWeight)s of the tips that several nodes name, where they differ.
//!
//! Beside that, a block that a node published ([`BlockSeen`](crate::messages::BlockSeen)) and whose header passes
//! becomes a [`TipProvisional`](crate::messages::TipProvisional) at once, until the node's tip has been read and
//! verified, and for two seconds at most.
//!
//! The window belongs to the incarnation: a successor builds it anew from the node.

mod ahead;
mod bodies;
mod body;
mod follow;
mod headers;
mod hitch;
mod provisional;
mod reach;
mod weigh;

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix::{Actor, ActorContext as _, Context, Handler};
use chain::Network;
use node::Node;
use supervise::{Incarnation, Shutdown};

use crate::board::Board;
use ahead::MineAhead;
use follow::Follower;
use headers::SharedWindow;
use weigh::Weigher;

/// The wall clock that the two-hour rule is checked against, in Unix seconds.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> u32 + Send + Sync>);

impl WallClock {
    /// A clock of the caller's own.
    pub fn new(read: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What it says now.
    pub fn now(&self) -> u32 {
        (self.0)()
    }
}

impl Default for WallClock {
    /// The system's clock; 0 before 1970.
    fn default() -> Self {
        Self::new(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
        })
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallClock({})", self.now())
    }
}

/// What the validator is configured with.
#[derive(Debug, Clone)]
pub struct ValidatorSettings {
    /// Whose rules.
    pub network: Network,
    /// Headers behind the tip to keep verified (`validate.level`); at least 1.
    pub level: u32,
    /// The least coverage of an AUTHENTIC verdict, 0 to 1 (`validate.coverage_min`).
    pub coverage_min: f64,
    /// The nodes, preferred one first; never empty. A tip is verified with the node that named it.
    pub nodes: Vec<Node>,
    /// What the two-hour rule is checked against.
    pub clock: WallClock,
}

/// The actor.
#[derive(Debug)]
pub struct Validator {
    settings: ValidatorSettings,
    board: Board,
    incarnation: Incarnation,
}

impl Validator {
    /// A fresh incarnation, with no window yet.
    pub fn new(settings: ValidatorSettings, board: Board, incarnation: Incarnation) -> Self {
        Self {
            settings,
            board,
            incarnation,
        }
    }
}

impl Actor for Validator {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        let window = SharedWindow::default();
        let follower = Follower::new(
            self.settings.clone(),
            self.board.clone(),
            self.incarnation.clone(),
            SharedWindow::clone(&window),
        );
        if self.settings.nodes.len() > 1 {
            let weigher = Weigher::new(
                self.settings.clone(),
                self.board.clone(),
                self.incarnation.clone(),
                SharedWindow::clone(&window),
            );
            self.incarnation
                .spawn_essential("weigh tips", weigher.run());
        }
        let mine_ahead = MineAhead {
            board: self.board.clone(),
            guard: self.incarnation.guard(),
            window,
            clock: self.settings.clock.clone(),
        };
        self.incarnation
            .spawn_essential("follow the tip", follower.run());
        self.incarnation
            .spawn_essential("mine ahead", mine_ahead.run());
    }
}

impl Handler<Shutdown> for Validator {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
