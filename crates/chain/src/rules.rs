//! Header rules for a caller that keeps the chain itself, in Bitcoin Core's order and words.

use std::borrow::Cow;
use std::fmt;

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use pow::NBits;

use crate::cursor::{Cursor, Facts, HeaderView};
use crate::params::{MAX_TIMEWARP_S, Params};
use crate::report::Check;

/// The chain below a header: whatever keeps it, by height.
///
/// A rule looks at the parent, at ten more headers below it, and at the first header of the
/// retarget period; on networks with minimum-difficulty blocks, at those of the period as well.
pub trait Ancestors {
    /// The header at `height` of this branch, or `None` where it is not known.
    fn header_at(&self, height: u32) -> Option<&Header>;
}

/// Headers from height 0 upwards.
impl Ancestors for [Header] {
    fn header_at(&self, height: u32) -> Option<&Header> {
        self.get(height as usize)
    }
}

/// Why a header was refused. Displays as Bitcoin Core's reject string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderReject {
    /// The hash does not meet the target, or the target is no target of this network.
    HighHash,
    /// The header names another parent than the one below it.
    BadPrevblk,
    /// The nBits are not those that the rules ask for.
    BadDiffbits {
        /// What the rules ask for.
        required: NBits,
    },
    /// The time is not after the median of the eleven headers before.
    TimeTooOld {
        /// That median.
        median_time_past: u32,
    },
    /// BIP94: the first header of a period is more than ten minutes older than its parent.
    TimeTimewarpAttack,
    /// The time is more than two hours ahead of the clock. This passes with time.
    TimeTooNew {
        /// When, in Unix time, the header becomes acceptable.
        acceptable_at: u32,
    },
    /// The version is too low for this height.
    BadVersion(i32),
    /// A header that the rules need is not known here. Never a judgement of the header itself.
    MissingAncestor(u32),
}

impl HeaderReject {
    /// Bitcoin Core's reject string; `missing-ancestor(HEIGHT)` where Core has none.
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::HighHash => "high-hash".into(),
            Self::BadPrevblk => "bad-prevblk".into(),
            Self::BadDiffbits { .. } => "bad-diffbits".into(),
            Self::TimeTooOld { .. } => "time-too-old".into(),
            Self::TimeTimewarpAttack => "time-timewarp-attack".into(),
            Self::TimeTooNew { .. } => "time-too-new".into(),
            Self::BadVersion(version) => format!("bad-version(0x{version:08x})").into(),
            Self::MissingAncestor(height) => format!("missing-ancestor({height})").into(),
        }
    }

    /// The check that failed.
    pub const fn check(&self) -> Check {
        match self {
            Self::HighHash => Check::ProofOfWork,
            Self::BadPrevblk => Check::Linkage,
            Self::BadDiffbits { .. } => Check::Difficulty,
            Self::TimeTooOld { .. } => Check::MedianTime,
            Self::TimeTimewarpAttack => Check::Timewarp,
            Self::TimeTooNew { .. } => Check::FutureTime,
            Self::BadVersion(_) => Check::Version,
            Self::MissingAncestor(_) => Check::Context,
        }
    }

    /// Whether the same header may be accepted later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::TimeTooNew { .. } | Self::MissingAncestor(_))
    }
}

impl fmt::Display for HeaderReject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())
    }
}

impl std::error::Error for HeaderReject {}

/// The median time of the header at `tip` and the ten below it; the time that its child must pass.
///
/// `None` where one of them is not known.
pub fn median_time_past<A: Ancestors + ?Sized>(ancestors: &A, tip: u32) -> Option<u32> {
    let mut times = [0_u32; 11];
    let mut count = 0;
    for height in (0..=tip).rev().take(times.len()) {
        times[count] = ancestors.header_at(height)?.time;
        count += 1;
    }
    let times = &mut times[..count];
    times.sort_unstable();
    Some(times[count / 2])
}

/// The nBits that a header at `height` with time `ntime` must have.
///
/// # Errors
/// [`HeaderReject::MissingAncestor`] where the chain does not reach back far enough.
///
/// # Panics
/// When `height` is 0: the genesis block has no rule.
pub fn next_bits<A: Ancestors + ?Sized>(
    params: &Params,
    height: u32,
    ancestors: &A,
    ntime: u32,
) -> Result<NBits, HeaderReject> {
    cursor_below(params, height, ancestors)?
        .required_bits(ntime)
        .ok_or(HeaderReject::MissingAncestor(
            params.period_start(height - 1),
        ))
}

/// The earliest time that a block at `height` should have: past the median, and at the start of a
/// period no more than ten minutes before its parent.
///
/// The second rule (BIP94) is consensus on testnet4 only; as Bitcoin Core does, blocks made here
/// keep it on every network.
///
/// # Errors
/// [`HeaderReject::MissingAncestor`] where the chain does not reach back far enough.
///
/// # Panics
/// When `height` is 0: the genesis block has no rule.
pub fn min_time<A: Ancestors + ?Sized>(
    params: &Params,
    height: u32,
    ancestors: &A,
) -> Result<u32, HeaderReject> {
    let parent = ancestors
        .header_at(height - 1)
        .ok_or(HeaderReject::MissingAncestor(height - 1))?;
    let lowest = height.saturating_sub(crate::params::MEDIAN_TIME_SPAN);
    let median =
        median_time_past(ancestors, height - 1).ok_or(HeaderReject::MissingAncestor(lowest))?;
    Ok(min_time_after(params, height, median, parent.time))
}

pub(crate) fn min_time_after(params: &Params, height: u32, median: u32, parent_time: u32) -> u32 {
    let past_median = median.saturating_add(1);
    if height.is_multiple_of(params.retarget_interval) {
        past_median.max(parent_time.saturating_sub(MAX_TIMEWARP_S))
    } else {
        past_median
    }
}

/// Checks one header against every rule for its height, in Bitcoin Core's order.
///
/// `now` is the clock in Unix time; without it the two-hour rule is not applied.
///
/// # Errors
/// The first rule that the header breaks; [`HeaderReject::BadPrevblk`] also where the parent is
/// not known at all.
///
/// # Panics
/// When `height` is 0: the genesis block is given, not checked.
pub fn check_header<A: Ancestors + ?Sized>(
    params: &Params,
    header: &Header,
    height: u32,
    ancestors: &A,
    now: Option<u32>,
) -> Result<(), HeaderReject> {
    let view = HeaderView::of(header);
    let digest = header.block_hash().to_byte_array();
    let mut cursor = match cursor_below(params, height, ancestors) {
        Ok(cursor) => cursor,
        // Proof of work comes first even for a header whose parent nobody knows.
        Err(_) if !crate::cursor::meets_own_target(params, view.bits, &digest) => {
            return Err(HeaderReject::HighHash);
        }
        Err(_) => return Err(HeaderReject::BadPrevblk),
    };
    let gaps = cursor.check(&view, &digest, now)?;
    match gaps.first_missing(params, height) {
        Some(missing) => Err(HeaderReject::MissingAncestor(missing)),
        None => Ok(()),
    }
}

struct AncestorFacts<'a, A: ?Sized>(&'a A);

impl<A: Ancestors + ?Sized> Facts for AncestorFacts<'_, A> {
    fn time_and_bits(&self, height: u32) -> Option<(u32, u32)> {
        let header = self.0.header_at(height)?;
        Some((header.time, header.bits.to_consensus()))
    }
}

fn cursor_below<'p, A: Ancestors + ?Sized>(
    params: &'p Params,
    height: u32,
    ancestors: &A,
) -> Result<Cursor<'p>, HeaderReject> {
    let parent_height = height
        .checked_sub(1)
        .expect("the genesis block has no header rules");
    let parent = ancestors
        .header_at(parent_height)
        .ok_or(HeaderReject::MissingAncestor(parent_height))?;
    let parent_hash = parent.block_hash().to_byte_array();
    Ok(Cursor::above(
        params,
        parent_height,
        parent_hash,
        &AncestorFacts(ancestors),
    ))
}
