//! Who has the word, and within which limits.

use bitcoin::hashes::Hash as _;

use super::*;
use crate::miner::policy::PowerCost;

fn economics() -> Economics {
    Economics {
        reward_sat: 5_000_000_000,
        expected_hashes: 2.0,
        hashrate_hs: Some(1e6),
        spacing: Duration::from_mins(10),
        stale_ratio: None,
        unheard: Duration::ZERO,
        power: None,
        template_age: Some(Duration::ZERO),
        template_max_age: Duration::from_secs(30),
    }
}

fn dear() -> Economics {
    Economics {
        power: Some(PowerCost {
            watts: 1e12,
            sat_per_kwh: 1e12,
        }),
        ..economics()
    }
}

fn block(n: u8) -> BlockHash {
    BlockHash::from_byte_array([n; 32])
}

/// A case of its own: an authentic tip with nobody's word on it.
struct Scene {
    start: Instant,
    after_s: f64,
    validation: Validation,
    counsel: Option<Counsel>,
    switches: Switches,
    guards: Guards,
    economics: Economics,
}

impl Scene {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            after_s: 0.0,
            validation: Validation {
                header: judged(Verdict::Authentic, ""),
                body: Judged::Pending,
            },
            counsel: None,
            switches: Switches::default(),
            guards: Guards {
                confidence_floor: 0.5,
                hold_max: Duration::from_mins(10),
                hold_left: Duration::from_hours(1),
                rest: None,
                spent: 0,
                holding: None,
                wait_until: None,
            },
            economics: economics(),
        }
    }

    /// The advisor has said something of this tip.
    fn advised(recommendation: Recommendation, confidence: f64) -> Self {
        let mut scene = Self::new();
        let advice = Advice {
            recommendation,
            confidence,
            reason: "the price is low".to_owned(),
        };
        scene.counsel = Some(Counsel {
            number: 7,
            tip: block(1),
            at: scene.start,
            answer: Ok(advice),
        });
        scene
    }

    fn decide(&self) -> Decision {
        decide(&Case {
            now: self.start + Duration::from_secs_f64(self.after_s),
            tip: block(1),
            validation: &self.validation,
            counsel: self.counsel.as_ref(),
            switches: &self.switches,
            guards: &self.guards,
            economics: &self.economics,
        })
    }

    fn course(&self) -> Course {
        self.decide().course
    }
}

fn judged(verdict: Verdict, because: &str) -> Judged {
    Judged::Done {
        verdict,
        because: Some(because.to_owned()),
    }
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn hold(s: u64) -> Recommendation {
    Recommendation::Hold(seconds(s))
}

#[test]
fn a_switch_outranks_everything() {
    let mut scene = Scene::advised(hold(5), 1.0);
    scene.switches.mining_off = Some("the operator".to_owned());
    scene.validation.header = judged(Verdict::Rejected, "high-hash");
    let decision = scene.decide();
    assert_eq!(decision.course, Course::SwitchedOff);
    assert_eq!(decision.by, Decider::Switch);
    assert_eq!(decision.reason, "the operator");
}

#[test]
fn a_rejected_header_or_body_is_never_mined_on_whatever_the_advisor_says() {
    for (header, body) in [
        (judged(Verdict::Rejected, "high-hash"), Judged::Pending),
        (
            judged(Verdict::Authentic, ""),
            judged(Verdict::Rejected, "bad-txnmrklroot"),
        ),
    ] {
        let mut scene = Scene::advised(Recommendation::Proceed, 1.0);
        scene.validation = Validation { header, body };
        let decision = scene.decide();
        assert_eq!(decision.course, Course::NoJob);
        assert_eq!(decision.by, Decider::Checks);
        assert!(decision.reason.contains("rejected"), "{decision:?}");
    }
}

#[test]
fn a_body_that_is_still_pending_or_undecided_is_mined_on() {
    let mut scene = Scene::new();
    assert_eq!(scene.course(), Course::Proceed);
    scene.validation.body = judged(Verdict::Undecided, "coverage 0.6");
    assert_eq!(scene.course(), Course::Proceed);
}

#[test]
fn a_tip_ahead_of_the_clock_is_validated_again() {
    let mut scene = Scene::new();
    scene.validation.header = judged(Verdict::Undecided, "time-too-new");
    assert_eq!(scene.course(), Course::Retry(Refresh::Validation));
}

#[test]
fn advice_counts_from_the_floor_up_and_what_is_ignored_is_said() {
    let unsure = Scene::advised(hold(5), 0.49).decide();
    assert_eq!(unsure.course, Course::Proceed);
    assert_eq!(unsure.by, Decider::Policy);
    assert_eq!(unsure.counsel, None);
    let words = unsure.in_words();
    assert!(words.contains("no power cost is set"), "{words}");
    let ignored = "the advisor's HOLD is ignored: its confidence of 0.49 is below 0.50";
    assert!(words.contains(ignored), "{words}");

    let sure = Scene::advised(hold(5), 0.5).decide();
    assert_eq!(sure.course, Course::Hold(seconds(5)));
    assert_eq!(sure.by, Decider::Advisor);
    assert_eq!(sure.in_words(), "the price is low");
    assert_eq!(sure.counsel, Some(7));

    let nonsense = Scene::advised(hold(5), f64::NAN);
    assert_eq!(nonsense.course(), Course::Proceed);
}

#[test]
fn advice_on_another_tip_never_counts() {
    for recommendation in [hold(5), Recommendation::Proceed, Recommendation::Retry] {
        let mut scene = Scene::advised(recommendation, 1.0);
        scene.counsel.as_mut().expect("given").tip = block(2);
        let decision = scene.decide();
        assert_eq!(decision.by, Decider::Policy, "{recommendation}");
        assert_eq!(decision.course, Course::Proceed, "{recommendation}");
        assert_eq!(decision.counsel, None, "{recommendation}");
    }
}

#[test]
fn a_question_that_brought_no_advice_is_explained() {
    let mut scene = Scene::new();
    scene.counsel = Some(Counsel {
        number: 1,
        tip: block(1),
        at: scene.start,
        answer: Err("3 tries timed out".to_owned()),
    });
    let decision = scene.decide();
    assert_eq!(decision.by, Decider::Policy);
    let words = decision.in_words();
    assert!(words.ends_with("(no advice: 3 tries timed out)"), "{words}");
}

#[test]
fn a_hold_counts_from_when_it_was_said_and_only_once() {
    let mut scene = Scene::advised(hold(60), 1.0);
    scene.after_s = 20.0;
    assert_eq!(scene.course(), Course::Hold(seconds(40)));
    scene.after_s = 60.0;
    let decision = scene.decide();
    assert_eq!(decision.course, Course::Proceed);
    let words = decision.in_words();
    assert!(
        words.contains("the advisor's HOLD has had its time"),
        "{words}"
    );
    scene.after_s = 20.0;
    scene.guards.spent = 7;
    assert_eq!(scene.course(), Course::Proceed);
}

#[test]
fn a_retry_asks_for_one_template() {
    let mut scene = Scene::advised(Recommendation::Retry, 1.0);
    assert_eq!(scene.course(), Course::Retry(Refresh::Template));
    scene.guards.spent = 7;
    assert_eq!(scene.course(), Course::Proceed);
}

#[test]
fn a_hold_is_cut_to_its_maximum_and_to_what_is_left_of_the_day_and_says_so() {
    let mut scene = Scene::advised(hold(100_000), 1.0);
    let cut = scene.decide();
    assert_eq!(cut.course, Course::Hold(seconds(600)));
    assert!(
        cut.reason.contains("cut from 100000 s to 600 s"),
        "{}",
        cut.reason
    );
    assert!(cut.reason.contains("hold_max_s"), "{}", cut.reason);
    scene.guards.hold_left = seconds(7);
    let cut = scene.decide();
    assert_eq!(cut.course, Course::Hold(seconds(7)));
    assert!(cut.reason.contains("hold_max_ratio"), "{}", cut.reason);
    for (left, rest) in [
        (Duration::ZERO, None),
        (Duration::from_millis(900), None),
        (seconds(600), Some(seconds(60))),
    ] {
        scene.guards.hold_left = left;
        scene.guards.rest = rest;
        let decision = scene.decide();
        assert_eq!(decision.course, Course::Proceed, "{left:?}");
        assert_eq!(decision.by, Decider::Guards, "{left:?}");
        assert!(decision.reason.contains("not held"), "{}", decision.reason);
    }
    // One that is that short is held all the same.
    let mut scene = Scene::advised(Recommendation::Hold(Duration::from_millis(500)), 1.0);
    scene.guards.hold_left = Duration::from_millis(900);
    assert_eq!(scene.course(), Course::Hold(Duration::from_millis(500)));
}

#[test]
fn a_hold_under_way_goes_on_until_advice_that_counts_says_otherwise() {
    let mut scene = Scene::advised(Recommendation::Proceed, 0.1);
    scene.guards.holding = Some(Holding {
        until: scene.start + seconds(30),
        by: Decider::Advisor,
        reason: "the price is low".to_owned(),
    });
    scene.after_s = 10.0;
    let decision = scene.decide();
    assert_eq!(decision.course, Course::Hold(seconds(20)));
    assert_eq!(decision.by, Decider::Advisor);
    scene.counsel.as_mut().expect("given").answer = Ok(Advice {
        recommendation: Recommendation::Proceed,
        confidence: 0.9,
        reason: "the price is up".to_owned(),
    });
    let decision = scene.decide();
    assert_eq!(decision.course, Course::Proceed);
    assert_eq!(decision.in_words(), "the price is up");
}

#[test]
fn a_gate_is_waited_at_until_there_is_an_answer_or_its_time_is_up() {
    let mut scene = Scene::new();
    scene.guards.wait_until = Some(scene.start + seconds(3));
    let decision = scene.decide();
    assert_eq!(decision.course, Course::Wait(seconds(3)));
    assert!(decision.reason.contains("advisor.gate"), "{decision:?}");
    scene.after_s = 3.0;
    assert_eq!(scene.course(), Course::Proceed);
    // The answer to an earlier question is none.
    let mut scene = Scene::advised(Recommendation::Proceed, 1.0);
    scene.guards.wait_until = Some(scene.start + seconds(3));
    assert_eq!(scene.course(), Course::Proceed);
    scene.counsel.as_mut().expect("given").tip = block(2);
    assert_eq!(scene.course(), Course::Wait(seconds(3)));
    // Not even a failure is waited for twice.
    let failed = scene.counsel.as_mut().expect("given");
    failed.tip = block(1);
    failed.answer = Err("it ended by signal 9".to_owned());
    assert_eq!(scene.course(), Course::Proceed);
}

#[test]
fn without_advice_the_policy_decides() {
    let mut scene = Scene::new();
    scene.economics = dear();
    assert!(matches!(scene.course(), Course::Hold(_)));
    assert_eq!(scene.decide().by, Decider::Policy);
    scene.economics = Economics {
        template_age: Some(seconds(31)),
        ..economics()
    };
    assert_eq!(scene.course(), Course::Retry(Refresh::Template));
}

#[test]
fn advice_to_proceed_outranks_the_policy() {
    let mut scene = Scene::advised(Recommendation::Proceed, 1.0);
    assert!(!scene.decide().loses);
    scene.economics = dear();
    assert_eq!(scene.course(), Course::Proceed);
    assert!(scene.decide().loses, "what it costs is known all the same");
}
