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
    /// The kind of the decision that was explained last.
    explained: Option<(Discriminant<Course>, Decider, bool)>,
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

    /// Whether to explain this decision: where another course is taken, somebody else decides, or advice counts that
    /// did not before, and the other way round. What has no tip and no job is a state, and said as such.
    pub fn explains(&mut self, decision: &Decision) -> bool {
        if matches!(decision.course, Course::NoJob | Course::SwitchedOff) {
            return false;
        }
        let course = discriminant(&decision.course);
        let kind = (course, decision.by, decision.aside.is_some());
        self.explained.replace(kind) != Some(kind)
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
}
