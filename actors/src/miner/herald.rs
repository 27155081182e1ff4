//! Which changes of the miner's state are worth a line in the log.

use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use super::decide::{Course, Decision};
use crate::messages::{Decider, MiningState};

/// States that come and go with every block are said only when they last this long.
const LASTING: Duration = Duration::from_secs(1);

/// Says a state once, when it lasts; what an operator or a decision ordered, at once.
///
/// On regtest the miner may go from scanning to waiting and back a hundred times a second.
#[derive(Debug, Default)]
pub struct Herald {
    /// The state of the moment and since when.
    current: Option<(Kind, Instant)>,
    said: Option<Kind>,
    /// Since when the job is not of the newest template, and whether that was said.
    fallback: Option<(Instant, bool)>,
    /// The kind of the decision that was explained last, and whether advice was ignored since advice counted last.
    explained: Option<(Discriminant<Course>, bool)>,
    ignored: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Scanning or paced.
    Working,
    Other(Discriminant<MiningState>),
}

impl Herald {
    /// Whether to say this state now.
    pub fn says(&mut self, state: &MiningState, now: Instant) -> bool {
        let kind = match state {
            MiningState::Scanning | MiningState::Paced => Kind::Working,
            other => Kind::Other(discriminant(other)),
        };
        let since = match self.current {
            Some((current, since)) if current == kind => since,
            _ => now,
        };
        self.current = Some((kind, since));
        let passing = matches!(
            state,
            MiningState::Scanning | MiningState::Paced | MiningState::NoJob { .. }
        );
        let lasts = !passing || now.saturating_duration_since(since) >= LASTING;
        lasts && self.said.replace(kind) != Some(kind)
    }

    /// Whether to say that the job is not of the newest template on its tip: once each time, when it lasts.
    pub fn says_fallback(&mut self, is_so: bool, now: Instant) -> bool {
        if !is_so {
            self.fallback = None;
            return false;
        }
        let (since, said) = self.fallback.get_or_insert((now, false));
        let lasts = now.saturating_duration_since(*since) >= LASTING;
        lasts && !std::mem::replace(said, lasts)
    }

    /// Whether to explain this decision: where another course is taken, a limit of holding is reached, or advice does
    /// not count that did before. What has no tip and no job is a state, and said as such; so is waiting at a gate.
    pub fn explains(&mut self, decision: &Decision) -> bool {
        if matches!(
            decision.course,
            Course::NoJob | Course::SwitchedOff | Course::Wait(_)
        ) {
            return false;
        }
        let kind = (
            discriminant(&decision.course),
            decision.by == Decider::Guards,
        );
        let is_another = self.explained.replace(kind) != Some(kind);
        // Without either, the tip is new and nobody has answered yet.
        let was_ignored = match (&decision.aside, decision.counsel) {
            (Some(_), _) => std::mem::replace(&mut self.ignored, true),
            (None, Some(_)) => std::mem::replace(&mut self.ignored, false),
            (None, None) => self.ignored,
        };
        is_another || (self.ignored && !was_ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_once_and_what_flickers_is_not() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let waiting = MiningState::NoJob {
            reason: "solved; waiting for the new tip".to_owned(),
        };
        let mut herald = Herald::default();
        assert!(!herald.says(&MiningState::Scanning, at(0)));
        assert!(herald.says(&MiningState::Paced, at(1_000)));
        for ms in (1_000..9_000).step_by(20) {
            assert!(!herald.says(&waiting, at(ms)));
            assert!(!herald.says(&MiningState::Paced, at(ms + 10)));
        }
        assert!(!herald.says(&waiting, at(10_000)));
        assert!(herald.says(&waiting, at(11_000)), "a second without a job");
        assert!(!herald.says(&waiting, at(12_000)));
        assert!(herald.says(&MiningState::Ibd, at(12_001)), "at once");
    }

    #[test]
    fn a_fallback_is_said_once_each_time_that_it_lasts() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut herald = Herald::default();
        for ms in (0..5_000).step_by(500) {
            assert!(!herald.says_fallback(true, at(ms)));
            assert!(!herald.says_fallback(false, at(ms + 250)));
        }
        for begin in [5_000, 8_000] {
            assert!(!herald.says_fallback(true, at(begin)));
            assert!(herald.says_fallback(true, at(begin + 1_000)));
            assert!(!herald.says_fallback(true, at(begin + 2_000)));
            assert!(!herald.says_fallback(false, at(begin + 2_500)));
        }
    }

    #[test]
    fn another_course_and_advice_that_counts_no_more_are_explained_and_new_tips_are_not() {
        let by = |by, aside: Option<&str>, counsel| Decision {
            aside: aside.map(str::to_owned),
            counsel,
            ..Decision::new(Course::Proceed, by, "")
        };
        let policy = by(Decider::Policy, None, None);
        let advised = by(Decider::Advisor, None, Some(1));
        let ignored = by(Decider::Policy, Some("its confidence is low"), None);
        let mut herald = Herald::default();
        assert!(herald.explains(&policy), "the first");
        for _ in 0..3 {
            assert!(!herald.explains(&policy) && !herald.explains(&advised));
        }
        assert!(herald.explains(&ignored));
        for _ in 0..3 {
            assert!(!herald.explains(&policy) && !herald.explains(&ignored));
        }
        assert!(!herald.explains(&advised));
        assert!(herald.explains(&ignored), "after advice that counted");
        let hold = Course::Hold(Duration::from_secs(5));
        assert!(herald.explains(&Decision::new(hold, Decider::Advisor, "")));
        let hold = Course::Hold(Duration::from_secs(4));
        assert!(!herald.explains(&Decision::new(hold, Decider::Advisor, "")));
        assert!(herald.explains(&by(Decider::Guards, None, Some(2))));
    }
}
