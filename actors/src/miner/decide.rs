//! The one function that decides whether to hash: (validation, advice, switches, guards, economics) -> [`Decision`].

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::Verdict;

use super::policy::{Economics, Policy, loses, recommend};
use crate::messages::{Advice, Counsel, Decider, Recommendation};

/// A HOLD that is to last longer, and may not even last so long, is none.
const LEAST: Duration = Duration::from_secs(1);

/// All that a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The moment.
    pub now: Instant,
    /// The tip to build on.
    pub tip: BlockHash,
    /// What our own checks say of it.
    pub validation: &'a Validation,
    /// How the newest question to the advisor ended; none where nobody was asked yet.
    pub counsel: Option<&'a Counsel>,
    /// Who says no.
    pub switches: &'a Switches,
    /// Within which limits advice counts and hashing may be held.
    pub guards: &'a Guards,
    /// What hashing is worth.
    pub economics: &'a Economics,
}

/// What this program's own checks say of the tip.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// The header window's verdict.
    pub header: Judged,
    /// The block's own.
    pub body: Judged,
}

/// One verdict, as far as there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Judged {
    /// Not checked yet, or nothing there to check.
    #[default]
    Pending,
    /// Checked.
    Done {
        /// The verdict.
        verdict: Verdict,
        /// The first failed check and its reason, or what kept the verdict open.
        because: Option<String>,
    },
}

/// Who has switched mining off, if anyone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// By whom or what.
    pub mining_off: Option<String>,
}

/// The limits within which advice counts, and hashing may be held.
#[derive(Debug, Clone, PartialEq)]
pub struct Guards {
    /// Advice with less confidence is ignored.
    pub confidence_floor: f64,
    /// How long a HOLD that is decided now may last, so that hashing is not held for longer than that in a row.
    pub hold_max: Duration,
    /// What is left of the day's allowance for all HOLDs together.
    pub hold_left: Duration,
    /// For how long hashing must go on before it may be held again.
    pub rest: Option<Duration>,
    /// Advice up to this number has had its HOLD or its RETRY.
    pub spent: u64,
    /// The HOLD that is under way.
    pub holding: Option<Holding>,
    /// Until when the advice on this tip is waited for; none: not at all.
    pub wait_until: Option<Instant>,
}

/// A HOLD that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// When hashing goes on.
    pub until: Instant,
    /// Who decided.
    pub by: Decider,
    /// Why.
    pub reason: String,
}

/// What is to be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// The template; hashing goes on meanwhile.
    Template,
    /// The validation of the tip; nothing is hashed until it is done.
    Validation,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Hash.
    Proceed,
    /// Do not hash for a time, then decide again.
    Hold(Duration),
    /// Get something anew.
    Retry(Refresh),
    /// Do not hash until the advisor has answered, for so long at most.
    Wait(Duration),
    /// There is nothing that may be worked on.
    NoJob,
    /// Someone said no.
    SwitchedOff,
}

impl Course {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proceed => "PROCEED",
            Self::Hold(_) => "HOLD",
            Self::Retry(_) => "RETRY",
            Self::Wait(_) => "WAIT",
            Self::NoJob => "NO_JOB",
            Self::SwitchedOff => "OFF",
        }
    }
}

/// What to do, who says so, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub course: Course,
    /// Who.
    pub by: Decider,
    /// Why, in words.
    pub reason: String,
    /// Why there is no advice, or why it does not count, where that is worth a word.
    pub aside: Option<String>,
    /// The number of the advice that counted, followed or cut short by the guards.
    pub counsel: Option<u64>,
    /// Whether hashing costs more than it earns, whatever was decided.
    pub loses: bool,
}

impl Decision {
    /// A decision that no advice had a part in.
    pub fn new(course: Course, by: Decider, reason: impl Into<String>) -> Self {
        Self {
            course,
            by,
            reason: reason.into(),
            aside: None,
            counsel: None,
            loses: false,
        }
    }

    /// The reason, and what became of the advice.
    pub fn in_words(&self) -> String {
        match &self.aside {
            Some(aside) => format!("{} ({aside})", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// Decides. The order is the order of authority: a switch, then consensus, then the advisor within its guards,
/// then a HOLD that is under way, then the mathematical policy.
///
/// An advisor can hold or proceed; it cannot make a rejected tip acceptable. A tip whose checks
/// could not come to a verdict is mined on, since the node has checked it in full, except where the
/// only thing against it is its time (`time-too-new`): then it is validated again first.
pub fn decide(case: &Case<'_>) -> Decision {
    Decision {
        loses: loses(case.economics),
        ..by_authority(case)
    }
}

fn by_authority(case: &Case<'_>) -> Decision {
    if let Some(by) = &case.switches.mining_off {
        return Decision::new(Course::SwitchedOff, Decider::Switch, by.clone());
    }
    if let Some(decision) = forbidden(case.validation) {
        return decision;
    }
    match heed(case) {
        Ok((number, advice)) => Decision {
            counsel: Some(number),
            ..advised(case, advice)
        },
        Err(aside) => Decision {
            aside,
            ..unadvised(case)
        },
    }
}

/// The decision without advice: a HOLD goes on until its time has come, a gate is waited at, and then the policy has
/// the word.
fn unadvised(case: &Case<'_>) -> Decision {
    if let Some(Holding { until, by, reason }) = &case.guards.holding {
        let left = until.saturating_duration_since(case.now);
        return Decision::new(Course::Hold(left), *by, reason.clone());
    }
    let unanswered = case.counsel.is_none_or(|counsel| counsel.tip != case.tip);
    if let Some(until) = case.guards.wait_until
        && unanswered
        && case.now < until
    {
        return Decision::new(
            Course::Wait(until - case.now),
            Decider::Switch,
            "the advisor has not answered yet, and advisor.gate = \"blocking\" waits for it",
        );
    }
    let by = Decider::Policy;
    match recommend(case.economics) {
        Policy::Proceed { reason } => Decision::new(Course::Proceed, by, reason),
        Policy::Refresh { reason } => Decision::new(Course::Retry(Refresh::Template), by, reason),
        Policy::Hold { hold, reason } => held(hold, by, reason, case.guards),
    }
}

/// The advice that counts, with its number; else why there is none, where that is worth a word.
fn heed<'a>(case: &Case<'a>) -> Result<(u64, &'a Advice), Option<String>> {
    let Some(counsel) = case.counsel.filter(|counsel| counsel.tip == case.tip) else {
        return Err(None);
    };
    let advice = match &counsel.answer {
        Ok(advice) => advice,
        Err(why) => return Err(Some(format!("no advice: {why}"))),
    };
    let what = advice.recommendation;
    // A confidence that is not a number is below everything.
    let is_sure = advice.confidence >= case.guards.confidence_floor;
    if !is_sure {
        return Err(Some(format!(
            "the advisor's {what} is ignored: its confidence of {:.2} is below {:.2}",
            advice.confidence, case.guards.confidence_floor
        )));
    }
    let is_over = match what {
        Recommendation::Proceed => false,
        Recommendation::Retry => counsel.number <= case.guards.spent,
        Recommendation::Hold(hold) => {
            let ago = case.now.saturating_duration_since(counsel.at);
            counsel.number <= case.guards.spent || ago >= hold
        }
    };
    if is_over {
        // While its HOLD is under way there is nothing to add.
        let note = format!("the advisor's {what} has had its time");
        return Err(case.guards.holding.is_none().then_some(note));
    }
    Ok((counsel.number, advice))
}

fn advised(case: &Case<'_>, advice: &Advice) -> Decision {
    let by = Decider::Advisor;
    let reason = advice.reason.clone();
    match advice.recommendation {
        Recommendation::Proceed => Decision::new(Course::Proceed, by, reason),
        Recommendation::Retry => Decision::new(Course::Retry(Refresh::Template), by, reason),
        Recommendation::Hold(hold) => {
            let ago = case
                .counsel
                .map(|counsel| case.now.saturating_duration_since(counsel.at));
            let left = hold.saturating_sub(ago.unwrap_or_default());
            held(left, by, reason, case.guards)
        }
    }
}

fn forbidden(validation: &Validation) -> Option<Decision> {
    for (what, judged) in [("header", &validation.header), ("block", &validation.body)] {
        let Judged::Done { verdict, because } = judged else {
            continue;
        };
        let because = because.as_deref().unwrap_or("no reason was given");
        let (course, trouble) = match verdict {
            Verdict::Rejected => (Course::NoJob, "was rejected"),
            Verdict::Undecided if because.contains("time-too-new") => {
                (Course::Retry(Refresh::Validation), "is ahead of the clock")
            }
            Verdict::Undecided | Verdict::Authentic => continue,
        };
        let reason = format!("the tip's {what} {trouble}: {because}");
        return Some(Decision::new(course, Decider::Checks, reason));
    }
    None
}

/// A HOLD within the guards; where they leave nothing of it, hashing goes on.
fn held(wish: Duration, by: Decider, reason: String, guards: &Guards) -> Decision {
    let (most, limit) = if let Some(rest) = guards.rest {
        let rest = rest.as_secs_f64();
        let why =
            format!("it was held for as long as may be in a row, and goes on for {rest:.0} s");
        (Duration::ZERO, why)
    } else if guards.hold_left < guards.hold_max {
        let why = "no more is left of the share of 24 hours that advisor.hold_max_ratio allows";
        (guards.hold_left, why.to_owned())
    } else {
        let why = "advisor.hold_max_s is the longest HOLD";
        (guards.hold_max, why.to_owned())
    };
    if most < wish.min(LEAST) {
        let reason = format!("hashing is not held, since {limit} ({by}: {reason})");
        return Decision::new(Course::Proceed, Decider::Guards, reason);
    }
    if most < wish {
        let (from, to) = (wish.as_secs_f64(), most.as_secs_f64());
        let reason = format!("{reason} (cut from {from:.0} s to {to:.0} s, since {limit})");
        return Decision::new(Course::Hold(most), by, reason);
    }
    Decision::new(Course::Hold(wish), by, reason)
}

#[cfg(test)]
mod tests;
