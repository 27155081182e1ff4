//! Rates from counters: what happened between two looks at the registry.

use std::time::Instant;

use super::registry::Registry;
use super::usage::Usage;

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// When they were read.
    pub at: Instant,
    /// Hashes so far.
    pub hashes: u64,
    /// Verifications so far, passed and failed.
    pub verifications: u64,
    /// Of those, passed.
    pub passed: u64,
    /// What the process used so far; none where the system does not say.
    pub usage: Option<Usage>,
}

impl Reading {
    /// Reads the registry; `at` and `usage` are the caller's, so that a test can drive them.
    pub fn of(registry: &Registry, at: Instant, usage: Option<Usage>) -> Self {
        let passed = registry.verifications_passed.get();
        Self {
            at,
            hashes: registry.hashes(),
            verifications: passed + registry.verifications_failed.get(),
            passed,
            usage,
        }
    }
}

/// Rates over an interval. What is unknown is absent, never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Hashes per second.
    pub hashrate_hs: f64,
    /// Verifications per second.
    pub vps: f64,
    /// Passed verifications of all verifications in the interval, 0 to 1; none without any.
    pub success_rate: Option<f64>,
    /// CPU time used per time passed; 1 is one core busy throughout.
    pub cpu: Option<f64>,
    /// Resident memory at the end, in bytes.
    pub memory_bytes: Option<u64>,
}

impl Rates {
    /// What happened from `earlier` to `later`. No time between them: all rates are zero.
    pub fn between(earlier: &Reading, later: &Reading) -> Self {
        let elapsed = later.at.saturating_duration_since(earlier.at).as_secs_f64();
        let per_second = |count: u64| {
            if elapsed > 0.0 {
                count as f64 / elapsed
            } else {
                0.0
            }
        };
        let verifications = later.verifications.saturating_sub(earlier.verifications);
        let passed = later.passed.saturating_sub(earlier.passed);
        let cpu = match (earlier.usage, later.usage) {
            (Some(before), Some(after)) if elapsed > 0.0 => {
                Some(((after.cpu_s - before.cpu_s) / elapsed).max(0.0))
            }
            _ => None,
        };
        Self {
            hashrate_hs: per_second(later.hashes.saturating_sub(earlier.hashes)),
            vps: per_second(verifications),
            success_rate: (verifications > 0).then(|| passed as f64 / verifications as f64),
            cpu,
            memory_bytes: later.usage.map(|usage| usage.resident_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_differences_over_time() {
        let registry = Registry::new(2);
        let start = Instant::now();
        let usage = |cpu_s, resident_bytes| {
            Some(Usage {
                cpu_s,
                resident_bytes,
            })
        };
        let before = Reading::of(&registry, start, usage(1.0, 10));
        registry.threads[0].hashes.add(600);
        registry.threads[1].hashes.add(300);
        registry.verifications_passed.add(3);
        registry.verifications_failed.add(1);
        let after = Reading::of(&registry, start + Duration::from_secs(2), usage(4.0, 20));
        let rates = Rates::between(&before, &after);
        assert!((rates.hashrate_hs - 450.0).abs() < 1e-9);
        assert!((rates.vps - 2.0).abs() < 1e-9);
        assert_eq!(rates.success_rate, Some(0.75));
        assert_eq!(rates.cpu, Some(1.5));
        assert_eq!(rates.memory_bytes, Some(20));
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let registry = Registry::new(1);
        let now = Instant::now();
        let reading = Reading::of(&registry, now, None);
        let rates = Rates::between(&reading, &reading);
        assert_eq!(rates, Rates::default());
    }
}
