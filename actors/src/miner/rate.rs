//! The hash rate, measured from what the threads count.

use std::time::Duration;

/// Scanning time after which an old measurement has faded to 1/e.
const MEMORY: Duration = Duration::from_secs(5);

/// Scanning time, of all threads together, below which a sample says nothing.
const LEAST_SAMPLE: Duration = Duration::from_millis(20);

/// Smooths hashes per second of scanning. Time spent parked does not dilute it.
#[derive(Debug)]
pub struct RateMeter {
    threads: f64,
    last: (u64, Duration),
    per_thread_hs: Option<f64>,
}

impl RateMeter {
    /// A meter for `threads` threads whose counters stand at `hashes` and `busy` now.
    pub fn new(threads: usize, hashes: u64, busy: Duration) -> Self {
        Self {
            threads: threads as f64,
            last: (hashes, busy),
            per_thread_hs: None,
        }
    }

    /// So many threads scan from now on.
    pub fn scan_on(&mut self, threads: usize) {
        self.threads = threads.max(1) as f64;
    }

    /// Takes note of the counters: hashes of all threads, and the time they spent scanning.
    pub fn observe(&mut self, hashes: u64, busy: Duration) {
        let scanned = busy.saturating_sub(self.last.1);
        if scanned < LEAST_SAMPLE {
            return;
        }
        let rate = hashes.saturating_sub(self.last.0) as f64 / scanned.as_secs_f64();
        self.last = (hashes, busy);
        let weight = 1.0 - (-scanned.as_secs_f64() / (MEMORY.as_secs_f64() * self.threads)).exp();
        self.per_thread_hs = Some(match self.per_thread_hs {
            Some(old) => old + weight * (rate - old),
            None => rate,
        });
    }

    /// H/s of all threads together while scanning; absent until measured.
    pub fn hashrate_hs(&self) -> Option<f64> {
        self.per_thread_hs.map(|rate| rate * self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: f64) -> Duration {
        Duration::from_secs_f64(n)
    }

    #[test]
    fn the_first_sample_is_the_rate_of_all_threads() {
        let mut meter = RateMeter::new(2, 500, seconds(1.0));
        assert_eq!(meter.hashrate_hs(), None);
        meter.observe(1_500, seconds(1.0) + Duration::from_millis(19));
        assert_eq!(meter.hashrate_hs(), None, "too short to say");
        meter.observe(2_000_500, seconds(3.0));
        let rate = meter.hashrate_hs().expect("measured");
        assert!((rate - 2e6).abs() < 1.0, "{rate}");
    }

    #[test]
    fn threads_that_are_parked_do_not_count() {
        let mut meter = RateMeter::new(4, 0, Duration::ZERO);
        meter.observe(4_000_000, seconds(4.0));
        meter.scan_on(2);
        let rate = meter.hashrate_hs().expect("measured");
        assert!((rate - 2e6).abs() < 1.0, "{rate}");
    }

    #[test]
    fn it_follows_a_change_within_seconds_of_scanning() {
        let mut meter = RateMeter::new(1, 0, Duration::ZERO);
        meter.observe(1_000_000, seconds(1.0));
        let mut hashes = 1_000_000;
        for i in 1..=250 {
            hashes += 300_000; // 3 MH/s
            meter.observe(hashes, seconds(1.0 + 0.1 * f64::from(i)));
        }
        let rate = meter.hashrate_hs().expect("measured");
        assert!((rate / 3e6 - 1.0).abs() < 0.01, "{rate}");
    }
}
