//! A tip that the node has not confirmed yet.

use super::*;

#[test]
fn a_tip_ahead_is_built_on_until_its_time_is_up_where_a_job_can_be_made_for_it() {
    let mut chain = Chain::new(Network::Regtest);
    let validated = chain.tip();
    let found = chain.solve(chain.start);
    chain.connect(&found);
    let ahead = TipProvisional {
        tip: chain.tip(),
        until: chain.at(1.0),
    };
    let on = |settings: &MinerSettings, validated: Option<&TipValidated>, seconds: f64| {
        let now = chain.at(seconds);
        let (tip, until) = tip_to_build_on(validated, Some(&ahead), settings, None, now);
        (tip.map(|tip| tip.hash), until)
    };
    let (below, above) = (Some(validated.hash), Some(ahead.tip.hash));
    let usual = settings();
    assert_eq!(
        on(&usual, Some(&validated), 0.9),
        (above, Some(ahead.until))
    );
    // Whether or not somebody withdraws it.
    assert_eq!(on(&usual, Some(&validated), 1.0), (below, None));
    assert_eq!(
        on(&usual, Some(&ahead.tip), 0.0),
        (above, None),
        "confirmed"
    );
    assert_eq!(on(&usual, None, 0.0), (None, None));
    let patient = MinerSettings {
        empty_first: false,
        ..settings()
    };
    assert_eq!(on(&patient, Some(&validated), 0.0), (below, None));
}

#[test]
fn a_tip_that_was_only_ahead_gets_a_job_at_once_and_gives_way_to_the_one_below() {
    let mut scene = Scene::on_tip(settings());
    let below = scene.tip.clone();
    let of_template = scene.task(0.0);
    let found = scene.chain.solve(scene.chain.start);
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    scene.until = Some(scene.chain.at(1.75));
    let ahead = scene.task(0.1);
    assert_eq!((ahead.job.prev(), ahead.coinbase_only), (found.hash, true));
    assert!(scene.plan(1.7).look_again <= Duration::from_millis(51));
    // The node confirms: nothing begins anew.
    scene.until = None;
    assert!(scene.task(1.7).is_same(&ahead, scene.chain.at(1.7)));
    // Had it not: back to the template that is still there.
    scene.tip = below;
    let back = scene.task(1.8);
    assert_eq!(back.job.prev(), of_template.job.prev());
    assert!(!back.coinbase_only);
    assert_ne!(
        back.round, of_template.round,
        "a block of then ends nothing"
    );
}
