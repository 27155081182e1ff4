//! How much of the last 24 hours was spent holding, and how that is kept for the next run.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The window.
pub const DAY: Duration = Duration::from_hours(24);
/// More HOLDs than these of one day are not told apart.
const MOST: usize = 2_000;
/// Version of the document's form.
const VERSION: u32 = 1;

/// The HOLDs of the last 24 hours, in seconds before and after a moment.
#[derive(Debug)]
pub struct Ledger {
    epoch: Instant,
    /// From when to when, oldest first.
    spans: VecDeque<(f64, f64)>,
}

/// Why a document of earlier HOLDs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Garbage(#[from] serde_json::Error),
    /// Another version of this program wrote it.
    #[error("it has version {0}, and this program knows version {VERSION}")]
    Version(u32),
}

/// The document.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    /// In seconds since 1970.
    #[serde(default)]
    held_unix_s: Vec<(f64, f64)>,
}

impl Ledger {
    /// Empty, with its times counted from `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            spans: VecDeque::new(),
        }
    }

    /// For how long hashing was held in the 24 hours before `now`; what is booked for later does not count yet.
    pub fn held(&self, now: Instant) -> Duration {
        let now = self.at(now);
        let day = DAY.as_secs_f64();
        let within = |&(from, to): &(f64, f64)| (to.min(now) - from.max(now - day)).max(0.0);
        Duration::from_secs_f64(self.spans.iter().map(within).sum())
    }

    /// Books a HOLD.
    pub fn book(&mut self, from: Instant, to: Instant) {
        let (from, to) = (self.at(from), self.at(to));
        let forgotten = from - DAY.as_secs_f64();
        self.spans.retain(|&(_, to)| to > forgotten);
        self.spans.push_back((from, to));
        while self.spans.len() > MOST {
            // Both as if they had been when the later one was: they count for longer, never shorter.
            if let (Some(first), Some(second)) = (self.spans.pop_front(), self.spans.front_mut()) {
                second.0 -= first.1 - first.0;
            }
        }
    }

    /// The last HOLD ended before its time.
    pub fn cut(&mut self, now: Instant) {
        let now = self.at(now);
        if let Some((from, to)) = self.spans.back_mut() {
            *to = to.min(now).max(*from);
        }
    }

    /// What a later run has to know.
    pub fn document(&self, now: Instant, wall: SystemTime) -> Vec<u8> {
        let epoch = unix_s(wall) - self.at(now);
        let held = self.spans.iter();
        let document = Document {
            version: VERSION,
            held_unix_s: held.map(|(from, to)| (epoch + from, epoch + to)).collect(),
        };
        // Finite numbers: nothing in it can fail to be written.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Reads a document. What it places in the future is taken for what has just been: a clock that was set back, or a
    /// run that died while it held, gives nothing back.
    pub fn resume(document: &[u8], now: Instant, wall: SystemTime) -> Result<Self, Damage> {
        let document: Document = serde_json::from_slice(document)?;
        if document.version != VERSION {
            return Err(Damage::Version(document.version));
        }
        let day = DAY.as_secs_f64();
        let span = |(from, to): (f64, f64)| {
            let (from, to) = (from - unix_s(wall), to - unix_s(wall));
            let length = (to - from).clamp(0.0, day);
            let to = to.min(0.0);
            // Numbers that are none are compared to nothing, and left out.
            (to > -day).then_some((to - length, to))
        };
        let held = document.held_unix_s.into_iter();
        let mut spans: Vec<(f64, f64)> = held.filter_map(span).collect();
        spans.sort_by(|a, b| a.1.total_cmp(&b.1));
        let spans = spans.split_off(spans.len().saturating_sub(MOST)).into();
        Ok(Self { epoch: now, spans })
    }

    fn at(&self, moment: Instant) -> f64 {
        match moment.checked_duration_since(self.epoch) {
            Some(after) => after.as_secs_f64(),
            None => -(self.epoch - moment).as_secs_f64(),
        }
    }
}

fn unix_s(wall: SystemTime) -> f64 {
    wall.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// 30 hours after 1970, so that there is something before it.
    fn wall() -> SystemTime {
        UNIX_EPOCH + 30 * HOUR
    }

    #[test]
    fn what_was_held_leaves_the_window_little_by_little() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        ledger.book(start, start + 4 * HOUR);
        assert_eq!(ledger.held(start), Duration::ZERO);
        assert_eq!(ledger.held(start + HOUR), HOUR);
        ledger.book(start + 10 * HOUR, start + 12 * HOUR);
        assert_eq!(ledger.held(start + 12 * HOUR), 6 * HOUR);
        assert_eq!(ledger.held(start + 25 * HOUR), 5 * HOUR);
        assert_eq!(ledger.held(start + 28 * HOUR), 2 * HOUR);
        assert_eq!(ledger.held(start + 36 * HOUR), Duration::ZERO);
    }

    #[test]
    fn a_hold_that_ends_early_counts_with_what_it_lasted() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        ledger.book(start, start + 4 * HOUR);
        ledger.cut(start + HOUR);
        assert_eq!(ledger.held(start + 5 * HOUR), HOUR);
    }

    #[test]
    fn ever_so_many_holds_take_a_bounded_place_and_none_is_forgotten() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        let second = Duration::from_secs(1);
        for n in 0..3_000 {
            let from = start + 4 * n * second;
            ledger.book(from, from + second);
        }
        assert_eq!(ledger.spans.len(), MOST);
        let held = ledger.held(start + 12_000 * second);
        assert!((held.as_secs_f64() - 3_000.0).abs() < 1e-6, "{held:?}");
    }

    #[test]
    fn the_next_run_knows_what_was_held_wherever_its_clocks_begin() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        ledger.book(start, start + 2 * HOUR);
        let document = ledger.document(start + 2 * HOUR, wall());
        let later = Instant::now();
        let next = Ledger::resume(&document, later, wall() + 3 * HOUR).unwrap();
        assert!((next.held(later).as_secs_f64() - 7_200.0).abs() < 1e-3);
        assert!((next.held(later + 20 * HOUR).as_secs_f64() - 3_600.0).abs() < 1e-3);
        let day_after = Ledger::resume(&document, later, wall() + 24 * HOUR).unwrap();
        assert!(day_after.spans.is_empty());
    }

    #[test]
    fn a_run_that_died_while_it_held_or_a_clock_set_back_gives_nothing_back() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        ledger.book(start, start + 2 * HOUR);
        let document = ledger.document(start, wall());
        let died = Ledger::resume(&document, start, wall() + HOUR).unwrap();
        assert!((died.held(start).as_secs_f64() - 7_200.0).abs() < 1e-3);
        let set_back = Ledger::resume(&document, start, wall() - 20 * HOUR).unwrap();
        assert!((set_back.held(start).as_secs_f64() - 7_200.0).abs() < 1e-3);
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        let resume =
            |text: &str| Ledger::resume(text.as_bytes(), Instant::now(), wall()).unwrap_err();
        assert!(matches!(resume(""), Damage::Garbage(_)));
        assert!(matches!(resume("{\"held_unix_s\":[]}"), Damage::Garbage(_)));
        assert!(matches!(resume("{\"version\":2}"), Damage::Version(2)));
    }
}
