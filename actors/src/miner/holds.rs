//! HOLDs: the one of the moment, and how much of the last 24 hours was spent holding.

mod ledger;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;
use supervise::GenerationGuard;

use super::decide::{Course, Decision, Guards, Holding};
use crate::messages::Decider;
use crate::stats::{Scribe, set_aside};
use ledger::{DAY, Ledger};

/// After hashing was held for as long as it may be in a row, it goes on for so long, or for as long as it may be held.
const REST: Duration = Duration::from_mins(1);
/// Two HOLDs with less between them are one.
const APART: Duration = Duration::from_secs(1);

/// Within which limits advice counts and hashing may be held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Advice with less confidence is ignored, 0 to 1.
    pub confidence_floor: f64,
    /// For how long hashing may be held in a row.
    pub hold_max: Duration,
    /// The share of any 24 hours that all HOLDs together may take, 0 to 1.
    pub hold_max_ratio: f64,
}

impl Default for Limits {
    /// 0.5; ten minutes; a fifth.
    fn default() -> Self {
        Self {
            confidence_floor: 0.5,
            hold_max: Duration::from_mins(10),
            hold_max_ratio: 0.2,
        }
    }
}

impl Limits {
    /// How long hashing may be held in any 24 hours.
    pub fn allowance(&self) -> Duration {
        DAY.mul_f64(self.hold_max_ratio.clamp(0.0, 1.0))
    }
}

/// Keeps a HOLD until its time has come, and the books.
#[derive(Debug)]
pub struct Holder {
    ledger: Ledger,
    current: Option<Hold>,
    /// From when to when hashing was held last, without a pause worth the name.
    row: Option<(Instant, Instant)>,
    /// Advice up to this number has had its HOLD or its RETRY.
    spent: u64,
    /// Rises with every change of the books.
    changes: u64,
}

/// A HOLD that is under way.
#[derive(Debug)]
struct Hold {
    holding: Holding,
    /// The tip that it is for; none: for any.
    tip: Option<BlockHash>,
}

impl Holder {
    /// Not holding, with empty books that begin `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            ledger: Ledger::new(now),
            current: None,
            row: None,
            spent: 0,
            changes: 0,
        }
    }

    /// What may be held now, on this tip. A HOLD whose time has come, or whose tip is gone, is over.
    pub fn guards(&mut self, now: Instant, tip: BlockHash, limits: &Limits) -> Guards {
        if let Some(hold) = &self.current
            && (hold.holding.until <= now || hold.tip.is_some_and(|of| of != tip))
        {
            self.end(now);
        }
        let in_a_row = match self.row {
            Some((from, to)) if now.saturating_duration_since(to) < APART => to.min(now) - from,
            _ => Duration::ZERO,
        };
        let rest = self.row.and_then(|(from, to)| {
            let was_long = self.current.is_none() && to - from + APART > limits.hold_max;
            let over = to + REST.min(limits.hold_max);
            let left = over.saturating_duration_since(now);
            (was_long && !left.is_zero()).then_some(left)
        });
        Guards {
            confidence_floor: limits.confidence_floor,
            hold_max: limits.hold_max.saturating_sub(in_a_row),
            hold_left: limits.allowance().saturating_sub(self.ledger.held(now)),
            rest,
            spent: self.spent,
            holding: self.current.as_ref().map(|hold| hold.holding.clone()),
            wait_until: None,
        }
    }

    /// Takes note of a decision that was made within [`guards`](Self::guards) of the same moment.
    pub fn note(&mut self, now: Instant, tip: BlockHash, decision: &Decision) {
        let goes_on = self.current.is_some() && decision.counsel.is_none();
        match decision.course {
            Course::Hold(_) if goes_on => return,
            Course::Hold(length) => {
                self.end(now);
                self.begin(now, length, tip, decision);
            }
            Course::Proceed | Course::Retry(_) if !goes_on => self.end(now),
            // The time of a HOLD runs on while there is nothing to hash anyway.
            _ => return,
        }
        if let Some(number) = decision.counsel
            && !matches!(decision.course, Course::Proceed)
        {
            self.spent = self.spent.max(number);
        }
    }

    fn begin(&mut self, now: Instant, length: Duration, tip: BlockHash, decision: &Decision) {
        let until = now + length;
        let from = match self.row {
            Some((from, to)) if now.saturating_duration_since(to) < APART => from,
            _ => now,
        };
        self.row = Some((from, until));
        self.ledger.book(now, until);
        self.changes += 1;
        self.current = Some(Hold {
            holding: Holding {
                until,
                by: decision.by,
                reason: decision.reason.clone(),
            },
            // What an advisor said of one tip says nothing of another.
            tip: (decision.by == Decider::Advisor).then_some(tip),
        });
    }

    /// Ends the HOLD that is under way, if any, `now` or when its time had come.
    fn end(&mut self, now: Instant) {
        let Some(hold) = self.current.take() else {
            return;
        };
        if now < hold.holding.until {
            self.ledger.cut(now);
            self.changes += 1;
            self.row = self.row.map(|(from, _)| (from, now));
        }
    }
}

/// The holder, shared by every life of the miner, and the file that keeps its books for the next run.
#[derive(Debug, Clone)]
pub struct Holds {
    holder: Arc<Mutex<Holder>>,
    file: Option<Arc<Keeper>>,
}

#[derive(Debug)]
struct Keeper {
    file: Scribe,
    /// The changes that are in the file, or on their way.
    kept: AtomicU64,
}

impl Holds {
    /// Nothing was held so far, and nothing is kept.
    pub fn new(now: Instant) -> Self {
        Self {
            holder: Arc::new(Mutex::new(Holder::new(now))),
            file: None,
        }
    }

    /// Goes on with what an earlier run kept in `path`, and keeps it there. `now` and `wall` are the same moment by two
    /// clocks. A file that cannot be used is said and set aside.
    ///
    /// # Errors
    /// The system gives no thread to write with.
    pub fn open(path: &Path, now: Instant, wall: SystemTime) -> io::Result<Self> {
        let ledger = match fs::read(path) {
            Ok(document) => Ledger::resume(&document, now, wall).map_err(|why| why.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ledger::new(now)),
            Err(error) => Err(format!("it cannot be read: {error}")),
        };
        let ledger = ledger.unwrap_or_else(|why| {
            let fate = match set_aside(path, wall.into()) {
                Ok(aside) => format!("it is set aside as {}", aside.display()),
                Err(error) => format!("it could not be set aside ({error}) and will be replaced"),
            };
            tracing::warn!(
                "how long hashing was held, {}, cannot be used: {why}; {fate}, and the share of 24 hours begins anew",
                path.display()
            );
            Ledger::new(now)
        });
        let holder = Holder {
            ledger,
            ..Holder::new(now)
        };
        Ok(Self {
            holder: Arc::new(Mutex::new(holder)),
            file: Some(Arc::new(Keeper {
                file: Scribe::start(path.to_owned())?,
                kept: AtomicU64::new(0),
            })),
        })
    }

    /// Has the books written where they have changed, or could not be written. Never blocks; while the last write is under
    /// way, the next call does it. A HOLD that is under way is in them with all of its time, so that a crash gives nothing back.
    pub(super) fn keep(&self, guard: GenerationGuard, now: Instant) {
        let Some(Keeper { file, kept }) = self.file.as_deref() else {
            return;
        };
        let holder = self.lock();
        let changes = holder.changes;
        if kept.load(Ordering::Relaxed) == changes && !file.has_failed(now) {
            return;
        }
        let document = holder.ledger.document(now, SystemTime::now());
        if file.write(guard, document, now) {
            kept.store(changes, Ordering::Relaxed);
        }
    }

    /// For how long hashing was held in the 24 hours before `now`.
    pub fn held(&self, now: Instant) -> Duration {
        self.lock().ledger.held(now)
    }

    /// The holder itself, for one decision.
    pub(super) fn lock(&self) -> MutexGuard<'_, Holder> {
        // Its values are right after every statement: whoever panicked left nothing half done.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
