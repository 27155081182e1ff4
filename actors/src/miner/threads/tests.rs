#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, PoisonError};

use chain::{CoinbaseTag, Job, Verdict};
use pow::{NonceRange, Target};

use super::super::clock::{JobTime, TimeRule, job_time};
use super::super::dispatch::Round;
use super::super::fixtures::{Chain, NODE_TIME, payout};
use super::*;
use crate::stats::{ParentMark, Registry};

/// Longer than any machine needs.
const LIMIT: Duration = Duration::from_mins(1);

const NEVER: f64 = 1e75;

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn shared(threads: usize) -> Arc<Shared> {
    Arc::new(Shared::new(
        threads,
        None,
        Arc::new(Registry::new(threads)),
        Arc::default(),
    ))
}

fn time() -> TimeRule {
    let reading = super::super::clock::Reading {
        now: Some(NODE_TIME),
        latest: NODE_TIME + 7000,
    };
    match job_time(reading, Instant::now(), NODE_TIME - 600, None) {
        JobTime::Roll(rule) => rule,
        JobTime::Wait(wait) => panic!("waits {wait:?}"),
    }
}

pub fn job(chain: &Chain) -> Arc<Job> {
    let template = chain.template(chain.start).template;
    Arc::new(
        Job::new(
            &template,
            &payout(),
            &CoinbaseTag::new("/test/").unwrap(),
            0,
        )
        .unwrap(),
    )
}

fn scan(job: &Arc<Job>, expected_hashes: f64) -> Work {
    let target = Target::from_expected_hashes(expected_hashes).min(job.target());
    Work::Scan(Scan::new(
        Arc::clone(job),
        job.versions(),
        target,
        time(),
        Arc::default(),
    ))
}

/// Runs workers while the test's body runs, then stops them.
fn with_workers(
    shared: &Arc<Shared>,
    kernel: &'static dyn Kernel,
    nonces: u64,
    body: impl FnOnce(),
) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    let threads = shared.registry.threads.len();
    std::thread::scope(|scope| {
        for index in 0..threads {
            let mut worker = Worker::new(index, kernel, Arc::clone(shared))
                .with_nonces(nonces)
                .with_patience();
            let stop = &stop;
            scope.spawn(move || {
                let stop = || stop.load(Ordering::Relaxed);
                while worker.run(&stop).unwrap() == Turn::Failed {}
            });
        }
        // Also where the body panics: the scope waits for the workers.
        let _stop = Stop(&stop);
        body();
    });
}

/// A kernel that writes down which headers it was given, in place of hashing them.
#[derive(Default)]
struct Recorder {
    headers: Mutex<Vec<[u8; 80]>>,
    /// Panic at every so-many-th call; never for 0.
    panic_every: usize,
    /// Report a hit at every call, whatever the target.
    lie: bool,
    calls: AtomicUsize,
}

impl Recorder {
    fn leak(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    fn headers(&self) -> std::sync::MutexGuard<'_, Vec<[u8; 80]>> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn len(&self) -> usize {
        self.headers().len()
    }
}

impl Kernel for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn is_supported(&self) -> bool {
        true
    }

    fn lanes(&self) -> u32 {
        1
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut headers = self.headers();
        for nonce in (u64::from(range.start)..).take(usize::try_from(range.count).unwrap()) {
            for version in job.versions() {
                headers.push(job.header(version, u32::try_from(nonce).unwrap()));
            }
        }
        drop(headers);
        assert!(
            self.panic_every == 0 || !call.is_multiple_of(self.panic_every),
            "scripted"
        );
        if self.lie {
            let hit = Hit {
                version: job.versions().next().unwrap(),
                nonce: 0,
                digest: [0; 32],
            };
            let _ = on_hit(hit);
        }
        range.count * job.versions().len() as u64
    }
}

#[test]
fn threads_find_blocks_that_pass_every_check() {
    for kernel in pow::kernels()
        .iter()
        .copied()
        .filter(|kernel| kernel.is_supported())
    {
        let shared = shared(2);
        let chain = Chain::new(chain::Network::Regtest);
        let job = job(&chain);
        with_workers(&shared, kernel, 1 << 32, || {
            for nth in 1..=3 {
                shared.dispatch.publish(scan(&job, 5_000.0));
                wait_until("a solution", || shared.outbox.len() == nth);
            }
        });
        for _ in 0..3 {
            let solution = shared.outbox.peek().unwrap();
            let report = solution.job.check(&solution.solved, false);
            assert_eq!(
                report.verdict(),
                Verdict::Authentic,
                "{}: {report:?}",
                kernel.name()
            );
            assert_eq!(report.hash, Some(solution.hash));
            let target = Target::from_expected_hashes(5_000.0);
            assert!(
                target.is_met_by(solution.hash.as_byte_array()),
                "the harder target counts"
            );
            shared.outbox.done(&solution);
        }
        assert_eq!(shared.registry.blocks_found.get(), 3);
        assert!(shared.registry.hashes() > 0 && shared.registry.busy() > Duration::ZERO);
    }
}

#[test]
fn the_first_solution_of_a_job_is_the_only_one() {
    let shared = shared(4);
    let chain = Chain::new(chain::Network::Regtest);
    let job = job(&chain);
    with_workers(&shared, pow::kernel("scalar").unwrap(), 1 << 32, || {
        for nth in 1..=20 {
            // Every other hash is a solution: all threads find one at once.
            let epoch = shared.dispatch.publish(scan(&job, 2.0));
            wait_until("a solution", || shared.outbox.len() >= nth);
            wait_until("all threads", || shared.dispatch.adopted_by_all() == epoch);
            assert_eq!(shared.outbox.len(), nth);
        }
    });
    assert_eq!(shared.outbox.len(), 20);
}

#[test]
fn each_thread_shows_what_it_builds_on_and_nothing_while_it_does_not_scan() {
    let shared = shared(2);
    let chain = Chain::new(chain::Network::Regtest);
    let job = job(&chain);
    let on_it = Some(ParentMark::of(&job.prev()));
    let shown = |on: [Option<ParentMark>; 2]| {
        wait_until("what they show", || {
            let threads = shared.registry.threads.iter();
            threads.map(ThreadCounter::parent).eq(on)
        });
    };
    with_workers(&shared, pow::kernel("scalar").unwrap(), 1 << 32, || {
        shared.dispatch.publish(scan(&job, NEVER));
        shown([on_it, on_it]);
        shared.dispatch.publish(Work::Park);
        shown([None, None]);
        let Work::Scan(one) = scan(&job, NEVER) else {
            unreachable!()
        };
        shared.dispatch.publish(Work::Scan(one.on(1)));
        shown([on_it, None]);
        // Solved at once: there is nothing more to scan.
        shared.dispatch.publish(scan(&job, 2.0));
        shown([None, None]);
        shared.dispatch.publish(scan(&job, NEVER));
        shown([on_it, on_it]);
    });
    assert_eq!(
        shared.registry.threads[0].parent(),
        None,
        "a thread that ended"
    );
}

#[test]
fn a_find_on_the_replaced_job_ends_the_new_one_too() {
    // A worker is held in its last slice of the old job while the new one is ordered; then both
    // have a solution.
    let shared = shared(2);
    let chain = Chain::new(chain::Network::Regtest);
    let job = job(&chain);
    let round: Arc<Round> = Arc::default();
    let order = |expected: f64| {
        let target = Target::from_expected_hashes(expected).min(job.target());
        Scan::new(
            Arc::clone(&job),
            job.versions(),
            target,
            time(),
            Arc::clone(&round),
        )
    };
    let old = order(2.0);
    shared.dispatch.publish(Work::Scan(order(NEVER)));
    with_workers(&shared, pow::kernel("scalar").unwrap(), 1 << 32, || {
        let worker = Worker::new(0, pow::kernel("scalar").unwrap(), Arc::clone(&shared));
        let solved = (0..1_000_000)
            .map(|nonce| Solved {
                extranonce: 9,
                ntime: NODE_TIME,
                version: job.versions()[0],
                nonce,
            })
            .find(|solved| job.is_solved_by(solved))
            .unwrap();
        let digest = job.hash_of(&solved).to_byte_array();
        let hit = Hit {
            version: solved.version,
            nonce: solved.nonce,
            digest,
        };
        worker
            .found(&old, (9, NODE_TIME), hit, Instant::now())
            .unwrap();
        // Parked: the order stands, and nobody scans for it any more.
        wait_until("the end of the scan", || {
            let before = shared.registry.hashes();
            std::thread::sleep(2 * PARKED_LOOK);
            shared.registry.hashes() == before
        });
    });
    assert_eq!(shared.outbox.len(), 1);
    assert_eq!(shared.registry.blocks_found.get(), 1);
}

#[test]
fn no_block_is_found_beyond_the_limit_whatever_is_ordered() {
    let registry = Arc::new(Registry::new(3));
    let shared = Arc::new(Shared::new(3, Some(2), registry, Arc::default()));
    let chain = Chain::new(chain::Network::Regtest);
    let job = job(&chain);
    with_workers(&shared, pow::kernel("scalar").unwrap(), 1 << 32, || {
        for nth in 1..=5_u64 {
            let epoch = shared.dispatch.publish(scan(&job, 2.0));
            wait_until("the order", || shared.dispatch.adopted_by_all() == epoch);
            wait_until("the find", || {
                shared.registry.blocks_found.get() >= nth.min(2)
            });
        }
    });
    assert_eq!(shared.outbox.len(), 2);
}

#[test]
fn after_a_switch_no_thread_touches_the_old_job() {
    let shared = shared(3);
    let mut chain = Chain::new(chain::Network::Regtest);
    let old = job(&chain);
    let found = chain.solve(chain.start);
    chain.connect(&found);
    let new = job(&chain);
    let recorder = Recorder::default().leak();
    let of_old = |header: &[u8; 80]| header[4..36] == *old.prev().as_byte_array();
    with_workers(&shared, recorder, 64, || {
        shared.dispatch.publish(scan(&old, NEVER));
        wait_until("hashing on the old job", || recorder.len() > 10_000);
        let epoch = shared.dispatch.publish(scan(&new, NEVER));
        wait_until("the switch", || shared.dispatch.adopted_by_all() == epoch);
        let switched = recorder.len();
        wait_until("hashing on the new job", || {
            recorder.len() > switched + 10_000
        });
        assert!(!recorder.headers()[switched..].iter().any(of_old));
        // And parked threads do not hash at all.
        let epoch = shared.dispatch.publish(Work::Park);
        wait_until("the park", || shared.dispatch.adopted_by_all() == epoch);
        let parked = recorder.len();
        let rounds: u64 = shared.registry.threads.iter().map(|t| t.rounds.get()).sum();
        let looked = || {
            shared
                .registry
                .threads
                .iter()
                .map(|t| t.rounds.get())
                .sum::<u64>()
        };
        wait_until("signs of life while parked", || looked() > rounds + 6);
        assert_eq!(recorder.len(), parked);
    });
}

#[test]
fn a_panic_in_a_thread_is_reported_and_survived() {
    let shared = shared(2);
    let chain = Chain::new(chain::Network::Regtest);
    let recorder = Recorder {
        panic_every: 500,
        ..Recorder::default()
    }
    .leak();
    with_workers(&shared, recorder, 16, || {
        shared.dispatch.publish(scan(&job(&chain), NEVER));
        wait_until("three panics", || {
            shared
                .registry
                .threads
                .iter()
                .map(|t| t.panics.get())
                .sum::<u64>()
                >= 3
        });
        let calls = recorder.calls.load(Ordering::Relaxed);
        wait_until("work after them", || {
            recorder.calls.load(Ordering::Relaxed) > calls + 100
        });
    });
    let troubles = shared.take_troubles();
    assert!(troubles.len() >= 3);
    assert_eq!(troubles[0].message, "panicked in kernel recorder: scripted");
    assert!(shared.take_troubles().is_empty());
    let headers = recorder.headers();
    assert_eq!(
        headers.iter().collect::<HashSet<_>>().len(),
        headers.len(),
        "scanned twice"
    );
}

#[test]
fn a_hit_that_is_none_is_not_handed_over() {
    let shared = shared(1);
    let chain = Chain::new(chain::Network::Regtest);
    let liar = Recorder {
        lie: true,
        ..Recorder::default()
    }
    .leak();
    with_workers(&shared, liar, 1 << 32, || {
        shared.dispatch.publish(scan(&job(&chain), NEVER));
        wait_until("a lie", || liar.calls.load(Ordering::Relaxed) > 0);
        // It pauses after each, and a new order ends the pause.
        shared.dispatch.publish(scan(&job(&chain), NEVER));
        wait_until("another", || liar.calls.load(Ordering::Relaxed) > 1);
    });
    let troubles = shared.take_troubles();
    assert!(
        troubles[0].message.contains("kernel recorder"),
        "{}",
        troubles[0].message
    );
    assert!(shared.outbox.is_empty());
    assert_eq!(shared.registry.blocks_found.get(), 0);
}

#[test]
fn a_kernel_that_lies_again_and_again_is_blamed() {
    let shared = shared(1);
    let chain = Chain::new(chain::Network::Regtest);
    let job = job(&chain);
    let liar = Recorder {
        lie: true,
        ..Recorder::default()
    }
    .leak();
    let mut worker = Worker::new(0, liar, Arc::clone(&shared));
    let fault = std::thread::scope(|scope| {
        let worker = scope.spawn(move || worker.run(&|| false));
        while !worker.is_finished() {
            // A new order ends its pause.
            shared.dispatch.publish(scan(&job, NEVER));
            std::thread::sleep(Duration::from_millis(1));
        }
        worker.join().unwrap().unwrap_err()
    });
    assert_eq!((fault.thread, fault.times), (0, 5));
    assert_eq!(shared.faults.against("recorder"), Some(fault.last));
    assert!(shared.outbox.is_empty());
}

#[test]
fn slices_come_close_to_their_time_whatever_the_kernel() {
    for (lanes, hashes_per_s) in [(1, 30_000.0), (16, 1e6), (64, 5e7)] {
        let mut slice = u64::from(lanes);
        for _ in 0..40 {
            let took = Duration::from_secs_f64(slice as f64 * 64.0 / hashes_per_s);
            slice = next_slice(slice, took, lanes);
            assert!(slice > 0 && slice.is_multiple_of(u64::from(lanes)));
        }
        let took = slice as f64 * 64.0 / hashes_per_s;
        let one_batch = f64::from(lanes) * 64.0 / hashes_per_s;
        assert!(
            took < 0.000_4 || slice == u64::from(lanes),
            "{took}, a batch is {one_batch}"
        );
        assert!(took > 0.000_1, "{took}");
    }
    assert_eq!(next_slice(7, Duration::ZERO, 0), 14);
}
