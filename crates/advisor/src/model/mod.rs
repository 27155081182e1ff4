//! The built-in advisor: a few distributions, updated by Bayes' rule with every question, and nothing else.
//!
//! Its confidence is the probability that its recommendation turns out right by the rule of [`record`](crate::record). It
//! knows what the questions tell it, and these parts:
//!
//! - **Tips.** How often a tip with this verdict stays in the chain ([`Chance`], one for each verdict). A later question
//!   about another tip at the same height or below says that it did not; one about a higher tip says that it did.
//! - **Intervals.** How long the next block takes ([`Waiting`], over about a day of blocks; gaps in which nobody mined
//!   left out). Its mean, over the time that
//!   ours is expected to take, is our share of the blocks; blocks of ours that went stale count by that share. How many
//!   the stale ratio comes from is not said: it weighs as ten, against twenty blocks of which 1 % went stale.
//! - **Templates.** How long until a fresh template pays [`WORTH`] more ([`Waiting`]), from templates that followed
//!   each other on one tip.
//! - **The machine.** Temperature and free memory go on from where they are by steps up or down alike, whose sizes are
//!   exponentially distributed ([`Waiting`] again, in degrees and MiB). What counts is the chance to be beyond the limit
//!   with the next step.
//!
//! The parts are taken as independent. Hashing is worthwhile with the probability that the tip stays, no block of ours
//! is lost, and the machine is not strained. Below one half it says HOLD: for a minute where the machine is strained, for a
//! mean interval otherwise. Else it says RETRY, where a fresh template pays more with at least [`RETRY_FROM`]. Else
//! PROCEED.

mod chance;
mod waiting;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

pub use chance::Chance;
pub use waiting::Waiting;

use crate::protocol::{Kind, Recommendation, Reply, Request, System, VERSION, Verdict};
use crate::record::WORTH;

/// From this probability on, a fresh template is asked for.
pub const RETRY_FROM: f64 = 0.8;

/// Beyond what the machine is strained, where that is not for the question to say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Above this it is too hot, in degrees Celsius.
    pub temperature_max_c: Option<f64>,
    /// Below this there is too little memory, in MiB.
    pub memory_min_mb: Option<f64>,
}

/// Too hot, where nobody says what is, in degrees Celsius.
const TEMPERATURE_MAX_C: f64 = 90.0;

/// Too little memory, where nobody says what is, in MiB.
const MEMORY_MIN_MB: f64 = 64.0;

/// How long a strained machine is left alone, in seconds.
const REST_S: f64 = 60.0;

/// The longest HOLD it asks for, in seconds.
const HOLD_MAX_S: f64 = 600.0;

/// About a day of blocks.
const BLOCKS: f64 = 144.0;

/// About a week of tips: few are left, so more of them have to count.
const TIPS: f64 = 1000.0;

/// Templates and steps of the machine.
const STEPS: f64 = 200.0;

/// Longer than this between two blocks, which is a hundred times what every network aims at, says nothing of how long the
/// next one takes: the genesis block was dated by hand, and nobody mined for a while. In seconds.
const NO_INTERVAL_S: f64 = 100.0 * 600.0;

/// Longer than this between two templates says nothing of how templates grow, in seconds.
const STALE_NEWS_S: f64 = 3600.0;

/// What was learnt, and the question before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    v: Version,
    network: String,
    intervals_s: Waiting,
    tips: Tips,
    templates_s: Waiting,
    temperature_c: Waiting,
    memory_mb: Waiting,
    #[serde(default)]
    last: Option<Last>,
}

/// The version of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl Version {
    const NUMBER: u32 = 1;
}

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        Version::NUMBER
    }
}

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number == Self::NUMBER {
            return Ok(Self);
        }
        Err(format!(
            "version {number}, and this program reads {}",
            Self::NUMBER
        ))
    }
}

/// How often a tip stays, by its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Tips {
    authentic: Chance,
    undecided: Chance,
    rejected: Chance,
}

impl Tips {
    fn of(&self, verdict: Verdict) -> &Chance {
        match verdict {
            Verdict::Authentic => &self.authentic,
            Verdict::Undecided => &self.undecided,
            Verdict::Rejected => &self.rejected,
        }
    }

    fn observe(&mut self, verdict: Verdict, stayed: bool) {
        match verdict {
            Verdict::Authentic => self.authentic.observe(stayed, TIPS),
            Verdict::Undecided => self.undecided.observe(stayed, TIPS),
            // What our own checks rejected was not worth hashing on, whatever the node does next.
            Verdict::Rejected => {}
        }
    }
}

/// The question before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Last {
    tip: String,
    height: u32,
    verdict: Verdict,
    /// When it was asked, in seconds since 1970.
    at: f64,
    /// When its template came, in seconds since 1970, and the fees in it.
    template: Option<(f64, u64)>,
    system: Option<System>,
}

impl Model {
    /// Knows nothing yet but what is usual.
    pub fn new(network: &str) -> Self {
        Self {
            v: Version,
            network: network.to_owned(),
            // On regtest somebody mines at a pace of their own; a second is as good as any.
            intervals_s: Waiting::prior(1.0, if network == "regtest" { 1.0 } else { 600.0 }),
            tips: Tips {
                authentic: Chance::prior(200.0, 0.5),
                undecided: Chance::prior(18.0, 2.0),
                rejected: Chance::prior(1.0, 19.0),
            },
            templates_s: Waiting::prior(0.5, 120.0),
            temperature_c: Waiting::prior(2.0, 2.0),
            memory_mb: Waiting::prior(2.0, 32.0),
            last: None,
        }
    }

    /// Learns from a question, asked at this time (seconds since 1970). Whether there was anything to learn.
    pub fn learn(&mut self, request: &Request, now: f64) -> bool {
        if request.kind == Kind::Health {
            return false;
        }
        if request.network != self.network {
            *self = Self::new(&request.network);
        }
        let template = request
            .template
            .as_ref()
            .map(|template| (now - template.age_s, template.fees_sat))
            .filter(|(came, _)| came.is_finite());
        match self.last.take() {
            None => self.intervals(request, usize::MAX),
            Some(last) => {
                if last.tip == request.tip {
                    self.template(&last, template, request);
                } else {
                    self.tips
                        .observe(last.verdict, request.height > last.height);
                    self.intervals(request, request.height.saturating_sub(last.height) as usize);
                }
                // The same question, asked again, is no step of the machine.
                if now - last.at >= 1.0 {
                    self.machine(last.system.as_ref(), request.system.as_ref());
                }
            }
        }
        self.last = Some(Last {
            tip: request.tip.clone(),
            height: request.height,
            verdict: request.validation.verdict,
            at: now,
            template,
            system: request.system.clone(),
        });
        true
    }

    /// The newest so many intervals are new; the oldest of them first.
    fn intervals(&mut self, request: &Request, new: usize) {
        let new = new.min(request.recent_intervals_s.len());
        let intervals = request.recent_intervals_s[..new].iter().rev();
        for seconds in intervals.filter(|seconds| **seconds <= NO_INTERVAL_S) {
            // Header times are not exact, and may run backwards.
            self.intervals_s.observe(1.0, seconds.max(0.0), BLOCKS);
        }
    }

    fn template(&mut self, last: &Last, template: Option<(f64, u64)>, request: &Request) {
        let (Some((before, paid)), Some((came, pays))) = (last.template, template) else {
            return;
        };
        let time = came - before;
        // A second is less than clocks and messages can tell apart.
        if !(1.0..STALE_NEWS_S).contains(&time) {
            return;
        }
        let worth =
            WORTH * subsidy_sat(&request.network, request.height).saturating_add(paid) as f64;
        let times = pays.saturating_sub(paid) as f64 / worth.max(1.0);
        self.templates_s.observe(times.min(STEPS), time, STEPS);
    }

    fn machine(&mut self, last: Option<&System>, now: Option<&System>) {
        let (Some(last), Some(now)) = (last, now) else {
            return;
        };
        let steps = [
            (
                &mut self.temperature_c,
                last.temperature_c,
                now.temperature_c,
            ),
            (&mut self.memory_mb, last.memory_mb, now.memory_mb),
        ];
        for (size, before, after) in steps {
            if let (Some(before), Some(after)) = (before, after) {
                size.observe(1.0, (after - before).abs(), STEPS);
            }
        }
    }

    /// Answers a question. It is a good idea to [`learn`](Self::learn) from it first.
    pub fn advise(&self, request: &Request, limits: &Limits) -> Reply {
        let outlook = self.outlook(request, limits);
        let (recommendation, confidence, hold_s) = outlook.recommend(self.intervals_s.mean());
        Reply {
            v: VERSION,
            id: request.id.clone(),
            recommendation,
            confidence: confidence.clamp(0.0, 1.0),
            reason: self.explain(request, &outlook, recommendation),
            hold_s,
        }
    }

    fn outlook(&self, request: &Request, limits: &Limits) -> Outlook {
        let system = request.system.as_ref();
        let of = |value: fn(&System) -> Option<f64>| system.and_then(value);
        let too_hot = limits
            .temperature_max_c
            .or(of(|system| system.temperature_max_c));
        let too_little = limits.memory_min_mb.or(of(|system| system.memory_min_mb));
        Outlook {
            stays: self.tips.of(request.validation.verdict).mean(),
            lost: self.lost(request),
            hot: of(|system| system.temperature_c).map_or(0.0, |now| {
                passes(
                    &self.temperature_c,
                    too_hot.unwrap_or(TEMPERATURE_MAX_C) - now,
                )
            }),
            starved: of(|system| system.memory_mb).map_or(0.0, |now| {
                passes(&self.memory_mb, now - too_little.unwrap_or(MEMORY_MIN_MB))
            }),
            pays_more: request.template.as_ref().map_or(0.0, |template| {
                1.0 - self.templates_s.longer(template.age_s)
            }),
        }
    }

    /// The chance that a block of ours comes on this tip and is lost.
    fn lost(&self, request: &Request) -> f64 {
        let mining = &request.mining;
        let (Some(ratio), Some(ours_s)) = (mining.stale_ratio, mining.expected_block_s) else {
            return 0.0;
        };
        let share = (self.intervals_s.mean() / ours_s.max(f64::MIN_POSITIVE)).min(1.0);
        share * (10.0 * ratio + 20.0 * 0.01) / 30.0
    }

    fn explain(
        &self,
        request: &Request,
        outlook: &Outlook,
        recommendation: Recommendation,
    ) -> String {
        let percent = |p: f64| 100.0 * p;
        let mut reason = match recommendation {
            Recommendation::Retry => format!(
                "with {:.0} % a fresh template pays {:.1} % more than this one of {:.0} s",
                percent(outlook.pays_more),
                percent(WORTH),
                request
                    .template
                    .as_ref()
                    .map_or(0.0, |template| template.age_s.min(1e9)),
            ),
            Recommendation::Proceed | Recommendation::Hold => format!(
                "hashing on this tip is worthwhile with {:.1} %",
                percent(outlook.worthwhile())
            ),
        };
        let _ = write!(
            reason,
            "; {:?} tips stay with {:.1} %, the next block takes {:.*} s on average",
            request.validation.verdict,
            percent(outlook.stays),
            usize::from(self.intervals_s.mean() < 10.0),
            self.intervals_s.mean(),
        );
        let doubts = [
            ("a block of ours is lost", outlook.lost),
            ("the machine gets too hot", outlook.hot),
            ("memory runs out", outlook.starved),
        ];
        for (what, p) in doubts {
            if p >= 0.005 {
                let _ = write!(reason, ", {what} with {:.0} %", percent(p));
            }
        }
        reason
    }
}

/// The chances of what decides.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outlook {
    /// The tip stays in the chain.
    stays: f64,
    /// A block of ours is found on it, and lost.
    lost: f64,
    /// The machine gets too hot.
    hot: f64,
    /// Memory runs out.
    starved: f64,
    /// A fresh template pays more.
    pays_more: f64,
}

impl Outlook {
    fn strained(&self) -> f64 {
        1.0 - (1.0 - self.hot) * (1.0 - self.starved)
    }

    fn worthwhile(&self) -> f64 {
        self.stays * (1.0 - self.lost) * (1.0 - self.strained())
    }

    /// What to do, how sure that is, and with HOLD for how many seconds.
    fn recommend(&self, interval_s: f64) -> (Recommendation, f64, Option<f64>) {
        let worthwhile = self.worthwhile();
        if worthwhile < 0.5 {
            let hold_s = if self.strained() >= 0.5 {
                REST_S
            } else {
                interval_s
            };
            return (
                Recommendation::Hold,
                1.0 - worthwhile,
                Some(hold_s.clamp(1.0, HOLD_MAX_S)),
            );
        }
        if self.pays_more >= RETRY_FROM {
            return (Recommendation::Retry, self.pays_more, None);
        }
        (Recommendation::Proceed, worthwhile, None)
    }
}

/// The chance that a value is beyond its limit with the next step, which goes up or down alike; `room` is how far it is
/// from there now, negative beyond it.
fn passes(size: &Waiting, room: f64) -> f64 {
    let tail = 0.5 * size.longer(room.abs());
    if room >= 0.0 { tail } else { 1.0 - tail }
}

/// What a block at `height + 1` may create, in satoshis.
fn subsidy_sat(network: &str, height: u32) -> u64 {
    let halvings = height.saturating_add(1) / if network == "regtest" { 150 } else { 210_000 };
    5_000_000_000_u64.checked_shr(halvings).unwrap_or(0)
}

#[cfg(test)]
mod tests;
