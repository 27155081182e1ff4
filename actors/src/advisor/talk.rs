//! The talk with an advisor: asks what the agenda says, and publishes what comes of it.

use std::future::pending;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use advisor::cache::TemplateClass;
use advisor::consultant::{Answer, Consultant};
use advisor::dossier::Dossier;
use advisor::protocol::{Kind, Recommendation as Recommended, Reply};
use chain::Network;
use supervise::{BoxError, GenerationGuard};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;

use super::agenda::{Agenda, Subject};
use super::brief::Brief;
use super::desk::Desk;
use super::settings::AdvisorSettings;
use super::view::{AdvisorView, LastAdvice};
use crate::board::Board;
use crate::messages::{
    Advice, Counsel, MiningState, Recommendation, Settled, TemplateSeen, TipValidated,
};
use crate::publish::Publish as _;
use crate::resources::Degradation;

/// A HOLD that does not say for how long: for as long as may be, which the guards say.
const HOLD: Duration = Duration::from_hours(24);

/// Why a talk cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("the advisor, {command}, runs no longer: {why}")]
struct Lost {
    command: String,
    why: String,
}

/// Asks one advisor for one incarnation.
#[derive(Debug)]
pub struct Talk {
    settings: AdvisorSettings,
    network: Network,
    desk: Arc<Desk>,
    dossier: Dossier,
    board: Board,
    guard: GenerationGuard,
    agenda: Agenda,
    news: News,
    /// Hashes per second when there was hashing last.
    hashrate_hs: Option<f64>,
    /// Whether its answer, or that there is none, was said last.
    said: Option<bool>,
}

impl Talk {
    /// One that has not begun.
    pub fn new(
        settings: AdvisorSettings,
        network: Network,
        desk: Arc<Desk>,
        dossier: Dossier,
        board: Board,
        guard: GenerationGuard,
    ) -> Self {
        Self {
            agenda: Agenda::new(
                settings.cache,
                if settings.is_gate {
                    Duration::ZERO
                } else {
                    settings.pause
                },
            ),
            news: News::of(&board),
            settings,
            network,
            desk,
            dossier,
            board,
            guard,
            hashrate_hs: None,
            said: None,
        }
    }

    /// Talks until it is asked to stop. When this returns nothing of the command is left.
    ///
    /// # Errors
    /// In persistent mode, when the command has ended.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Result<(), BoxError> {
        let jail = self.desk.jail.clone();
        // What a predecessor has let go of.
        tokio::select! {
            () = jail.settled() => {}
            _ = &mut stop => return Ok(()),
        }
        let settings = self
            .settings
            .consultation(jail, |name| std::env::var(name).ok());
        let mut consultant = Consultant::new(settings, self.dossier.clone(), fastrand::Rng::new());
        loop {
            self.observe();
            self.show(None);
            let due = self.subject().map(|subject| self.agenda.next(&subject));
            let is_due = async {
                match due {
                    Some((at, kind)) => {
                        sleep_until(at.into()).await;
                        kind
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                // Whoever asks drops the sender.
                _ = &mut stop => break,
                why = consultant.lost() => {
                    self.show(None);
                    let command = self.settings.name().to_owned();
                    return Err(Box::new(Lost { command, why }));
                }
                changed = self.news.changed() => changed?,
                kind = is_due => if self.ask(&mut consultant, kind, &mut stop).await?.is_break() {
                    break;
                },
            }
        }
        self.show(None);
        consultant.close().await;
        Ok(())
    }

    /// Asks one question, and takes in how it ended. Break: it is to stop.
    async fn ask(
        &mut self,
        consultant: &mut Consultant,
        kind: Kind,
        stop: &mut oneshot::Receiver<()>,
    ) -> Result<ControlFlow<()>, BoxError> {
        let (Some(subject), Some(brief)) = (self.subject(), self.brief()) else {
            return Ok(ControlFlow::Continue(()));
        };
        let number = self.board.registry.counsels.next();
        // The process is in it, so that no answer to an earlier one's question can be taken for one to this.
        let id = format!("{}-{number}", std::process::id());
        let request = brief.request(kind, id, Instant::now());
        self.agenda.begin(Instant::now());
        self.show(Some(kind));
        let asked = {
            let mut asked = pin!(consultant.ask(&request));
            loop {
                tokio::select! {
                    biased;
                    _ = &mut *stop => return Ok(ControlFlow::Break(())),
                    answer = &mut asked => break Some(answer),
                    changed = self.news.changed() => {
                        changed?;
                        self.observe();
                        // Its answer would count for nothing.
                        if self.subject().is_none_or(|now| now.tip != subject.tip) {
                            break None;
                        }
                    }
                }
            }
        };
        match asked {
            None => self.desk.state().overtaken += 1,
            Some(Err(misrequest)) => {
                // A rule of our own: the policy decides, and the next tip may make a better question.
                tracing::error!(
                    "nobody is asked for advice on {}: {misrequest}",
                    subject.tip
                );
                self.end(number, kind, &subject, &brief, Err(misrequest.to_string()));
            }
            Some(Ok(answer)) => self.answered(number, kind, &subject, &brief, answer),
        }
        self.desk.keep(self.guard.clone(), Instant::now());
        Ok(ControlFlow::Continue(()))
    }

    fn answered(
        &mut self,
        number: u64,
        kind: Kind,
        subject: &Subject,
        brief: &Brief,
        answer: Answer,
    ) {
        let tries = answer.failures.len();
        let cached = answer.cached;
        if answer.reply.is_some() && !cached {
            self.board.latencies.advice.record(answer.took);
        }
        let outcome = match (answer.reply, answer.failures.last()) {
            (Some(reply), _) => Ok((advice_of(reply), cached)),
            (None, Some(failure)) if tries > 1 => Err(format!("{failure}, after {tries} tries")),
            (None, Some(failure)) => Err(failure.to_string()),
            (None, None) => Err("there was no time to ask".to_owned()),
        };
        self.say(&outcome);
        self.board.advisor.publish_with(&self.guard, |view| {
            view.trouble = outcome.as_ref().err().cloned();
            true
        });
        self.end(number, kind, subject, brief, outcome);
    }

    /// A question has ended: what it brought is on the board from now on, if it was about advice.
    fn end(
        &mut self,
        number: u64,
        kind: Kind,
        subject: &Subject,
        brief: &Brief,
        outcome: Result<(Advice, bool), String>,
    ) {
        let now = Instant::now();
        if kind == Kind::Health {
            self.agenda.heard(now);
            return;
        }
        let advice = outcome.as_ref().ok().map(|(advice, _)| advice);
        self.agenda.end(subject, advice, now);
        if let Ok((advice, cached)) = &outcome {
            let reward = brief
                .template
                .as_ref()
                .and_then(|t| t.template.coinbasevalue);
            if !cached {
                let height = brief.tip.height;
                let hindsight = &mut self.desk.state().hindsight;
                hindsight.advised(subject.tip, height, reward, advice);
            }
            let last = LastAdvice {
                advice: advice.clone(),
                number,
                tip: subject.tip,
                at: now,
                cached: *cached,
            };
            self.board.advisor.publish_with(&self.guard, |view| {
                view.last = Some(last);
                true
            });
        }
        let counsel = Counsel {
            number,
            tip: subject.tip,
            at: now,
            answer: outcome.map(|(advice, _)| advice),
        };
        self.board.counsel.publish(&self.guard, Some(counsel));
    }

    /// Says in the log what is news: that it answers, that it does not.
    fn say(&mut self, outcome: &Result<(Advice, bool), String>) {
        let is_news = self.said.replace(outcome.is_ok()) != Some(outcome.is_ok());
        match outcome {
            Ok((advice, _)) if is_news => tracing::info!(
                "the advisor answers: {} ({:.2}): {}",
                advice.recommendation,
                advice.confidence,
                advice.reason
            ),
            Ok((advice, _)) => tracing::debug!(
                "advice: {} ({:.2}): {}",
                advice.recommendation,
                advice.confidence,
                advice.reason
            ),
            Err(why) if is_news => tracing::warn!(
                "the advisor does not answer: {why}; until it does, the mathematical policy decides"
            ),
            Err(why) => tracing::debug!("no advice: {why}"),
        }
    }

    /// What there is to ask about; nothing where it would not matter.
    fn subject(&self) -> Option<Subject> {
        let is_parked = *self.board.degradation.borrow() == Degradation::Parked;
        let is_off = matches!(
            self.board.mining.borrow().state,
            MiningState::SwitchedOff { .. } | MiningState::Ibd
        );
        if is_parked || is_off {
            return None;
        }
        let (tip, since) = {
            let tip = self.board.tip_validated.borrow();
            tip.as_ref().map(|tip| (tip.hash, tip.validated_at))?
        };
        let template = self.brief()?.template(Instant::now());
        let class = template.map(|template| TemplateClass::of(Some(&template)));
        Some(Subject { tip, since, class })
    }

    fn brief(&self) -> Option<Brief> {
        let limits = self.settings.resources;
        Brief::of(&self.board, self.network, self.hashrate_hs, limits)
    }

    /// Takes note of what is new.
    fn observe(&mut self) {
        let rate = self.board.rates.borrow().hashrate_hs;
        if rate > 0.0 {
            self.hashrate_hs = Some(rate);
        }
        self.desk.state().hindsight.observe(&self.board);
    }

    /// Publishes how it does.
    fn show(&self, asking: Option<Kind>) {
        let (overtaken, score) = {
            let state = self.desk.state();
            (state.overtaken, state.hindsight.score())
        };
        self.board.advisor.publish_with(&self.guard, |view| {
            let shown = AdvisorView {
                asking,
                counts: self.dossier.counts(),
                overtaken,
                health: Some(self.dossier.health()),
                shelter: self.desk.jail.shelter(),
                noise: Some(self.desk.jail.noise()),
                score: Some(score),
                ..view.clone()
            };
            let differs = *view != shown;
            *view = shown;
            differs
        });
    }
}

fn advice_of(reply: Reply) -> Advice {
    Advice {
        recommendation: match reply.recommendation {
            Recommended::Proceed => Recommendation::Proceed,
            Recommended::Retry => Recommendation::Retry,
            Recommended::Hold => Recommendation::Hold(
                reply
                    .hold_s
                    .and_then(|s| Duration::try_from_secs_f64(s).ok())
                    .unwrap_or(HOLD),
            ),
        },
        confidence: reply.confidence,
        reason: reply.reason,
    }
}

/// The cells that a talk follows.
#[derive(Debug)]
struct News {
    tip: watch::Receiver<Option<TipValidated>>,
    template: watch::Receiver<Option<TemplateSeen>>,
    settled: watch::Receiver<Option<Settled>>,
    degradation: watch::Receiver<Degradation>,
}

impl News {
    fn of(board: &Board) -> Self {
        Self {
            tip: board.tip_validated.subscribe(),
            template: board.template.subscribe(),
            settled: board.settled.subscribe(),
            degradation: board.degradation.subscribe(),
        }
    }

    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        tokio::select! {
            changed = self.tip.changed() => changed,
            changed = self.template.changed() => changed,
            changed = self.settled.changed() => changed,
            changed = self.degradation.changed() => changed,
        }
    }
}

#[cfg(test)]
mod tests;
