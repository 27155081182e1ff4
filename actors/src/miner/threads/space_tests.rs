//! What the threads really scan, written down by a kernel that scans nothing.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use chain::{Job, VersionRolling};
use pow::{NonceRange, Target};
use proptest::prelude::*;

use super::super::clock::{JobTime, Reading, TimeRule, job_time};
use super::super::fixtures::{Chain, NODE_TIME};
use super::tests::{job, wait_until};
use super::*;
use crate::stats::Registry;

/// A call of the kernel.
struct Call {
    /// The header's bytes from the parent to nBits.
    middle: [u8; 72],
    versions: Vec<i32>,
    nonces: NonceRange,
}

/// Writes down what it is asked to scan, takes some time for it, and panics now and then.
struct Ledger {
    lanes: u32,
    calls: Mutex<Vec<Call>>,
    rng: Mutex<fastrand::Rng>,
    /// Panics in one of so many calls; never for 0.
    panics: u32,
}

impl Ledger {
    fn len(&self) -> usize {
        self.calls().len()
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kernel for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn is_supported(&self) -> bool {
        true
    }

    fn lanes(&self) -> u32 {
        self.lanes
    }

    fn scan(
        &self,
        job: &ScanJob,
        nonces: NonceRange,
        _: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        let versions: Vec<i32> = job.versions().collect();
        let mut middle = [0; 72];
        middle.copy_from_slice(&job.header(versions[0], 0)[4..76]);
        let hashes = nonces.count * versions.len() as u64;
        self.calls().push(Call {
            middle,
            versions,
            nonces,
        });
        let (pause, panics) = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            (
                rng.u64(0..300),
                self.panics > 0 && rng.u32(0..self.panics) == 0,
            )
        };
        assert!(!panics, "scripted");
        std::thread::sleep(Duration::from_micros(pause));
        hashes
    }
}

/// An order to be given.
#[derive(Debug, Clone)]
struct Given {
    /// Which of the two jobs.
    job: usize,
    rolling: VersionRolling,
    /// On how many threads; eased where that is fewer than there are.
    threads: usize,
    expected_hashes: f64,
    /// The node's clock, and how long ago it was read: the next second may be a moment away.
    clock: u32,
    ago: Duration,
    /// Stays in force for so many calls of the kernel.
    calls: usize,
}

fn given() -> impl Strategy<Value = Given> {
    let clock = (0_u32..3, 0_u64..1_000);
    (
        0_usize..2,
        prop::sample::select(vec![VersionRolling::Auto, VersionRolling::Off]),
        1_usize..5,
        60.0..76.0_f64,
        clock,
        1_usize..40,
    )
        .prop_map(
            |(job, rolling, threads, log_hashes, (seconds, ago), calls)| Given {
                job,
                rolling,
                threads,
                expected_hashes: 10_f64.powf(log_hashes),
                clock: NODE_TIME + seconds,
                ago: Duration::from_millis(ago),
                calls,
            },
        )
}

fn time(given: &Given) -> TimeRule {
    let reading = Reading {
        now: Some(given.clock),
        latest: NODE_TIME + 7000,
    };
    let read_at = Instant::now().checked_sub(given.ago).unwrap();
    match job_time(reading, read_at, NODE_TIME - 600, None) {
        JobTime::Roll(rule) => rule,
        JobTime::Wait(wait) => panic!("waits {wait:?}"),
    }
}

/// One incarnation of a miner: its threads follow the orders, and end.
fn live(
    kernel: &'static Ledger,
    registry: &Arc<Registry>,
    nonces: u64,
    jobs: &[Arc<Job>],
    orders: &[Given],
) {
    let threads = registry.threads.len();
    let shared = Shared::new(threads, None, Arc::clone(registry), Arc::default());
    let shared = Arc::new(shared);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for index in 0..threads {
            let worker = Worker::new(index, kernel, Arc::clone(&shared));
            let mut worker = worker.with_nonces(nonces).with_patience();
            let stop = || stop.load(Ordering::Relaxed);
            scope.spawn(move || while worker.run(&stop).unwrap() == Turn::Failed {});
        }
        for given in orders {
            let job = &jobs[given.job];
            let target = Target::from_expected_hashes(given.expected_hashes).min(job.target());
            let (job, round) = (Arc::clone(job), Arc::default());
            let versions = job.versions_with(given.rolling).to_vec();
            let scan = Scan::new(job, &versions, target, time(given), round);
            let before = kernel.len();
            shared.dispatch.publish(Work::Scan(scan.on(given.threads)));
            wait_until("calls", || kernel.len() >= before + given.calls);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// By extranonce, what was scanned of it: first nonce and count, in ascending order.
type Scanned = BTreeMap<u64, Vec<(u64, u64)>>;

/// The calls by extranonce, for the extranonces that a process has taken.
fn by_extranonce(calls: &[Call], jobs: &[Arc<Job>], taken: &[u64]) -> Scanned {
    let root = |middle: &[u8]| <[u8; 64]>::try_from(&middle[..64]).unwrap();
    let known: HashMap<[u8; 64], u64> = taken
        .iter()
        .flat_map(|extranonce| {
            let of = move |job: &Arc<Job>| (root(&job.header(*extranonce, 0)[4..]), *extranonce);
            jobs.iter().map(of)
        })
        .collect();
    let mut scanned = Scanned::new();
    for call in calls {
        let extranonce = known[&root(&call.middle)];
        let nonces = (u64::from(call.nonces.start), call.nonces.count);
        scanned.entry(extranonce).or_default().push(nonces);
    }
    for ranges in scanned.values_mut() {
        ranges.sort_unstable();
    }
    scanned
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Orders, slices, easing, panics, fresh threads, seconds that pass, and incarnations come in any order. Of
    /// each extranonce the nonces are scanned from the first on, each once, whatever the job, the version
    /// and the time; no extranonce is left before its end but by a thread that ends for good; and none is
    /// left out. So no header is ever scanned twice.
    #[test]
    fn every_nonce_of_every_extranonce_is_scanned_once_whatever_happens(
        threads in 1_usize..4,
        nonces in 1_u64..3_000,
        lanes in prop::sample::select(vec![1_u32, 4, 16]),
        panics in prop::sample::select(vec![0_u32, 20, 100]),
        seed in any::<u64>(),
        lives in prop::collection::vec(prop::collection::vec(given(), 1..5), 1..4),
    ) {
        let mut chain = Chain::new(chain::Network::Regtest);
        let first = job(&chain);
        chain.connect(&chain.solve(chain.start));
        let jobs = [first, job(&chain)];
        let kernel: &'static Ledger = Box::leak(Box::new(Ledger {
            lanes,
            calls: Mutex::default(),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            panics,
        }));
        let registry = Arc::new(Registry::new(threads));
        let before = registry.extranonces.get();
        for orders in &lives {
            live(kernel, &registry, nonces, &jobs, orders);
        }
        let count = registry.extranonces.get().wrapping_sub(before);
        let taken: Vec<u64> = (1..=count).map(|nth| before.wrapping_add(nth)).collect();

        let calls = kernel.calls();
        let scanned = by_extranonce(&calls, &jobs, &taken);
        prop_assert_eq!(scanned.len(), taken.len(), "an extranonce was left out");
        let mut unfinished = 0;
        for (extranonce, ranges) in &scanned {
            let mut end = 0;
            for (start, count) in ranges {
                prop_assert_eq!(*start, end, "of {}: scanned twice, or left out", extranonce);
                end += count;
            }
            prop_assert!(end <= nonces);
            unfinished += usize::from(end < nonces);
        }
        prop_assert!(unfinished <= threads * lives.len(), "{} not to their end", unfinished);

        // Each call goes through the job's versions, none of them twice.
        let all: HashSet<&[i32]> = calls.iter().map(|call| &call.versions[..]).collect();
        for versions in all {
            prop_assert!(versions == jobs[0].versions() || versions == &jobs[0].versions()[..1]);
            prop_assert_eq!(versions.iter().collect::<HashSet<_>>().len(), versions.len());
        }
    }
}

#[test]
fn neither_the_next_process_nor_another_instance_does_the_work_again() {
    let chain = Chain::new(chain::Network::Regtest);
    let jobs = [job(&chain)];
    let order = Given {
        job: 0,
        rolling: VersionRolling::Auto,
        threads: 2,
        expected_hashes: 1e75,
        clock: NODE_TIME,
        ago: Duration::ZERO,
        calls: 200,
    };
    // The same job at the same second, as when a process is restarted at once.
    let processes = [(); 2].map(|()| {
        let kernel: &'static Ledger = Box::leak(Box::new(Ledger {
            lanes: 1,
            calls: Mutex::default(),
            rng: Mutex::default(),
            panics: 0,
        }));
        let registry = Arc::new(Registry::new(2));
        live(
            kernel,
            &registry,
            1 << 32,
            &jobs,
            std::slice::from_ref(&order),
        );
        kernel
            .calls()
            .iter()
            .map(|call| call.middle)
            .collect::<HashSet<_>>()
    });
    assert!(processes[0].len() >= 2 && processes[0].is_disjoint(&processes[1]));
}
