//! What the board tells of whether advice was right.

use std::time::Instant;

use advisor::protocol;
use advisor::record::{Advised, Fact, Judged, Record, Score, Totals};
use bitcoin::BlockHash;
use chain::Verdict;

use crate::board::Board;
use crate::messages::{Advice, BodyState, Outcome, Recommendation};
use crate::resources::Degradation;

/// A track record that follows the board.
#[derive(Debug, Default)]
pub struct Hindsight {
    record: Record,
    tip: Option<BlockHash>,
    settled: Option<BlockHash>,
    template: Option<Instant>,
}

impl Hindsight {
    /// Goes on from what was kept.
    pub fn resume(totals: Totals) -> Self {
        Self {
            record: Record::resume(totals),
            ..Self::default()
        }
    }

    /// What to keep.
    pub fn totals(&self) -> &Totals {
        self.record.totals()
    }

    /// The record as it is shown.
    pub fn score(&self) -> Score {
        self.record.score()
    }

    /// Advice was given on the tip with this hash and height, with a template in hand that pays so much.
    pub fn advised(&mut self, tip: BlockHash, height: u32, reward: Option<u64>, advice: &Advice) {
        self.record.advised(Advised {
            tip: tip.to_string(),
            height,
            recommendation: match advice.recommendation {
                Recommendation::Proceed => protocol::Recommendation::Proceed,
                Recommendation::Hold(_) => protocol::Recommendation::Hold,
                Recommendation::Retry => protocol::Recommendation::Retry,
            },
            confidence: advice.confidence,
            reward_sat: reward,
        });
    }

    /// Takes note of what is new on the board, and says what advice is judged by that.
    pub fn observe(&mut self, board: &Board) {
        let mut judged = Vec::new();
        if let Some(doubt) = board.tip_doubt.borrow().clone()
            && doubt.verdict == Verdict::Rejected
        {
            let tip = doubt.hash.to_string();
            judged.extend(self.record.learned(&tip, Fact::Rejected));
        }
        if let Some(settled) = board.settled.borrow().clone()
            && self.settled.replace(settled.hash) != Some(settled.hash)
        {
            let fact = match settled.outcome {
                Outcome::Accepted => Fact::Accepted,
                Outcome::Rejected(_) | Outcome::Stale => Fact::Lost,
            };
            judged.extend(self.record.learned(&settled.prev.to_string(), fact));
        }
        if let Some(tip) = board.tip_validated.borrow().clone() {
            let hash = tip.hash.to_string();
            if self.tip.replace(tip.hash) != Some(tip.hash) {
                let parent = tip.header.prev_blockhash.to_string();
                judged.extend(self.record.tip(tip.height, &hash, &parent));
            }
            let body = match &tip.body {
                BodyState::Checked(report) => Some(report.verdict()),
                BodyState::Pending | BodyState::Unavailable(_) => None,
            };
            for (holds, fact) in [
                (body == Some(Verdict::Rejected), Fact::Rejected),
                (loses(board), Fact::Unprofitable),
                (is_strained(board), Fact::Strained),
                (is_refused(board, tip.hash), Fact::TemplateRefused),
            ] {
                if holds {
                    judged.extend(self.record.learned(&hash, fact));
                }
            }
        }
        if let Some(seen) = board.template.borrow().clone()
            && self.template.replace(seen.received_at) != Some(seen.received_at)
            && let Some(reward_sat) = seen.template.coinbasevalue
        {
            let tip = seen.template.previousblockhash.to_string();
            let fact = Fact::Template { reward_sat };
            judged.extend(self.record.learned(&tip, fact));
        }
        judged.iter().for_each(say);
    }
}

fn loses(board: &Board) -> bool {
    let decision = board.decision.borrow();
    decision.as_ref().is_some_and(|decision| decision.loses)
}

fn is_strained(board: &Board) -> bool {
    *board.degradation.borrow() >= Degradation::Eased
}

/// Whether the node refuses what is made of its template on this tip.
fn is_refused(board: &Board, tip: BlockHash) -> bool {
    let candidate = board.candidate.borrow().clone();
    candidate
        .filter(|candidate| candidate.job.prev() == tip)
        .is_some_and(|candidate| board.proposals.borrow().refusal(&candidate).is_some())
}

fn say(judged: &Judged) {
    let Judged {
        advised,
        right,
        because,
    } = judged;
    let verdict = if *right { "right" } else { "wrong" };
    tracing::debug!(
        "the advice of {:?} on {} was {verdict}: {because}",
        advised.recommendation,
        advised.tip
    );
}

#[cfg(test)]
mod tests;
