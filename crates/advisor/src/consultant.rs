//! Whoever asks an advisor: question in, answer out, whatever the advisor does.

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout_at};
use tracing::debug;

use crate::breaker::{Breaker, BreakerState, Limits};
use crate::cache::Cache;
use crate::conversation::{Asked, Conversation, Unheard};
use crate::counts::Counts;
use crate::jail::orders::Cell;
use crate::outcome::Outcome;
use crate::process::{Failure, Jail};
use crate::protocol::{Misreply, Misrequest, Reply, Request};
use crate::tries::{Patience, Tries};

/// Questions that the availability is a share of.
const RECENT: usize = 20;

/// How a command is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is started for each try, reads one line, and answers with one.
    OneShot,
    /// It is started once, and answers line by line. A blank one is an empty reply.
    Persistent,
}

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it runs in.
    pub jail: Jail,
    /// The command and its limits.
    pub cell: Cell,
    /// How it is asked.
    pub mode: Mode,
    /// How long it is waited for.
    pub patience: Patience,
    /// When it is not asked any more for a while; each try is a call.
    pub breaker: Limits,
    /// How long a reply is good for the same question again; zero: not at all.
    pub cache: Duration,
}

/// How a question ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The reply, which keeps every rule of the protocol; `None` if there is none.
    pub reply: Option<Reply>,
    /// Whether the reply is a kept one, to an earlier question about the same thing.
    pub cached: bool,
    /// The tries that failed, in order. Without a reply there is at least one, and the last says why there is none.
    pub failures: Vec<Failure>,
    /// From question to answer.
    pub took: Duration,
    /// In persistent mode: why the command, which was running, runs no longer. The next question starts it again.
    pub lost: Option<String>,
}

impl Answer {
    /// How it ended, in one word.
    pub fn outcome(&self) -> Outcome {
        match (&self.reply, self.failures.last()) {
            (None, Some(failure)) => failure.outcome,
            _ => Outcome::Ok,
        }
    }
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

/// Asks one advisor, a question at a time.
///
/// Any future of this can be dropped at any time: what was started for it is ended soon after
/// ([`Jail::settled`] waits for that), and in persistent mode the command lives on. Nothing here blocks the thread.
#[derive(Debug)]
pub struct Consultant {
    settings: Settings,
    rng: fastrand::Rng,
    breaker: Breaker,
    cache: Cache,
    counts: Counts,
    health: Health,
    /// Whether the latest questions were answered, oldest first.
    recent: VecDeque<bool>,
    asked: Asked,
    conversation: Option<Conversation>,
}

impl Consultant {
    /// Of this advisor, which is started when it is asked first. The counts go on from those of a predecessor.
    pub fn new(settings: Settings, counts: Counts, rng: fastrand::Rng) -> Self {
        Self {
            breaker: Breaker::new(settings.breaker),
            cache: Cache::new(settings.cache),
            settings,
            rng,
            counts,
            health: Health {
                breaker: BreakerState::Closed,
                last: None,
                last_good: None,
                response: None,
                availability: None,
            },
            recent: VecDeque::new(),
            asked: Asked::default(),
            conversation: None,
        }
    }

    /// What was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How it does.
    pub fn health(&self) -> Health {
        let answered = self.recent.iter().filter(|answered| **answered).count();
        let asked = self.recent.len();
        Health {
            breaker: self.breaker.state(),
            availability: (asked > 0).then(|| answered as f64 / asked as f64),
            ..self.health.clone()
        }
    }

    /// Asks. This takes at most [`Patience::overall`], and then as long as it takes to end what was started.
    ///
    /// # Errors
    /// The question breaks a rule of the protocol, and nobody was asked.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, Misrequest> {
        request.to_line()?;
        let began = now();
        self.counts.questions += 1;
        if self.cache.serves(request) {
            if let Some(reply) = self.cache.get(request, began) {
                self.counts.cache_hits += 1;
                self.counts.answered += 1;
                return Ok(Answer {
                    reply: Some(reply),
                    cached: true,
                    ..Answer::default()
                });
            }
            self.counts.cache_misses += 1;
        }
        self.asked.note(&request.id);
        let mut answer = Answer::default();
        let hung = |it: &Conversation| it.is_hung(began, self.settings.patience.overall);
        if self.conversation.as_ref().is_some_and(hung) {
            answer.lost = Some(self.lose("it has not written a line for too long"));
        }
        let mut tries = Tries::new(self.settings.patience, began);
        while answer.reply.is_none()
            && let Some(next) = tries.next(now(), self.rng.f64())
        {
            sleep_until(next.at.into()).await;
            if let Err(until) = self.breaker.admit(now()) {
                if answer.failures.is_empty() {
                    answer.failures.push(self.left_alone(until));
                }
                break;
            }
            let line = request.for_attempt(next.attempt).to_line()?;
            let tried = match self.settings.mode {
                Mode::OneShot => self.start_and_ask(&request.id, &line, next.until).await,
                Mode::Persistent => {
                    self.ask_running(&request.id, &line, next.until, &mut answer.lost)
                        .await
                }
            };
            match tried {
                Ok(reply) => {
                    self.succeeded(next.at);
                    self.cache.put(request, &reply, now());
                    answer.reply = Some(reply);
                }
                Err(failure) => {
                    debug!(attempt = next.attempt, outcome = ?failure.outcome, "no advice: {failure}");
                    self.failed(failure.outcome);
                    answer.failures.push(failure);
                }
            }
        }
        if answer.reply.is_none() && self.conversation.is_some() {
            answer.lost = Some(self.lose("it failed a question in every try"));
        }
        self.ended(answer.reply.is_some());
        answer.took = now() - began;
        Ok(answer)
    }

    /// Resolves, with the reason, when the command of persistent mode ends without having been asked; never while none
    /// runs, and never in one-shot mode. To be waited for between questions: what the command writes then is read here,
    /// and thrown away.
    pub async fn lost(&mut self) -> String {
        let Some(conversation) = &mut self.conversation else {
            return pending().await;
        };
        let failure = conversation.unasked(&self.asked, &mut self.counts).await;
        self.lose(&failure.detail)
    }

    /// Ends what runs, and resolves when nothing of it is left. The counts are for a successor.
    pub async fn close(self) -> Counts {
        if let Some(conversation) = self.conversation {
            conversation.end().await;
        }
        self.settings.jail.settled().await;
        self.counts
    }

    async fn start_and_ask(
        &mut self,
        id: &str,
        line: &str,
        until: Instant,
    ) -> Result<Reply, Failure> {
        let Settings { jail, cell, .. } = &self.settings;
        let limit = until.saturating_duration_since(now());
        let bytes = jail.ask_once(cell, line.as_bytes(), limit).await?;
        Reply::parse(&bytes, id).map_err(|misreply| {
            self.asked.count(&misreply, &mut self.counts);
            misreply.into()
        })
    }

    async fn ask_running(
        &mut self,
        id: &str,
        line: &str,
        until: Instant,
        lost: &mut Option<String>,
    ) -> Result<Reply, Failure> {
        let Settings { jail, cell, .. } = &self.settings;
        let conversation = match &mut self.conversation {
            Some(conversation) => conversation,
            none => {
                let conversation = Conversation::open(jail, cell)?;
                self.counts.sessions += 1;
                none.insert(conversation)
            }
        };
        let limit = until.saturating_duration_since(now());
        let heard = match conversation.send(line, now()) {
            Ok(()) => {
                let reply = conversation.reply(id, &self.asked, &mut self.counts);
                timeout_at(until.into(), reply).await
            }
            Err(failure) => Ok(Err(Unheard::Over(failure))),
        };
        match heard {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Unheard::Misreply(misreply))) => Err(misreply.into()),
            Ok(Err(Unheard::Over(failure))) => {
                *lost = Some(self.lose(&failure.detail));
                Err(failure)
            }
            Err(_) => Err(Failure {
                outcome: Outcome::Timeout,
                detail: format!("no whole reply within {:.1} s", limit.as_secs_f64()),
            }),
        }
    }

    /// It is not asked.
    fn left_alone(&mut self, until: Instant) -> Failure {
        self.counts.tried(Outcome::BreakerOpen);
        let seconds = until.saturating_duration_since(now()).as_secs_f64();
        Failure {
            outcome: Outcome::BreakerOpen,
            detail: format!("it failed too often, and is left alone for another {seconds:.1} s"),
        }
    }

    /// Ends the conversation; why, to be handed on.
    fn lose(&mut self, why: &str) -> String {
        self.conversation = None;
        self.counts.sessions_lost += 1;
        why.to_owned()
    }

    fn succeeded(&mut self, asked_at: Instant) {
        let now = now();
        self.counts.tried(Outcome::Ok);
        self.breaker.succeeded(now);
        self.health.last = Some(Outcome::Ok);
        self.health.last_good = Some(now);
        self.health.response = Some(now - asked_at);
    }

    fn failed(&mut self, outcome: Outcome) {
        self.counts.tried(outcome);
        self.breaker.failed(now(), self.rng.f64());
        self.health.last = Some(outcome);
    }

    fn ended(&mut self, answered: bool) {
        if answered {
            self.counts.answered += 1;
        } else {
            self.counts.unanswered += 1;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(answered);
    }
}

/// By the clock that the timers follow.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl From<Misreply> for Failure {
    fn from(misreply: Misreply) -> Self {
        Self {
            outcome: misreply.outcome(),
            detail: misreply.to_string(),
        }
    }
}
