//! monitor: a line every three seconds for whoever watches.
//!
//! Messages in: [`Shutdown`]. Out: the line, into the log and into the [`LogBook`], where the terminal
//! finds it. The actor itself knows nothing that matters: totals, the line and whether anybody is shown
//! anything are in the book, which outlives it. It never writes to a terminal, which could block.

mod book;
mod line;

use std::time::{Duration, Instant};

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler};
use supervise::Shutdown;
use tracing::info;

pub use book::{Gravity, LogBook, LogStatus, LoggedMessage, Silence, SourceCount};
pub use line::{Line, Part, Tone, age, hashrate};

use crate::board::Board;
use crate::stats::{Identity, Status};

/// The target under which the line is logged. Where a terminal shows the line in place, it is not
/// printed a second time.
pub const LINE_TARGET: &str = "signalcore::line";

/// Time between two lines in the log.
const PERIOD: Duration = Duration::from_secs(3);
/// Time between two looks for the line on a terminal.
const LOOK: Duration = Duration::from_secs(1);

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

    fn line(&self) -> Line {
        let rates = *self.board.rates.borrow();
        Line::of(&Status::of(&self.identity, &self.board, &rates))
    }

    fn look(&self) {
        self.board.log.show(self.line(), Instant::now());
    }

    fn say(&self) {
        self.board.log.said();
        info!(target: LINE_TARGET, "{}", self.line());
    }
}

impl Actor for Monitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look();
        ctx.run_interval(LOOK, |monitor, _| monitor.look());
        ctx.run_interval(PERIOD, |monitor, _| monitor.say());
    }
}

impl Handler<Shutdown> for Monitor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        self.board.log.take_down();
        ctx.stop();
    }
}
