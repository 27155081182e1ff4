//! The advisor: asks another program before power is committed, and puts what it says on the board.
//!
//! ```text
//!  board.tip_validated ─┐
//!  board.template ──────┤          ask            one try after the other
//!  board.samples ───────┼─> Agenda ───> Consultant ────────────────────> a command in its jail
//!  board.decision ──────┤                   │
//!  board.settled ───────┘                   └─> board.counsel ──> miner
//!          └──> Hindsight (track record) ─────> board.advisor ──> status, health, monitor, miner
//! ```
//!
//! | file | what it decides |
//! |---|---|
//! | `agenda` | what is asked, and when |
//! | `brief` | what the command is told |
//! | `talk` | what becomes of an answer, and of none |
//! | `hindsight` | which facts its advice is judged by |
//! | `desk` | what outlives the actor: the jail, what is known of the advisor, the track record |
//! | `view`, `words` | what is shown of it |
//!
//! Messages in: [`Shutdown`]. How a command is asked, tried again and kept in its place is the business of the crate
//! `advisor`. Nothing here waits for it but its own task. In persistent mode the end of the command is the end of this
//! incarnation: whoever supervises it starts another, as often as its intensity allows, and then leaves it out.

mod agenda;
mod brief;
mod desk;
mod hindsight;
mod settings;
mod talk;
#[cfg(test)]
mod tests;
mod view;
mod words;

use std::sync::Arc;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler};
use advisor::dossier::Dossier;
use chain::Network;
use supervise::{Incarnation, Shutdown};
use tokio::sync::oneshot;

pub use desk::Desk;
pub use settings::{AdvisorSettings, Mode};
pub use view::{
    AdviceStatus, AdvisorStatus, AdvisorView, CacheStatus, DecisionStatus, LastAdvice,
    SessionsStatus, Standing, StderrStatus,
};

use crate::board::Board;
use talk::Talk;

/// The actor. See the [module](self).
#[derive(Debug)]
pub struct Advisor {
    incarnation: Incarnation,
    talk: Option<Talk>,
    /// Ends the talk, and says when nothing of it is left.
    end: Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>,
}

impl Advisor {
    /// An advisor for one incarnation. `dossier`: what the ones before it found out, in which it goes on.
    pub fn new(
        settings: AdvisorSettings,
        network: Network,
        desk: Arc<Desk>,
        dossier: Dossier,
        board: Board,
        incarnation: Incarnation,
    ) -> Self {
        let talk = Talk::new(settings, network, desk, dossier, board, incarnation.guard());
        Self {
            incarnation,
            talk: Some(talk),
            end: None,
        }
    }
}

impl Actor for Advisor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let Some(talk) = self.talk.take() else { return };
        let (stop, asked) = oneshot::channel();
        let (ended, is_over) = oneshot::channel();
        self.end = Some((stop, is_over));
        self.incarnation.spawn("advisor talk", async move {
            talk.run(asked).await?;
            // Nobody waits for it where the actor was dropped.
            let _ = ended.send(());
            Ok(())
        });
    }
}

impl Handler<Shutdown> for Advisor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        let Some((stop, is_over)) = self.end.take() else {
            ctx.stop();
            return;
        };
        drop(stop);
        // An error is an end as well.
        ctx.wait(wrap_future::<_, Self>(is_over).map(|_, _, ctx| ctx.stop()));
    }
}

/// Takes note that nobody asks the advisor any more: it failed too often. Said once.
pub fn leave_out(board: &Board, why: &str) {
    let left_out = Standing::LeftOut(why.to_owned());
    let is_news = board.advisor.send_if_modified(|view| {
        let is_news = view.standing == Standing::Asked;
        if is_news {
            view.standing = left_out;
            view.asking = None;
        }
        is_news
    });
    if is_news {
        tracing::error!(
            "the advisor is left out until the configuration is read again (SIGHUP) or the program is restarted, \
             and the mathematical policy decides: {why}"
        );
    }
}
