//! stats: owns the counters, turns them into rates, and keeps `status.json` and `statistics.json` true.
//!
//! Messages in: [`Shutdown`]. Out, once a second: [`Rates`] on the board, the status document on disk; every
//! ten seconds and at the end, what all runs together did.

mod calls;
mod file;
mod nodes;
mod publishers;
mod registry;
mod sample;
mod scribe;
mod status;
mod totals;
mod usage;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix::fut::wrap_future;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler};
use supervise::{Incarnation, Shutdown};
use tracing::{error, info};

pub use calls::{CallRow, NodeCalls};
pub use file::{replace_file, set_aside};
pub use nodes::{NodeRow, NodeTip};
pub use publishers::{PublisherRow, TopicRow};
pub use registry::{Counter, Misdeed, ParentMark, Registry, ThreadCounter};
pub use sample::{Rates, Reading};
pub use scribe::Scribe;
pub use status::{
    BlocksStatus, ChildView, HealthStatus, Identity, IngestStatus, MiningStatus, NodeStatus,
    ProvisionalStatus, RatesStatus, Status, TipStatus, WorkerStatus, lifetime,
};
pub use totals::{Damage, Opened, Totals};
pub use usage::Usage;

use crate::board::Board;
use crate::publish::Publish as _;
use crate::resources::Degradation;

/// How often the counters are read.
const PERIOD: Duration = Duration::from_secs(1);
/// The rates cover this many periods: the interval of the monitor's line.
const WINDOW: usize = 3;
/// What all runs did is saved every so many periods.
const SAVE_EVERY: u32 = 10;
/// A stop waits at most this long for the last write. Shorter than the child's shutdown deadline.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// What stats is configured with.
#[derive(Debug, Clone)]
pub struct StatsSettings {
    /// What never changes in a run.
    pub identity: Identity,
    /// The files it keeps.
    pub files: Arc<StatsFiles>,
}

/// The files that stats keeps. They belong to whoever builds the tree: a disk that stalls holds up neither
/// the actor nor its successor.
#[derive(Debug)]
pub struct StatsFiles {
    /// The status document.
    pub status: Scribe,
    /// What all runs together did; none where a file that cannot be used is in its place.
    pub totals: Option<Scribe>,
}

/// The actor.
#[derive(Debug)]
pub struct Stats {
    settings: StatsSettings,
    board: Board,
    incarnation: Incarnation,
    readings: VecDeque<Reading>,
    /// Periods until the next save.
    save_in: u32,
}

impl Stats {
    /// A fresh incarnation; the counts themselves are on the board.
    pub fn new(settings: StatsSettings, board: Board, incarnation: Incarnation) -> Self {
        Self {
            settings,
            board,
            incarnation,
            readings: VecDeque::with_capacity(WINDOW + 1),
            save_in: 0,
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let reading = Reading::of(&self.board.registry, now, Usage::of_this_process());
        self.readings.push_back(reading);
        if self.readings.len() > WINDOW + 1 {
            self.readings.pop_front();
        }
        let rates = self
            .readings
            .front()
            .map(|first| Rates::between(first, &reading))
            .unwrap_or_default();
        self.board.rates.publish(&self.incarnation.guard(), rates);
        self.write_status(&rates, now);
        self.write_totals(now);
    }

    /// Where resources are scarce this is the first thing given up.
    fn write_status(&self, rates: &Rates, now: Instant) {
        if *self.board.degradation.borrow() >= Degradation::Trimmed {
            return;
        }
        let status = Status::of(&self.settings.identity, &self.board, rates);
        match serde_json::to_vec(&status) {
            Ok(text) => {
                let guard = self.incarnation.guard();
                self.settings.files.status.write(guard, text, now);
            }
            Err(fault) => error!("the status document cannot be made: {fault}"),
        }
    }

    /// Saved however scarce resources are: it is small, and there is no other copy.
    fn write_totals(&mut self, now: Instant) {
        if self.save_in > 0 {
            self.save_in -= 1;
            return;
        }
        self.save_in = SAVE_EVERY - 1;
        let lifetime = lifetime(&self.board, SystemTime::now());
        if let (Some(file), Some(totals)) = (&self.settings.files.totals, lifetime) {
            file.write(self.incarnation.guard(), totals.document(false), now);
        }
    }
}

/// The last write: what all runs did, this one to its end.
async fn save(files: Arc<StatsFiles>, board: Board, guard: supervise::GenerationGuard) {
    let (Some(file), Some(totals)) = (&files.totals, lifetime(&board, SystemTime::now())) else {
        return;
    };
    let path = file.path().display();
    match file.finish(guard, totals.document(true), STOP_GRACE).await {
        Ok(()) => info!(
            "saved {path}: {} runs, {:.0} s, {} hashes, {} verifications, blocks {} found, {} accepted, \
             {} rejected, {} stale",
            totals.runs,
            totals.uptime_s,
            totals.hashes,
            totals.verifications_passed + totals.verifications_failed,
            totals.blocks.found,
            totals.blocks.accepted,
            totals.blocks.rejected,
            totals.blocks.stale,
        ),
        Err(reason) => error!(
            "the statistics of this run are not saved: {reason}; found blocks are counted from the \
             journal at the next start"
        ),
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
        // No tick may follow the last write.
        self.save_in = u32::MAX;
        let last = save(
            Arc::clone(&self.settings.files),
            self.board.clone(),
            self.incarnation.guard(),
        );
        ctx.spawn(wrap_future::<_, Self>(last).map(|(), _, ctx| ctx.stop()));
    }
}

#[cfg(test)]
mod tests;
