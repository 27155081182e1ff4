//! The miner as a supervised child, on a board that the test drives by hand with a real chain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod crew;
mod easing;
mod faults;
mod rig;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chain::Network;
use pow::{Hit, Kernel, NonceRange, ScanJob};
use rig::{Rig, hopeless, run, settings, within};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{MiningState, NodeState, Outcome};
use signalcore_actors::miner::{Interval, Miner, MinerSettings, PaceMode, Pacing};
use signalcore_actors::proposals::{Candidate, Finding};
use supervise::{ChildSpec, Supervisor};

#[test]
fn mines_block_after_block_first_coinbase_only_and_then_from_templates() {
    run(async {
        let mut rig = Rig::mining(settings()).await;
        for height in 1..=20 {
            let found = rig.solution().await;
            assert_eq!(
                (found.job.height(), found.job.prev()),
                (height, rig.window.tip().hash)
            );
            rig.connect(&found);
            rig.settle(&found, Outcome::Accepted);
            rig.publish_tip();
            if height % 2 == 0 {
                rig.publish_template();
            }
        }
        assert_eq!(rig.board.registry.blocks_found.get() / 20, 1);
        assert!(rig.board.registry.jobs.get() >= 20);
        rig.stop().await;
    });
}

#[test]
fn the_view_names_state_kernel_and_job() {
    run(async {
        let mut rig = Rig::mining(hopeless()).await;
        let view = rig
            .view("a paced job", |view| view.state == MiningState::Paced)
            .await;
        assert_eq!(
            (view.kernel, view.threads),
            (pow::kernel("auto").unwrap().name(), 2)
        );
        let job = view.job.unwrap();
        assert_eq!((job.height, job.transactions), (1, 1));
        assert_eq!(job.prev, rig.window.tip().hash.to_string());
        rig.hashing().await;

        // A block of somebody else.
        let other = Rig::mining(settings()).await;
        let found = other.solution().await;
        other.stop().await;
        rig.connect(&found);
        rig.publish_tip();
        let prev = found.hash.to_string();
        rig.view("the job of the new tip", |view| {
            view.job
                .as_ref()
                .is_some_and(|job| job.prev == prev && job.height == 2)
        })
        .await;
        rig.stop().await;
    });
}

#[test]
fn a_refused_block_is_followed_by_a_fresh_template_and_work_goes_on() {
    run(async {
        let rig = Rig::mining(settings()).await;
        let first = rig.solution().await;
        rig.parked().await;
        assert!(rig.board.outbox.is_empty(), "one solution per job");
        rig.settle(&first, Outcome::Rejected("bad-cb-amount".to_owned()));
        within(
            "a request for a template",
            rig.board.want_template.notified(),
        )
        .await;
        let view = rig.view("the reason", |view| {
            view.state.to_string().contains("bad-cb-amount")
        });
        assert_eq!(view.await.job, None);
        rig.publish_template();
        let second = rig.solution().await;
        assert_ne!(second.hash, first.hash);
        assert_eq!(second.job.prev(), first.job.prev());
        rig.stop().await;
    });
}

#[test]
fn what_is_hashed_in_place_of_a_refused_template_is_shown() {
    run(async {
        let rig = Rig::mining(hopeless()).await;
        rig.hashing().await;
        rig.publish_changed_template(|template| template.height = 7);
        let view = rig.view("the reason", |view| view.fallback.is_some()).await;
        let reason = view.fallback.unwrap();
        assert!(reason.contains("its height is 7"), "{reason}");
        assert!(view.job.is_some());
        rig.hashing().await;
        rig.publish_template();
        rig.view("the newest template", |view| view.fallback.is_none())
            .await;
        rig.stop().await;
    });
}

#[test]
fn what_the_node_refuses_in_a_proposal_is_mined_no_longer_and_goes_on_when_it_does_not() {
    run(async {
        let rig = Rig::mining(hopeless()).await;
        rig.hashing().await;
        let mut candidates = rig.board.candidate.subscribe();
        let offered = within("a job to propose", candidates.wait_for(Option::is_some)).await;
        let offered = offered.unwrap().clone().unwrap();
        assert_eq!(&*offered.node, "test");
        let note = |finding| {
            rig.board
                .proposals
                .send_if_modified(|known| known.note(&offered, finding));
        };
        note(Finding::Refused("bad-witness-merkle-match".to_owned()));
        let view = rig.view("the reason", |view| {
            view.state.to_string().contains("bad-witness-merkle-match")
        });
        assert_eq!(view.await.job, None);
        rig.parked().await;
        note(Finding::Sound);
        rig.hashing().await;
        rig.stop().await;
    });
}

#[test]
fn hashing_goes_on_coinbase_only_where_the_node_refuses_what_is_made_of_its_template() {
    run(async {
        let rig = Rig::start(hopeless()).await;
        rig.board.node_state.send_replace(NodeState::Ready);
        rig.publish_changed_template(|template| template.rules.push("taproot".to_owned()));
        rig.publish_tip();
        rig.hashing().await;
        let mut candidates = rig.board.candidate.subscribe();
        let mut offered = async |what, wanted: &dyn Fn(&Candidate) -> bool| {
            let candidate = candidates.wait_for(|offered| offered.as_ref().is_some_and(wanted));
            within(what, candidate).await.unwrap().clone().unwrap()
        };
        let note = |of: &Candidate, finding| {
            rig.board
                .proposals
                .send_if_modified(|known| known.note(of, finding));
        };
        let full = offered("the template's job", &|_| true).await;
        note(&full, Finding::Refused("bad-cb-amount".to_owned()));
        let view = rig.view("the reason", |view| view.fallback.is_some());
        let view = view.await;
        assert!(view.fallback.unwrap().contains("bad-cb-amount"));
        assert_eq!(view.state, MiningState::Paced);
        rig.hashing().await;
        let is_other = |candidate: &Candidate| candidate.job.shape() != full.job.shape();
        let own = offered("the job that is mined", &is_other).await;
        note(&own, Finding::Sound);
        let is_full = |candidate: &Candidate| candidate.job.shape() == full.job.shape();
        offered("the template's job again", &is_full).await;
        note(&own, Finding::Refused("bad-cb-height".to_owned()));
        rig.parked().await;
        note(&full, Finding::Sound);
        rig.view("the template's job", |view| view.fallback.is_none())
            .await;
        rig.hashing().await;
        rig.stop().await;
    });
}

#[test]
fn the_block_limit_ends_mining_exactly_there() {
    run(async {
        let mut rig = Rig::mining(MinerSettings {
            block_limit: Some(3),
            ..settings()
        })
        .await;
        for _ in 0..3 {
            let found = rig.solution().await;
            rig.connect(&found);
            rig.publish_tip();
            rig.publish_template();
        }
        let off = MiningState::SwitchedOff {
            by: "the block limit".to_owned(),
        };
        rig.view("the limit", |view| view.state == off).await;
        rig.parked().await;
        assert_eq!(rig.board.registry.blocks_found.get(), 3);
        assert!(rig.board.outbox.is_empty());
        rig.stop().await;
    });
}

#[test]
fn initial_block_download_parks_the_threads_where_it_must() {
    run(async {
        let rig = Rig::mining(MinerSettings {
            during_ibd: false,
            ..hopeless()
        })
        .await;
        rig.hashing().await;
        let syncing = NodeState::Syncing {
            blocks: 0,
            headers: 900_000,
            ibd: true,
        };
        rig.board.node_state.send_replace(syncing);
        rig.view("the sync", |view| view.state == MiningState::Ibd)
            .await;
        rig.parked().await;
        rig.board.node_state.send_replace(NodeState::Ready);
        rig.view("mining again", |view| view.state == MiningState::Paced)
            .await;
        rig.hashing().await;
        rig.stop().await;
    });
}

#[test]
fn switched_off_it_stays_parked() {
    run(async {
        let rig = Rig::mining(MinerSettings {
            enabled: false,
            ..settings()
        })
        .await;
        rig.view("off", |view| {
            matches!(view.state, MiningState::SwitchedOff { .. })
        })
        .await;
        rig.parked().await;
        assert_eq!(rig.board.registry.hashes(), 0);
        rig.stop().await;
    });
}

#[test]
fn a_template_that_grows_old_is_asked_for_while_hashing_goes_on() {
    run(async {
        let max_age = Duration::from_millis(200);
        let rig = Rig::mining(MinerSettings {
            template_max_age: max_age,
            ..hopeless()
        })
        .await;
        rig.view("a job", |view| view.job.is_some()).await;
        within(
            "a request for a template",
            rig.board.want_template.notified(),
        )
        .await;
        rig.hashing().await;
        rig.stop().await;
    });
}

#[test]
fn paced_by_work_blocks_keep_coming_at_the_real_hash_rate() {
    run(async {
        let pacing = Pacing {
            mode: PaceMode::Work,
            interval: Interval::Fixed(0.1),
        };
        let mut rig = Rig::mining(MinerSettings {
            pacing: Some(pacing),
            ..settings()
        })
        .await;
        for _ in 0..10 {
            let found = rig.solution().await;
            rig.connect(&found);
            rig.settle(&found, Outcome::Accepted);
            rig.publish_tip();
            rig.publish_template();
        }
        // Against the network's own target it would have been two hashes a block.
        assert!(
            rig.board.registry.hashes() > 100_000,
            "{}",
            rig.board.registry.hashes()
        );
        rig.stop().await;
    });
}

/// Panics in its first calls, then works.
struct Shaky {
    calls: AtomicU64,
    inner: &'static dyn Kernel,
}

impl Kernel for Shaky {
    fn name(&self) -> &'static str {
        "shaky"
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
        assert!(self.calls.fetch_add(1, Ordering::Relaxed) >= 3, "not yet");
        self.inner.scan(job, range, on_hit)
    }
}

#[test]
fn panics_in_the_hashing_threads_do_not_end_the_miner() {
    run(async {
        let inner = pow::kernel("auto").unwrap();
        let kernel = Box::leak(Box::new(Shaky {
            calls: AtomicU64::new(0),
            inner,
        }));
        let mut rig = Rig::mining(MinerSettings {
            kernel,
            ..settings()
        })
        .await;
        let found = rig.solution().await;
        rig.connect(&found);
        // A panic is counted a moment after it was raised, maybe after the other thread's find.
        let threads = &rig.board.registry.threads;
        within("three panics counted", async {
            while threads.iter().map(|t| t.panics.get()).sum::<u64>() < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        rig.stop().await;
    });
}

#[test]
fn an_address_of_another_network_is_refused_at_the_start() {
    run(async {
        let wrong = MinerSettings {
            network: Network::Main,
            ..settings()
        };
        let board = Board::new(2);
        let mut builder = Supervisor::builder("test");
        builder.child(ChildSpec::new("miner"), move |incarnation| {
            Ok(Miner::new(wrong.clone(), board.clone(), incarnation)?)
        });
        let error = builder.start().await.unwrap_err().to_string();
        assert!(
            error.contains("regtest") && error.contains("main"),
            "{error}"
        );
    });
}
