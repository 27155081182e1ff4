//! What the node said of blocks like the one to be made: those that it refuses whatever is in them are not mined.

use std::sync::Arc;

use super::super::sight::Sight;
use super::super::work::{Fallback, Work};
use super::Planner;
use crate::messages::NodeName;
use crate::proposals::Candidate;

/// The node that is asked about a job, once it is known: that of its template, or of the newest one.
fn node<'a>(sight: &Sight<'a>, work: &'a Work) -> Option<&'a NodeName> {
    let newest = sight.template.map(|seen| &seen.node);
    work.node.as_ref().or(newest)
}

/// Why the node refuses every block like those of a job, if it does.
pub(super) fn bar(sight: &Sight<'_>, work: &Work) -> Option<String> {
    let (node, shape) = (node(sight, work)?, work.job.shape());
    let reason = sight.proposals.finding(node, shape)?.bar()?;
    Some(format!(
        "node {node} refuses every block of this shape, {reason} ({shape}); each new template is tried"
    ))
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
        let of = |work: &Work| {
            let versions = self.settings.versions(&work.job);
            Some(Candidate {
                job: Arc::clone(&work.job),
                node: Arc::clone(node(sight, work)?),
                version: *versions.last()?,
            })
        };
        let mined = of(work)?;
        let known = sight.proposals.finding(&mined.node, mined.job.shape());
        match fallback.and_then(|fallback| fallback.barred.as_ref()) {
            Some(barred) if known.is_some() => of(barred),
            _ => Some(mined),
        }
    }
}
