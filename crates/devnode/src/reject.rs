//! Why a block or a transaction is refused, and whether that is for good.

use std::borrow::Cow;
use std::fmt;

/// A refusal in Bitcoin Core's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    pub(crate) reason: Cow<'static, str>,
    /// The block's hash does not commit to what is wrong, or time heals it: another copy, or the
    /// same one later, may be good. Such a block is not marked as failed.
    pub(crate) passing: bool,
}

impl Reject {
    /// For good: the block (or transaction) with this hash can never be valid.
    pub(crate) fn invalid(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            passing: false,
        }
    }

    /// Not held against the hash.
    pub(crate) fn passing(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            passing: true,
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
