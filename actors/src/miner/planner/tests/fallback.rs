//! What is mined where the newest template of a tip gives no job.

use super::*;
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
        scene.offer(1.0, change);
        let (task, reason) = scene.fallback(1.0);
        assert!(task.is_same(&good, scene.chain.at(1.0)), "{word}");
        assert!(
            reason.contains(word) && reason.contains("an earlier template"),
            "{reason}"
        );
        scene.offer(2.0, change);
        assert!(Arc::ptr_eq(&scene.fallback(2.0).0.job, &good.job), "{word}");
        // Whatever it pays.
        scene.template_at(3.0);
        let plan = scene.plan(3.0);
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
fn where_no_template_of_the_tip_is_good_a_coinbase_only_job_is_unless_the_template_forbids_that_too() {
    for empty_first in [true, false] {
        for (change, word) in REFUSED {
            let mut scene = Scene::on_tip(MinerSettings {
                empty_first,
                ..settings()
            });
            scene.offer(0.0, change);
            if ["!unheardof", "coinbasetxn"].contains(&word) {
                let reason = scene.no_job(0.0);
                assert!(reason.contains(word) && reason.contains("refused"), "{reason}");
                continue;
            }
            let (task, reason) = scene.fallback(0.0);
            assert!(task.coinbase_only);
            assert_eq!(task.job.prev(), scene.chain.tip().hash);
            assert!(
                reason.contains(word) && reason.contains("nothing but the coinbase"),
                "{reason}"
            );
            assert!(task.is_same(&scene.task(0.1), scene.chain.at(0.1)), "one job");
            scene.template_at(1.0);
            assert!(!scene.task(1.0).coinbase_only);
        }
    }
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
    scene.settled = Some(settled(&found, Outcome::Rejected("bad-cb-amount".to_owned())));
    scene.counts.rejected += 1;
    assert!(scene.no_job(1.1).contains("bad-cb-amount"));
    scene.offer(2.0, wrong_bits);
    assert!(scene.no_job(2.0).contains("nBits"));
    scene.template_at(3.0);
    scene.task(3.0);
}
