//! resources: what the machine has left, and what is given up when it runs out.
//!
//! ```text
//!  threads that measure ── Samples ──> assess ── Assessment ──> board.alerts       ──> status, health, monitor
//!  (Sensors, outlive it)                                    └─> board.degradation  ──> miner, stats, api
//! ```
//!
//! Messages in: [`Shutdown`]. Out, every two seconds: alerts and the degradation on the board, and a line
//! in the log where something is news.
//!
//! | file | what it decides |
//! |---|---|
//! | `kinds` | which shortage leads to which step |
//! | `assess`, `gauge` | when a shortage begins and ends, and what is said |
//! | `machine`, `memory`, `samples` | what is measured, from which files |
//! | `sensors` | on which threads |
//! | `reserve` | which descriptors no client gets |

mod assess;
mod gauge;
mod kinds;
mod machine;
mod memory;
mod reserve;
mod samples;
mod sensors;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler};
use supervise::{Incarnation, Shutdown};

pub use assess::{Assessment, Assessor, FORGET, LEAVE_AFTER, Loudness, Note, REPEAT};
pub use kinds::{Alert, Degradation, Resource, ResourceLimits};
pub use machine::{Machine, Roots};
pub use reserve::{RESERVE, is_room_for_clients};
pub use samples::{Descriptors, Disk, DiskState, Memory, Samples, Temperature};
pub use sensors::{STALL, Sensors};

use crate::board::Board;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// Time from the first question to the first look: a healthy machine has answered.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// The actor.
#[derive(Debug)]
pub struct Resources {
    sensors: Arc<Sensors>,
    board: Board,
    incarnation: Incarnation,
}

impl Resources {
    /// A fresh incarnation; what was measured and assessed is with the sensors.
    pub fn new(sensors: Arc<Sensors>, board: Board, incarnation: Incarnation) -> Self {
        Self {
            sensors,
            board,
            incarnation,
        }
    }

    fn tick(&self) {
        let now = Instant::now();
        let samples = self.sensors.look(now);
        let mut assessor = self.sensors.assessor();
        if !self.incarnation.is_current() {
            return;
        }
        let assessment = assessor.assess(&samples, now);
        assessment.notes.iter().for_each(Note::log);
        publish(&self.board.samples, samples);
        // Alerts first: who is woken by the degradation finds the reason.
        publish(&self.board.alerts, assessment.alerts);
        publish(&self.board.degradation, assessment.degradation);
    }
}

fn publish<T: PartialEq>(cell: &tokio::sync::watch::Sender<T>, value: T) {
    cell.send_if_modified(|current| {
        let differs = *current != value;
        *current = value;
        differs
    });
}

impl Actor for Resources {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.sensors.look(Instant::now());
        ctx.run_later(FIRST_LOOK, |resources, _| resources.tick());
        ctx.run_interval(PERIOD, |resources, _| resources.tick());
    }
}

impl Handler<Shutdown> for Resources {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
