//! Which tip may be mined on before the node has named it, and until when: a function of blocks that were
//! published or accepted, of the verified window, and of the time.

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use chain::{Ahead, HeaderWindow, NotAhead, names_height};
use pow::Work;

/// So long the node has to confirm a block that was published. With what it takes to turn back, a block that
/// it refuses keeps nobody off its tip for more than two seconds.
pub const LONGEST: Duration = Duration::from_millis(1_750);

/// So long a block of ours counts that a node has accepted, while the node says nothing at all: whoever withdraws it.
const ACCEPTED: Duration = Duration::from_hours(1);

/// So many blocks may be ahead of what the node has confirmed. More are no race, but a node that catches up.
const MOST: usize = 4;

/// The blocks that are ahead of the verified tip. None is taken on anybody's word: each has passed every
/// rule for headers.
#[derive(Debug, Default)]
pub struct Provisional {
    /// Each the child of the one before, the first that of a block of the window.
    links: Vec<Link>,
    /// The chainwork of the last.
    work: Work,
    /// The verified tip when a block turned out not to be confirmed. As long as it is the tip, no other is taken,
    /// so that blocks that no node has cannot take turns.
    closed_on: Option<BlockHash>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    hash: BlockHash,
    header: Header,
    /// Until when it is to be confirmed.
    until: Instant,
    /// When a node said that it has accepted it.
    accepted: Option<Instant>,
}

/// A block as it was published or accepted.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Its hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
    /// Its first bytes, as many as [`names_height`] wants.
    pub start: &'a [u8],
    /// Whether it is ours and a node has accepted it: the node's own word, which only another word of a node takes
    /// back, not its silence.
    pub accepted: bool,
}

/// Why a block is not mined on before the node has confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// Nothing new.
    #[error("it is known")]
    Known,
    /// Another one was not confirmed, and the verified tip is the same as then.
    #[error("the node did not confirm another block on the same tip")]
    Closed,
    /// It is too far ahead.
    #[error("too many blocks wait to be confirmed")]
    TooMany,
    /// A header breaks a rule, or another chain has as much work.
    #[error(transparent)]
    NotAhead(#[from] NotAhead),
    /// Its coinbase does not begin with its height (BIP34).
    #[error("bad-cb-height")]
    Height,
}

/// How it ended with the blocks ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The node has them all.
    Confirmed,
    /// The node has another tip, and this block is not ahead of it.
    Beaten(BlockHash),
    /// The node has not confirmed this block in time.
    Late(BlockHash),
}

impl Provisional {
    /// A block was published: what the tip is with it, if it may be mined on. `now` is the moment and `clock` the
    /// wall clock for the two-hour rule, in Unix seconds.
    ///
    /// # Errors
    /// [`Declined`]; what was ahead before stays so.
    pub fn offer(
        &mut self,
        window: &HeaderWindow,
        offer: &Offer<'_>,
        now: Instant,
        clock: u32,
    ) -> Result<Ahead, Declined> {
        let Offer { hash, header, .. } = *offer;
        if let Some(at) = self.links.iter().position(|link| link.hash == hash) {
            if offer.accepted {
                self.accepted(at + 1, now);
            }
            return Err(Declined::Known);
        }
        if window.tip().hash == hash {
            return Err(Declined::Known);
        }
        if !offer.accepted && self.closed_on == Some(window.tip().hash) {
            return Err(Declined::Closed);
        }
        let parent = |link: &Link| link.hash == header.prev_blockhash;
        let kept = self.links.iter().position(parent).map_or(0, |at| at + 1);
        if kept == MOST {
            return Err(Declined::TooMany);
        }
        let mut headers = self.headers();
        headers.truncate(kept);
        headers.push(header);
        let ahead = window.look_ahead(&headers, Some(clock))?;
        if !self.links.is_empty() && ahead.work <= self.work {
            return Err(NotAhead::NoMoreWork.into());
        }
        if !names_height(offer.start, ahead.tip.height, window.network().params()) {
            return Err(Declined::Height);
        }
        // One that takes the place of another has no more time than that had left.
        let until = self.links.get(kept).map_or(now + LONGEST, |l| l.until);
        self.links.truncate(kept);
        self.links.push(Link {
            hash,
            header,
            until,
            accepted: None,
        });
        if offer.accepted {
            self.accepted(kept + 1, now);
        }
        self.work = ahead.work;
        self.closed_on = None;
        Ok(ahead)
    }

    /// A node has accepted the last of the first so many, and with it those below.
    fn accepted(&mut self, links: usize, now: Instant) {
        for link in &mut self.links[..links] {
            link.until = now + ACCEPTED;
            link.accepted = Some(now);
        }
    }

    /// Until when the first of them is to be confirmed; none where none is ahead.
    pub fn due(&self) -> Option<Instant> {
        self.links.first().map(|link| link.until)
    }

    /// The window has been brought to the node's tip, or was there already. The end, if it is one.
    pub fn tip_verified(&mut self, window: &HeaderWindow, clock: u32) -> Option<End> {
        let last = self.links.last()?.hash;
        let has = |link: &Link| window.contains(&link.hash);
        let confirmed = self.links.iter().rposition(has).map_or(0, |at| at + 1);
        self.links.drain(..confirmed);
        if self.links.is_empty() {
            return Some(End::Confirmed);
        }
        let Err(_) = window.look_ahead(&self.headers(), Some(clock)) else {
            return None;
        };
        self.links.clear();
        Some(End::Beaten(last))
    }

    /// Nothing is ahead of the verified tip any more where the time is up. The end, if it is one.
    pub fn expire(&mut self, tip: BlockHash, now: Instant) -> Option<End> {
        self.due().filter(|due| *due <= now)?;
        self.give_up(tip)
    }

    /// The node in use was asked for its tip at `asked` and named `tip`, the verified one. Has it had the time to get
    /// a block that was accepted, that block is not in its chain. The end, if it is one.
    pub fn tip_named(&mut self, tip: BlockHash, asked: Instant) -> Option<End> {
        let accepted = self.links.first()?.accepted?;
        if asked < accepted + LONGEST {
            return None;
        }
        self.give_up(tip)
    }

    /// Nothing is ahead of the verified tip any more.
    pub fn give_up(&mut self, tip: BlockHash) -> Option<End> {
        let last = self.links.last()?.hash;
        self.links.clear();
        self.closed_on = Some(tip);
        Some(End::Late(last))
    }

    fn headers(&self) -> Vec<Header> {
        self.links.iter().map(|link| link.header).collect()
    }
}

#[cfg(test)]
#[path = "provisional_tests.rs"]
mod tests;
