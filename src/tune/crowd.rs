//! How many threads hash most together, and with how many header versions.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use pow::Kernel;

use super::measure::{self, Meter, wall_clock};

/// Of rates that differ by no more than this share, the one with fewer threads or versions is as good.
const AS_GOOD: f64 = 0.02;
/// Up to so many CPUs every number of threads is tried, beyond only some.
const EACH: usize = 8;

/// Hashes per second of so many threads together, on average over `time`, with all of them running.
pub fn together(kernel: &dyn Kernel, versions: usize, threads: usize, time: Duration) -> f64 {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let run = || {
            let mut meter = Meter::new(kernel, versions);
            let mut clock = wall_clock();
            start.wait();
            let began = clock();
            meter.run(time, &mut clock);
            meter.measured().hashes as f64 / clock().saturating_sub(began).as_secs_f64()
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let rates = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or(0.0));
        rates.sum()
    })
}

/// The numbers of threads to try on so many CPUs.
pub fn candidates(cpus: usize) -> Vec<usize> {
    if cpus <= EACH {
        return (1..=cpus.max(1)).collect();
    }
    let mut some = vec![cpus / 4, cpus / 2, cpus * 3 / 4, cpus - 1, cpus];
    some.dedup();
    some
}

/// Rates of numbers of threads, each tried twice in `time` all together; the better try counts, for what else the
/// machine does makes none faster.
pub fn threads(
    kernel: &dyn Kernel,
    versions: usize,
    counts: &[usize],
    time: Duration,
) -> Vec<(usize, f64)> {
    let each = time / (2 * counts.len() as u32).max(1);
    let mut rates: Vec<(usize, f64)> = counts.iter().map(|count| (*count, 0.0)).collect();
    for _ in 0..2 {
        for (count, rate) in &mut rates {
            *rate = rate.max(together(kernel, versions, *count, each));
        }
    }
    rates
}

/// Best rates on one thread of numbers of header versions, powers of four up to `most`.
pub fn versions(kernel: &dyn Kernel, most: usize, time: Duration) -> Vec<(usize, f64)> {
    let mut counts: Vec<usize> = (0..usize::BITS / 2)
        .map(|n| 1 << (2 * n))
        .take_while(|n| *n < most)
        .collect();
    counts.push(most);
    let each = time / counts.len() as u32;
    let rate = |count| measure::hashes(kernel, count, each).hashrate_hs();
    counts
        .into_iter()
        .map(|count| (count, rate(count)))
        .collect()
}

/// The greatest rate, or the smallest number with one as good. None of none.
pub fn best(rates: &[(usize, f64)]) -> Option<(usize, f64)> {
    let greatest = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    let good = rates
        .iter()
        .filter(|(_, rate)| *rate >= greatest * (1.0 - AS_GOOD));
    good.min_by_key(|(count, _)| *count).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_rate_wins_and_of_equals_the_smaller_number() {
        assert_eq!(best(&[(1, 30.0), (2, 59.0), (3, 57.0)]), Some((2, 59.0)));
        assert_eq!(best(&[(1, 30.0), (2, 59.0), (4, 60.0)]), Some((2, 59.0)));
        assert_eq!(best(&[(4, 60.0), (2, 58.0), (1, 30.0)]), Some((4, 60.0)));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn few_cpus_are_tried_one_by_one_and_many_in_steps() {
        assert_eq!(candidates(0), [1]);
        assert_eq!(candidates(4), [1, 2, 3, 4]);
        assert_eq!(candidates(64), [16, 32, 48, 63, 64]);
        assert!(candidates(9).windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn threads_and_versions_are_measured_for_real() {
        let Some(kernel) = crate::tune::key::supported().pop() else {
            panic!("the scalar kernel runs anywhere");
        };
        let time = Duration::from_millis(20);
        let rates = threads(kernel, 2, &[1, 2], time);
        assert_eq!(rates.iter().map(|rate| rate.0).collect::<Vec<_>>(), [1, 2]);
        assert!(rates.iter().all(|(_, rate)| *rate > 0.0), "{rates:?}");
        let rates = versions(kernel, 64, time);
        let counts: Vec<_> = rates.iter().map(|rate| rate.0).collect();
        assert_eq!(counts, [1, 4, 16, 64]);
        assert_eq!(versions(kernel, 1, time).len(), 1);
    }
}
