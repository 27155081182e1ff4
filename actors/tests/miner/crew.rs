//! The hashing threads as threads of the system: where they run, and how one is replaced.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::thread::ThreadId;
use std::time::Duration;

use pow::{Hit, Kernel, NonceRange, ScanJob};
use procfs::process::Process;
use signalcore_actors::miner::{Affinity, MinerSettings, parse_cpus};
use signalcore_actors::stats::Misdeed;

use crate::rig::{Rig, hopeless, run, settings, within};

/// The CPUs that the hashing threads of this process with a certain niceness may use, by name.
fn seats_with_niceness(nice: i64) -> HashMap<String, Vec<usize>> {
    let tasks = Process::myself().unwrap().tasks().unwrap();
    // Threads of other tests come and go.
    let tasks = tasks.flatten().filter_map(|task| {
        let (stat, status) = (task.stat().ok()?, task.status().ok()?);
        let path = format!("/proc/self/task/{}/status", task.tid);
        let text = std::fs::read_to_string(path).ok()?;
        let list = text
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let wanted = stat.nice == nice && status.name.starts_with("hash-");
        wanted.then(|| Some((status.name, parse_cpus(list)?)))?
    });
    tasks.collect()
}

async fn wait_for_seats(nice: i64, threads: usize) -> HashMap<String, Vec<usize>> {
    within("the threads in their places", async {
        loop {
            let seats = seats_with_niceness(nice);
            if seats.len() == threads {
                return seats;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

fn cpus_of_this_process() -> Vec<usize> {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = text
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    parse_cpus(list.unwrap()).unwrap()
}

#[test]
fn threads_as_many_as_cpus_have_one_each_and_the_niceness_asked_for() {
    run(async {
        let allowed = cpus_of_this_process();
        let rig = Rig::mining(MinerSettings {
            threads: allowed.len(),
            nice: 11,
            ..hopeless()
        })
        .await;
        rig.hashing().await;
        let seats = wait_for_seats(11, allowed.len()).await;
        let mut cpus: Vec<usize> = seats.values().flatten().copied().collect();
        cpus.sort_unstable();
        assert_eq!(cpus, allowed, "{seats:?}");
        for (index, thread) in rig.board.registry.threads.iter().enumerate() {
            // A thread takes its place, and then says which it has.
            let placement = within("a thread's word on its place", async {
                while thread.placement().nice != 11 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                thread.placement()
            })
            .await;
            assert_eq!(seats[&format!("hash-{index}")], [placement.cpu.unwrap()]);
        }
        rig.stop().await;
    });
}

#[test]
fn threads_that_are_left_to_the_system_may_run_anywhere() {
    run(async {
        let rig = Rig::mining(MinerSettings {
            affinity: Affinity::None,
            nice: 12,
            ..hopeless()
        })
        .await;
        rig.hashing().await;
        let allowed = cpus_of_this_process();
        for (name, cpus) in wait_for_seats(12, 2).await {
            assert_eq!(cpus, allowed, "{name}");
        }
        rig.stop().await;
    });
}

#[test]
fn a_list_ties_threads_to_the_cpus_that_it_names() {
    run(async {
        let last = *cpus_of_this_process().last().unwrap();
        let rig = Rig::mining(MinerSettings {
            affinity: Affinity::Cpus(vec![last]),
            nice: 13,
            ..hopeless()
        })
        .await;
        rig.hashing().await;
        for (name, cpus) in wait_for_seats(13, 2).await {
            assert_eq!(cpus, [last], "{name}");
        }
        rig.stop().await;
    });
}

#[test]
fn a_cpu_that_there_is_not_is_no_reason_not_to_hash() {
    run(async {
        let mut rig = Rig::mining(MinerSettings {
            affinity: Affinity::Cpus(vec![1023]),
            nice: 14,
            ..settings()
        })
        .await;
        let found = rig.solution().await;
        rig.connect(&found);
        let allowed = cpus_of_this_process();
        for (name, cpus) in wait_for_seats(14, 2).await {
            assert_eq!(cpus, allowed, "{name}");
        }
        rig.stop().await;
    });
}

/// A kernel that panics in one thread only, so many times, and takes note of who calls it.
struct Sore {
    inner: &'static dyn Kernel,
    thread: &'static str,
    panics: Mutex<u32>,
    seen: Mutex<HashMap<String, HashSet<ThreadId>>>,
}

impl Kernel for Sore {
    fn name(&self) -> &'static str {
        "sore"
    }

    fn is_supported(&self) -> bool {
        true
    }

    fn lanes(&self) -> u32 {
        self.inner.lanes()
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        let thread = std::thread::current();
        let name = thread.name().unwrap().to_owned();
        let panics = (name == self.thread) && {
            let mut left = self.panics.lock().unwrap();
            *left = left.saturating_sub(1);
            *left > 0
        };
        self.seen
            .lock()
            .unwrap()
            .entry(name)
            .or_default()
            .insert(thread.id());
        assert!(!panics, "it hurts");
        self.inner.scan(job, range, on_hit)
    }
}

#[test]
fn a_thread_that_panics_is_replaced_and_its_siblings_hash_on_in_theirs() {
    run(async {
        let kernel: &'static Sore = Box::leak(Box::new(Sore {
            inner: pow::kernel("auto").unwrap(),
            thread: "hash-1",
            panics: Mutex::new(4),
            seen: Mutex::default(),
        }));
        let rig = Rig::mining(MinerSettings {
            kernel,
            threads: 3,
            nice: 15,
            ..hopeless()
        })
        .await;
        let threads = &rig.board.registry.threads;
        within("the third successor at work", async {
            while threads[1].hashes.get() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let counts = |of: fn(&signalcore_actors::stats::ThreadCounter) -> u64| {
            threads.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(counts(|thread| thread.panics.get()), [0, 3, 0]);
        assert_eq!(counts(|thread| thread.restarts.get()), [0, 3, 0]);
        let seen = kernel.seen.lock().unwrap().clone();
        let lives = ["hash-0", "hash-1", "hash-2"].map(|name| seen[name].len());
        assert_eq!(lives, [1, 4, 1], "{seen:?}");
        // The successor is as nice as the first.
        wait_for_seats(15, 3).await;
        // And the miner itself was not restarted.
        rig.stop().await;
    });
}

#[test]
fn a_thread_that_is_ordered_to_fail_is_replaced_and_no_other() {
    run(async {
        let rig = Rig::mining(hopeless()).await;
        rig.hashing().await;
        let thread = &rig.board.registry.threads[1];
        for (restarts, misdeed) in [(1, Misdeed::Panic), (2, Misdeed::Exit)] {
            thread.order(misdeed);
            within("another in its place", async {
                while thread.restarts.get() < restarts {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            let hashes = thread.hashes.get();
            within("hashes of it", async {
                while thread.hashes.get() == hashes {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
        }
        assert_eq!((thread.panics.get(), thread.restarts.get()), (1, 2));
        assert_eq!(rig.board.registry.threads[0].restarts.get(), 0);
        rig.stop().await;
    });
}
