//! The pace of blocks on regtest.

use super::*;

fn paced(mode: PaceMode, interval: Interval) -> MinerSettings {
    MinerSettings {
        pacing: Some(Pacing { mode, interval }),
        ..settings()
    }
}

#[test]
fn pace_by_work_measures_first_and_then_follows_the_hash_rate() {
    let mut scene = Scene::on_tip(paced(PaceMode::Work, Interval::Fixed(2.0)));
    let plan = scene.plan(0.0);
    let task = plan.task.unwrap();
    assert_eq!(plan.state, MiningState::Paced);
    assert!(
        task.target.difficulty() > 1e50,
        "nothing is found while measuring"
    );
    assert!(plan.look_again < Duration::from_millis(100));

    scene.scan(100_000, 0.1); // 1 MH/s
    let first = scene.task(0.1);
    let expected = Target::from_expected_hashes(2e6).difficulty();
    assert!((first.target.difficulty() / expected - 1.0).abs() < 1e-6);
    assert!(
        Arc::ptr_eq(&first.job, &task.job),
        "the same job at another target"
    );

    scene.scan(1_100_000, 1.0); // a little faster: no reason for a new target
    assert_eq!(scene.task(1.1).target, first.target);
    for second in 0..60 {
        scene.scan(4_000_000, 1.0);
        scene.plan(2.0 + f64::from(second));
    }
    let later = scene.task(63.0);
    let ratio = later.target.difficulty() / first.target.difficulty();
    assert!((3.0..4.1).contains(&ratio), "{ratio}");
}

#[test]
fn pace_by_sleep_waits_after_each_block() {
    let mut scene = Scene::on_tip(paced(PaceMode::Sleep, Interval::Fixed(3.0)));
    assert_eq!(scene.plan(0.0).state, MiningState::Scanning);
    let found = scene.find(1.0);
    assert_eq!(scene.parked(1.0), MiningState::Paced);
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    assert_eq!(scene.parked(1.1), MiningState::Paced);
    assert_eq!(
        scene.plan(3.9).look_again,
        Duration::from_millis(100),
        "woken in time"
    );
    assert_eq!(scene.task(4.1).job.prev(), found.hash);
}

#[test]
fn no_network_but_regtest_is_paced() {
    let payout = chain::PayoutScript::parse(
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        Network::Testnet3,
    )
    .unwrap();
    let settings = MinerSettings {
        network: Network::Testnet3,
        payout,
        ..paced(PaceMode::Work, Interval::Fixed(60.0))
    };
    let mut scene = Scene::on_tip(settings);
    let plan = scene.plan(0.0);
    assert_eq!(plan.state, MiningState::Scanning);
    let task = plan.task.unwrap();
    assert_eq!(task.target, task.job.target());
}
