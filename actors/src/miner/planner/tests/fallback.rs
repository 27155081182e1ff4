//! What is mined where the newest template of a tip gives no job.

use super::*;
use crate::proposals::Candidate;
use chain::Template;

impl Scene {
    /// Another template of the tip arrives.
    fn offer(&mut self, seconds: f64, change: impl FnOnce(&mut Template)) {
        let mut seen = self.chain.template(self.chain.at(seconds));
        change(Arc::make_mut(&mut seen.template));
        self.template = Some(seen);
    }

    /// The task, and why it is not of the newest template.
    fn fallback(&mut self, seconds: f64) -> (Task, String) {
        let plan = self.plan(seconds);
        let reason = plan.fallback.expect("the newest template is in use");
        (plan.task.expect("a task"), reason)
    }

    /// The node says something of every block like this job's.
    fn hear(&mut self, job: &Arc<Job>, finding: Finding) {
        let candidate = Candidate {
            job: Arc::clone(job),
            node: "test".into(),
            version: *job.versions().last().unwrap(),
        };
        self.proposals.note(&candidate, finding);
    }
}

fn barred() -> Finding {
    Finding::Refused("bad-witness-merkle-match".to_owned())
}

/// A template whose blocks have another shape than coinbase-only ones of our own making.
fn other_shape(template: &mut Template) {
    template.rules.push("taproot".to_owned());
}

fn wrong_bits(template: &mut Template) {
    template.bits = pow::NBits(0x1d00_ffff);
    template.target = None;
}

fn unknown_rule(template: &mut Template) {
    template.rules.push("!unheardof".to_owned());
}

/// What is done to a template.
type Change = fn(&mut Template);

/// Each is refused, with this word.
const REFUSED: [(Change, &str); 5] = [
    (wrong_bits, "nBits"),
    (|template| template.height = 7, "height"),
    (|template| template.coinbasevalue = Some(u64::MAX), "pays"),
    (|template| template.coinbasevalue = None, "coinbasetxn"),
    (unknown_rule, "!unheardof"),
];

#[test]
fn a_refused_template_leaves_the_good_one_of_its_tip_in_use_until_a_better_one_is_there() {
    for (change, word) in REFUSED {
        let mut scene = Scene::on_tip(settings());
        let good = scene.task(0.0);
        // So old that any template would take its place.
        scene.offer(61.0, change);
        let (task, reason) = scene.fallback(61.0);
        assert!(task.is_same(&good, scene.chain.at(61.0)), "{word}");
        assert!(
            reason.contains(word) && reason.contains("an earlier template"),
            "{reason}"
        );
        scene.offer(62.0, change);
        assert!(
            Arc::ptr_eq(&scene.fallback(62.0).0.job, &good.job),
            "{word}"
        );
        scene.template_at(63.0);
        let plan = scene.plan(63.0);
        assert_eq!(plan.fallback, None);
        assert!(!Arc::ptr_eq(&plan.task.unwrap().job, &good.job), "{word}");
    }
}

#[test]
fn a_good_template_that_is_the_newest_one_again_needs_no_excuse() {
    let mut scene = Scene::on_tip(settings());
    let (first, good) = (scene.template.clone(), scene.task(0.0));
    scene.offer(1.0, wrong_bits);
    scene.fallback(1.0);
    scene.template = first;
    let plan = scene.plan(2.0);
    assert_eq!(plan.fallback, None);
    assert!(Arc::ptr_eq(&plan.task.unwrap().job, &good.job));
}

#[test]
fn no_template_outlives_its_tip_when_that_of_the_next_one_is_refused() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let found = scene.chain.solve(scene.chain.at(1.0));
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    scene.offer(1.0, unknown_rule);
    assert!(scene.no_job(1.0).contains("!unheardof"));
    scene.offer(2.0, wrong_bits);
    assert_eq!(scene.fallback(2.0).0.job.prev(), found.hash);
}

#[test]
fn where_no_template_of_the_tip_is_good_a_coinbase_only_job_is_unless_the_template_forbids_that_too()
 {
    for empty_first in [true, false] {
        for (change, word) in REFUSED {
            let mut scene = Scene::on_tip(MinerSettings {
                empty_first,
                ..settings()
            });
            scene.offer(0.0, change);
            if ["!unheardof", "coinbasetxn"].contains(&word) {
                let reason = scene.no_job(0.0);
                assert!(
                    reason.contains(word) && reason.contains("refused"),
                    "{reason}"
                );
                continue;
            }
            let (task, reason) = scene.fallback(0.0);
            assert!(task.coinbase_only);
            assert_eq!(task.job.prev(), scene.chain.tip().hash);
            assert!(
                reason.contains(word) && reason.contains("nothing but the coinbase"),
                "{reason}"
            );
            assert!(
                task.is_same(&scene.task(0.1), scene.chain.at(0.1)),
                "one job"
            );
            scene.template_at(1.0);
            assert!(!scene.task(1.0).coinbase_only);
        }
    }
}

#[test]
fn whose_templates_are_of_no_use_is_told_whatever_is_hashed_instead() {
    let mut scene = Scene::on_tip(settings());
    let no_use = |scene: &mut Scene, seconds| scene.plan(seconds).no_use;
    let of_node = Some("test".into());
    assert_eq!(no_use(&mut scene, 0.0), None);
    scene.offer(1.0, wrong_bits);
    assert_eq!(no_use(&mut scene, 1.0), of_node);
    scene.offer(2.0, other_shape);
    let full = scene.task(2.0);
    assert_eq!(no_use(&mut scene, 2.0), None);
    scene.hear(&full.job, barred());
    assert_eq!(no_use(&mut scene, 2.1), of_node);
    let mut scene = Scene::on_tip(settings());
    scene.offer(0.0, unknown_rule);
    scene.no_job(0.0);
    assert_eq!(no_use(&mut scene, 0.1), of_node);
}

#[test]
fn a_refused_template_is_asked_for_again_after_a_moment_and_not_all_the_time() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    scene.offer(1.0, wrong_bits);
    let asked: Vec<f64> = (10..60)
        .map(|i| f64::from(i) * 0.1)
        .filter(|&second| scene.plan(second).want_template)
        .collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0] > 1.2 && asked[0] < 1.4, "{asked:?}");
}

#[test]
fn after_a_block_that_came_to_nothing_a_refused_template_brings_nothing_back() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let found = scene.find(1.0);
    scene.settled = Some(settled(
        &found,
        Outcome::Rejected("bad-cb-amount".to_owned()),
    ));
    scene.counts.rejected += 1;
    assert!(scene.no_job(1.1).contains("bad-cb-amount"));
    scene.offer(2.0, wrong_bits);
    assert!(scene.no_job(2.0).contains("nBits"));
    scene.template_at(3.0);
    scene.task(3.0);
}

#[test]
fn a_shape_that_the_node_refuses_gives_way_to_a_coinbase_only_job_that_is_asked_about_itself() {
    for empty_first in [true, false] {
        let mut scene = Scene::on_tip(MinerSettings {
            empty_first,
            ..settings()
        });
        scene.offer(0.0, other_shape);
        let full = scene.task(0.0);
        scene.hear(&full.job, barred());
        let (own, reason) = scene.fallback(0.1);
        assert!(own.coinbase_only);
        assert_eq!(own.job.prev(), full.job.prev());
        for word in [
            "bad-witness-merkle-match",
            "taproot",
            "nothing but the coinbase",
        ] {
            assert!(reason.contains(word), "{reason}");
        }
        // First what is mined, then what might be.
        let asked = |scene: &mut Scene, seconds| scene.plan(seconds).candidate.unwrap().job;
        assert!(Arc::ptr_eq(&asked(&mut scene, 0.2), &own.job));
        scene.hear(&own.job, Finding::Sound);
        assert!(Arc::ptr_eq(&asked(&mut scene, 0.3), &full.job));
        assert!(Arc::ptr_eq(&scene.fallback(0.3).0.job, &own.job));
        // Each new template is tried, whatever it pays, and mined when it passes.
        scene.offer(1.0, other_shape);
        let next = asked(&mut scene, 1.0);
        assert!(!Arc::ptr_eq(&next, &full.job) && !Arc::ptr_eq(&next, &own.job));
        assert!(Arc::ptr_eq(&scene.fallback(1.0).0.job, &own.job));
        assert!(!scene.plan(2.0).want_template, "they come by themselves");
        scene.hear(&next, Finding::Sound);
        let plan = scene.plan(2.1);
        assert_eq!(plan.fallback, None);
        assert!(Arc::ptr_eq(&plan.task.unwrap().job, &next));
    }
}

#[test]
fn where_the_node_refuses_coinbase_only_blocks_too_there_is_no_job_and_each_new_template_is_tried()
{
    let mut scene = Scene::on_tip(settings());
    scene.offer(0.0, other_shape);
    let full = scene.task(0.0);
    scene.hear(&full.job, barred());
    let own = scene.fallback(0.1).0;
    scene.hear(&own.job, Finding::Refused("bad-cb-height".to_owned()));
    let reason = scene.no_job(0.2);
    assert!(
        reason.contains("bad-witness-merkle-match") && reason.contains("bad-cb-height"),
        "{reason}"
    );
    scene.offer(1.0, other_shape);
    let next = scene.plan(1.0).candidate.unwrap();
    assert!(!Arc::ptr_eq(&next.job, &full.job) && !Arc::ptr_eq(&next.job, &own.job));
    scene.hear(&next.job, Finding::Sound);
    assert!(Arc::ptr_eq(&scene.task(1.1).job, &next.job));
}

#[test]
fn a_template_of_another_shape_that_the_node_refuses_gives_way_to_the_one_before() {
    let mut scene = Scene::on_tip(settings());
    scene.offer(0.0, |template| template.coinbasevalue = Some(4_000_000_000));
    let good = scene.task(0.0);
    assert!(!good.coinbase_only);
    scene.offer(1.0, other_shape);
    let worse = scene.task(1.0);
    assert!(!Arc::ptr_eq(&worse.job, &good.job));
    scene.hear(&worse.job, barred());
    let (task, reason) = scene.fallback(1.1);
    assert!(Arc::ptr_eq(&task.job, &good.job));
    assert!(reason.contains("an earlier template"), "{reason}");
    // Another bad one does not push it out, and what the node refuses is none.
    scene.offer(2.0, other_shape);
    assert!(Arc::ptr_eq(&scene.fallback(2.0).0.job, &good.job));
    scene.hear(&good.job, barred());
    assert!(scene.no_job(2.1).contains("bad-witness-merkle-match"));
}

#[test]
fn a_refused_template_after_a_barred_one_leaves_the_coinbase_only_job_and_what_is_asked() {
    let mut scene = Scene::on_tip(settings());
    scene.offer(0.0, other_shape);
    let full = scene.task(0.0);
    scene.hear(&full.job, barred());
    let own = scene.fallback(0.1).0;
    scene.hear(&own.job, Finding::Sound);
    scene.offer(1.0, wrong_bits);
    let (task, reason) = scene.fallback(1.0);
    assert!(
        Arc::ptr_eq(&task.job, &own.job) && reason.contains("nBits"),
        "{reason}"
    );
    assert!(Arc::ptr_eq(
        &scene.plan(1.1).candidate.unwrap().job,
        &full.job
    ));
    scene.offer(2.0, unknown_rule);
    assert!(scene.no_job(2.0).contains("!unheardof"));
}

/// For a reason that is no fault of the shape, as far as is known.
fn passing() -> Finding {
    Finding::Refused("bad-txns-inputs-missingorspent".to_owned())
}

#[test]
fn a_block_that_the_node_refuses_itself_gives_way_and_the_next_of_its_shape_is_mined() {
    let mut scene = Scene::on_tip(settings());
    scene.offer(0.0, other_shape);
    let full = scene.task(0.0);
    scene.hear(&full.job, Finding::Refused("time-too-old".to_owned()));
    assert!(
        scene.task(0.1).is_same(&full, scene.chain.at(0.1)),
        "its time passes"
    );
    scene.hear(&full.job, passing());
    let (own, reason) = scene.fallback(0.2);
    assert!(own.coinbase_only);
    assert!(
        reason.contains("this very block") && reason.contains("missingorspent"),
        "{reason}"
    );
    // Whatever it pays.
    scene.offer(1.0, other_shape);
    let plan = scene.plan(1.0);
    assert_eq!((plan.fallback, plan.no_use), (None, None));
    let next = plan.task.unwrap();
    assert!(!next.coinbase_only && !Arc::ptr_eq(&next.job, &full.job));
    scene.hear(&next.job, passing());
    assert!(scene.fallback(1.1).0.coinbase_only);
}

#[test]
fn where_a_refusal_may_pass_and_nothing_better_is_there_hashing_goes_on() {
    let mut scene = Scene::on_tip(settings());
    scene.offer(0.0, other_shape);
    let full = scene.task(0.0);
    scene.hear(&full.job, passing());
    let own = scene.fallback(0.1).0;
    scene.hear(&own.job, passing());
    let plan = scene.plan(0.2);
    assert_eq!(plan.fallback, None);
    assert!(Arc::ptr_eq(&plan.task.unwrap().job, &full.job));
    // And rather on such a block of our own than on one whose like are all refused.
    scene.hear(&full.job, barred());
    assert!(Arc::ptr_eq(&scene.fallback(0.3).0.job, &own.job));
}
