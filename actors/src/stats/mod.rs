//! stats: owns the counters, turns them into rates, and keeps `status.json` true.
//!
//! Messages in: [`Shutdown`]. Out, once a second: [`Rates`] on the board, the status document on disk.

mod file;
mod registry;
mod sample;
mod status;
mod usage;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler};
use supervise::{BoxError, Incarnation, Shutdown};
use tracing::warn;

pub use file::replace_file;
pub use registry::{Counter, Registry, ThreadCounter};
pub use sample::{Rates, Reading};
pub use status::{
    AdvisorStatus, BlocksStatus, ChildView, Identity, IngestStatus, MiningStatus, NodeStatus,
    RatesStatus, Status, TipStatus,
};
pub use usage::Usage;

use crate::board::Board;
use crate::resources::Degradation;

/// How often the counters are read.
const PERIOD: Duration = Duration::from_secs(1);
/// The rates cover this many periods: the interval of the monitor's line.
const WINDOW: usize = 3;

/// What stats is configured with.
#[derive(Debug, Clone)]
pub struct StatsSettings {
    /// What never changes in a run.
    pub identity: Identity,
    /// Where the status document is kept.
    pub status_file: PathBuf,
}

/// The actor.
#[derive(Debug)]
pub struct Stats {
    settings: StatsSettings,
    board: Board,
    incarnation: Incarnation,
    readings: VecDeque<Reading>,
    writing: Option<supervise::TaskHandle>,
}

impl Stats {
    /// A fresh incarnation; the counts themselves are on the board.
    pub fn new(settings: StatsSettings, board: Board, incarnation: Incarnation) -> Self {
        Self {
            settings,
            board,
            incarnation,
            readings: VecDeque::with_capacity(WINDOW + 1),
            writing: None,
        }
    }

    fn tick(&mut self) {
        let reading = Reading::of(
            &self.board.registry,
            Instant::now(),
            Usage::of_this_process(),
        );
        self.readings.push_back(reading);
        if self.readings.len() > WINDOW + 1 {
            self.readings.pop_front();
        }
        let rates = self
            .readings
            .front()
            .map(|first| Rates::between(first, &reading))
            .unwrap_or_default();
        self.board.rates.send_replace(rates);
        self.write(&rates);
    }

    /// Writes the status document on a thread that may block. A write that is still under way is not
    /// overtaken: the next second brings newer figures anyway. Where resources are scarce it is the first
    /// thing given up.
    fn write(&mut self, rates: &Rates) {
        if *self.board.degradation.borrow() >= Degradation::Trimmed {
            return;
        }
        if self
            .writing
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let status = Status::of(&self.settings.identity, &self.board, rates);
        let path = self.settings.status_file.clone();
        let guard = self.incarnation.guard();
        self.writing = Some(self.incarnation.spawn("status file", async move {
            let written = tokio::task::spawn_blocking(move || {
                let text = serde_json::to_vec(&status)?;
                guard.check()?;
                replace_file(&path, &text)?;
                Ok::<(), BoxError>(())
            });
            if let Err(error) = written.await? {
                warn!("cannot write the status document: {error}");
            }
            Ok(())
        }));
    }
}

impl Actor for Stats {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.tick();
        ctx.run_interval(PERIOD, |stats, _| stats.tick());
    }
}

impl Handler<Shutdown> for Stats {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
