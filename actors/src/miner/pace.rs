//! The pace of blocks on regtest, where finding one takes two hashes.
//!
//! `work` keeps the threads scanning at full speed against a harder target of our own choice, so
//! that blocks come on average once per interval, the way they come on a real network: the time
//! between them is exponential. `sleep` takes the first solution and then waits.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use pow::Target;

/// How the pace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceMode {
    /// Scan at full speed against a harder target.
    Work,
    /// Take the first solution, then wait.
    Sleep,
}

/// The time between blocks (`mining.block_interval_s`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Interval {
    /// This many seconds; 0 is as fast as the clock rules allow. With [`PaceMode::Work`] a mean.
    Fixed(f64),
    /// Exponential with this mean in seconds, as on mainnet.
    Poisson(f64),
}

impl Interval {
    /// The mean in seconds.
    pub fn mean_s(self) -> f64 {
        match self {
            Self::Fixed(mean) | Self::Poisson(mean) => mean,
        }
    }

    /// One interval, for a uniform random number in 0..1.
    pub fn draw(self, uniform: f64) -> Duration {
        let seconds = match self {
            Self::Fixed(seconds) => seconds,
            Self::Poisson(mean) => -mean * (1.0 - uniform).ln(),
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(seconds) => write!(f, "{seconds}"),
            Self::Poisson(mean) => write!(f, "poisson:{mean}"),
        }
    }
}

/// The text is no interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no block interval: give seconds, 0 or more and at most 1e9, or \"poisson:\" and the mean in seconds"
)]
pub struct IntervalError {
    text: String,
}

/// Parses `1.5` or `poisson:600`.
impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = |digits: &str| {
            let seconds: f64 = digits.trim().parse().ok()?;
            (0.0..=1e9).contains(&seconds).then_some(seconds)
        };
        match text.trim().strip_prefix("poisson:") {
            Some(mean) => seconds(mean).map(Self::Poisson),
            None => seconds(text).map(Self::Fixed),
        }
        .ok_or_else(|| IntervalError {
            text: text.to_owned(),
        })
    }
}

/// How fast blocks shall come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pacing {
    /// How the pace is kept.
    pub mode: PaceMode,
    /// The time between blocks.
    pub interval: Interval,
}

/// A target that takes `seconds` at `hashrate_hs` on average, and never easier than the network's.
pub fn work_target(network: Target, hashrate_hs: f64, seconds: f64) -> Target {
    Target::from_expected_hashes(hashrate_hs * seconds).min(network)
}

/// Keeps the pace, if there is one to keep.
#[derive(Debug)]
pub struct Pacer {
    pacing: Option<Pacing>,
    rng: fastrand::Rng,
    /// The last block found: when, and the interval drawn from there.
    last: Option<(Instant, Duration)>,
    /// Seconds from a block found to scanning on it, smoothed: they count as part of the interval.
    turnaround_s: f64,
}

/// How much one turnaround counts against the smoothed ones before it.
const TURNAROUND_WEIGHT: f64 = 0.2;

impl Pacer {
    /// A pacer. An interval of 0 is no pacing.
    pub fn new(pacing: Option<Pacing>, rng: fastrand::Rng) -> Self {
        let pacing = pacing.filter(|pacing| pacing.interval.mean_s() > 0.0);
        Self {
            pacing,
            rng,
            last: None,
            turnaround_s: 0.0,
        }
    }

    /// Whether there is a pace to keep at all.
    pub fn is_on(&self) -> bool {
        self.pacing.is_some()
    }

    /// Whether the hash rate must be known before a target can be chosen.
    pub fn needs_hashrate(&self) -> bool {
        self.pacing
            .is_some_and(|pacing| pacing.mode == PaceMode::Work)
    }

    /// A block was found.
    pub fn found(&mut self, at: Instant) {
        if let Some(pacing) = self.pacing {
            self.last = Some((at, pacing.interval.draw(self.rng.f64())));
        }
    }

    /// Scanning begins on a tip that one of our blocks made. Learns the turnaround.
    pub fn resumed(&mut self, at: Instant) {
        if let (Some((found, _)), Some(pacing)) = (self.last, self.pacing) {
            let turnaround = at.saturating_duration_since(found).as_secs_f64();
            // A node that was down for minutes must not make a rush of the blocks that follow.
            let turnaround = turnaround.min(pacing.interval.mean_s());
            self.turnaround_s += TURNAROUND_WEIGHT * (turnaround - self.turnaround_s);
        }
    }

    /// Until when the next block has to wait, if it has to.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        let (found, interval) = self.last?;
        let until = found + interval;
        (self.pacing?.mode == PaceMode::Sleep && until > now).then_some(until)
    }

    /// The target to scan against: the network's, or a harder one for the pace.
    pub fn target(&self, network: Target, hashrate_hs: f64) -> Target {
        match self.pacing {
            Some(Pacing {
                mode: PaceMode::Work,
                interval,
            }) => {
                let mean = interval.mean_s();
                // However long the turnaround, some work is left.
                let seconds = (mean - self.turnaround_s).max(mean / 20.0);
                work_target(network, hashrate_hs, seconds)
            }
            _ => network,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGTEST: Target = Target::MAX;

    fn work(interval: Interval) -> Pacer {
        let pacing = Pacing {
            mode: PaceMode::Work,
            interval,
        };
        Pacer::new(Some(pacing), fastrand::Rng::with_seed(1))
    }

    fn sleep(interval: Interval) -> Pacer {
        let pacing = Pacing {
            mode: PaceMode::Sleep,
            interval,
        };
        Pacer::new(Some(pacing), fastrand::Rng::with_seed(1))
    }

    #[test]
    fn intervals_parse_and_display_and_nonsense_is_named() {
        assert_eq!("1.5".parse(), Ok(Interval::Fixed(1.5)));
        assert_eq!("0".parse(), Ok(Interval::Fixed(0.0)));
        assert_eq!("poisson:600".parse(), Ok(Interval::Poisson(600.0)));
        assert_eq!(
            Interval::Poisson(600.0).to_string().parse(),
            Ok(Interval::Poisson(600.0))
        );
        for nonsense in [
            "",
            "-1",
            "NaN",
            "inf",
            "poisson:",
            "poisson:-3",
            "ten",
            "1e10",
        ] {
            let error = nonsense.parse::<Interval>().expect_err(nonsense);
            assert!(error.to_string().contains("poisson:"), "{error}");
        }
    }

    #[test]
    fn poisson_intervals_have_the_mean_and_spread_of_an_exponential() {
        let mut rng = fastrand::Rng::with_seed(7);
        let n = 100_000;
        let draws: Vec<f64> = (0..n)
            .map(|_| Interval::Poisson(3.0).draw(rng.f64()).as_secs_f64())
            .collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
        // Standard deviation equals the mean.
        assert!((variance.sqrt() - 3.0).abs() < 0.1, "{variance}");
        let long = draws.iter().filter(|&&d| d > 3.0).count() as f64 / f64::from(n);
        assert!((long - (-1.0_f64).exp()).abs() < 0.01, "{long}");
    }

    #[test]
    fn a_paced_target_is_met_once_per_interval_of_hashing() {
        // 500 H/s and one block every 2 s: one in 1,000 digests. Digests are random numbers.
        let pacer = work(Interval::Fixed(2.0));
        let target = pacer.target(REGTEST, 500.0);
        let mut rng = fastrand::Rng::with_seed(42);
        let (mut hashes_since, mut gaps) = (0_u32, Vec::new());
        for _ in 0..1_000_000 {
            let mut digest = [0; 32];
            rng.fill(&mut digest);
            hashes_since += 1;
            if target.is_met_by(&digest) {
                gaps.push(f64::from(hashes_since) / 500.0);
                hashes_since = 0;
            }
        }
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n).sqrt();
        // About 1,000 gaps: the mean is known to 3 %, four times that is never exceeded by chance.
        assert!((mean - 2.0).abs() < 0.25, "{mean} s over {n} blocks");
        assert!(
            (deviation / mean - 1.0).abs() < 0.25,
            "deviation {deviation} s"
        );
    }

    #[test]
    fn the_paced_target_is_never_easier_than_the_networks() {
        let hard = Target::from_expected_hashes(1e15);
        assert_eq!(work(Interval::Fixed(1.0)).target(hard, 1e6), hard);
        assert!(work(Interval::Fixed(1.0)).target(REGTEST, 1e6) < REGTEST);
    }

    #[test]
    fn turnaround_is_part_of_the_interval() {
        let start = Instant::now();
        let mut pacer = work(Interval::Fixed(1.0));
        for i in 0..100 {
            let found = start + Duration::from_secs(i);
            pacer.found(found);
            pacer.resumed(found + Duration::from_millis(200));
        }
        let expected = work_target(REGTEST, 1e6, 0.8).difficulty();
        let difficulty = pacer.target(REGTEST, 1e6).difficulty();
        assert!(
            (difficulty / expected - 1.0).abs() < 0.01,
            "{difficulty} {expected}"
        );
        // And a turnaround as long as the interval still leaves a target.
        for i in 0..100 {
            let found = start + Duration::from_secs(i);
            pacer.found(found);
            pacer.resumed(found + Duration::from_secs(9));
        }
        assert_eq!(pacer.target(REGTEST, 1e6), work_target(REGTEST, 1e6, 0.05));
    }

    #[test]
    fn one_long_turnaround_makes_no_rush_of_the_blocks_that_follow() {
        let start = Instant::now();
        let mut pacer = work(Interval::Fixed(1.0));
        pacer.found(start);
        pacer.resumed(start + Duration::from_mins(10));
        assert_eq!(pacer.target(REGTEST, 1e6), work_target(REGTEST, 1e6, 0.8));
    }

    #[test]
    fn sleeping_waits_out_the_interval_since_the_last_block() {
        let start = Instant::now();
        let mut pacer = sleep(Interval::Fixed(3.0));
        assert_eq!(
            pacer.waits_until(start),
            None,
            "the first block comes at once"
        );
        assert_eq!(pacer.target(REGTEST, 1e6), REGTEST);
        pacer.found(start);
        let until = start + Duration::from_secs(3);
        assert_eq!(
            pacer.waits_until(start + Duration::from_secs(1)),
            Some(until)
        );
        assert_eq!(pacer.waits_until(until), None);
    }

    #[test]
    fn an_interval_of_zero_is_no_pacing() {
        let start = Instant::now();
        let off = Pacer::new(None, fastrand::Rng::with_seed(0));
        for mut pacer in [work(Interval::Fixed(0.0)), sleep(Interval::Fixed(0.0)), off] {
            pacer.found(start);
            assert!(!pacer.is_on() && !pacer.needs_hashrate());
            assert_eq!(pacer.waits_until(start), None);
            assert_eq!(pacer.target(REGTEST, 1e9), REGTEST);
        }
    }
}
