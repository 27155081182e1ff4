//! What the node said of blocks like the one to be made: those that it refuses are not mined where there are others.

use std::sync::Arc;

use super::super::settings::MinerSettings;
use super::super::sight::Sight;
use super::super::work::{Bar, Fallback, Work};
use super::Planner;
use crate::messages::NodeName;
use crate::proposals::Candidate;

/// The node that is asked about a job, once it is known: that of its template, or of the newest one.
fn node<'a>(sight: &Sight<'a>, work: &'a Work) -> Option<&'a NodeName> {
    let newest = sight.template.map(|seen| &seen.node);
    work.node.as_ref().or(newest)
}

/// A job as the node is asked about it, once it is known which node that is.
fn candidate_of(sight: &Sight<'_>, settings: &MinerSettings, work: &Work) -> Option<Candidate> {
    Some(Candidate {
        job: Arc::clone(&work.job),
        node: Arc::clone(node(sight, work)?),
        version: *settings.versions(&work.job).last()?,
    })
}

/// Why the node refuses the blocks of a job, if it does: every one of their shape, or this very one.
pub(super) fn bar(sight: &Sight<'_>, settings: &MinerSettings, work: &Work) -> Option<Bar> {
    let (node, shape) = (node(sight, work)?, work.job.shape());
    let finding = sight.proposals.finding(node, shape)?;
    if let Some(reason) = finding.bar() {
        return Some(Bar {
            reason: format!(
                "node {node} refuses every block of this shape, {reason} ({shape}); each new template is tried"
            ),
            is_final: true,
        });
    }
    let candidate = candidate_of(sight, settings, work)?;
    let reason = sight.proposals.refused_itself(&candidate)?;
    Some(Bar {
        reason: format!(
            "node {node} would refuse this very block, {reason} ({shape}); each new template is tried"
        ),
        is_final: false,
    })
}

impl Planner {
    /// The job that the node is to be asked about: the one that is mined and, once the node has said something of that,
    /// the one of the newest template that cannot be.
    pub(super) fn candidate(
        &self,
        sight: &Sight<'_>,
        work: &Arc<Work>,
        fallback: Option<&Fallback>,
    ) -> Option<Candidate> {
        let of = |work| candidate_of(sight, &self.settings, work);
        let mined = of(work)?;
        let known = sight.proposals.finding(&mined.node, mined.job.shape());
        match fallback.and_then(|fallback| fallback.barred.as_ref()) {
            Some(barred) if known.is_some() => of(barred),
            _ => Some(mined),
        }
    }
}
