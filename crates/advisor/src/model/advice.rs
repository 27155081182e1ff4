//! What the model makes of a question: the chances, the recommendation and the words.

use std::fmt::Write as _;

use super::{Model, Waiting};
use crate::protocol::{Recommendation, Reply, Request, System, VERSION};
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
pub(super) const REST_S: f64 = 60.0;

/// The longest HOLD it asks for, in seconds.
pub(super) const HOLD_MAX_S: f64 = 600.0;

impl Model {
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
