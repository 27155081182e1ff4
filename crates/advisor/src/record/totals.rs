//! What is kept of a track record, and how it is shown.

use serde::{Deserialize, Serialize};

use super::Advised;
use crate::protocol::Recommendation;

/// More than was ever given, and few enough that nothing overflows.
const MOST: u64 = 1 << 53;

/// Counts of one recommendation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How often it was given.
    pub given: u64,
    /// How often it was right.
    pub right: u64,
    /// How often it was wrong.
    pub wrong: u64,
}

impl Tally {
    fn judged(self) -> u64 {
        self.right.saturating_add(self.wrong)
    }
}

/// What is kept of a [`Record`](super::Record): totals. Reading it refuses what no record can have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Totals {
    /// Of PROCEED.
    pub proceed: Tally,
    /// Of HOLD.
    pub hold: Tally,
    /// Of RETRY.
    pub retry: Tally,
    /// How often hashing was worthwhile, of the judged PROCEED and HOLD: how often "always PROCEED" would have been right.
    pub worthwhile: u64,
    /// Sum of the confidences of what was judged.
    pub confidence: f64,
    /// Sum of the squares of confidence minus outcome.
    pub squares: f64,
}

#[derive(Deserialize)]
struct Unchecked {
    proceed: Tally,
    hold: Tally,
    retry: Tally,
    worthwhile: u64,
    confidence: f64,
    squares: f64,
}

/// Totals that no record can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a track record that contradicts itself: more was judged than given, or a sum is out of range"
)]
pub struct Unsound;

impl TryFrom<Unchecked> for Totals {
    type Error = Unsound;

    fn try_from(read: Unchecked) -> Result<Self, Unsound> {
        let totals = Self {
            proceed: read.proceed,
            hold: read.hold,
            retry: read.retry,
            worthwhile: read.worthwhile,
            confidence: read.confidence,
            squares: read.squares,
        };
        let tallies = [totals.proceed, totals.hold, totals.retry];
        let judged = totals.judged() as f64;
        let sound = tallies
            .iter()
            .all(|tally| tally.given <= MOST && tally.judged() <= tally.given)
            && totals.worthwhile <= totals.proceed.judged().saturating_add(totals.hold.judged())
            && (0.0..=judged).contains(&totals.confidence)
            && (0.0..=judged).contains(&totals.squares);
        sound.then_some(totals).ok_or(Unsound)
    }
}

impl Totals {
    fn of(&mut self, recommendation: Recommendation) -> &mut Tally {
        match recommendation {
            Recommendation::Proceed => &mut self.proceed,
            Recommendation::Hold => &mut self.hold,
            Recommendation::Retry => &mut self.retry,
        }
    }

    pub(super) fn judged(&self) -> u64 {
        [self.proceed, self.hold, self.retry]
            .into_iter()
            .fold(0, |sum, tally| sum.saturating_add(tally.judged()))
    }

    pub(super) fn give(&mut self, recommendation: Recommendation) {
        self.of(recommendation).given += 1;
    }

    /// Advice was judged; `worthwhile`, where it was about a tip: whether hashing on it was.
    pub(super) fn judge(&mut self, advised: &Advised, right: bool, worthwhile: bool) {
        let tally = self.of(advised.recommendation);
        if right {
            tally.right += 1;
        } else {
            tally.wrong += 1;
        }
        if advised.recommendation != Recommendation::Retry && worthwhile {
            self.worthwhile += 1;
        }
        self.confidence += advised.confidence;
        self.squares += (advised.confidence - f64::from(u8::from(right))).powi(2);
    }

    /// As it is shown, with so much advice waiting for its judgment.
    pub(super) fn score(&self, open: u64) -> Score {
        let judged = self.judged();
        let of = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        let tallies = [self.proceed, self.hold, self.retry];
        let right: u64 = tallies.iter().map(|tally| tally.right).sum();
        Score {
            given: tallies.iter().map(|tally| tally.given).sum(),
            judged,
            open,
            right_ratio: of(right as f64, judged),
            mean_confidence: of(self.confidence, judged),
            brier: of(self.squares, judged),
            proceed_right_ratio: of(
                self.worthwhile as f64,
                self.proceed.judged() + self.hold.judged(),
            ),
            proceed: self.proceed,
            hold: self.hold,
            retry: self.retry,
        }
    }
}

/// A track record as it is shown. A ratio of nothing is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Advice given.
    pub given: u64,
    /// Of it, judged.
    pub judged: u64,
    /// Of it, waiting for its judgment.
    pub open: u64,
    /// Share of the judged that was right, 0 to 1.
    pub right_ratio: Option<f64>,
    /// Mean confidence of the judged, 0 to 1: above `right_ratio` it is too sure of itself, below it too modest.
    pub mean_confidence: Option<f64>,
    /// Brier score of the judged, 0 (perfect) to 1.
    pub brier: Option<f64>,
    /// How often "always PROCEED" would have been right, 0 to 1: what an advisor has to beat.
    pub proceed_right_ratio: Option<f64>,
    /// Of PROCEED.
    pub proceed: Tally,
    /// Of HOLD.
    pub hold: Tally,
    /// Of RETRY.
    pub retry: Tally,
}
