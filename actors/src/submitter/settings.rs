//! What the submitter is configured with.

use std::sync::Arc;
use std::time::Duration;

use chain::Network;
use node::Node;

use super::journal::Journal;

/// What the submitter is configured with.
#[derive(Debug, Clone)]
pub struct SubmitterSettings {
    /// Every node that is given blocks; never empty.
    pub nodes: Vec<Node>,
    /// Where found blocks are written.
    pub journal: Arc<Journal>,
    /// A disk that takes longer does not hold a block back (`journal.deadline_s`).
    pub journal_deadline: Duration,
    /// A valid block that is not in a node's active chain becomes stale when its rival has a child,
    /// or after this.
    pub race_limit: Duration,
    /// A stop waits at most this long for first answers and for the disk. Shorter than the child's
    /// shutdown deadline.
    pub stop_grace: Duration,
}

impl SubmitterSettings {
    /// The defaults: 0.25 s for the journal, 3 s for a stop, races of one hour (two seconds on
    /// regtest, where no other miner decides them).
    pub fn new(network: Network, nodes: Vec<Node>, journal: Arc<Journal>) -> Self {
        let race_limit = match network {
            Network::Regtest => Duration::from_secs(2),
            _ => Duration::from_hours(1),
        };
        Self {
            nodes,
            journal,
            journal_deadline: Duration::from_millis(250),
            race_limit,
            stop_grace: Duration::from_secs(3),
        }
    }
}
