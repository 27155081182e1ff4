//! What is counted of questions and answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// Counts since the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Questions that were asked, also those that were given up by who asked.
    pub questions: u64,
    /// Those that got a reply, kept ones among them.
    pub answered: u64,
    /// Those that got none although all was tried.
    pub unanswered: u64,
    /// Tries by how they ended; [`Outcome::BreakerOpen`] counts questions that were not tried.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Replies to an earlier question, which were thrown away.
    pub late: u64,
    /// Replies to no question of ours, which were thrown away.
    pub foreign: u64,
    /// Questions that a kept reply answered.
    pub cache_hits: u64,
    /// Questions that a kept reply might have answered, and none did.
    pub cache_misses: u64,
    /// Commands that were started for many questions.
    pub sessions: u64,
    /// Those of them that ended by themselves, or had to be ended.
    pub sessions_lost: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            questions: 0,
            answered: 0,
            unanswered: 0,
            outcomes: Outcome::ALL.map(|outcome| (outcome, 0)).into(),
            late: 0,
            foreign: 0,
            cache_hits: 0,
            cache_misses: 0,
            sessions: 0,
            sessions_lost: 0,
        }
    }
}

impl Counts {
    /// Share of the questions that a kept reply might have answered and did, 0 to 1; `None` before the first.
    pub fn cache_hit_rate(&self) -> Option<f64> {
        let asked = self.cache_hits + self.cache_misses;
        (asked > 0).then(|| self.cache_hits as f64 / asked as f64)
    }

    pub(crate) fn tried(&mut self, outcome: Outcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }
}
