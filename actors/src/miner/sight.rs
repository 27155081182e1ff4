//! What the planner sees: the board, at one moment.

use std::time::{Duration, Instant};

use chain::Report;

use super::decide::{Judged, Validation};
use super::settings::MinerSettings;
use super::work::makes_own;
use crate::messages::{
    BodyState, Counsel, NodeState, Settled, Solution, TemplateSeen, TipDoubt, TipProvisional,
    TipValidated,
};
use crate::proposals::Proposals;
use crate::resources::Degradation;
use crate::stats::Registry;

/// What the board shows at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The moment.
    pub now: Instant,
    /// The node.
    pub node: &'a NodeState,
    /// The tip to build on.
    pub tip: Option<&'a TipValidated>,
    /// Until when that tip counts, where the node has not confirmed it yet.
    pub until: Option<Instant>,
    /// What is wrong with the node's tip, where that is another one.
    pub doubt: Option<&'a TipDoubt>,
    /// The newest template.
    pub template: Option<&'a TemplateSeen>,
    /// The block found last on this tip, or found last of all.
    pub found: Option<&'a Solution>,
    /// The block settled last.
    pub settled: Option<&'a Settled>,
    /// How the newest question to the advisor ended.
    pub counsel: Option<&'a Counsel>,
    /// Whether there is an advisor that is asked.
    pub is_advised: bool,
    /// What the node said of blocks like ours.
    pub proposals: &'a Proposals,
    /// The counters.
    pub counts: Counts,
    /// What is given up because resources are scarce.
    pub degradation: Degradation,
    /// Which resources those are, in words.
    pub scarce: &'a str,
}

/// The counters that decisions depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks found in this run.
    pub found: u64,
    /// Of those, accepted.
    pub accepted: u64,
    /// Of those, refused.
    pub rejected: u64,
    /// Of those, beaten by another.
    pub stale: u64,
    /// Hashes of all threads.
    pub hashes: u64,
    /// Scanning time of all threads together.
    pub busy: Duration,
}

impl Counts {
    /// As they stand in the registry.
    pub fn of(registry: &Registry) -> Self {
        Self {
            found: registry.blocks_found.get(),
            accepted: registry.blocks_accepted.get(),
            rejected: registry.blocks_rejected.get(),
            stale: registry.blocks_stale.get(),
            hashes: registry.hashes(),
            busy: registry.busy(),
        }
    }

    /// Blocks found that are accepted or may yet be.
    pub fn open(&self) -> u64 {
        let lost = self.rejected.saturating_add(self.stale);
        self.found.saturating_sub(lost).max(self.accepted)
    }

    /// The share of our valid blocks that went stale; absent before the first is settled.
    pub fn stale_ratio(&self) -> Option<f64> {
        let valid = self.accepted + self.stale;
        (valid > 0).then(|| self.stale as f64 / valid as f64)
    }
}

/// The tip to build on, and until when that counts, where the node has not confirmed it yet: the validated one
/// or, where a job for it can be made here, one that is ahead of it.
pub fn tip_to_build_on<'a>(
    validated: Option<&'a TipValidated>,
    provisional: Option<&'a TipProvisional>,
    settings: &MinerSettings,
    newest: Option<&TemplateSeen>,
    now: Instant,
) -> (Option<&'a TipValidated>, Option<Instant>) {
    let newest = newest.map(|seen| &*seen.template);
    let ahead = provisional.filter(|ahead| now < ahead.until && makes_own(settings, newest));
    match (validated, ahead) {
        (Some(validated), Some(ahead)) if validated.hash != ahead.tip.hash => {
            (Some(&ahead.tip), Some(ahead.until))
        }
        _ => (validated, None),
    }
}

/// What is known of the validity of the tip that the node follows: the validated one, or one whose
/// headers did not pass. A block on the validated one would then be a side block for the node.
pub fn validation_of(tip: &TipValidated, doubt: Option<&TipDoubt>) -> Validation {
    let judged = |report: &Report| Judged::Done {
        verdict: report.verdict,
        because: report
            .first_failure
            .as_ref()
            .map(|failure| failure.reason.clone()),
    };
    Validation {
        header: match doubt {
            Some(doubt) => Judged::Done {
                verdict: doubt.verdict,
                because: Some(doubt.reason.clone()),
            },
            None => judged(&tip.report),
        },
        body: match &tip.body {
            BodyState::Checked(report) => judged(&report.report),
            BodyState::Pending | BodyState::Unavailable(_) => Judged::Pending,
        },
    }
}
