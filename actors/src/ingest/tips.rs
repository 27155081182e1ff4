//! Which announcement wins, which are duplicates, and when the tip must be read again.
//!
//! An announcement is a wake-up, never the truth: what it names is used only to see that it says
//! nothing new. The tip is what RPC answers, and a read never answers an announcement that arrived
//! after it was asked, unless it found the very block announced.

use std::time::Instant;

use bitcoin::BlockHash;

use crate::messages::TipSource;

/// News that the node may have another tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// What brought it.
    pub source: TipSource,
    /// When it arrived.
    pub at: Instant,
    /// The block that it says is the tip; `None` where it says only that something changed.
    pub tip: Option<BlockHash>,
}

/// A tip that differs from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// The node's best block.
    pub tip: BlockHash,
    /// What announced it first; [`TipSource::Poll`] where nothing did.
    pub source: TipSource,
    /// When that was.
    pub seen_at: Instant,
}

/// Merges announcements, and compares what each read of the tip finds with the tip before.
#[derive(Debug, Default)]
pub struct Tips {
    current: Option<BlockHash>,
    /// The first announcement that no read was asked for yet.
    waiting: Option<Hint>,
    /// The first announcement that the read under way (or the failed one before it) answers.
    answering: Option<Hint>,
}

impl Tips {
    /// Begins with the tip that is already published, so that a restart announces nothing twice.
    pub fn resume(current: Option<BlockHash>) -> Self {
        Self {
            current,
            ..Self::default()
        }
    }

    /// Takes an announcement; `false` if it says nothing new. Of several that wait, the first keeps
    /// its source and time.
    pub fn announce(&mut self, hint: Hint) -> bool {
        if hint.tip.is_some() && hint.tip == self.current {
            return false;
        }
        match &mut self.waiting {
            // Two different blocks: which of them is the tip is no longer known.
            Some(first) if first.tip != hint.tip => first.tip = None,
            Some(_) => {}
            None => self.waiting = Some(hint),
        }
        true
    }

    /// Whether an announcement waits for a read.
    pub fn wants_read(&self) -> bool {
        self.waiting.is_some()
    }

    /// The tip is about to be read. Where the read then fails, what it should have answered is kept
    /// for the next one, whose time the poll decides: a node that refuses is not asked again at once.
    pub fn begin_read(&mut self) {
        self.answering = self.answering.take().or(self.waiting.take());
        self.waiting = None;
    }

    /// The read found `tip` at `now`; the news, if it is another one than before.
    pub fn read(&mut self, tip: BlockHash, now: Instant) -> Option<News> {
        let satisfied = self.waiting.is_some_and(|hint| hint.tip == Some(tip));
        let overtaken = if satisfied { self.waiting.take() } else { None };
        let first = self.answering.take().or(overtaken);
        if self.current == Some(tip) {
            return None;
        }
        self.current = Some(tip);
        Some(News {
            tip,
            source: first.map_or(TipSource::Poll, |hint| hint.source),
            seen_at: first.map_or(now, |hint| hint.at),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bitcoin::hashes::Hash;

    use super::*;

    fn block(n: u8) -> BlockHash {
        BlockHash::from_byte_array([n; 32])
    }

    fn hint(source: TipSource, at: Instant, tip: Option<BlockHash>) -> Hint {
        Hint { source, at, tip }
    }

    #[test]
    fn the_first_announcement_of_a_tip_wins_and_later_ones_are_duplicates() {
        let start = Instant::now();
        let later = start + Duration::from_millis(3);
        let mut tips = Tips::default();
        assert!(tips.announce(hint(TipSource::ZmqSequence, start, Some(block(1)))));
        assert!(tips.announce(hint(TipSource::ZmqHashblock, later, Some(block(1)))));
        tips.begin_read();
        assert!(!tips.wants_read());
        let news = tips.read(block(1), later).expect("a first tip is news");
        assert_eq!(
            news,
            News {
                tip: block(1),
                source: TipSource::ZmqSequence,
                seen_at: start
            }
        );
        assert!(!tips.announce(hint(TipSource::ZmqRawblock, later, Some(block(1)))));
        assert!(!tips.wants_read());
    }

    #[test]
    fn a_poll_that_finds_the_same_tip_is_no_news() {
        let now = Instant::now();
        let mut tips = Tips::resume(Some(block(1)));
        tips.begin_read();
        assert_eq!(tips.read(block(1), now), None);
        tips.begin_read();
        let news = tips.read(block(2), now).expect("another tip is news");
        assert_eq!((news.source, news.seen_at), (TipSource::Poll, now));
    }

    #[test]
    fn an_announcement_during_a_read_asks_for_another_unless_the_read_found_its_block() {
        let now = Instant::now();
        let mut tips = Tips::default();
        tips.begin_read();
        tips.announce(hint(TipSource::ZmqHashblock, now, Some(block(2))));
        let news = tips.read(block(1), now).expect("news");
        assert_eq!(news.source, TipSource::Poll);
        assert!(tips.wants_read(), "block 2 was announced and not found");

        tips.begin_read();
        tips.announce(hint(TipSource::ZmqRawblock, now, Some(block(3))));
        let news = tips.read(block(3), now).expect("news");
        assert_eq!(
            news.source,
            TipSource::ZmqHashblock,
            "the first one in line"
        );
        assert!(!tips.wants_read(), "block 3 was announced and found");
    }

    #[test]
    fn two_different_blocks_announced_during_a_read_always_ask_for_another() {
        let now = Instant::now();
        let mut tips = Tips::default();
        tips.begin_read();
        tips.announce(hint(TipSource::ZmqHashblock, now, Some(block(1))));
        tips.announce(hint(TipSource::ZmqHashblock, now, Some(block(2))));
        assert!(tips.read(block(1), now).is_some());
        assert!(tips.wants_read());
    }

    #[test]
    fn a_disconnect_is_never_taken_for_a_duplicate() {
        let now = Instant::now();
        let mut tips = Tips::resume(Some(block(2)));
        assert!(tips.announce(hint(TipSource::ZmqSequence, now, None)));
        tips.begin_read();
        let news = tips.read(block(1), now).expect("the tip went back");
        assert_eq!((news.tip, news.source), (block(1), TipSource::ZmqSequence));
        // And forward again: the block that was the tip before is news now.
        assert!(tips.announce(hint(TipSource::ZmqHashblock, now, Some(block(2)))));
    }

    #[test]
    fn a_failed_read_keeps_the_first_announcement_and_waits_for_the_poll() {
        let start = Instant::now();
        let mut tips = Tips::default();
        tips.announce(hint(TipSource::LongPoll, start, Some(block(1))));
        tips.begin_read();
        assert!(
            !tips.wants_read(),
            "no second request at once to a node that just failed"
        );
        tips.begin_read();
        let news = tips
            .read(block(1), start + Duration::from_secs(1))
            .expect("news");
        assert_eq!((news.source, news.seen_at), (TipSource::LongPoll, start));
    }
}
