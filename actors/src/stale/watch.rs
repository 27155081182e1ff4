//! When work is stale: pure, with the time as a parameter.
//!
//! What counts is what each hashing thread scans at this moment, not what anybody ordered. A thread is
//! behind from the moment the block it builds on stopped being the node's best one; that moment is
//! remembered for each of the last blocks, so that neither tips that follow each other fast nor a look at
//! an unlucky moment raise an alarm, and jobs that keep moving without ever catching up do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use super::{StaleCause, StaleWork};
use crate::resources::{Loudness, Note};
use crate::stats::ParentMark;

/// Work is stale whose parent has not been the node's best block for so long.
pub const STALE_AFTER: Duration = Duration::from_secs(2);
/// Stale work that lasts so long is an error.
pub const LASTS: Duration = Duration::from_secs(10);
/// A thread must have been found behind for so long: the news itself may have taken its time.
const NOTICED: Duration = Duration::from_millis(200);
/// Earlier best blocks that are remembered.
const REMEMBERED: usize = 64;

/// What there is to see at one moment.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The best block of the node in use, and when news of it came; none while no node has shown any.
    pub best: Option<(BlockHash, Instant)>,
    /// The same of another node, where that has more verified work.
    pub heavier: Option<(BlockHash, Instant)>,
    /// A block that is newer than the node's word, and worked on until that comes.
    pub ahead: Option<BlockHash>,
    /// The block whose headers are verified.
    pub verified: Option<BlockHash>,
    /// The parent of the job that the miner ordered.
    pub job: Option<BlockHash>,
    /// Whether the node is far behind its own headers: its best block is nobody's then.
    pub catching_up: bool,
    /// What each hashing thread builds on.
    pub threads: Vec<Option<ParentMark>>,
}

/// What a look came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finding {
    /// The stale work there is.
    pub stale: Option<StaleWork>,
    /// Whether it has just begun to count as such.
    pub begun: bool,
    /// What is news.
    pub note: Option<Note>,
}

/// A thread that builds on something else than the node's best block.
#[derive(Debug, Clone, Copy)]
struct Behind {
    parent: ParentMark,
    /// When that stopped being the best one.
    since: Instant,
    /// When the thread was first found behind; it may have moved since, and never caught up.
    noticed: Instant,
}

/// What has been said of the stale work of the moment.
#[derive(Debug)]
struct Alarm {
    began: Instant,
    said_that_it_lasts: bool,
}

/// Remembers what the best block was, and who is behind.
#[derive(Debug, Default)]
pub struct StaleWatch {
    best: Option<BlockHash>,
    /// Earlier best blocks, and when each stopped being it; the newest last.
    earlier: VecDeque<(ParentMark, Instant)>,
    threads: Vec<Option<Behind>>,
    alarm: Option<Alarm>,
}

impl StaleWatch {
    /// Takes note of the node's best block, of which news came `at`.
    pub fn note_best(&mut self, best: BlockHash, at: Instant) {
        let Some(before) = self.best.replace(best).filter(|before| *before != best) else {
            return;
        };
        let mark = ParentMark::of(&best);
        self.earlier.retain(|(earlier, _)| *earlier != mark);
        if self.earlier.len() == REMEMBERED {
            self.earlier.pop_front();
        }
        self.earlier.push_back((ParentMark::of(&before), at));
    }

    /// Looks. To be called a few times a second.
    pub fn look(&mut self, scene: &Scene, now: Instant) -> Finding {
        match scene.heavier.or(scene.best) {
            Some((best, at)) if !scene.catching_up => {
                self.note_best(best, at);
                self.find_behind(scene, now);
            }
            _ => {
                self.best = None;
                self.earlier.clear();
                self.threads.clear();
            }
        }
        self.conclude(scene, now)
    }

    fn find_behind(&mut self, scene: &Scene, now: Instant) {
        self.threads.resize(scene.threads.len(), None);
        let fresh = [self.best, scene.ahead].map(|block| block.as_ref().map(ParentMark::of));
        for (known, scanned) in self.threads.iter_mut().zip(&scene.threads) {
            *known = scanned
                .filter(|_| !fresh.contains(scanned))
                .map(|parent| match *known {
                    Some(behind) if behind.parent == parent => behind,
                    before => Behind {
                        parent,
                        since: ended(&self.earlier, parent).unwrap_or(now),
                        noticed: before.map_or(now, |behind| behind.noticed),
                    },
                });
        }
    }

    fn conclude(&mut self, scene: &Scene, now: Instant) -> Finding {
        let age = |at: Instant| now.saturating_duration_since(at);
        let stale: Vec<(usize, Instant)> = self
            .threads
            .iter()
            .enumerate()
            .filter_map(|(thread, behind)| {
                let behind = behind.as_ref()?;
                let counts = age(behind.since) > STALE_AFTER && age(behind.noticed) >= NOTICED;
                counts.then_some((thread, behind.since))
            })
            .collect();
        let first = stale.iter().map(|(_, since)| *since).min();
        let (Some(since), Some(best)) = (first, self.best) else {
            return Finding {
                note: self.alarm.take().map(|alarm| over(scene, age(alarm.began))),
                ..Finding::default()
            };
        };
        let work = StaleWork {
            since,
            best,
            cause: StaleCause::of(best, scene),
            threads: stale.into_iter().map(|(thread, _)| thread).collect(),
        };
        let begun = self.alarm.is_none();
        let alarm = self.alarm.get_or_insert(Alarm {
            began: since,
            said_that_it_lasts: false,
        });
        let lasts = age(alarm.began) > LASTS;
        let loudness = match (begun, lasts && !alarm.said_that_it_lasts) {
            (_, true) => Some(Loudness::Error),
            (true, false) => Some(Loudness::Warn),
            (false, false) => None,
        };
        alarm.said_that_it_lasts |= lasts;
        Finding {
            note: loudness.map(|loudness| Note {
                loudness,
                text: format!("stale work: {}", work.in_words(now)),
            }),
            stale: Some(work),
            begun,
        }
    }
}

/// When this block stopped being the best one, if it ever was.
fn ended(earlier: &VecDeque<(ParentMark, Instant)>, block: ParentMark) -> Option<Instant> {
    let newest_first = earlier.iter().rev();
    newest_first
        .filter(|(mark, _)| *mark == block)
        .map(|(_, at)| *at)
        .next()
}

fn over(scene: &Scene, after: Duration) -> Note {
    let now = if scene.threads.iter().any(Option::is_some) {
        "hashing is on the node's best block again"
    } else {
        "nothing is hashed at the moment"
    };
    Note {
        loudness: Loudness::Info,
        text: format!(
            "stale work is over after {:.1} s: {now}",
            after.as_secs_f64()
        ),
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
