//! How the advisor does: on the board, and in documents.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use advisor::breaker::BreakerState;
use advisor::consultant::Mode;
use advisor::counts::Counts;
use advisor::dossier::Health;
use advisor::jail::orders::Shelter;
use advisor::outcome::Outcome;
use advisor::process::Noise;
use advisor::protocol::Kind;
use advisor::record::Score;
use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

use super::settings::AdvisorSettings;
use crate::latency::Quantiles;
use crate::messages::{Advice, Decider, DecisionView, Recommendation};

/// advisor -> miner, status, health, monitor: how the advisor does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdvisorView {
    /// Whether there is one, and whether it is asked.
    pub standing: Standing,
    /// The configured program.
    pub command: String,
    /// How it is asked; none where there is none.
    pub mode: Option<Mode>,
    /// Whether hashing on a new tip waits for it.
    pub is_gate: bool,
    /// What it is asked at the moment.
    pub asking: Option<Kind>,
    /// What was counted.
    pub counts: Counts,
    /// Questions that were given up since the tip had changed.
    pub overtaken: u64,
    /// How it does; none before it was asked anything.
    pub health: Option<Health>,
    /// Why the last question that was not given up brought no answer; none where it did.
    pub trouble: Option<String>,
    /// The last advice.
    pub last: Option<LastAdvice>,
    /// What of its sandbox depends on the kernel; none before it was started.
    pub shelter: Option<Shelter>,
    /// What it wrote to its standard error.
    pub noise: Option<Noise>,
    /// Its track record.
    pub score: Option<Score>,
}

/// Whether there is an advisor, and whether it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    #[default]
    Off,
    /// It is, or will be in a moment.
    Asked,
    /// It is not any more, since it failed too often; why.
    LeftOut(String),
}

/// Advice as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct LastAdvice {
    /// What it says.
    pub advice: Advice,
    /// Its number.
    pub number: u64,
    /// The tip that it is for.
    pub tip: BlockHash,
    /// When it came.
    pub at: Instant,
    /// Whether it is a kept answer.
    pub cached: bool,
}

impl AdvisorView {
    /// Of an advisor that is about to be asked; nobody's without settings.
    pub fn of(settings: Option<&AdvisorSettings>) -> Self {
        let Some(settings) = settings else {
            return Self::default();
        };
        Self {
            standing: Standing::Asked,
            command: settings.name().to_owned(),
            mode: Some(settings.mode),
            is_gate: settings.is_gate,
            ..Self::default()
        }
    }

    /// Whether its last answer came, or none was due yet.
    pub fn is_available(&self) -> bool {
        self.standing == Standing::Asked && self.trouble.is_none() && self.counts.answered > 0
    }
}

/// The advisor and the decision in the `status` document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdvisorStatus {
    /// Whether it answers.
    pub available: bool,
    /// off, idle, asking or left_out.
    pub state: String,
    /// Who decided last.
    pub decided_by: String,
    /// The decision in force; null before the first.
    pub decision: Option<DecisionStatus>,
    /// The configured program; null where there is none.
    pub command: Option<String>,
    /// oneshot or persistent.
    pub mode: Option<String>,
    /// async or blocking.
    pub gate: Option<String>,
    /// Why there is no answer; null while there is.
    pub trouble: Option<String>,
    /// What it said last.
    pub last_advice: Option<AdviceStatus>,
    /// Questions asked.
    pub questions: u64,
    /// Those that got an answer.
    pub answered: u64,
    /// Those that got none although all was tried.
    pub unanswered: u64,
    /// Those that were given up since the tip had changed.
    pub overtaken: u64,
    /// Tries by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Replies to earlier questions, thrown away.
    pub late: u64,
    /// Replies to no question of ours, thrown away.
    pub foreign: u64,
    /// Share of the latest questions that it answered, 0 to 1.
    pub availability: Option<f64>,
    /// From question to answer in seconds, kept answers left out.
    pub latency_s: Option<Quantiles>,
    /// Seconds since its last good reply.
    pub last_good_age_s: Option<f64>,
    /// closed, open or half_open.
    pub breaker: Option<BreakerState>,
    /// Kept answers.
    pub cache: CacheStatus,
    /// In persistent mode, how often it was started, and how often it was lost.
    pub sessions: SessionsStatus,
    /// What of its sandbox depends on the kernel.
    pub sandbox: Option<Shelter>,
    /// What it wrote to its standard error.
    pub stderr: StderrStatus,
    /// How good its advice was, judged in hindsight.
    pub track_record: Option<Score>,
}

/// The decision in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionStatus {
    /// PROCEED, HOLD, RETRY, WAIT, NO_JOB or OFF.
    pub decision: String,
    /// Who decided.
    pub by: Decider,
    /// Why, and what became of the advice.
    pub reason: String,
    /// Seconds that hashing was held in the last 24 hours.
    pub held_s: f64,
    /// Seconds that it may be held in any 24 hours.
    pub hold_allowed_s: f64,
}

/// Advice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdviceStatus {
    /// PROCEED, HOLD or RETRY.
    pub recommendation: String,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Why, in its words.
    pub reason: String,
    /// For how many seconds, of a HOLD.
    pub hold_s: Option<f64>,
    /// The tip that it is for.
    pub tip: String,
    /// Seconds since it came.
    pub age_s: f64,
    /// Whether it is a kept answer.
    pub cached: bool,
    /// Whether the decision in force follows it.
    pub counts: bool,
}

/// Kept answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Questions that one answered.
    pub hits: u64,
    /// Questions that none answered.
    pub misses: u64,
    /// Share of hits, 0 to 1.
    pub hit_rate: Option<f64>,
}

/// A persistent advisor's processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsStatus {
    /// Started.
    pub started: u64,
    /// Ended by themselves, or had to be ended.
    pub lost: u64,
}

/// What an advisor wrote to its standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StderrStatus {
    /// Bytes.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// Lines that were too many for the log.
    pub unlogged: u64,
}

impl AdvisorStatus {
    /// Of what the board shows.
    pub fn of(
        view: &AdvisorView,
        decision: Option<&DecisionView>,
        latency: Option<Quantiles>,
        now: Instant,
    ) -> Self {
        let is_there = view.standing != Standing::Off;
        let counts = &view.counts;
        let health = view.health.as_ref();
        let age = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
        let followed = decision.and_then(|decision| decision.counsel);
        Self {
            available: view.is_available(),
            state: match (&view.standing, view.asking) {
                (Standing::Off, _) => "off",
                (Standing::LeftOut(_), _) => "left_out",
                (Standing::Asked, None) => "idle",
                (Standing::Asked, Some(_)) => "asking",
            }
            .to_owned(),
            decided_by: decision
                .map_or(Decider::Policy, |decision| decision.by)
                .to_string(),
            decision: decision.map(DecisionStatus::from),
            command: is_there.then(|| view.command.clone()),
            mode: view.mode.map(|mode| {
                match mode {
                    Mode::OneShot => "oneshot",
                    Mode::Persistent => "persistent",
                }
                .to_owned()
            }),
            gate: is_there.then(|| if view.is_gate { "blocking" } else { "async" }.to_owned()),
            trouble: match &view.standing {
                Standing::LeftOut(why) => Some(why.clone()),
                _ => view.trouble.clone(),
            },
            last_advice: view.last.as_ref().map(|last| AdviceStatus {
                recommendation: last.advice.recommendation.to_string(),
                confidence: last.advice.confidence,
                reason: last.advice.reason.clone(),
                hold_s: match last.advice.recommendation {
                    Recommendation::Hold(time) => Some(time.as_secs_f64()),
                    Recommendation::Proceed | Recommendation::Retry => None,
                },
                tip: last.tip.to_string(),
                age_s: age(last.at),
                cached: last.cached,
                counts: followed == Some(last.number),
            }),
            questions: counts.questions,
            answered: counts.answered,
            unanswered: counts.unanswered,
            overtaken: view.overtaken,
            outcomes: counts.outcomes.clone(),
            late: counts.late,
            foreign: counts.foreign,
            availability: health.and_then(|health| health.availability),
            latency_s: latency,
            last_good_age_s: health.and_then(|health| health.last_good).map(age),
            breaker: health.map(|health| health.breaker),
            cache: CacheStatus {
                hits: counts.cache_hits,
                misses: counts.cache_misses,
                hit_rate: counts.cache_hit_rate(),
            },
            sessions: SessionsStatus {
                started: counts.sessions,
                lost: counts.sessions_lost,
            },
            sandbox: view.shelter.clone(),
            stderr: view
                .noise
                .map_or_else(StderrStatus::default, |noise| StderrStatus {
                    bytes: noise.bytes,
                    lines: noise.lines,
                    unlogged: noise.unlogged,
                }),
            track_record: view.score.clone(),
        }
    }
}

impl From<&DecisionView> for DecisionStatus {
    fn from(view: &DecisionView) -> Self {
        let seconds = |time: Duration| time.as_secs_f64();
        Self {
            decision: view.course.to_owned(),
            by: view.by,
            reason: view.reason.clone(),
            held_s: seconds(view.held),
            hold_allowed_s: seconds(view.hold_allowed),
        }
    }
}
