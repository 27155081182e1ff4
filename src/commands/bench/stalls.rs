//! What a machine does to everybody who wants to be quick: for how long threads that only read the clock are stopped.
//!
//! Other programs, interrupts, and on a virtual machine its host take a processor away without asking. No program is
//! quicker than that at p99 where it happens once in a hundred times.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What is longer is a stop: a fair scheduler's turn, and the goal for the first hash on a new tip.
const STOP: Duration = Duration::from_millis(2);

/// The stops that were met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stalls {
    /// Threads, one for each processor.
    threads: usize,
    /// Seconds looked for on each.
    elapsed_s: f64,
    /// Stops of more than 2 ms, on all of them.
    stops: u64,
    /// What share of the time these took, 0 to 1.
    share: f64,
    /// The longest, in seconds; 0 where there was none.
    longest_s: f64,
}

impl Stalls {
    /// Looks for them on every processor.
    pub fn look(time: Duration) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let begun = Instant::now();
        let end = begun + time;
        let stops = thread::scope(|scope| {
            let watches: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(move || {
                        let clock = std::iter::repeat_with(Instant::now);
                        stops(begun, clock.take_while(|now| *now < end))
                    })
                })
                .collect();
            let watched = watches.into_iter();
            watched
                .flat_map(|watch| watch.join().unwrap_or_default())
                .collect::<Vec<_>>()
        });
        Self::of(&stops, threads, time)
    }

    fn of(stops: &[Duration], threads: usize, time: Duration) -> Self {
        let stopped: Duration = stops.iter().sum();
        Self {
            threads,
            elapsed_s: time.as_secs_f64(),
            stops: stops.len() as u64,
            share: stopped.as_secs_f64() / (time.as_secs_f64() * threads as f64),
            longest_s: stops.iter().max().map_or(0.0, Duration::as_secs_f64),
        }
    }

    /// In one line.
    pub fn in_words(&self) -> String {
        format!(
            "{} stops of more than 2 ms in {:.0} s on {} processors, {:.2} % of the time, longest {:.1} ms",
            self.stops,
            self.elapsed_s,
            self.threads,
            self.share * 100.0,
            self.longest_s * 1e3
        )
    }
}

/// The gaps between readings of a clock that are stops.
fn stops(begun: Instant, readings: impl Iterator<Item = Instant>) -> Vec<Duration> {
    let mut last = begun;
    let gaps = readings.map(|now| {
        let gap = now.saturating_duration_since(last);
        last = now;
        gap
    });
    gaps.filter(|gap| *gap > STOP).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_readings_is_a_stop_where_it_is_long() {
        let begun = Instant::now();
        let at = |us: u64| begun + Duration::from_micros(us);
        let readings = [
            at(1),
            at(1_900),
            at(3_900),
            at(5_901),
            at(5_902),
            at(25_902),
        ];
        let stops = stops(begun, readings.into_iter());
        assert_eq!(stops, [2_001, 20_000].map(Duration::from_micros));
        let stalls = Stalls::of(&stops, 2, Duration::from_secs(1));
        assert_eq!((stalls.stops, stalls.longest_s), (2, 0.02));
        assert!((stalls.share - 0.011_000_5).abs() < 1e-9, "{stalls:?}");
        assert_eq!(
            stalls.in_words(),
            "2 stops of more than 2 ms in 1 s on 2 processors, 1.10 % of the time, longest 20.0 ms"
        );
    }
}
