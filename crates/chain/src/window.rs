//! The verified active chain, as far back as the operator asks and the rules need.

mod ahead;

use std::ops::Range;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use pow::{NBits, Work};

use crate::cursor::{Cursor, Facts, HeaderView};
use crate::hashing::{WorkSum, hash_each, work_of};
use crate::network::Network;
use crate::params::MEDIAN_TIME_SPAN;
use crate::report::{Check, Report, Tally};
use crate::rules::{Ancestors, HeaderReject, min_time_after};

pub use ahead::{Ahead, NotAhead, proves_work};

/// Headers kept beyond what is needed before the surplus is dropped at once.
const SLACK: usize = 1_024;

/// The highest header of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tip {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// The header.
    pub header: Header,
}

/// What a window went through when headers were connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connected {
    /// The highest header that old and new chain share.
    pub fork_height: u32,
    /// Headers that left the active chain, highest first; empty unless this was a reorg.
    pub disconnected: Vec<BlockHash>,
    /// Headers that joined it.
    pub connected: u32,
}

/// The first header that could not be connected, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("header at height {height} refused: {reject}")]
pub struct HeaderFailure {
    /// The height that the header would have had; one above the tip where its parent is unknown.
    pub height: u32,
    /// The rule.
    #[source]
    pub reject: HeaderReject,
}

/// A block hash that is not in the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("block {0} is not on the verified chain within the window; synchronise the window anew")]
pub struct NotInWindow(pub BlockHash);

/// The active chain of verified headers, bounded in length.
///
/// Everything in it was checked by this program: proof of work and linkage of every header, and
/// the other rules of every header from [`first_verified`](Self::first_verified) on. It keeps
/// `level` headers and, below them, those that the rules look back at, so that a reorg of up to
/// `level` headers is checked in full.
#[derive(Clone, Debug)]
pub struct HeaderWindow {
    network: Network,
    level: u32,
    /// The height of `headers[0]`.
    base: u32,
    first_verified: u32,
    /// Never empty.
    headers: Vec<Header>,
    /// Their hashes, in the same order.
    hashes: Vec<[u8; 32]>,
    work: Work,
    work_sum: WorkSum,
    /// Every header was held against a clock.
    clocked: bool,
}

/// A chain that may be about to be: a part of the window and headers on top of it.
struct Branch<'a> {
    base: u32,
    below: &'a [Header],
}

impl Facts for Branch<'_> {
    fn time_and_bits(&self, height: u32) -> Option<(u32, u32)> {
        let index = height.checked_sub(self.base)? as usize;
        let header = self.below.get(index)?;
        Some((header.time, header.bits.to_consensus()))
    }
}

impl HeaderWindow {
    /// A window that starts at the genesis block and assumes nothing.
    ///
    /// `level` is how many headers behind the tip to keep verified; at least 1.
    pub fn from_genesis(network: Network, level: u32) -> Self {
        let header = *network.genesis_header();
        let mut work_sum = WorkSum::default();
        Self {
            network,
            level: level.max(1),
            base: 0,
            first_verified: 0,
            headers: vec![header],
            hashes: vec![header.block_hash().to_byte_array()],
            work: work_sum.of(&[header]),
            work_sum,
            clocked: true,
        }
    }

    /// A window over `headers`, the first of which has height `anchor_height`.
    ///
    /// What the rules need from below it is assumed: the anchor's nBits, the times of the eleven
    /// headers below, the start of its retarget period. Fetch from
    /// [`fetch_start`](Self::fetch_start) on, and the whole `level` is verified in full.
    /// With `anchor_height` 0 the first header must be the genesis block, and nothing is assumed.
    ///
    /// # Errors
    /// The first header that breaks a rule; `bad-prevblk` at `anchor_height` for no headers at all
    /// or a foreign genesis block.
    pub fn anchored(
        network: Network,
        level: u32,
        anchor_height: u32,
        headers: Vec<Header>,
        now: Option<u32>,
    ) -> Result<Self, HeaderFailure> {
        let foreign = HeaderFailure {
            height: anchor_height,
            reject: HeaderReject::BadPrevblk,
        };
        if headers.is_empty() {
            return Err(foreign);
        }
        if anchor_height == 0 {
            if headers[0] != *network.genesis_header() {
                return Err(foreign);
            }
            let mut window = Self::from_genesis(network, level);
            window.connect(&headers[1..], now)?;
            return Ok(window);
        }
        let mut hashes = Vec::new();
        let mut cursor = Cursor::unanchored(network.params(), anchor_height);
        let first_verified = check_all(&mut cursor, &headers, &mut hashes, now, anchor_height)?;
        let mut work_sum = WorkSum::default();
        let mut window = Self {
            network,
            level: level.max(1),
            base: anchor_height,
            first_verified,
            work: work_sum.of(&headers),
            work_sum,
            headers,
            hashes,
            clocked: now.is_some(),
        };
        window.trim();
        Ok(window)
    }

    /// The height from which headers are needed to verify `level` of them up to `tip_height` in
    /// full: the eleven ancestors and the period start of the lowest included.
    pub fn fetch_start(network: Network, tip_height: u32, level: u32) -> u32 {
        let lowest = (tip_height + 1).saturating_sub(level.max(1));
        let period = network.params().period_start(lowest.saturating_sub(1));
        period.min(lowest.saturating_sub(MEDIAN_TIME_SPAN))
    }

    /// The network whose rules are applied.
    pub fn network(&self) -> Network {
        self.network
    }

    /// How many headers behind the tip are wanted verified.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The highest header.
    pub fn tip(&self) -> Tip {
        let last = self.headers.len() - 1;
        Tip {
            hash: BlockHash::from_byte_array(self.hashes[last]),
            height: self.base + last as u32,
            header: self.headers[last],
        }
    }

    /// The height of the lowest header kept.
    pub fn base_height(&self) -> u32 {
        self.base
    }

    /// The lowest height from which every rule ran on known headers.
    pub fn first_verified(&self) -> u32 {
        self.first_verified.max(self.base)
    }

    /// The height of a block on the active chain, if it is in the window. Fast near the tip.
    pub fn height_of(&self, hash: &BlockHash) -> Option<u32> {
        let wanted = hash.as_byte_array();
        let index = self.hashes.iter().rposition(|known| known == wanted)?;
        Some(self.base + index as u32)
    }

    /// Whether a block is on the active chain and in the window.
    pub fn contains(&self, hash: &BlockHash) -> bool {
        self.height_of(hash).is_some()
    }

    /// The header at a height, if it is in the window.
    pub fn header_at(&self, height: u32) -> Option<&Header> {
        self.headers.get(height.checked_sub(self.base)? as usize)
    }

    /// The hash at a height, if it is in the window.
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        let hash = self.hashes.get(height.checked_sub(self.base)? as usize)?;
        Some(BlockHash::from_byte_array(*hash))
    }

    /// Makes these headers, each the child of the one before, the active chain above the parent of
    /// the first, wherever in the window that is. All or nothing.
    ///
    /// Headers that are on the active chain already stay where they are. Chainwork is not compared
    /// here: the caller follows its node, or compares [`work_of`](crate::work_of) with
    /// [`work_above`](Self::work_above) first.
    ///
    /// # Errors
    /// The first header that breaks a rule; `bad-prevblk` where the parent of the first is unknown.
    /// The window is as before.
    pub fn connect(
        &mut self,
        headers: &[Header],
        now: Option<u32>,
    ) -> Result<Connected, HeaderFailure> {
        let tip = self.tip().height;
        let Some(first) = headers.first() else {
            return Ok(Connected {
                fork_height: tip,
                disconnected: Vec::new(),
                connected: 0,
            });
        };
        let parent = self.height_of(&first.prev_blockhash).ok_or(HeaderFailure {
            height: tip + 1,
            reject: HeaderReject::BadPrevblk,
        })?;
        let known_above = &self.headers[(parent + 1 - self.base) as usize..];
        let shared = headers
            .iter()
            .zip(known_above)
            .take_while(|(a, b)| a == b)
            .count();
        let fork = parent + shared as u32;
        let new = &headers[shared..];

        let kept = (fork + 1 - self.base) as usize;
        let present = self.headers.len();
        if !new.is_empty() {
            let below = Branch {
                base: self.base,
                below: &self.headers[..kept],
            };
            let params = self.network.params();
            let mut cursor = Cursor::above(params, fork, self.hashes[kept - 1], &below);
            // The new hashes stand behind those of the branch that may have to go.
            let checked = check_all(&mut cursor, new, &mut self.hashes, now, self.first_verified);
            if checked.is_err() {
                self.hashes.truncate(present);
            }
            self.first_verified = checked?;
            self.clocked &= now.is_some();
        }
        let disconnected = self.cut(kept..present);
        self.work += self.work_sum.of(new);
        self.headers.extend_from_slice(new);
        self.trim();
        Ok(Connected {
            fork_height: fork,
            disconnected,
            connected: new.len() as u32,
        })
    }

    /// Makes a lower block the tip again, for a node that went back (`invalidateblock`).
    ///
    /// Returns the headers that left, highest first.
    ///
    /// # Errors
    /// [`NotInWindow`] where that block is not on the active chain or too deep.
    pub fn rewind_to(&mut self, hash: &BlockHash) -> Result<Vec<BlockHash>, NotInWindow> {
        let height = self.height_of(hash).ok_or(NotInWindow(*hash))?;
        let kept = (height + 1 - self.base) as usize;
        Ok(self.cut(kept..self.headers.len()))
    }

    /// How many headers up to the tip were verified in full, `level` at most.
    pub fn verified(&self) -> u32 {
        let height = self.tip().height;
        (height + 1)
            .saturating_sub(self.first_verified())
            .min(self.level)
    }

    /// The nBits of the next block if its time is `ntime`. `None` where the window was anchored so
    /// short that the period start is not in it.
    pub fn next_bits(&self, ntime: u32) -> Option<NBits> {
        self.cursor().required_bits(ntime)
    }

    /// The median of the last eleven times, which the next block's must pass.
    pub fn median_time_past(&self) -> Option<u32> {
        self.cursor().median_time_past()
    }

    /// The earliest time for the next block; see [`min_time`](crate::min_time).
    pub fn min_time(&self) -> Option<u32> {
        let tip = self.tip();
        let median = self.median_time_past()?;
        let params = self.network.params();
        Some(min_time_after(
            params,
            tip.height + 1,
            median,
            tip.header.time,
        ))
    }

    /// The work of every header connected since the window was made, the first included.
    pub fn chainwork_from_anchor(&self) -> Work {
        self.work
    }

    /// The work of the active chain above a block, if that is in the window: what another branch
    /// from there has to beat.
    pub fn work_above(&self, hash: &BlockHash) -> Option<Work> {
        let height = self.height_of(hash)?;
        Some(work_of(&self.headers[(height + 1 - self.base) as usize..]))
    }

    /// What is verified in this window.
    pub fn report(&self, coverage_min: f64) -> Report {
        let mut tally = Tally::default();
        tally.passed(Check::ProofOfWork);
        tally.passed(Check::Linkage);
        tally.passed(Check::Difficulty);
        tally.passed(Check::MedianTime);
        if self.network.params().bip94 {
            tally.passed(Check::Timewarp);
        } else {
            tally.not_applicable(Check::Timewarp, "BIP94 is not a rule of this network");
        }
        if self.clocked {
            tally.passed(Check::FutureTime);
        } else {
            tally.not_applicable(Check::FutureTime, "no clock was given");
        }
        tally.passed(Check::Version);
        let first = self.first_verified();
        if first == 0 {
            tally.not_applicable(Check::Context, "starts at the genesis block");
        } else {
            let below = "nBits, times and period starts below it were taken from the node";
            tally.assumed(
                Check::Context,
                format!("height {first} is the first verified in full; {below}"),
            );
        }
        tally.finish(self.verified(), self.level, coverage_min)
    }

    fn cursor(&self) -> Cursor<'static> {
        let tip = self.headers.len() - 1;
        let below = Branch {
            base: self.base,
            below: &self.headers,
        };
        Cursor::above(
            self.network.params(),
            self.base + tip as u32,
            self.hashes[tip],
            &below,
        )
    }

    /// Drops the highest headers, those at `gone`, and their hashes, which it returns highest first.
    fn cut(&mut self, gone: Range<usize>) -> Vec<BlockHash> {
        self.work = self.work - self.work_sum.of(&self.headers[gone.clone()]);
        self.headers.truncate(gone.start);
        self.hashes
            .drain(gone)
            .rev()
            .map(BlockHash::from_byte_array)
            .collect()
    }

    /// Forgets headers that no rule can ask for any more.
    fn trim(&mut self) {
        let needed = Self::fetch_start(self.network, self.tip().height, self.level);
        let surplus = needed.saturating_sub(self.base) as usize;
        if surplus > SLACK {
            self.headers.drain(..surplus);
            self.hashes.drain(..surplus);
            self.base = needed;
        }
    }
}

impl Ancestors for HeaderWindow {
    fn header_at(&self, height: u32) -> Option<&Header> {
        Self::header_at(self, height)
    }
}

/// Steps the cursor over all headers and puts their hashes at the end of `hashes`; the lowest height
/// from which there was no gap.
fn check_all(
    cursor: &mut Cursor<'_>,
    headers: &[Header],
    hashes: &mut Vec<[u8; 32]>,
    now: Option<u32>,
    first_verified: u32,
) -> Result<u32, HeaderFailure> {
    let mut first_verified = first_verified;
    hash_each(headers, hashes, |header, hash| {
        let height = cursor.height();
        let gaps = cursor
            .check(&HeaderView::of(header), hash, now)
            .map_err(|reject| HeaderFailure { height, reject })?;
        if gaps.any() {
            first_verified = height + 1;
        }
        Ok(())
    })?;
    Ok(first_verified)
}
