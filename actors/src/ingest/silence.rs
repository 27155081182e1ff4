//! When the notification socket counts as dead.
//!
//! Quiet alone is no fault: no block, no message. The proof of death is a tip that moved forward
//! while no notification came, within [`SILENCE`] of our learning of it otherwise.

use std::time::{Duration, Instant};

/// How long a notification may lag behind another source before the socket counts as dead.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Watches one notification socket.
#[derive(Debug, Default)]
pub struct Silence {
    last_heard: Option<Instant>,
    suspect_since: Option<Instant>,
    dead: bool,
}

impl Silence {
    /// A notification arrived; `true` if the socket had counted as dead until now.
    pub fn heard(&mut self, at: Instant) -> bool {
        self.last_heard = Some(at);
        self.suspect_since = None;
        std::mem::take(&mut self.dead)
    }

    /// Another source found at `at` that the tip moved forward since `since`, the last time it was
    /// known not to have moved. Not to be called where a node announces nothing: when the tip moved
    /// back, and in initial block download.
    pub fn tip_moved(&mut self, since: Instant, at: Instant) {
        if self.last_heard.is_none_or(|heard| heard < since) {
            self.suspect_since.get_or_insert(at);
        }
    }

    /// When [`Silence::check`] has something to decide.
    pub fn due(&self) -> Option<Instant> {
        self.suspect_since.map(|since| since + SILENCE)
    }

    /// Whether the time is up; what is asked of the caller then.
    pub fn check(&mut self, now: Instant) -> Option<Death> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.suspect_since = None;
        Some(Death {
            first: !std::mem::replace(&mut self.dead, true),
        })
    }

    /// The connection was lost, which has been said elsewhere: nothing can be heard until it is back.
    pub fn lost(&mut self) {
        self.dead = true;
    }

    /// Whether the socket counts as dead.
    pub fn is_dead(&self) -> bool {
        self.dead
    }
}

/// The socket is dead and must be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// Whether this is the first time since something was heard: said aloud once, not at each block.
    pub first: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_quiet_socket_without_a_moving_tip_is_alive_for_ever() {
        let start = Instant::now();
        let mut silence = Silence::default();
        assert_eq!(silence.due(), None);
        assert_eq!(silence.check(start + Duration::from_hours(24)), None);
        assert!(!silence.is_dead());
    }

    #[test]
    fn a_tip_that_moved_without_a_word_for_a_second_is_a_death_said_once() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.tip_moved(start, start + 5 * MS);
        assert_eq!(silence.check(start + 1004 * MS), None);
        assert_eq!(
            silence.check(start + 1005 * MS),
            Some(Death { first: true })
        );
        assert!(silence.is_dead());
        assert_eq!(
            silence.check(start + 9000 * MS),
            None,
            "one death per moved tip"
        );
        silence.tip_moved(start + 5000 * MS, start + 6000 * MS);
        assert_eq!(
            silence.check(start + 7000 * MS),
            Some(Death { first: false })
        );
        assert!(silence.heard(start + 7001 * MS), "it is back");
        assert!(!silence.heard(start + 7002 * MS));
        assert!(!silence.is_dead());
    }

    #[test]
    fn a_notification_just_before_or_just_after_the_other_source_clears_it() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.heard(start + 2 * MS);
        silence.tip_moved(start, start + 5 * MS);
        assert_eq!(
            silence.due(),
            None,
            "heard since the tip was last known not to have moved"
        );

        silence.tip_moved(start + 10 * MS, start + 15 * MS);
        assert_eq!(silence.due(), Some(start + 1015 * MS));
        assert!(!silence.heard(start + 900 * MS));
        assert_eq!(silence.check(start + 2000 * MS), None);
    }

    #[test]
    fn a_lost_connection_counts_as_dead_until_something_is_heard() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.heard(start);
        silence.lost();
        assert!(silence.is_dead());
        silence.tip_moved(start + MS, start + 2 * MS);
        assert_eq!(
            silence.check(start + 2000 * MS),
            Some(Death { first: false })
        );
        assert!(silence.heard(start + 3000 * MS));
        assert!(!silence.is_dead());
    }

    #[test]
    fn the_first_suspicion_sets_the_deadline() {
        let start = Instant::now();
        let mut silence = Silence::default();
        silence.tip_moved(start, start + 100 * MS);
        silence.tip_moved(start + 100 * MS, start + 600 * MS);
        assert_eq!(silence.due(), Some(start + 1100 * MS));
    }
}
