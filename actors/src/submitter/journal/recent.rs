//! Settled blocks that a reorganisation may still move, or a node forget.

use std::time::{Duration, SystemTime};

use bitcoin::BlockHash;

use super::entry::{BlockEnd, Entry};

/// So many of them are remembered, the newest.
const REMEMBERED: usize = 128;
const NANOSECOND: Duration = Duration::from_nanos(1);

/// A settled block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// Its hash.
    pub hash: BlockHash,
    /// Its parent.
    pub prev: BlockHash,
    /// Its height.
    pub height: u32,
    /// When it was found.
    pub found_at: SystemTime,
    /// Where it is today.
    pub end: BlockEnd,
    /// When that was noted.
    changed_at: SystemTime,
}

impl Recent {
    /// None for a block that is open.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        entry.end().map(|end| Self {
            hash: entry.found.hash(),
            prev: entry.prev(),
            height: entry.height(),
            found_at: entry.found_at(),
            end: end.end,
            changed_at: end.at,
        })
    }

    /// Notes that it is elsewhere now; the time to write down, later than that of any change before, whatever the
    /// clock says. None if it is there already.
    pub(super) fn moved(&mut self, end: BlockEnd, at: SystemTime) -> Option<SystemTime> {
        (self.end != end).then(|| {
            self.end = end;
            self.changed_at = at.max(self.changed_at + NANOSECOND);
            self.changed_at
        })
    }
}

/// Adds blocks, and drops the oldest beyond the bound.
pub(super) fn remember(known: &mut Vec<Recent>, more: impl IntoIterator<Item = Recent>) {
    known.extend(more);
    known.sort_by_key(|block| (block.found_at, block.height));
    let surplus = known.len().saturating_sub(REMEMBERED);
    known.drain(..surplus);
}
