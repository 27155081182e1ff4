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

mod advice;
mod chance;
mod waiting;

use serde::{Deserialize, Serialize};

pub use advice::{Limits, RETRY_FROM};
pub use chance::Chance;
pub use waiting::Waiting;

use crate::protocol::{Kind, Request, System, Verdict};
use crate::record::WORTH;

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
}

/// What a block at `height + 1` may create, in satoshis.
fn subsidy_sat(network: &str, height: u32) -> u64 {
    let halvings = height.saturating_add(1) / if network == "regtest" { 150 } else { 210_000 };
    5_000_000_000_u64.checked_shr(halvings).unwrap_or(0)
}

#[cfg(test)]
mod tests;
