//! Whoever asks an advisor: question in, answer out, whatever the advisor does.

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout_at};
use tracing::debug;

use crate::conversation::{Conversation, Unheard};
use crate::dossier::Dossier;
use crate::jail::orders::Cell;
use crate::outcome::Outcome;
use crate::process::{Failure, Jail};
use crate::protocol::{Misreply, Misrequest, Reply, Request};
use crate::tries::{Patience, Tries};

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

/// Asks one advisor, a question at a time.
///
/// Any future of this can be dropped at any time: what was started for it is ended soon after
/// ([`Jail::settled`] waits for that), and in persistent mode the command lives on. Nothing here blocks the thread.
#[derive(Debug)]
pub struct Consultant {
    settings: Settings,
    dossier: Dossier,
    rng: fastrand::Rng,
    conversation: Option<Conversation>,
    /// Why a command ended by itself, or gave reason to end it, and nobody has heard of it yet.
    over: Option<String>,
}

impl Consultant {
    /// Of this advisor, which is started when it is asked first.
    pub fn new(settings: Settings, dossier: Dossier, rng: fastrand::Rng) -> Self {
        Self {
            settings,
            dossier,
            rng,
            conversation: None,
            over: None,
        }
    }

    /// Asks. This takes at most [`Patience::overall`], and then as long as it takes to end what was started.
    ///
    /// # Errors
    /// The question breaks a rule of the protocol, and nobody was asked.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, Misrequest> {
        request.to_line()?;
        let began = now();
        if let Some(reply) = self.dossier.put(request, began) {
            return Ok(Answer {
                reply: Some(reply),
                cached: true,
                ..Answer::default()
            });
        }
        let mut answer = Answer::default();
        let hung = |it: &Conversation| it.is_hung(began, self.settings.patience.overall);
        if self.conversation.as_ref().is_some_and(hung) {
            self.end_session();
        }
        let mut is_tried = false;
        let mut tries = Tries::new(self.settings.patience, began);
        while answer.reply.is_none()
            && let Some(next) = tries.next(now(), self.rng.f64())
        {
            sleep_until(next.at.into()).await;
            if let Err(until) = self.dossier.admit(now()) {
                if answer.failures.is_empty() {
                    answer.failures.push(self.left_alone(until));
                }
                break;
            }
            is_tried = true;
            let line = request.for_attempt(next.attempt).to_line()?;
            let tried = match self.settings.mode {
                Mode::OneShot => self.start_and_ask(&request.id, &line, next.until).await,
                Mode::Persistent => self.ask_running(&request.id, &line, next.until).await,
            };
            match tried {
                Ok(reply) => {
                    self.dossier.replied(request, &reply, next.at, now());
                    answer.reply = Some(reply);
                }
                Err(failure) => {
                    debug!(attempt = next.attempt, outcome = ?failure.outcome, "no advice: {failure}");
                    let draw = self.rng.f64();
                    self.dossier.failed(failure.outcome, now(), draw);
                    answer.failures.push(failure);
                }
            }
        }
        if answer.reply.is_none() && is_tried && self.conversation.is_some() {
            // It failed the question in every try: another one may do better.
            self.end_session();
        }
        self.dossier.ended(answer.reply.is_some());
        answer.took = now() - began;
        Ok(answer)
    }

    /// Resolves, with the reason, when the command of persistent mode has ended by itself, over a question or between two,
    /// or wrote what it must not; never in one-shot mode. Not where it was ended since it failed a question, or hung. To be
    /// waited for between questions: what the command writes then is read here, and thrown away. The next question starts
    /// it again.
    pub async fn lost(&mut self) -> String {
        if let Some(why) = self.over.take() {
            return why;
        }
        let Some(conversation) = &mut self.conversation else {
            return pending().await;
        };
        let failure = conversation.unasked(&self.dossier).await;
        self.end_session();
        failure.detail
    }

    /// Ends what runs, and resolves when nothing of it is left.
    pub async fn close(self) {
        if let Some(conversation) = self.conversation {
            conversation.end().await;
        }
        self.settings.jail.settled().await;
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
            self.dossier.strayed(&misreply);
            misreply.into()
        })
    }

    async fn ask_running(
        &mut self,
        id: &str,
        line: &str,
        until: Instant,
    ) -> Result<Reply, Failure> {
        let Settings { jail, cell, .. } = &self.settings;
        let conversation = match &mut self.conversation {
            Some(conversation) => conversation,
            none => {
                let conversation = Conversation::open(jail, cell)?;
                self.dossier.session_began();
                none.insert(conversation)
            }
        };
        let limit = until.saturating_duration_since(now());
        let heard = match conversation.send(line, now()) {
            Ok(()) => {
                let reply = conversation.reply(id, &self.dossier);
                timeout_at(until.into(), reply).await
            }
            Err(failure) => Ok(Err(Unheard::Over(failure))),
        };
        match heard {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Unheard::Misreply(misreply))) => Err(misreply.into()),
            Ok(Err(Unheard::Over(failure))) => {
                self.end_session();
                self.over = Some(failure.detail.clone());
                Err(failure)
            }
            Err(_) => Err(Failure {
                outcome: Outcome::Timeout,
                detail: format!("no whole reply within {:.1} s", limit.as_secs_f64()),
            }),
        }
    }

    /// It is not asked.
    fn left_alone(&self, until: Instant) -> Failure {
        self.dossier.left_alone();
        let seconds = until.saturating_duration_since(now()).as_secs_f64();
        Failure {
            outcome: Outcome::BreakerOpen,
            detail: format!("it failed too often, and is left alone for another {seconds:.1} s"),
        }
    }

    /// Ends the command that runs, if it still does.
    fn end_session(&mut self) {
        self.conversation = None;
        self.dossier.session_lost();
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
