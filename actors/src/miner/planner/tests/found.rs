//! What becomes of the work when a block was found.

use super::*;

#[test]
fn after_a_solution_the_new_tip_is_waited_for() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let found = scene.find(1.0);
    assert_eq!(scene.no_job(1.0), "solved; waiting for the new tip");
    scene.settled = Some(settled(&found, Outcome::Accepted));
    assert_eq!(scene.no_job(1.1), "solved; waiting for the new tip");
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    assert_eq!(scene.task(1.2).job.prev(), found.hash);
}

#[test]
fn a_restarted_miner_knows_that_its_predecessor_found_a_block() {
    let mut scene = Scene::on_tip(settings());
    scene.find(1.0);
    assert!(
        scene.no_job(1.1).contains("solved"),
        "the first plan of this planner"
    );
}

#[test]
fn a_late_block_on_an_old_tip_does_not_hide_the_one_on_this_tip() {
    let outbox = crate::submitter::Outbox::default();
    let mut chain = Chain::new(Network::Regtest);
    let (winner, late) = (chain.solve(chain.start), chain.solve(chain.start));
    chain.connect(&winner);
    let ours = chain.solve(chain.start);
    assert!(outbox.latest(None).is_none());
    for solution in [&winner, &ours, &late] {
        outbox.push(solution.clone());
    }
    let latest = |parent| outbox.latest(parent).unwrap().hash;
    assert_eq!(latest(Some(winner.hash)), ours.hash);
    assert_eq!(latest(Some(winner.job.prev())), late.hash);
    assert_eq!(latest(Some(elsewhere())), late.hash, "the last of all");
}

#[test]
fn a_tip_that_comes_back_is_mined_on_again() {
    let mut scene = Scene::on_tip(settings());
    let before = scene.tip.clone();
    let found = scene.find(1.0);
    scene.no_job(1.0);
    let window = scene.chain.window.clone();
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    scene.task(2.0);
    // The node goes back (invalidateblock).
    scene.chain.window = window;
    scene.tip = before;
    scene.template_at(3.0);
    assert_eq!(scene.task(3.0).job.height(), 1);
}

#[test]
fn after_a_refused_block_only_a_fresh_template_counts_and_pauses_grow() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let mut now = 1.0;
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let found = scene.find(now);
        scene.no_job(now);
        scene.settled = Some(settled(
            &found,
            Outcome::Rejected("bad-cb-amount".to_owned()),
        ));
        scene.counts.rejected += 1;
        now += 0.01;
        let plan = scene.plan(now);
        assert!(
            plan.task.is_none() && plan.want_template,
            "{:?}",
            plan.state
        );
        assert!(
            plan.state.to_string().contains("bad-cb-amount"),
            "{}",
            plan.state
        );
        now += 0.01;
        scene.template_at(now);
        let refused_at = now;
        while scene.plan(now).task.is_none() {
            now += 0.05;
            assert!(now < 1000.0, "never resumed");
        }
        pauses.push(now - refused_at);
        now += 0.5;
    }
    assert!(
        pauses.windows(2).all(|pair| pair[1] > pair[0] * 1.5),
        "{pauses:?}"
    );
}

#[test]
fn a_solution_without_a_verdict_is_not_waited_for_for_ever() {
    let mut scene = Scene::on_tip(settings());
    scene.find(1.0);
    scene.no_job(1.0);
    scene.no_job(30.9);
    let plan = scene.plan(31.0);
    assert!(plan.task.is_none() && plan.want_template);
    assert!(
        plan.state.to_string().contains("unsettled"),
        "{}",
        plan.state
    );
    scene.template_at(31.5);
    scene.task(31.5);
}

#[test]
fn a_settled_block_that_does_not_become_the_tip_is_told_from_an_unsettled_one() {
    for (outcome, words) in [
        (Outcome::Accepted, "was accepted, but is not the node's tip"),
        (Outcome::Stale, "is stale"),
    ] {
        let mut scene = Scene::on_tip(settings());
        let found = scene.find(1.0);
        scene.settled = Some(settled(&found, outcome));
        scene.no_job(30.9);
        let reason = scene.no_job(31.0);
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn found_and_accepted_blocks_never_exceed_the_limit() {
    let mut scene = Scene::on_tip(MinerSettings {
        block_limit: Some(2),
        ..settings()
    });
    scene.counts = Counts {
        found: 1,
        accepted: 1,
        ..Counts::default()
    };
    scene.task(0.0);
    scene.counts.found = 2;
    let by = "the block limit".to_owned();
    assert_eq!(
        scene.parked(0.1),
        MiningState::SwitchedOff { by: by.clone() }
    );
    scene.counts.rejected = 1;
    scene.task(0.2);
    scene.counts = Counts {
        found: 3,
        accepted: 2,
        rejected: 1,
        ..Counts::default()
    };
    assert_eq!(scene.parked(0.3), MiningState::SwitchedOff { by });
}
