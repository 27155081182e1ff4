//! What the miner gives up when resources are scarce, and what it does not.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use signalcore_actors::messages::MiningView;
use signalcore_actors::resources::{
    Alert, Degradation, Resource, ResourceLimits, Resources, Roots, Sensors,
};

use super::rig::LIMIT;
use super::*;

impl Rig {
    /// What the child `resources` would publish.
    fn degrade(&self, step: Degradation) {
        self.board.alerts.send_replace(match step {
            Degradation::None => vec![],
            _ => vec![Alert {
                resource: Resource::Temperature,
                critical: step == Degradation::Parked,
                message: "it is hot".to_owned(),
            }],
        });
        self.board.degradation.send_replace(step);
    }

    /// Until thread `thread` goes round and hashes nothing.
    async fn thread_is_parked(&self, thread: usize) {
        let counter = &self.board.registry.threads[thread];
        within("a parked thread looking around", async {
            loop {
                let (round, hashes) = (counter.rounds.get(), counter.hashes.get());
                while counter.rounds.get() < round + 5 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if counter.hashes.get() == hashes {
                    return;
                }
            }
        })
        .await;
    }

    async fn thread_hashes(&self, thread: usize) {
        let counter = &self.board.registry.threads[thread];
        let before = counter.hashes.get();
        within("a thread that hashes", async {
            while counter.hashes.get() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[test]
fn eased_parks_half_of_the_threads_and_leaves_the_others_at_work() {
    run(async {
        let rig = Rig::mining(hopeless()).await;
        rig.thread_hashes(1).await;
        let view = rig.view("all threads", |view| view.active == 2).await;
        assert_eq!(view.threads, 2);

        rig.degrade(Degradation::Eased);
        let eased = rig
            .view("half of the threads", |view| view.active == 1)
            .await;
        assert_eq!(eased.state, MiningState::Paced, "it is at work");
        rig.thread_is_parked(1).await;
        rig.thread_hashes(0).await;

        rig.degrade(Degradation::None);
        rig.view("all threads again", |view| view.active == 2).await;
        rig.thread_hashes(1).await;
        rig.stop().await;
    });
}

#[test]
fn parked_stops_all_hashing_says_by_what_and_follows_tips() {
    run(async {
        let rig = Rig::mining(hopeless()).await;
        rig.hashing().await;
        rig.degrade(Degradation::Parked);
        let off = |view: &MiningView| matches!(view.state, MiningState::SwitchedOff { .. });
        let view = rig.view("switched off", off).await;
        assert_eq!(
            view.state.to_string(),
            "switched off by scarce resources (temperature)"
        );
        assert_eq!((view.active, view.job), (0, None));
        // The counters of progress tick on.
        rig.parked().await;

        // Back at work on what is the tip by then.
        rig.degrade(Degradation::None);
        rig.view("at work", |view| view.state == MiningState::Paced)
            .await;
        rig.hashing().await;
        rig.stop().await;
    });
}

/// Holds its callers until the gate is open, then finds something.
struct Gated {
    inside: AtomicBool,
    open: AtomicBool,
    inner: &'static dyn Kernel,
}

impl Kernel for Gated {
    fn name(&self) -> &'static str {
        "gated"
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
        self.inside.store(true, Ordering::Release);
        let limit = Instant::now() + LIMIT;
        while !self.open.load(Ordering::Acquire) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Far enough to find something: every second header meets regtest's target.
        let range = NonceRange {
            count: range.count.max(4096),
            ..range
        };
        self.inner.scan(job, range, on_hit)
    }
}

#[test]
fn a_block_that_is_found_while_the_threads_are_being_parked_is_handed_over() {
    run(async {
        let kernel: &'static Gated = Box::leak(Box::new(Gated {
            inside: AtomicBool::new(false),
            open: AtomicBool::new(false),
            inner: pow::kernel("auto").unwrap(),
        }));
        let mut rig = Rig::mining(MinerSettings {
            kernel,
            threads: 1,
            ..settings()
        })
        .await;
        within("a thread at its slice", async {
            while !kernel.inside.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        rig.degrade(Degradation::Parked);
        let off = |view: &MiningView| matches!(view.state, MiningState::SwitchedOff { .. });
        rig.view("switched off", off).await;
        kernel.open.store(true, Ordering::Release);
        let found = rig.solution().await;
        rig.connect(&found);
        rig.parked().await;
        rig.stop().await;
    });
}

#[test]
fn a_machine_that_overheats_parks_the_threads_from_sensor_to_thread() {
    let machine = tempfile::tempdir().unwrap();
    let zone = machine.path().join("class/thermal/thermal_zone0");
    std::fs::create_dir_all(&zone).unwrap();
    let heat = |celsius: u32| {
        std::fs::write(zone.join("temp"), format!("{}\n", celsius * 1000)).unwrap();
    };
    heat(60);
    run(async {
        let rig = Rig::mining(hopeless()).await;
        rig.hashing().await;
        let roots = Roots {
            sys: machine.path().to_owned(),
            ..Roots::default()
        };
        // Nothing but the temperature matters here.
        let limits = ResourceLimits {
            memory_free_min: 0.0,
            disk_free_min_bytes: 0,
            descriptors_max: 1.0,
            temperature_max_c: 90.0,
            cpu_steal_max: 1.0,
        };
        let sensors = Arc::new(Sensors::start(roots, &[], limits).unwrap());
        let mut builder = Supervisor::builder("watch");
        let board = rig.board.clone();
        builder.child(ChildSpec::new("resources"), move |incarnation| {
            Ok(Resources::new(
                Arc::clone(&sensors),
                board.clone(),
                incarnation,
            ))
        });
        let watch = builder.start().await.unwrap();

        heat(91);
        rig.view("half of the threads", |view| view.active == 1)
            .await;
        rig.thread_is_parked(1).await;
        heat(96);
        let off = |view: &MiningView| matches!(view.state, MiningState::SwitchedOff { .. });
        rig.view("switched off", off).await;
        rig.parked().await;
        let alerts = rig.board.alerts.borrow().clone();
        assert!(
            alerts[0].critical && alerts[0].message.starts_with("96 degrees"),
            "{alerts:?}"
        );

        assert!(watch.stop(LIMIT).await.is_clean());
        rig.stop().await;
    });
}
