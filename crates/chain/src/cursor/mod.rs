//! The header rules themselves, as a walk up the chain that carries what the next header needs.
//!
//! One implementation serves a single header, a window of 16,000 and a file: whoever asks builds a
//! [`Cursor`] above a known header and steps it. A step allocates nothing and looks nothing up.

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use pow::{NBits, Target};

use crate::params::{MAX_FUTURE_S, MAX_TIMEWARP_S, MEDIAN_TIME_SPAN, Params};
use crate::rules::HeaderReject;

const SPAN: usize = MEDIAN_TIME_SPAN as usize;

/// Time and nBits of the headers below, by height; `None` where not known.
pub(crate) trait Facts {
    fn time_and_bits(&self, height: u32) -> Option<(u32, u32)>;
}

/// What the rules look at in a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderView<'a> {
    pub version: i32,
    pub prev: &'a [u8; 32],
    pub time: u32,
    pub bits: u32,
}

impl<'a> HeaderView<'a> {
    pub fn of(header: &'a Header) -> Self {
        Self {
            version: header.version.to_consensus(),
            prev: header.prev_blockhash.as_byte_array(),
            time: header.time,
            bits: header.bits.to_consensus(),
        }
    }

    pub fn of_raw(raw: &'a [u8; 80]) -> Self {
        let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        Self {
            version: word(0).cast_signed(),
            prev: raw[4..36].try_into().expect("32 bytes of 80"),
            time: word(68),
            bits: word(72),
        }
    }
}

/// Which rules could not be applied to a header, since they look at headers that are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Gaps {
    pub linkage: bool,
    pub bits: bool,
    pub median: bool,
}

impl Gaps {
    pub fn any(self) -> bool {
        self.linkage || self.bits || self.median
    }

    /// A height that would have to be known to close the gap below `height`.
    pub fn first_missing(self, params: &Params, height: u32) -> Option<u32> {
        let parent = height.saturating_sub(1);
        if self.linkage {
            Some(parent)
        } else if self.bits {
            Some(params.period_start(parent))
        } else {
            self.median.then(|| height.saturating_sub(MEDIAN_TIME_SPAN))
        }
    }
}

/// The last eleven times.
///
/// A header need only be held against the median, not be told it: for that it is enough to count the
/// times before it, without an order to keep.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Where there are fewer than eleven, the latest time there is stands for each that is missing.
    ring: [u32; SPAN],
    next: usize,
    len: usize,
}

impl Times {
    const EMPTY: Self = Self {
        ring: [u32::MAX; SPAN],
        next: 0,
        len: 0,
    };

    fn push(&mut self, time: u32) {
        self.ring[self.next] = time;
        self.len = SPAN.min(self.len + 1);
        self.next = if self.next + 1 == SPAN {
            0
        } else {
            self.next + 1
        };
    }

    /// Whether the median is before `time`.
    fn median_is_before(&self, time: u32) -> bool {
        let before: usize = self.ring.iter().map(|&t| usize::from(t < time)).sum();
        before > self.len / 2
    }

    fn median(&self) -> u32 {
        let mut sorted = self.ring;
        sorted.sort_unstable();
        sorted[self.len / 2]
    }
}

#[derive(Clone, Copy, Debug)]
struct Parent {
    hash: [u8; 32],
    time: u32,
    bits: u32,
}

/// The state of the rules between two headers.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'p> {
    params: &'p Params,
    /// The height of the header that [`check`](Self::check) expects next.
    height: u32,
    /// The lowest height from there on at which a retarget period starts.
    next_period: u64,
    parent: Option<Parent>,
    times: Times,
    /// Time and nBits of the first header of the period that the parent lies in.
    period_start: Option<(u32, u32)>,
    /// The nBits last seen in the parent's period that are not the minimum-difficulty exception:
    /// those at its start, or others than the limit's.
    regular_bits: Option<u32>,
    /// The target of the nBits seen last, or `None` where they encode none within the limit.
    target: (u32, Option<Target>),
}

/// The target of `bits`, unless they are malformed or easier than the network allows.
fn target_of(params: &Params, bits: u32) -> Option<Target> {
    Target::from_nbits(NBits(bits))
        .ok()
        .filter(|target| *target <= params.pow_limit)
}

/// Whether a digest meets the target that its own header names.
pub(crate) fn meets_own_target(params: &Params, bits: u32, digest: &[u8; 32]) -> bool {
    target_of(params, bits).is_some_and(|target| target.is_met_by(digest))
}

impl<'p> Cursor<'p> {
    /// Before the header at `height`, with nothing known below it.
    pub fn unanchored(params: &'p Params, height: u32) -> Self {
        Self {
            params,
            height,
            next_period: u64::from(height).next_multiple_of(params.retarget_interval.into()),
            parent: None,
            times: Times::EMPTY,
            period_start: None,
            regular_bits: None,
            target: (0, None),
        }
    }

    /// Above the header at `parent_height`, whose hash is given; what else is known, `facts` tells.
    pub fn above(
        params: &'p Params,
        parent_height: u32,
        parent_hash: [u8; 32],
        facts: &impl Facts,
    ) -> Self {
        let mut cursor = Self::unanchored(params, parent_height + 1);
        let oldest = parent_height.saturating_sub(MEDIAN_TIME_SPAN - 1);
        for height in oldest..=parent_height {
            // Times below a gap are of no use: the median needs all eleven.
            match facts.time_and_bits(height) {
                Some((time, _)) => cursor.times.push(time),
                None => cursor.times = Times::EMPTY,
            }
        }
        cursor.parent = facts
            .time_and_bits(parent_height)
            .map(|(time, bits)| Parent {
                hash: parent_hash,
                time,
                bits,
            });
        let start = params.period_start(parent_height);
        cursor.period_start = facts.time_and_bits(start);
        cursor.regular_bits = cursor.walk_to_regular_bits(parent_height, facts);
        cursor
    }

    /// Core's walk back over minimum-difficulty blocks, to the period's start at most.
    fn walk_to_regular_bits(&self, parent_height: u32, facts: &impl Facts) -> Option<u32> {
        let params = self.params;
        let limit = params.pow_limit_bits.0;
        // Without retargets every block has the limit's nBits, and so has the last.
        if params.no_retarget || !params.min_difficulty_blocks {
            return self.parent.map(|parent| parent.bits);
        }
        let start = params.period_start(parent_height);
        for height in (start..=parent_height).rev() {
            let (_, bits) = facts.time_and_bits(height)?;
            if bits != limit || height == start {
                return Some(bits);
            }
        }
        None
    }

    /// The height of the next header.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Whether a retarget period starts with the next header.
    fn starts_period(&self) -> bool {
        u64::from(self.height) == self.next_period
    }

    /// The median time past of the next header, if every header that it looks at is known.
    pub fn median_time_past(&self) -> Option<u32> {
        self.knows_median().then(|| self.times.median())
    }

    fn knows_median(&self) -> bool {
        self.times.len == SPAN.min(self.height as usize) && self.times.len > 0
    }

    /// The nBits that the rules ask of the next header if its time is `ntime`; `None` where
    /// headers that they look at are not known.
    pub fn required_bits(&self, ntime: u32) -> Option<NBits> {
        let params = self.params;
        let parent = self.parent?;
        let bits = if self.starts_period() {
            self.retargeted_bits(parent)?
        } else if params.min_difficulty_blocks {
            let late = u64::from(parent.time) + 2 * u64::from(params.target_spacing_s);
            if u64::from(ntime) > late {
                params.pow_limit_bits.0
            } else {
                self.regular_bits?
            }
        } else {
            parent.bits
        };
        Some(NBits(bits))
    }

    fn retargeted_bits(&self, parent: Parent) -> Option<u32> {
        let params = self.params;
        if params.no_retarget {
            return Some(parent.bits);
        }
        let (first_time, first_bits) = self.period_start?;
        let shortest = i64::from(params.target_timespan_s / 4);
        let longest = i64::from(params.target_timespan_s) * 4;
        let taken = i64::from(parent.time) - i64::from(first_time);
        let taken = u32::try_from(taken.clamp(shortest, longest)).expect("clamped to 1 to 8 weeks");
        let from = if params.bip94 {
            first_bits
        } else {
            parent.bits
        };
        let target = Target::from_nbits(NBits(from)).ok()?;
        let target = target
            .retarget(taken, params.target_timespan_s)
            .min(params.pow_limit);
        Some(target.to_nbits().0)
    }

    /// Whether a retarget from a period whose start is not known may give these bits: no more than
    /// four times harder or easier (Core's `PermittedDifficultyTransition`).
    fn is_permitted_transition(&self, bits: u32) -> bool {
        let params = self.params;
        let Some(parent) = self.parent else {
            return true;
        };
        if params.min_difficulty_blocks || !self.starts_period() {
            return true;
        }
        let (Ok(old), Ok(new)) = (
            Target::from_nbits(NBits(parent.bits)),
            Target::from_nbits(NBits(bits)),
        ) else {
            return false;
        };
        let after = |timespan: u32| {
            let target = old
                .retarget(timespan, params.target_timespan_s)
                .min(params.pow_limit);
            Target::from_nbits(target.to_nbits()).unwrap_or(target)
        };
        new <= after(params.target_timespan_s * 4) && new >= after(params.target_timespan_s / 4)
    }

    /// Checks the next header, whose double SHA-256 is `digest`, and steps above it.
    ///
    /// Rules that look at headers not known are not applied and come back as gaps.
    pub fn check(
        &mut self,
        header: &HeaderView<'_>,
        digest: &[u8; 32],
        now: Option<u32>,
    ) -> Result<Gaps, HeaderReject> {
        if self.target.0 != header.bits || self.target.1.is_none() {
            self.target = (header.bits, target_of(self.params, header.bits));
        }
        if !self.target.1.is_some_and(|target| target.is_met_by(digest)) {
            return Err(HeaderReject::HighHash);
        }
        let gaps = self.check_context(header, now)?;
        self.step(header, digest);
        Ok(gaps)
    }

    /// Every rule but proof of work.
    pub fn check_context(
        &self,
        header: &HeaderView<'_>,
        now: Option<u32>,
    ) -> Result<Gaps, HeaderReject> {
        let params = self.params;
        let mut gaps = Gaps::default();
        match &self.parent {
            Some(parent) if parent.hash != *header.prev => return Err(HeaderReject::BadPrevblk),
            Some(_) => {}
            None => gaps.linkage = true,
        }
        match self.required_bits(header.time) {
            Some(required) if required.0 != header.bits => {
                return Err(HeaderReject::BadDiffbits { required });
            }
            Some(_) => {}
            None if !self.is_permitted_transition(header.bits) => {
                let required = NBits(self.parent.map_or(header.bits, |parent| parent.bits));
                return Err(HeaderReject::BadDiffbits { required });
            }
            None => gaps.bits = true,
        }
        if !self.knows_median() {
            gaps.median = true;
        } else if !self.times.median_is_before(header.time) {
            let median_time_past = self.times.median();
            return Err(HeaderReject::TimeTooOld { median_time_past });
        }
        if params.bip94
            && self.starts_period()
            && let Some(parent) = &self.parent
            && header.time < parent.time.saturating_sub(MAX_TIMEWARP_S)
        {
            return Err(HeaderReject::TimeTimewarpAttack);
        }
        if let Some(now) = now
            && u64::from(header.time) > u64::from(now) + u64::from(MAX_FUTURE_S)
        {
            let acceptable_at = header.time - MAX_FUTURE_S;
            return Err(HeaderReject::TimeTooNew { acceptable_at });
        }
        if header.version < params.min_version(self.height) {
            return Err(HeaderReject::BadVersion(header.version));
        }
        Ok(gaps)
    }

    /// Takes the header as the new parent without checking it.
    pub fn step(&mut self, header: &HeaderView<'_>, digest: &[u8; 32]) {
        let params = self.params;
        if self.starts_period() {
            self.next_period += u64::from(params.retarget_interval);
            self.period_start = Some((header.time, header.bits));
            self.regular_bits = Some(header.bits);
        } else if header.bits != params.pow_limit_bits.0 || !params.min_difficulty_blocks {
            self.regular_bits = Some(header.bits);
        }
        self.times.push(header.time);
        self.parent = Some(Parent {
            hash: *digest,
            time: header.time,
            bits: header.bits,
        });
        self.height += 1;
    }
}

#[cfg(test)]
mod tests;
