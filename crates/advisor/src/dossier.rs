//! What is known of an advisor, whoever asks it: one asker after another goes on with the same.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::breaker::{Breaker, BreakerState, Limits};
use crate::cache::Cache;
use crate::counts::Counts;
use crate::outcome::Outcome;
use crate::protocol::{Misreply, Reply, Request};

/// Questions that the availability is a share of.
const RECENT: usize = 20;
/// Questions whose late replies are known as such.
const REMEMBERED: usize = 64;

/// What is known of one advisor: what was counted, whether it is asked, and its answers that are still good. Clones are the
/// same, so that it outlives each who asks: who is started again neither asks an advisor that is to be left alone, nor
/// what was answered.
#[derive(Debug, Clone)]
pub struct Dossier {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug)]
struct Entries {
    breaker: Breaker,
    cache: Cache,
    counts: Counts,
    last: Option<Outcome>,
    last_good: Option<Instant>,
    response: Option<Duration>,
    /// Whether the latest questions were answered, oldest first.
    recent: VecDeque<bool>,
    /// The latest questions, by their names: a reply to one of them that comes too late is told apart from one to a
    /// question that was never asked.
    asked: VecDeque<String>,
}

/// How an advisor does.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Whether it is asked.
    pub breaker: BreakerState,
    /// How the last try ended; `None` before the first.
    pub last: Option<Outcome>,
    /// When it gave its last good reply.
    pub last_good: Option<Instant>,
    /// How long that took, from its being asked.
    pub response: Option<Duration>,
    /// Share of its latest 20 questions that it answered, 0 to 1; `None` before the first ended.
    pub availability: Option<f64>,
}

impl Dossier {
    /// Nothing is known but what was counted of it before. `breaker`: when it is not asked any more for a while, each try
    /// being a call. `cache`: how long a reply is good for the same question again; zero: not at all.
    pub fn new(breaker: Limits, cache: Duration, counts: Counts) -> Self {
        Self {
            entries: Arc::new(Mutex::new(Entries {
                breaker: Breaker::new(breaker),
                cache: Cache::new(cache),
                counts,
                last: None,
                last_good: None,
                response: None,
                recent: VecDeque::new(),
                asked: VecDeque::new(),
            })),
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.open().counts.clone()
    }

    /// How it does.
    pub fn health(&self) -> Health {
        let entries = self.open();
        let answered = entries.recent.iter().filter(|answered| **answered).count();
        let asked = entries.recent.len();
        Health {
            breaker: entries.breaker.state(),
            last: entries.last,
            last_good: entries.last_good,
            response: entries.response,
            availability: (asked > 0).then(|| answered as f64 / asked as f64),
        }
    }

    /// A question is put; the kept reply that answers it, if there is one.
    pub(crate) fn put(&self, request: &Request, now: Instant) -> Option<Reply> {
        let mut entries = self.open();
        entries.counts.questions += 1;
        let kept = entries.cache.get(request, now);
        if kept.is_some() {
            entries.counts.cache_hits += 1;
            entries.counts.answered += 1;
            return kept;
        }
        if entries.cache.serves(request) {
            entries.counts.cache_misses += 1;
        }
        if entries.asked.len() == REMEMBERED {
            entries.asked.pop_front();
        }
        entries.asked.push_back(request.id.clone());
        None
    }

    /// Whether it may be asked `now`.
    ///
    /// # Errors
    /// It failed too often, and is left alone until then.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Instant> {
        self.open().breaker.admit(now)
    }

    /// A question was not put, since the advisor is left alone.
    pub(crate) fn left_alone(&self) {
        self.open().counts.tried(Outcome::BreakerOpen);
    }

    /// A try brought a reply; it was asked then.
    pub(crate) fn replied(&self, request: &Request, reply: &Reply, asked: Instant, now: Instant) {
        let mut entries = self.open();
        entries.counts.tried(Outcome::Ok);
        entries.breaker.succeeded(now);
        entries.cache.put(request, reply, now);
        entries.last = Some(Outcome::Ok);
        entries.last_good = Some(now);
        entries.response = Some(now - asked);
    }

    /// A try failed; `draw` is a number from 0 to 1, by chance.
    pub(crate) fn failed(&self, outcome: Outcome, now: Instant, draw: f64) {
        let mut entries = self.open();
        entries.counts.tried(outcome);
        entries.breaker.failed(now, draw);
        entries.last = Some(outcome);
    }

    /// A question that was put has ended.
    pub(crate) fn ended(&self, answered: bool) {
        let mut entries = self.open();
        if answered {
            entries.counts.answered += 1;
        } else {
            entries.counts.unanswered += 1;
        }
        if entries.recent.len() == RECENT {
            entries.recent.pop_front();
        }
        entries.recent.push_back(answered);
    }

    /// Counts what came in place of an answer, if it is the reply to another question.
    pub(crate) fn strayed(&self, misreply: &Misreply) {
        let mut entries = self.open();
        match misreply {
            Misreply::WrongId(id) if entries.asked.contains(id) => entries.counts.late += 1,
            Misreply::WrongId(_) => entries.counts.foreign += 1,
            _ => {}
        }
    }

    /// A command was started for many questions.
    pub(crate) fn session_began(&self) {
        self.open().counts.sessions += 1;
    }

    /// Such a command ended by itself, or had to be ended.
    pub(crate) fn session_lost(&self) {
        self.open().counts.sessions_lost += 1;
    }

    /// Nothing under this lock can panic half-way.
    fn open(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
