//! stale: an alarm while hashing threads work on a block that is not the node's best one any more.
//!
//! ```text
//!  board.tip_seen, tip_provisional ─┐
//!  what each hashing thread scans ──┴─> StaleWatch ──> board.stale ──> status, health, monitor
//! ```
//!
//! | file | what it decides |
//! |---|---|
//! | `watch` | which work is stale, since when, and what is said of it |
//!
//! It asks nobody: neither a miner that hangs nor a validator that is stuck keeps it from being seen.

mod watch;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};
use supervise::{BoxError, GenerationGuard};
use tokio::time::{MissedTickBehavior, interval};

use crate::board::Board;
use crate::messages::{NodeState, TipSeen, TipVerdict, TipWeight};
use crate::publish::Publish as _;
pub use watch::{Finding, LASTS, STALE_AFTER, Scene, StaleWatch};

/// How often is looked.
const PERIOD: Duration = Duration::from_millis(250);
/// A node so far behind its headers is syncing; less is the next block on its way in.
const CONNECTING: u32 = 2;

/// Hashing that can earn nothing any more: its block would be stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleWork {
    /// Since when the block that is worked on is not the node's best one.
    pub since: Instant,
    /// The node's best block.
    pub best: BlockHash,
    /// Why it is not the one that is worked on.
    pub cause: StaleCause,
    /// The threads that work on another one.
    pub threads: Vec<usize>,
}

/// How far the node's best block has come on its way to the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleCause {
    /// Another node has it, and is not the one in use.
    OtherNode,
    /// Its headers are not verified yet.
    Unverified,
    /// It is verified, and the miner has made no job on it.
    NoJob,
    /// There is a job on it, and these threads have not taken it up.
    NotTakenUp,
}

impl StaleCause {
    fn of(best: BlockHash, scene: &Scene) -> Self {
        if scene.job == Some(best) {
            Self::NotTakenUp
        } else if scene.heavier.is_some() {
            Self::OtherNode
        } else if scene.verified == Some(best) {
            Self::NoJob
        } else {
            Self::Unverified
        }
    }
}

impl fmt::Display for StaleCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherNode => {
                "another node has it, with more verified work, and is not in use yet: `status` says under nodes \
                 what speaks against each"
            }
            Self::Unverified => {
                "it is not verified yet: is the node or this machine overloaded? `health-check` says under \
                 validator how far it is"
            }
            Self::NoJob => {
                "it is verified, and there is no job on it yet: `health-check` says under miner why; restart the \
                 program if this lasts"
            }
            Self::NotTakenUp => {
                "there is a job on it that they do not take up: their kernel does not return, or they get no \
                 CPU time; restart the program if this lasts, and try another mining.kernel"
            }
        })
    }
}

impl StaleWork {
    /// For how long the work has been stale.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Who, what, for how long, why, and what to do.
    pub fn in_words(&self, now: Instant) -> String {
        let who: Vec<String> = self.threads.iter().map(|n| format!("hash-{n}")).collect();
        format!(
            "{} on a block that {:.1} s ago stopped being the node's best one, {}; {}",
            who.join(", "),
            self.age(now).as_secs_f64(),
            self.best,
            self.cause
        )
    }
}

/// Looks for stale work. It outlives the child that looks, so that a restart forgets nothing.
#[derive(Debug, Default)]
pub struct Lookout {
    watch: Mutex<StaleWatch>,
}

impl Lookout {
    /// Looks a few times a second, for ever: counts, logs and publishes what there is.
    pub(crate) async fn run(&self, board: &Board, guard: &GenerationGuard) -> Result<(), BoxError> {
        let mut tips = board.tip_seen.subscribe();
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = tips.changed() => {
                    changed?;
                    let best = tips.borrow_and_update().as_ref().map(|tip| (tip.hash, tip.seen_at));
                    if let Some((best, at)) = best {
                        self.with(|watch| watch.note_best(best, at));
                    }
                }
                _ = period.tick() => self.look(board, guard),
            }
        }
    }

    fn look(&self, board: &Board, guard: &GenerationGuard) {
        let now = Instant::now();
        let scene = scene(board, now);
        let Finding { stale, begun, note } = self.with(|watch| watch.look(&scene, now));
        let published = board.stale.publish_with(guard, |known| {
            let differs = *known != stale;
            *known = stale;
            differs
        });
        if !published {
            return;
        }
        if begun {
            board.registry.stale_alarms.increment();
        }
        if let Some(note) = note {
            note.log();
        }
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut StaleWatch) -> T) -> T {
        use_it(&mut self.watch.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the board shows.
fn scene(board: &Board, now: Instant) -> Scene {
    // Each cell is let go of before the next is looked at: no two are ever held together.
    let node = board.node_state.borrow().clone();
    let best = board
        .tip_seen
        .borrow()
        .as_ref()
        .map(|tip| (tip.hash, tip.seen_at));
    let weights = board.tip_weights.borrow().clone();
    let apart = board.tips_apart.borrow().clone();
    let ahead = board
        .tip_provisional
        .borrow()
        .as_ref()
        .filter(|provisional| now < provisional.until)
        .map(|provisional| provisional.tip.hash);
    let verified = board.tip_validated.borrow().as_ref().map(|tip| tip.hash);
    let mining = board.mining.borrow().clone();
    Scene {
        best,
        heavier: best.and_then(|(used, _)| heavier(&weights, &apart, used)),
        ahead,
        verified,
        // Published as text, for people; what is no hash is no job.
        job: mining.job.and_then(|job| job.prev.parse().ok()),
        catching_up: is_catching_up(&node),
        threads: board
            .registry
            .threads
            .iter()
            .take(mining.threads)
            .map(crate::stats::ThreadCounter::parent)
            .collect(),
    }
}

/// The tip of another node that has more verified work than the one in use, and when news of it came.
fn heavier(
    weights: &[TipWeight],
    apart: &[TipSeen],
    used: BlockHash,
) -> Option<(BlockHash, Instant)> {
    let work = |tip: &TipWeight| match tip.verdict {
        TipVerdict::Verified { work, .. } => Some(work),
        TipVerdict::Refused(_) => None,
    };
    let known = weights.iter().find(|tip| tip.hash == used).and_then(work)?;
    let most = weights.iter().max_by_key(|tip| work(tip))?;
    let seen = apart.iter().find(|seen| seen.hash == most.hash)?;
    (work(most) > Some(known)).then_some((seen.hash, seen.seen_at))
}

fn is_catching_up(node: &NodeState) -> bool {
    matches!(
        node,
        NodeState::Syncing { blocks, headers, .. } if headers.saturating_sub(*blocks) > CONNECTING
    )
}
