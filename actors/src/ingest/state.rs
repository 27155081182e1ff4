//! What the node's own words make of it: ready, syncing, absent, or of no use.

use chain::Network;
use node::NodeError;

use crate::messages::NodeState;

/// How many blocks a node may be behind its best header and still count as up to date. One header
/// ahead of its block is how every block arrives.
const HEADERS_AHEAD: u32 = 1;

/// What `getblockchaininfo` says that decides the state.
#[derive(Debug, Clone, Copy)]
pub struct ChainFacts<'a> {
    /// Core's name of the network.
    pub chain: &'a str,
    /// Height of the active tip.
    pub blocks: u32,
    /// Height of the best header.
    pub headers: u32,
    /// Whether the node is in initial block download.
    pub ibd: bool,
}

/// The state of a node that answered.
pub fn of_answer(facts: &ChainFacts<'_>, network: Network) -> NodeState {
    if facts.chain != network.core_name() {
        let theirs = Network::from_core_name(facts.chain)
            .map_or_else(|| facts.chain.to_owned(), |known| known.to_string());
        return NodeState::Refused {
            reason: format!(
                "the node is on {theirs}, this program is configured for {network}: set chain.network to \
                 \"{theirs}\", or point rpc_url at a node on {network}"
            ),
        };
    }
    let &ChainFacts {
        blocks,
        headers,
        ibd,
        ..
    } = facts;
    if ibd || headers.saturating_sub(blocks) > HEADERS_AHEAD {
        NodeState::Syncing {
            blocks,
            headers,
            ibd,
        }
    } else {
        NodeState::Ready
    }
}

/// The state of a node whose answer was `error`.
pub fn of_error(error: &NodeError) -> NodeState {
    let reason = error.to_string();
    match error {
        NodeError::Unauthorized { .. } | NodeError::Forbidden { .. } => {
            NodeState::Refused { reason }
        }
        _ => NodeState::Absent { reason },
    }
}

/// Whether a node that was asked took the call and did not do it: to ask it often would make it no better. One that
/// is not there, refuses, is starting or has its queue full (it says so at once) costs nobody anything to ask. One whose
/// templates cannot be read, as a later version's might not be, has made them all the same: its tips are followed.
pub fn leaves_undone(error: &NodeError) -> bool {
    match error {
        NodeError::Unanswered { .. }
        | NodeError::Overloaded { .. }
        | NodeError::Expired { .. }
        | NodeError::Http { .. } => true,
        NodeError::Malformed { method, .. } | NodeError::TooLarge { method, .. } => {
            method != "getblocktemplate"
        }
        _ => false,
    }
}

/// Whether two states differ in a way that an operator wants to read about: progress is not one.
pub fn is_news(before: &NodeState, after: &NodeState) -> bool {
    match (before, after) {
        (NodeState::Syncing { ibd: before, .. }, NodeState::Syncing { ibd: after, .. }) => {
            before != after
        }
        _ => before != after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(chain: &str, blocks: u32, headers: u32, ibd: bool) -> ChainFacts<'_> {
        ChainFacts {
            chain,
            blocks,
            headers,
            ibd,
        }
    }

    #[test]
    fn a_node_on_its_best_header_is_ready_and_one_header_ahead_is_no_lag() {
        assert_eq!(
            of_answer(&facts("main", 900, 900, false), Network::Main),
            NodeState::Ready
        );
        assert_eq!(
            of_answer(&facts("main", 900, 901, false), Network::Main),
            NodeState::Ready
        );
        assert_eq!(
            of_answer(&facts("main", 900, 902, false), Network::Main),
            NodeState::Syncing {
                blocks: 900,
                headers: 902,
                ibd: false
            }
        );
    }

    #[test]
    fn initial_block_download_is_syncing_even_where_nothing_is_missing() {
        assert_eq!(
            of_answer(&facts("regtest", 0, 0, true), Network::Regtest),
            NodeState::Syncing {
                blocks: 0,
                headers: 0,
                ibd: true
            }
        );
    }

    #[test]
    fn another_network_is_refused_naming_both_in_the_operators_words() {
        let NodeState::Refused { reason } = of_answer(&facts("test", 1, 1, false), Network::Main)
        else {
            panic!("a node on testnet3 was not refused");
        };
        assert!(reason.contains("on testnet3"), "{reason}");
        assert!(reason.contains("configured for main"), "{reason}");
        assert!(reason.contains("chain.network"), "{reason}");
        let refused = of_answer(&facts("litecoin", 1, 1, false), Network::Main);
        assert!(matches!(refused, NodeState::Refused { reason } if reason.contains("litecoin")));
    }

    #[test]
    fn refused_credentials_are_told_from_a_node_that_is_down_or_starting() {
        let unauthorized = NodeError::Unauthorized {
            url: "http://127.0.0.1:1".into(),
            credentials: "the cookie file".into(),
        };
        assert!(matches!(of_error(&unauthorized), NodeState::Refused { .. }));
        let starting = NodeError::WarmingUp {
            text: "Verifying blocks…".into(),
        };
        assert!(
            matches!(of_error(&starting), NodeState::Absent { reason } if reason.contains("Verifying"))
        );
    }

    #[test]
    fn progress_of_a_download_is_no_news() {
        let at = |blocks, ibd| NodeState::Syncing {
            blocks,
            headers: 900,
            ibd,
        };
        assert!(!is_news(&at(1, true), &at(2, true)));
        assert!(is_news(&at(2, true), &at(2, false)));
        assert!(is_news(&at(900, true), &NodeState::Ready));
        assert!(!is_news(&NodeState::Ready, &NodeState::Ready));
    }
}
