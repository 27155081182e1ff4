//! Who looks: the one that asks the children, remembers, and answers in time whoever hangs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain::Network;
use supervise::{BoxError, GenerationGuard, Ping, SendError, Supervisor};

use super::look::{Answer, ChildLook, Look, Pinged, RollCall};
use super::memory::Memory;
use super::report::{Condition, HealthReport};
use super::{HealthThresholds, examine};
use crate::board::Board;
use crate::stale::Lookout;
use crate::submitter::journal::Journal;

/// A child that has not answered after this long hangs. Half of what a client waits.
const ROLL_CALL: Duration = Duration::from_secs(1);
/// An answer this young is given again: any number of clients cost one roll call.
const FRESH: Duration = Duration::from_millis(200);

/// What an [`Examiner`] looks at.
#[derive(Debug)]
pub struct Premises {
    /// Configured network.
    pub network: Network,
    /// When a component counts as unhealthy.
    pub thresholds: HealthThresholds,
    /// The cells between the children.
    pub board: Board,
    /// The tree.
    pub supervisor: Supervisor,
    /// The journal of found blocks.
    pub journal: Arc<Journal>,
    /// Why there is no HTTP server although one is configured.
    pub http_trouble: Option<String>,
}

/// How the whole is, as seen without asking anybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance {
    /// That of the worst component.
    pub status: Condition,
    /// The worst component and its message.
    pub message: String,
    /// Since when no verification has ended, passed or failed.
    pub no_result: Duration,
}

/// Examines one tree. It outlives the child that answers for it.
#[derive(Debug)]
pub struct Examiner {
    premises: Premises,
    started_at: Instant,
    memory: Mutex<Memory>,
    lookout: Lookout,
    /// The last report, and a place in the queue for the next.
    last: tokio::sync::Mutex<Option<(Instant, HealthReport)>>,
}

impl Examiner {
    /// An examiner that has seen nothing yet.
    pub fn new(premises: Premises) -> Self {
        Self {
            premises,
            started_at: Instant::now(),
            memory: Mutex::default(),
            lookout: Lookout::default(),
            last: tokio::sync::Mutex::default(),
        }
    }

    /// Calls the roll and examines every component: the answer is there after little more than a
    /// second, however many children hang.
    pub async fn report(&self) -> HealthReport {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < FRESH
        {
            return report.clone();
        }
        let roll_call = self.call_the_roll().await;
        let (report, _) = self.examine(Some(roll_call));
        *last = Some((Instant::now(), report.clone()));
        report
    }

    /// Looks without asking anybody, and remembers. For about every second.
    pub fn glance(&self) -> Glance {
        let (report, no_result) = self.examine(None);
        Glance {
            status: report.status,
            message: report.message,
            no_result,
        }
    }

    /// Looks for stale work a few times a second, in the name of an incarnation, until it is dropped.
    pub(crate) async fn look_out(&self, guard: GenerationGuard) -> Result<(), BoxError> {
        self.lookout.run(&self.premises.board, &guard).await
    }

    /// Whether the supervisor's own task answers and keeps the tree up.
    pub async fn is_live(&self) -> bool {
        self.premises.supervisor.is_live(ROLL_CALL).await
    }

    async fn call_the_roll(&self) -> RollCall {
        let supervisor = &self.premises.supervisor;
        let asked = Instant::now();
        let live = async {
            let live = supervisor.is_live(ROLL_CALL).await;
            live.then(|| asked.elapsed())
        };
        let (supervisor, pings) = tokio::join!(live, supervisor.ping_all(ROLL_CALL));
        RollCall {
            supervisor,
            pinged: pings.into_iter().map(Pinged::from).collect(),
        }
    }

    fn examine(&self, roll_call: Option<RollCall>) -> (HealthReport, Duration) {
        let Premises {
            network,
            thresholds,
            board,
            supervisor,
            journal,
            http_trouble,
        } = &self.premises;
        let mut look = Look::at(board, *network, self.started_at, Instant::now());
        look.children = supervisor.children().iter().map(ChildLook::from).collect();
        look.journal_trouble = journal.trouble();
        look.http_trouble.clone_from(http_trouble);
        look.roll_call = roll_call;
        // A panic in between leaves a memory that is a look behind, nothing worse.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.observe(&look);
        let report = examine(&look, &memory, *thresholds);
        (report, memory.no_verification(look.now))
    }
}

impl From<Ping> for Pinged {
    fn from(ping: Ping) -> Self {
        let answer = match ping.answer {
            Ok(latency) => Answer::Came(latency),
            Err(SendError::Deadline { after, .. }) => Answer::Missing(after),
            Err(_) => Answer::Down,
        };
        Self {
            child: ping.child,
            answer,
        }
    }
}
