//! monitor: a line every three seconds for whoever watches.
//!
//! Messages in: [`Shutdown`]. Out: the log.

mod line;

use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler};
use supervise::Shutdown;
use tracing::info;

pub use line::{hashrate, line};

use crate::board::Board;
use crate::stats::{Identity, Status};

/// Time between two lines.
const PERIOD: Duration = Duration::from_secs(3);

/// The actor.
#[derive(Debug)]
pub struct Monitor {
    identity: Identity,
    board: Board,
}

impl Monitor {
    /// A fresh incarnation.
    pub fn new(identity: Identity, board: Board) -> Self {
        Self { identity, board }
    }

    fn say(&self) {
        let rates = *self.board.rates.borrow();
        info!("{}", line(&Status::of(&self.identity, &self.board, &rates)));
    }
}

impl Actor for Monitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(PERIOD, |monitor, _| monitor.say());
    }
}

impl Handler<Shutdown> for Monitor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
