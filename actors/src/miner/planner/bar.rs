//! What the node said of blocks like the one to be made: no job where it refuses them all.

use std::sync::Arc;

use super::super::plan::Parked;
use super::super::sight::Sight;
use super::super::work::Work;
use super::Planner;
use crate::proposals::Candidate;

impl Planner {
    /// The job as the node is asked about it, once it is known which node that is.
    pub(super) fn candidate(&self, sight: &Sight<'_>, work: &Work) -> Option<Candidate> {
        let newest = sight.template.map(|seen| &seen.node);
        let versions = self.settings.versions(&work.job);
        Some(Candidate {
            job: Arc::clone(&work.job),
            node: Arc::clone(work.node.as_ref().or(newest)?),
            version: *versions.last()?,
        })
    }

    /// Blocks that the node refuses whatever is in them are not mined; every newer template is tried.
    pub(super) fn is_barred(
        &mut self,
        sight: &Sight<'_>,
        candidate: Option<&Candidate>,
    ) -> Result<(), Parked> {
        let bar = candidate.and_then(|candidate| {
            let finding = sight
                .proposals
                .finding(&candidate.node, candidate.job.shape())?;
            Some((candidate, finding.bar()?))
        });
        let Some((candidate, reason)) = bar else {
            return Ok(());
        };
        if let Some(on_tip) = self.on_tip.as_mut() {
            on_tip.let_go();
        }
        let reason = format!(
            "node {} refuses every block of this shape, {reason} ({}); each new template is tried",
            candidate.node,
            candidate.job.shape()
        );
        Err(Parked {
            candidate: Some(candidate.clone()),
            ..Parked::no_job(reason)
        })
    }
}
