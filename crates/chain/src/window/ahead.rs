//! What a window's tip would be with headers that a node has yet to confirm.

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use pow::{NBits, Work};

use super::{Branch, HeaderFailure, HeaderWindow, Tip};
use crate::cursor::{Cursor, HeaderView, meets_own_target};
use crate::hashing::{header_bytes, work_of};
use crate::network::Network;
use crate::rules::{HeaderReject, min_time_after};

/// A tip that passes every rule and is not connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ahead {
    /// The last of the headers.
    pub tip: Tip,
    /// The median of the eleven times up to it.
    pub median_time_past: u32,
    /// The earliest time for its child; see [`min_time`](crate::min_time).
    pub min_time: u32,
    /// The nBits of a child that carries the tip's own time.
    pub next_bits: NBits,
    /// The work up to it, counted as [`HeaderWindow::chainwork_from_anchor`] does.
    pub work: Work,
}

/// Why headers are no better tip than the window's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAhead {
    /// A header breaks a rule; `bad-prevblk` where the parent of the first is not in the window.
    #[error(transparent)]
    Refused(#[from] HeaderFailure),
    /// The active chain has as much work, or more.
    #[error("its chain has no more work than the one that is verified")]
    NoMoreWork,
}

/// Whether a header meets the target that it names itself, and that is one of the network: what it takes before
/// anything else about it is looked at. `hash` is the header's.
pub fn proves_work(network: Network, header: &Header, hash: &BlockHash) -> bool {
    let bits = header.bits.to_consensus();
    meets_own_target(network.params(), bits, hash.as_byte_array())
}

impl HeaderWindow {
    /// What the tip would be with these headers, each the child of the one before, on top of a block of the
    /// active chain. The window stays as it is.
    ///
    /// Proof of work comes first, so that a header without any costs no more than its hash. `now` is the clock
    /// in Unix time; without it the two-hour rule is not applied.
    ///
    /// # Errors
    /// [`NotAhead`]; `missing-ancestor` where the window does not reach back far enough for every rule.
    pub fn look_ahead(&self, headers: &[Header], now: Option<u32>) -> Result<Ahead, NotAhead> {
        let params = self.network.params();
        let refused = |height, reject| HeaderFailure { height, reject };
        let next = self.tip().height + 1;
        let hashes: Vec<[u8; 32]> = headers
            .iter()
            .map(|header| pow::sha256d(&header_bytes(header)))
            .collect();
        let proves = |(header, hash): (&Header, &[u8; 32])| {
            meets_own_target(params, header.bits.to_consensus(), hash)
        };
        if !headers.iter().zip(&hashes).all(proves) {
            return Err(refused(next, HeaderReject::HighHash).into());
        }
        let parent = headers
            .first()
            .and_then(|first| self.height_of(&first.prev_blockhash));
        let (Some(parent), Some(last)) = (parent, headers.last()) else {
            return Err(refused(next, HeaderReject::BadPrevblk).into());
        };
        let kept = (parent + 1 - self.base) as usize;
        let work = self.work - work_of(&self.headers[kept..]) + work_of(headers);
        if work <= self.work {
            return Err(NotAhead::NoMoreWork);
        }
        let below = Branch {
            base: self.base,
            below: &self.headers[..kept],
        };
        let mut cursor = Cursor::above(params, parent, self.hashes[kept - 1], &below);
        for (header, hash) in headers.iter().zip(&hashes) {
            let height = cursor.height();
            let gaps = cursor
                .check(&HeaderView::of(header), hash, now)
                .map_err(|reject| refused(height, reject))?;
            if let Some(missing) = gaps.first_missing(params, height) {
                return Err(refused(height, HeaderReject::MissingAncestor(missing)).into());
            }
        }
        let height = cursor.height();
        let start = params.period_start(height - 1);
        let missing = || refused(height, HeaderReject::MissingAncestor(start));
        let median = cursor.median_time_past().ok_or_else(missing)?;
        Ok(Ahead {
            tip: Tip {
                hash: BlockHash::from_byte_array(hashes[hashes.len() - 1]),
                height: height - 1,
                header: *last,
            },
            median_time_past: median,
            min_time: min_time_after(params, height, median, last.time),
            next_bits: cursor.required_bits(last.time).ok_or_else(missing)?,
            work,
        })
    }
}
