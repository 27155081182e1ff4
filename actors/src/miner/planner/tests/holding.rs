//! HOLDs, advice, the blocking gate, and what scarce resources take away.

use super::*;

#[test]
fn a_hold_parks_resumes_by_itself_and_is_bounded_by_the_days_allowance() {
    let dear = PowerCost {
        watts: 1e15,
        sat_per_kwh: 1e15,
    };
    let mut scene = Scene::on_tip(MinerSettings {
        power_cost: Some(dear),
        limits: Limits {
            hold_max: Duration::from_secs(45),
            hold_max_ratio: 100.0 / (24.0 * 3600.0),
            ..Limits::default()
        },
        ..settings()
    });
    scene.task(0.0); // nothing is held before the hash rate is known
    scene.scan(1_000_000, 1.0);
    let plan = scene.plan(1.0);
    let MiningState::Held { for_s, reason } = &plan.state else {
        panic!("not held")
    };
    assert_eq!(*for_s, 45);
    assert!(reason.contains("power costs"), "{reason}");
    assert_eq!(plan.decision.unwrap().by, Decider::Policy);
    let MiningState::Held { for_s, .. } = scene.parked(40.5) else {
        panic!("not held")
    };
    assert_eq!(for_s, 6);
    // Two and a bit: 45 + 45 + 10 s are allowed in a day, with 45 s of hashing in between.
    let held = (0..300)
        .filter(|&s| scene.plan(41.0 + f64::from(s)).task.is_none())
        .count();
    assert_eq!(held, 60);
    scene.task(400.0);
}

#[test]
fn advice_to_hold_parks_the_threads_for_its_time_and_on_its_tip() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    scene.advise(1.0, Recommendation::Hold(Duration::from_secs(20)));
    let MiningState::Held { for_s, reason } = scene.parked(1.0) else {
        panic!("not held")
    };
    assert_eq!((for_s, reason.as_str()), (20, "it said so"));
    scene.parked(20.9);
    let decision = scene.plan(21.0).decision.unwrap();
    assert_eq!(decision.by, Decider::Policy);
    scene.task(22.0);

    scene.advise(30.0, Recommendation::Hold(Duration::from_secs(20)));
    scene.parked(30.0);
    let found = scene.find(31.0);
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    scene.template_at(31.0);
    scene.task(31.0);
}

#[test]
fn advice_to_retry_asks_for_one_template_while_scanning_goes_on() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    scene.advise(1.0, Recommendation::Retry);
    let plan = scene.plan(1.0);
    assert!(plan.want_template && plan.task.is_some());
    for s in 2..20 {
        assert!(!scene.plan(f64::from(s)).want_template, "{s}");
    }
}

#[test]
fn a_blocking_gate_waits_for_the_advice_on_a_new_tip_and_no_longer_than_it_may() {
    let gated = || {
        let mut scene = Scene::on_tip(MinerSettings {
            gate: Some(Duration::from_secs(3)),
            ..settings()
        });
        scene.is_advised = true;
        scene
    };
    let mut scene = gated();
    let plan = scene.plan(0.0);
    assert!(plan.task.is_none());
    assert_eq!(
        plan.decision.unwrap().course,
        Course::Wait(Duration::from_secs(3))
    );
    scene.parked(2.9);
    scene.task(3.0);

    let mut scene = gated();
    scene.parked(0.0);
    scene.advise(1.0, Recommendation::Proceed);
    scene.task(1.0);

    let mut scene = gated();
    scene.is_advised = false;
    scene.task(0.0);
}

#[test]
fn scarce_resources_take_threads_away_and_at_last_all() {
    let mut scene = Scene::on_tip(MinerSettings {
        threads: 4,
        ..settings()
    });
    let all = scene.task(1.0);
    assert_eq!(all.threads, 4);
    scene.degradation = Degradation::Trimmed;
    assert!(all.is_same(&scene.task(2.0), scene.chain.at(2.0)));
    scene.degradation = Degradation::Eased;
    let half = scene.task(3.0);
    assert_eq!(half.threads, 2);
    assert!(Arc::ptr_eq(&half.job, &all.job), "on the same job");
    assert!(!all.is_same(&half, scene.chain.at(3.0)), "and a new order");
    scene.degradation = Degradation::Parked;
    let state = scene.parked(4.0);
    assert_eq!(
        state.to_string(),
        "switched off by scarce resources (memory)"
    );
    scene.degradation = Degradation::None;
    assert_eq!(scene.task(5.0).threads, 4);
}
