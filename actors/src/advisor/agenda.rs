//! What is asked, and when: pure, with the time given.

use std::time::{Duration, Instant};

use advisor::cache::TemplateClass;
use advisor::protocol::Kind;
use bitcoin::BlockHash;

use crate::messages::{Advice, Recommendation};

/// So long the template of a new tip is waited for, so that it is part of the first question.
const TEMPLATE: Duration = Duration::from_millis(250);
/// So long after a question without an answer the same is asked again.
const FAILED: Duration = Duration::from_mins(1);
/// So long after a RETRY.
const RETRIED: Duration = Duration::from_secs(10);
/// Whoever was asked nothing for so long is asked whether it is there.
const QUIET: Duration = Duration::from_mins(1);

/// What there is to ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The tip.
    pub tip: BlockHash,
    /// Since when.
    pub since: Instant,
    /// What kind of template there is for it; none: none yet.
    pub class: Option<TemplateClass>,
}

/// Remembers what was asked.
#[derive(Debug)]
pub struct Agenda {
    cache: Duration,
    gap: Duration,
    began: Option<Instant>,
    ended: Option<Instant>,
    /// The last question that was about advice: tip, template, and when it is asked again.
    asked: Option<(BlockHash, Option<TemplateClass>, Instant)>,
}

impl Agenda {
    /// Nothing was asked yet. Answers hold for `cache`; between the beginnings of two questions there is `gap`: tips
    /// that come faster are not all asked about.
    pub fn new(cache: Duration, gap: Duration) -> Self {
        Self {
            cache,
            gap,
            began: None,
            ended: None,
            asked: None,
        }
    }

    /// What to ask next, and when.
    pub fn next(&self, subject: &Subject) -> (Instant, Kind) {
        let least = |due: Instant| self.began.map_or(due, |began| due.max(began + self.gap));
        let known = self.asked.filter(|(tip, ..)| *tip == subject.tip);
        let Some((_, class, again)) = known else {
            let patience = if subject.class.is_some() {
                Duration::ZERO
            } else {
                TEMPLATE
            };
            return (least(subject.since + patience), Kind::Tip);
        };
        if subject.class.is_some() && subject.class != class {
            return (least(subject.since), Kind::Template);
        }
        match self.ended.map(|ended| ended + QUIET) {
            Some(quiet) if quiet < again => (quiet, Kind::Health),
            _ => (least(again), Kind::Template),
        }
    }

    /// A question begins.
    pub fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// A question about advice has ended; `advice` as it came.
    pub fn end(&mut self, subject: &Subject, advice: Option<&Advice>, now: Instant) {
        let holds = match advice.map(|advice| advice.recommendation) {
            Some(Recommendation::Proceed) => self.cache,
            Some(Recommendation::Hold(time)) => time.min(self.cache),
            Some(Recommendation::Retry) => RETRIED.min(self.cache),
            None => FAILED.min(self.cache),
        };
        self.asked = Some((subject.tip, subject.class, now + holds));
        self.ended = Some(now);
    }

    /// A question about nothing but its health has ended.
    pub fn heard(&mut self, now: Instant) {
        self.ended = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;

    use super::*;

    const CACHE: Duration = Duration::from_mins(5);
    const FULL: TemplateClass = TemplateClass::Filled {
        quarters: 4,
        fee_bits: 20,
    };

    fn subject(n: u8, since: Instant, class: Option<TemplateClass>) -> Subject {
        Subject {
            tip: BlockHash::from_byte_array([n; 32]),
            since,
            class,
        }
    }

    fn advice(recommendation: Recommendation) -> Advice {
        Advice {
            recommendation,
            confidence: 0.9,
            reason: String::new(),
        }
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_new_tip_is_asked_about_with_its_template_or_soon_without() {
        let start = Instant::now();
        let agenda = Agenda::new(CACHE, Duration::ZERO);
        let with = subject(1, start, Some(FULL));
        assert_eq!(agenda.next(&with), (start, Kind::Tip));
        let without = subject(1, start, None);
        assert_eq!(agenda.next(&without), (start + TEMPLATE, Kind::Tip));
    }

    #[test]
    fn tips_in_a_rush_are_not_all_asked_about() {
        let start = Instant::now();
        for gap in [seconds(1), Duration::ZERO] {
            let mut agenda = Agenda::new(CACHE, gap);
            agenda.begin(start);
            agenda.end(&subject(1, start, Some(FULL)), None, start);
            let next = agenda.next(&subject(2, start, Some(FULL)));
            assert_eq!(next, (start + gap, Kind::Tip));
        }
    }

    #[test]
    fn the_same_is_asked_again_when_the_answer_holds_no_longer() {
        let start = Instant::now();
        for (advice, holds) in [
            (Some(advice(Recommendation::Hold(seconds(40)))), seconds(40)),
            (Some(advice(Recommendation::Retry)), RETRIED),
            (None, FAILED),
        ] {
            let mut agenda = Agenda::new(CACHE, Duration::ZERO);
            let same = subject(1, start, Some(FULL));
            agenda.end(&same, advice.as_ref(), start);
            assert_eq!(agenda.next(&same), (start + holds, Kind::Template));
        }
    }

    #[test]
    fn another_kind_of_template_is_asked_about_and_the_same_kind_is_not() {
        let start = Instant::now();
        let mut agenda = Agenda::new(CACHE, Duration::ZERO);
        let proceed = advice(Recommendation::Proceed);
        agenda.end(&subject(1, start, None), Some(&proceed), start);
        let full = subject(1, start, Some(FULL));
        assert_eq!(agenda.next(&full), (start, Kind::Template));
        agenda.end(&full, Some(&proceed), start);
        assert_eq!(agenda.next(&full).1, Kind::Health);
        let none = subject(1, start, None);
        assert_eq!(agenda.next(&none).1, Kind::Health, "it goes and comes back");
    }

    #[test]
    fn whoever_was_asked_nothing_for_a_minute_is_asked_whether_it_is_there() {
        let start = Instant::now();
        let mut agenda = Agenda::new(CACHE, Duration::ZERO);
        let same = subject(1, start, Some(FULL));
        agenda.end(&same, Some(&advice(Recommendation::Proceed)), start);
        for minute in 1..5 {
            let at = start + minute * QUIET;
            assert_eq!(agenda.next(&same), (at, Kind::Health));
            agenda.begin(at);
            agenda.heard(at);
        }
        assert_eq!(agenda.next(&same), (start + CACHE, Kind::Template));
    }
}
