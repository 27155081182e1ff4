//! How good an advisor's advice was, judged in hindsight.
//!
//! A confidence is read as the probability that the recommendation turns out right, by this rule:
//!
//! - Hashing on a tip was **worthwhile** if the tip stayed in the chain and nothing came up against it. What counts
//!   against it: the chain left the tip, or our own checks rejected it; a block of ours on it went stale or was refused;
//!   hashing cost more than it earned, where a power cost is set; the machine was strained, so that hashing had to give
//!   way. An accepted block of ours outweighs the last two.
//! - **PROCEED** was right if hashing on the tip was worthwhile, and **HOLD** if it was not.
//! - **RETRY** was right if the next template on the same tip paid at least [`WORTH`] more than the one in hand, or the
//!   node refused the one in hand.
//!
//! PROCEED and HOLD are judged when [`SETTLED`] further tips have been seen since theirs, RETRY with the next template.
//! A RETRY whose tip goes before another template comes, and advice that was open when the program ended, is never
//! judged.
//!
//! The rule looks at what happened, not at what could be known, so that luck counts. The Brier score (the mean square of
//! confidence minus outcome: 0 is perfect, 0.25 is what "50 %" always gets) is proper: nobody does better by saying
//! anything but what they believe.

mod totals;

use std::collections::VecDeque;
use std::fmt;

pub use totals::{Score, Tally, Totals, Unsound};

use crate::protocol::Recommendation;

/// A template that pays more by this share was worth asking for.
pub const WORTH: f64 = 0.001;

/// Further tips until advice on a tip is judged: time for a reorganisation, and for our own blocks to be settled.
pub const SETTLED: u32 = 3;

/// Advice that waits for its judgment, at most; beyond it the oldest goes without.
const MAX_OPEN: usize = 256;

/// Advice, as it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Advised {
    /// Hash of the tip it is for.
    pub tip: String,
    /// The tip's height.
    pub height: u32,
    /// What was recommended.
    pub recommendation: Recommendation,
    /// How sure it was, 0 to 1.
    pub confidence: f64,
    /// What the template in hand pays, subsidy and fees, in satoshis; absent without one.
    pub reward_sat: Option<u64>,
}

/// What came to be known of a tip, or happened while it was the tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// Our own checks rejected it.
    Rejected,
    /// A block of ours on it was accepted.
    Accepted,
    /// A block of ours on it went stale or was refused.
    Lost,
    /// Hashing cost more than it earned.
    Unprofitable,
    /// The machine was strained, and hashing gave way.
    Strained,
    /// Another template came.
    Template {
        /// What it pays, subsidy and fees, in satoshis.
        reward_sat: u64,
    },
    /// The node refused what we make of its template.
    TemplateRefused,
}

/// Advice that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The advice.
    pub advised: Advised,
    /// Whether it was right.
    pub right: bool,
    /// Why.
    pub because: Because,
}

/// Why advice was right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The tip stayed, and nothing was against hashing on it.
    Stayed,
    /// A block of ours on the tip was accepted.
    Accepted,
    /// The chain left the tip.
    Left,
    /// Our own checks rejected the tip.
    Rejected,
    /// A block of ours on it was lost.
    Lost,
    /// Hashing cost more than it earned.
    Unprofitable,
    /// The machine was strained.
    Strained,
    /// The next template paid more.
    PaidMore,
    /// The next template paid hardly more.
    PaidNoMore,
    /// The node refused what was made of the template.
    TemplateRefused,
}

impl Because {
    /// Whether the recommendation was right.
    fn bears_out(self, recommendation: Recommendation) -> bool {
        match recommendation {
            Recommendation::Proceed => self.worthwhile(),
            Recommendation::Hold => !self.worthwhile(),
            Recommendation::Retry => matches!(self, Self::PaidMore | Self::TemplateRefused),
        }
    }

    /// Of PROCEED and HOLD: whether hashing was worthwhile.
    fn worthwhile(self) -> bool {
        matches!(self, Self::Stayed | Self::Accepted)
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stayed => "the tip stayed and nothing was against hashing on it",
            Self::Accepted => "a block of ours on the tip was accepted",
            Self::Left => "the chain left the tip",
            Self::Rejected => "our own checks rejected the tip",
            Self::Lost => "a block of ours on the tip was lost",
            Self::Unprofitable => "hashing cost more than it earned",
            Self::Strained => "the machine was strained",
            Self::PaidMore => "the next template paid more",
            Self::PaidNoMore => "the next template paid hardly more",
            Self::TemplateRefused => "the node refused what was made of the template",
        })
    }
}

/// Advice that waits for its judgment, with what is known so far.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    advised: Advised,
    /// Tips seen since this one.
    others: u32,
    /// The chain went elsewhere.
    left: bool,
    rejected: bool,
    /// Of our last settled block on it.
    ours: Option<bool>,
    /// What made hashing on it cost more than it was worth, first.
    burden: Option<Because>,
}

impl Open {
    fn new(advised: Advised) -> Self {
        Self {
            advised,
            others: 0,
            left: false,
            rejected: false,
            ours: None,
            burden: None,
        }
    }

    fn is_retry(&self) -> bool {
        self.advised.recommendation == Recommendation::Retry
    }

    /// Another tip, or this one again.
    fn tip(&mut self, height: u32, hash: &str, parent: &str) {
        if hash == self.advised.tip {
            self.left = false;
            self.others = 0;
            return;
        }
        self.others += 1;
        let on_it = parent == self.advised.tip;
        if height <= self.advised.height || (height == self.advised.height + 1 && !on_it) {
            self.left = true;
        } else if on_it {
            self.left = false;
        }
    }

    /// Takes in a fact. Answers the judgment where that decides.
    fn learn(&mut self, fact: Fact) -> Option<Because> {
        match fact {
            Fact::Rejected => self.rejected = true,
            Fact::Accepted => self.ours = Some(true),
            Fact::Lost => self.ours = Some(false),
            Fact::Unprofitable => self.burden = self.burden.or(Some(Because::Unprofitable)),
            Fact::Strained => self.burden = self.burden.or(Some(Because::Strained)),
            Fact::TemplateRefused if self.is_retry() => return Some(Because::TemplateRefused),
            Fact::Template { reward_sat } if self.is_retry() => {
                let paid = self.advised.reward_sat.unwrap_or(0) as f64;
                let more = reward_sat as f64 > paid && reward_sat as f64 >= paid * (1.0 + WORTH);
                return Some(if more {
                    Because::PaidMore
                } else {
                    Because::PaidNoMore
                });
            }
            Fact::Template { .. } | Fact::TemplateRefused => {}
        }
        None
    }

    /// What decides whether hashing was worthwhile.
    fn because(&self) -> Because {
        if self.rejected {
            return Because::Rejected;
        }
        if self.left {
            return Because::Left;
        }
        match self.ours {
            Some(true) => Because::Accepted,
            Some(false) => Because::Lost,
            None => self.burden.unwrap_or(Because::Stayed),
        }
    }
}

/// The track record of one advisor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    totals: Totals,
    open: VecDeque<Open>,
}

impl Record {
    /// Goes on from what was kept.
    pub fn resume(totals: Totals) -> Self {
        Self {
            totals,
            open: VecDeque::new(),
        }
    }

    /// What to keep.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Advice was given. A confidence that is none counts as 0.
    pub fn advised(&mut self, mut advised: Advised) {
        advised.confidence = if advised.confidence.is_finite() {
            advised.confidence.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.totals.give(advised.recommendation);
        if self.open.len() == MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(Open::new(advised));
    }

    /// The tip is now this one, which builds on `parent`. Answers what is judged by that.
    pub fn tip(&mut self, height: u32, hash: &str, parent: &str) -> Vec<Judged> {
        for open in &mut self.open {
            open.tip(height, hash, parent);
        }
        // A RETRY whose tip has gone was neither right nor wrong.
        self.open
            .retain(|open| !(open.is_retry() && open.others > 0));
        self.settle(|open| (open.others >= SETTLED).then(|| open.because()))
    }

    /// Something came to be known of the tip with this hash. Answers what is judged by that.
    pub fn learned(&mut self, tip: &str, fact: Fact) -> Vec<Judged> {
        self.settle(|open| {
            if open.advised.tip == tip {
                open.learn(fact)
            } else {
                None
            }
        })
    }

    fn settle(&mut self, mut verdict: impl FnMut(&mut Open) -> Option<Because>) -> Vec<Judged> {
        let mut judged = Vec::new();
        let totals = &mut self.totals;
        self.open.retain_mut(|open| {
            let Some(because) = verdict(open) else {
                return true;
            };
            let right = because.bears_out(open.advised.recommendation);
            totals.judge(&open.advised, right, because.worthwhile());
            judged.push(Judged {
                advised: open.advised.clone(),
                right,
                because,
            });
            false
        });
        judged
    }

    /// The record as it is shown.
    pub fn score(&self) -> Score {
        self.totals.score(self.open.len() as u64)
    }
}

#[cfg(test)]
mod tests;
