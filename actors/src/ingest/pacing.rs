//! How long to wait before asking for a template again after a failure.

use std::time::Duration;

use node::NodeError;

/// What stands in the way of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Passes by itself within seconds: warming up, a full work queue, the two-hour bound.
    Brief,
    /// Lasts until the node has peers or has caught up.
    Waiting,
    /// The node knows nothing of the long poll id: forget it and ask plainly.
    LongPollId,
    /// Anything else: nobody there, credentials refused, an answer that makes no sense.
    Lasting,
}

impl Trouble {
    /// What `error`, the answer to `getblocktemplate`, is.
    pub fn of(error: &NodeError) -> Self {
        match error {
            NodeError::WarmingUp { .. }
            | NodeError::Busy { .. }
            | NodeError::Overloaded { .. }
            | NodeError::Expired { .. } => Self::Brief,
            NodeError::NoPeers { .. } | NodeError::Syncing { .. } => Self::Waiting,
            NodeError::Rpc {
                code: -8, message, ..
            } if message.contains("longpollid") => Self::LongPollId,
            error if is_two_hour_bound(error) => Self::Brief,
            _ => Self::Lasting,
        }
    }
}

/// Whether the node cannot make a template because the least time allowed to it is more than two
/// hours ahead of its clock.
pub fn is_two_hour_bound(error: &NodeError) -> bool {
    matches!(error, NodeError::Rpc { code: -1, message, .. } if message.contains("time-too-new"))
}

/// The error in an operator's words, with what happens next where the error itself does not say.
pub fn in_words(error: &NodeError) -> String {
    if is_two_hour_bound(error) {
        return format!(
            "{error}: the chain's timestamps have reached the two-hour bound of the node's clock, and blocks \
             can come again as that clock moves on"
        );
    }
    error.to_string()
}

/// Delays that grow while failures last, and begin again after a success.
#[derive(Debug, Default)]
pub struct Pacing {
    failures: u32,
}

impl Pacing {
    const FIRST: Duration = Duration::from_millis(250);
    const BRIEF_LIMIT: Duration = Duration::from_secs(1);
    const WAITING: Duration = Duration::from_secs(5);
    const LIMIT: Duration = Duration::from_secs(15);

    /// How long to wait after one more failure. Never zero.
    pub fn after(&mut self, trouble: Trouble) -> Duration {
        let grown = Self::FIRST * 2_u32.pow(self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        match trouble {
            Trouble::Brief => grown.min(Self::BRIEF_LIMIT),
            Trouble::Waiting => Self::WAITING,
            Trouble::LongPollId => Self::FIRST,
            Trouble::Lasting => grown.min(Self::LIMIT),
        }
    }

    /// A call succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(code: i32, message: &str) -> NodeError {
        NodeError::Rpc {
            method: "getblocktemplate".into(),
            code,
            message: message.into(),
        }
    }

    #[test]
    fn core_s_answers_are_told_apart() {
        let warming = NodeError::WarmingUp {
            text: "Loading block index…".into(),
        };
        assert_eq!(Trouble::of(&warming), Trouble::Brief);
        let no_peers = NodeError::NoPeers {
            text: "Bitcoin Core is not connected!".into(),
        };
        assert_eq!(Trouble::of(&no_peers), Trouble::Waiting);
        let bound = "TestBlockValidity failed: time-too-new, block timestamp too far in the future";
        assert_eq!(Trouble::of(&rpc(-1, bound)), Trouble::Brief);
        assert!(in_words(&rpc(-1, bound)).contains("two-hour bound"));
        let id = "longpollid must be of length 64 (not 3, for 'abc')";
        assert_eq!(Trouble::of(&rpc(-8, id)), Trouble::LongPollId);
        assert_eq!(Trouble::of(&rpc(-8, "something else")), Trouble::Lasting);
        assert_eq!(Trouble::of(&NodeError::Stopped), Trouble::Lasting);
    }

    #[test]
    fn waits_grow_to_their_bound_are_never_zero_and_begin_again_after_a_success() {
        for trouble in [
            Trouble::Brief,
            Trouble::Waiting,
            Trouble::LongPollId,
            Trouble::Lasting,
        ] {
            let mut pacing = Pacing::default();
            let waits: Vec<_> = (0..100).map(|_| pacing.after(trouble)).collect();
            assert!(
                waits.windows(2).all(|pair| pair[0] <= pair[1]),
                "{trouble:?}: {waits:?}"
            );
            assert!(waits[0] >= Duration::from_millis(250), "{trouble:?}");
            assert!(waits[99] <= Duration::from_secs(15), "{trouble:?}");
        }
        let mut pacing = Pacing::default();
        let first = pacing.after(Trouble::Lasting);
        pacing.after(Trouble::Lasting);
        pacing.succeeded();
        assert_eq!(pacing.after(Trouble::Lasting), first);
    }
}
