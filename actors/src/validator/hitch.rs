//! Why a tip could not be verified this time, in an operator's words, and when to try again.

use std::time::Duration;

use bitcoin::BlockHash;
use chain::{HeaderFailure, HeaderReject, Verdict};
use node::NodeError;

use crate::messages::TipDoubt;

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
pub enum Hitch {
    /// A call failed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The tip is not, or no longer, in the node's active chain.
    #[error("the node's chain moved while it was read")]
    Moved,
    /// A header breaks a consensus rule: the node follows a chain that is not Bitcoin's.
    #[error(
        "the header at height {} breaks a consensus rule ({}): this node is not to be trusted, and its tip is \
         not mined on; check that it is an unmodified Bitcoin Core and that chain.network is right",
        .0.height, .0.reject
    )]
    Refused(HeaderFailure),
    /// A header is too far ahead of this machine's clock. The node found it acceptable.
    #[error(
        "the header at height {height} is {ahead_s} s too far in the future (time-too-new): this machine's clock \
         is behind the node's; check its time synchronisation"
    )]
    TooNew {
        /// Its height.
        height: u32,
        /// Seconds until the two-hour rule lets it pass.
        ahead_s: u32,
    },
}

impl Hitch {
    /// What a refusal means when the clock says `now` (Unix seconds).
    pub fn of_refusal(failure: HeaderFailure, now: u32) -> Self {
        match failure.reject {
            HeaderReject::TimeTooNew { acceptable_at } => Self::TooNew {
                height: failure.height,
                ahead_s: acceptable_at.saturating_sub(now),
            },
            _ => Self::Refused(failure),
        }
    }

    /// Whether this is a verdict on the headers, and not a failure to get them.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// What this says against the tip `hash`; none where it says nothing of the headers.
    pub fn doubt(&self, hash: BlockHash) -> Option<TipDoubt> {
        let (verdict, reason) = match self {
            Self::Node(_) | Self::Moved => return None,
            Self::Refused(failure) => (Verdict::Rejected, failure.reject.to_string()),
            Self::TooNew { .. } => (Verdict::Undecided, "time-too-new".to_owned()),
        };
        Some(TipDoubt {
            hash,
            verdict,
            reason,
        })
    }

    /// A short name: a hitch is said aloud once as long as its name stays the same.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Node(NodeError::ChainMoved { .. }) | Self::Moved => "moved",
            Self::Node(error) => error.kind(),
            Self::Refused(_) => "refused",
            Self::TooNew { .. } => "too_new",
        }
    }

    /// How long to wait before try number `attempt` (from 1) is followed by another.
    pub fn retry_after(&self, attempt: u32) -> Duration {
        let (first, limit) = match self {
            Self::Node(NodeError::ChainMoved { .. }) | Self::Moved => (50, 2_000),
            Self::Node(_) => (250, 5_000),
            Self::Refused(_) => (5_000, 60_000),
            Self::TooNew { .. } => (1_000, 1_000),
        };
        let grown = first * 2_u64.pow(attempt.saturating_sub(1).min(10));
        Duration::from_millis(grown.min(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_from_the_future_blames_the_clock_and_never_the_node() {
        let reject = HeaderReject::TimeTooNew {
            acceptable_at: 1_060,
        };
        let hitch = Hitch::of_refusal(HeaderFailure { height: 7, reject }, 1_000);
        assert!(!hitch.is_refusal());
        let words = hitch.to_string();
        assert!(words.contains("height 7 is 60 s too far"), "{words}");
        assert!(words.contains("clock"), "{words}");
        assert_eq!(hitch.retry_after(1), hitch.retry_after(50));
    }

    #[test]
    fn a_broken_rule_names_height_and_reason_and_distrusts_the_node() {
        let failure = HeaderFailure {
            height: 32_256,
            reject: HeaderReject::HighHash,
        };
        let hitch = Hitch::of_refusal(failure, 1_000);
        assert!(hitch.is_refusal());
        let words = hitch.to_string();
        assert!(
            words.contains("32256") && words.contains("high-hash"),
            "{words}"
        );
        assert!(words.contains("not to be trusted"), "{words}");
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_never_zero() {
        let refused = HeaderFailure {
            height: 1,
            reject: HeaderReject::HighHash,
        };
        for hitch in [
            Hitch::Moved,
            Hitch::Node(NodeError::Stopped),
            Hitch::Refused(refused),
        ] {
            let waits: Vec<_> = (0..100).map(|attempt| hitch.retry_after(attempt)).collect();
            assert!(waits.iter().all(|wait| !wait.is_zero()), "{hitch}");
            assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{hitch}");
            assert!(waits[99] <= Duration::from_mins(1), "{hitch}");
        }
    }
}
