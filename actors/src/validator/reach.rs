//! Which headers of the node's active chain to fetch next, so that they join the window.
//!
//! Ranges of heights, not a walk from parent to parent: two round trips bring thousands. A range
//! whose first header has no parent in the window lies above a fork, so the next one begins lower,
//! and lower by ever more, until it connects or the window has no header left to connect to.

/// The least number of headers below the window's tip that a search for a fork begins with.
const FIRST_OVERLAP: u32 = 16;
/// By how much each further look reaches deeper than the one before.
const GROWTH: u32 = 8;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Fetch `count` headers from height `start` on.
    Fetch {
        /// Height of the first.
        start: u32,
        /// How many; at least 1.
        count: u32,
    },
    /// The fork is below the window: it must be built anew.
    Anew,
}

/// One search, from a window towards a tip.
#[derive(Debug, Default)]
pub struct Reach {
    overlap: u32,
    deepest_tried: bool,
}

impl Reach {
    /// The range to fetch for a window that holds heights `base` to `top` when the node's tip is at
    /// `wanted`; `max` headers at a time.
    pub fn step(&mut self, base: u32, top: u32, wanted: u32, max: u32) -> Step {
        if self.deepest_tried || wanted <= base {
            return Step::Anew;
        }
        let unknown = top.min(wanted - 1) + 1;
        // The lowest header whose parent can be in the window.
        let lowest = base + 1;
        let start = unknown.saturating_sub(self.overlap).max(lowest);
        self.deepest_tried = start == lowest && self.overlap > 0;
        Step::Fetch {
            start,
            count: (wanted - start + 1).min(max),
        }
    }

    /// The first header fetched has no parent in the window.
    pub fn fell_short(&mut self) {
        self.overlap = self.overlap.saturating_mul(GROWTH).max(FIRST_OVERLAP);
    }

    /// The headers fetched were connected.
    pub fn connected(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 2000;

    #[test]
    fn missed_blocks_are_fetched_from_the_windows_tip_on_in_batches() {
        let mut reach = Reach::default();
        assert_eq!(
            reach.step(0, 100, 103, MAX),
            Step::Fetch {
                start: 101,
                count: 3
            }
        );
        reach.connected();
        assert_eq!(
            reach.step(0, 100, 9_000, MAX),
            Step::Fetch {
                start: 101,
                count: MAX
            }
        );
    }

    #[test]
    fn a_fork_is_searched_ever_deeper_until_the_window_ends() {
        let mut reach = Reach::default();
        assert_eq!(
            reach.step(500, 20_000, 20_001, MAX),
            Step::Fetch {
                start: 20_001,
                count: 1
            }
        );
        reach.fell_short();
        assert_eq!(
            reach.step(500, 20_000, 20_001, MAX),
            Step::Fetch {
                start: 19_985,
                count: 17
            }
        );
        reach.fell_short();
        assert_eq!(
            reach.step(500, 20_000, 20_001, MAX),
            Step::Fetch {
                start: 19_873,
                count: 129
            }
        );
        reach.fell_short();
        reach.fell_short();
        assert_eq!(
            reach.step(500, 20_000, 20_001, MAX),
            Step::Fetch {
                start: 11_809,
                count: MAX
            }
        );
        reach.fell_short();
        assert_eq!(
            reach.step(500, 20_000, 20_001, MAX),
            Step::Fetch {
                start: 501,
                count: MAX
            }
        );
        reach.fell_short();
        assert_eq!(reach.step(500, 20_000, 20_001, MAX), Step::Anew);
    }

    #[test]
    fn a_shorter_chain_is_searched_below_its_own_tip() {
        let mut reach = Reach::default();
        assert_eq!(
            reach.step(0, 100, 90, MAX),
            Step::Fetch {
                start: 90,
                count: 1
            }
        );
        reach.fell_short();
        assert_eq!(
            reach.step(0, 100, 90, MAX),
            Step::Fetch {
                start: 74,
                count: 17
            }
        );
    }

    #[test]
    fn a_tip_at_or_below_the_window_s_base_needs_another_window() {
        assert_eq!(Reach::default().step(500, 600, 500, MAX), Step::Anew);
        assert_eq!(Reach::default().step(0, 100, 0, MAX), Step::Anew);
    }

    #[test]
    fn a_window_of_one_header_still_connects_to_it() {
        let mut reach = Reach::default();
        assert_eq!(reach.step(0, 0, 5, MAX), Step::Fetch { start: 1, count: 5 });
        reach.fell_short();
        assert_eq!(reach.step(0, 0, 5, MAX), Step::Fetch { start: 1, count: 5 });
        reach.fell_short();
        assert_eq!(reach.step(0, 0, 5, MAX), Step::Anew);
    }
}
