//! What the node's clock shows, and which timestamps a job may carry.
//!
//! The local wall clock has no part in it: time comes from the `curtime` of templates and runs on
//! with the monotonic clock.

use std::time::{Duration, Instant};

/// How far ahead of its clock a node accepts a block (Bitcoin Core's `MAX_FUTURE_BLOCK_TIME`).
pub const FUTURE_BOUND_S: u32 = 7200;

/// How far inside that bound we stay: other nodes' clocks are not the same.
pub const MARGIN_S: u32 = 60;

/// The node's clock as far as its templates tell.
///
/// `curtime` is the larger of the node's clock and the least time the chain allows. Where it is
/// above that least time it is the clock; where it equals it, the clock is not later, and how much
/// earlier nobody says, except that the node found the template within its own bound.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeClock {
    /// A moment at which the clock was known.
    exact: Option<Anchor>,
    /// A timestamp that the node has accepted as not too far ahead, and when.
    allowed: Option<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    time: u32,
    at: Instant,
}

impl Anchor {
    fn read(self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.at).as_secs();
        self.time
            .saturating_add(u32::try_from(elapsed).unwrap_or(u32::MAX))
    }
}

/// What the clock shows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The node's clock in Unix seconds; absent while it is only known to be behind the chain.
    pub now: Option<u32>,
    /// The latest timestamp that a job may carry.
    pub latest: u32,
}

impl NodeClock {
    /// Learns from a template: its `curtime`, its `mintime`, and when it arrived.
    pub fn observe(&mut self, curtime: u32, min_time: u32, received_at: Instant) {
        let seen = Anchor {
            time: curtime,
            at: received_at,
        };
        self.allowed = Some(seen);
        if curtime > min_time {
            self.exact = Some(seen);
        } else if self
            .exact
            .is_some_and(|exact| exact.read(received_at) > curtime)
        {
            // The clock was set back behind the chain; how far is unknown.
            self.exact = None;
        }
    }

    /// The clock now; absent before the first template.
    pub fn reading(&self, now: Instant) -> Option<Reading> {
        if let Some(exact) = self.exact {
            let clock = exact.read(now);
            return Some(Reading {
                now: Some(clock),
                latest: clock.saturating_add(FUTURE_BOUND_S - MARGIN_S),
            });
        }
        self.allowed.map(|allowed| Reading {
            now: None,
            latest: allowed.read(now),
        })
    }
}

/// Where a network's difficulty depends on the timestamp (testnets: a block more than twice the
/// spacing after its parent may have the minimum difficulty), the boundary and our side of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    /// The last timestamp with the regular difficulty.
    pub last_regular: u32,
    /// Whether the job's nBits is that of later timestamps.
    pub late: bool,
}

/// The timestamps a job carries: they follow the node's clock between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRule {
    /// The node's clock at `at`, or the least time where the clock is unknown.
    clock: u32,
    at: Instant,
    /// Never earlier.
    pub first: u32,
    /// Never later, whatever the clock says; absent where the clock itself is the bound.
    pub last: Option<u32>,
}

impl TimeRule {
    /// The timestamp for a header made now: the node's clock, within the bounds.
    pub fn ntime(&self, now: Instant) -> u32 {
        let clock = Anchor {
            time: self.clock,
            at: self.at,
        }
        .read(now)
        .max(self.first);
        self.last.map_or(clock, |last| clock.min(last))
    }

    /// Whether another rule, made later, would give the same timestamps but for a second's rounding.
    pub fn agrees(&self, other: &Self, now: Instant) -> bool {
        (self.first, self.last) == (other.first, other.last)
            && self.ntime(now).abs_diff(other.ntime(now)) <= 1
    }
}

/// Which timestamps a job may carry, or that it may carry none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobTime {
    /// These.
    Roll(TimeRule),
    /// The chain has outrun the clock: the least allowed time is still this far beyond the bound.
    Wait(Duration),
}

/// The timestamps for a job whose chain demands at least `min_time`.
///
/// Header time is the larger of `min_time` and the node's clock, never beyond
/// [`Reading::latest`], and stays on its side of the boundary.
pub fn job_time(
    reading: Reading,
    now: Instant,
    min_time: u32,
    boundary: Option<Boundary>,
) -> JobTime {
    let mut first = min_time;
    // Where the clock is behind the chain there is no honest later time to roll to.
    let mut last = if reading.now.is_some() {
        None
    } else {
        Some(min_time)
    };
    match boundary {
        Some(Boundary {
            last_regular,
            late: true,
        }) => {
            first = first.max(last_regular.saturating_add(1));
            last = last.map(|last| last.max(first));
        }
        Some(Boundary {
            last_regular,
            late: false,
        }) => {
            last = Some(last.unwrap_or(u32::MAX).min(last_regular).max(first));
        }
        None => {}
    }
    if first > reading.latest {
        return JobTime::Wait(Duration::from_secs(u64::from(first - reading.latest)));
    }
    JobTime::Roll(TimeRule {
        clock: reading.now.unwrap_or(first),
        at: now,
        first,
        last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u32 = 1_800_000_000;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn clock(curtime: u32, min_time: u32, at: Instant) -> NodeClock {
        let mut clock = NodeClock::default();
        clock.observe(curtime, min_time, at);
        clock
    }

    fn roll(time: JobTime) -> TimeRule {
        match time {
            JobTime::Roll(rule) => rule,
            JobTime::Wait(wait) => panic!("waits {wait:?}"),
        }
    }

    #[test]
    fn the_clock_runs_on_from_the_template() {
        let start = Instant::now();
        assert_eq!(NodeClock::default().reading(start), None);
        let clock = clock(T, T - 600, start);
        let reading = clock
            .reading(start + seconds(5))
            .expect("a template was seen");
        assert_eq!(
            reading,
            Reading {
                now: Some(T + 5),
                latest: T + 5 + 7140
            }
        );
    }

    #[test]
    fn a_time_at_the_chains_minimum_says_only_that_the_clock_is_not_later() {
        let start = Instant::now();
        let behind = clock(T, T, start);
        let reading = behind
            .reading(start + seconds(3))
            .expect("a template was seen");
        assert_eq!(
            reading,
            Reading {
                now: None,
                latest: T + 3
            }
        );

        // A known clock stays known while it agrees, and is forgotten when it was set back.
        let mut known = clock(T, T - 1, start);
        known.observe(T + 500, T + 500, start + seconds(10));
        assert_eq!(
            known.reading(start + seconds(10)).expect("known").now,
            Some(T + 10)
        );
        known.observe(T + 5, T + 5, start + seconds(20));
        assert_eq!(known.reading(start + seconds(20)).expect("seen").now, None);
    }

    #[test]
    fn header_time_is_the_clock_and_rolls_with_it() {
        let start = Instant::now();
        let reading = clock(T, T - 600, start).reading(start).expect("seen");
        let rule = roll(job_time(reading, start, T - 600, None));
        assert_eq!(rule.ntime(start), T);
        assert_eq!(rule.ntime(start + Duration::from_millis(999)), T);
        assert_eq!(rule.ntime(start + seconds(61)), T + 61);
    }

    #[test]
    fn header_time_is_the_minimum_until_the_clock_reaches_it() {
        let start = Instant::now();
        let reading = clock(T, T - 600, start).reading(start).expect("seen");
        let rule = roll(job_time(reading, start, T + 30, None));
        assert_eq!(rule.ntime(start), T + 30);
        assert_eq!(rule.ntime(start + seconds(30)), T + 30);
        assert_eq!(rule.ntime(start + seconds(31)), T + 31);
    }

    #[test]
    fn rules_agree_until_the_clock_or_a_bound_changes() {
        let start = Instant::now();
        let mut node = clock(T, T - 600, start);
        let rule = |node: &NodeClock, now: Instant, min_time: u32| {
            roll(job_time(
                node.reading(now).expect("seen"),
                now,
                min_time,
                None,
            ))
        };
        let (first, later) = (rule(&node, start, T - 600), start + seconds(7));
        assert!(first.agrees(&rule(&node, later, T - 600), later));
        assert!(!first.agrees(&rule(&node, later, T - 599), later));
        node.observe(T + 100, T - 600, later);
        assert!(!first.agrees(&rule(&node, later, T - 600), later));
    }

    #[test]
    fn an_unknown_clock_does_not_roll() {
        let start = Instant::now();
        let reading = clock(T, T, start).reading(start).expect("seen");
        let rule = roll(job_time(reading, start, T, None));
        assert_eq!(rule.ntime(start + seconds(100)), T);
    }

    #[test]
    fn a_chain_ahead_of_the_two_hour_rule_is_waited_for_exactly_until_it_fits() {
        let start = Instant::now();
        let clock = clock(T, T - 1, start);
        let min_time = T + FUTURE_BOUND_S - MARGIN_S + 10;
        let at = |now: Instant| job_time(clock.reading(now).expect("seen"), now, min_time, None);
        assert_eq!(at(start), JobTime::Wait(seconds(10)));
        assert_eq!(at(start + seconds(9)), JobTime::Wait(seconds(1)));
        let rule = roll(at(start + seconds(10)));
        assert_eq!(rule.ntime(start + seconds(10)), min_time);
    }

    #[test]
    fn blocks_as_fast_as_wished_never_outrun_the_bound() {
        // A chain that grows 50 blocks a second for an hour, each with the job's time: eleven
        // blocks' median rules. No header may be beyond the bound, and blocks never end for good.
        let start = Instant::now();
        let clock = clock(T, T - 1, start);
        let mut times = vec![T - 1; 11];
        let (mut mined, mut waited) = (0_u32, 0_u32);
        for tick in 0..3600 * 50_u64 {
            let now = start + Duration::from_millis(tick * 20);
            let mut last: Vec<u32> = times[times.len() - 11..].to_vec();
            last.sort_unstable();
            let reading = clock.reading(now).expect("seen");
            match job_time(reading, now, last[5] + 1, None) {
                JobTime::Roll(rule) => {
                    let node_clock = T + u32::try_from(tick / 50).expect("an hour");
                    assert!(rule.ntime(now) <= node_clock + FUTURE_BOUND_S - MARGIN_S);
                    assert!(rule.ntime(now) > last[5]);
                    times.push(rule.ntime(now));
                    mined += 1;
                }
                JobTime::Wait(_) => waited += 1,
            }
        }
        assert!(waited > 0, "the bound was never reached");
        // Six a second are always possible.
        assert!(mined > 6 * 3600, "only {mined} blocks");
    }

    #[test]
    fn time_stays_on_its_side_of_the_minimum_difficulty_boundary() {
        let start = Instant::now();
        let reading = clock(T, T - 600, start).reading(start).expect("seen");
        let early = Boundary {
            last_regular: T + 20,
            late: false,
        };
        let rule = roll(job_time(reading, start, T - 600, Some(early)));
        assert_eq!(rule.ntime(start + seconds(20)), T + 20);
        assert_eq!(rule.ntime(start + seconds(2000)), T + 20);

        let late = Boundary {
            last_regular: T + 20,
            late: true,
        };
        let rule = roll(job_time(reading, start, T - 600, Some(late)));
        assert_eq!(rule.ntime(start), T + 21);
        assert_eq!(rule.ntime(start + seconds(22)), T + 22);
    }
}
