use super::advice::{HOLD_MAX_S, REST_S};
use super::*;
use crate::protocol::{Mining, Recommendation, Template, VERSION, Validation};
use crate::record::{Advised, Fact, Record};

fn question(height: u32) -> Request {
    Request {
        v: VERSION,
        id: format!("q{height}"),
        attempt: 1,
        kind: Kind::Tip,
        network: "main".into(),
        height,
        tip: format!("tip-{height}"),
        validation: Validation {
            verdict: Verdict::Authentic,
            coverage: 1.0,
            level: 16_000,
            failures: Vec::new(),
        },
        template: Some(Template {
            transactions: 2000,
            fees_sat: 10_000_000,
            weight: 3_900_000,
            age_s: 1.0,
        }),
        mining: Mining {
            hashrate_hs: Some(1e9),
            expected_block_s: Some(1e12),
            stale_ratio: None,
        },
        recent_intervals_s: vec![600.0; 11],
        system: Some(machine(55.0, 4000.0)),
    }
}

fn machine(temperature_c: f64, memory_mb: f64) -> System {
    System {
        cpu: Some(1.0),
        memory_mb: Some(memory_mb),
        temperature_c: Some(temperature_c),
        memory_min_mb: None,
        temperature_max_c: None,
    }
}

/// A reproducible stand-in for chance, 0 to 1.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
fn an_ordinary_tip_is_mined_on_with_confidence_and_a_reason() {
    let mut model = Model::new("main");
    let request = question(800_000);
    assert!(model.learn(&request, 0.0));
    let reply = model.advise(&request, &Limits::default());
    assert_eq!((reply.v, reply.id.as_str()), (VERSION, "q800000"));
    assert_eq!(
        (reply.recommendation, reply.hold_s),
        (Recommendation::Proceed, None)
    );
    assert!(reply.confidence > 0.99, "{}", reply.confidence);
    assert!(
        reply.reason.contains("Authentic tips stay with 99.8 %"),
        "{}",
        reply.reason
    );
    assert!(
        reply.reason.contains("600 s on average"),
        "{}",
        reply.reason
    );
}

#[test]
fn intervals_are_learnt_once_each() {
    let mut once = Model::new("main");
    let mut request = question(100);
    request.recent_intervals_s = vec![50.0; 40];
    once.learn(&request, 0.0);
    let learnt = once.intervals_s;
    once.learn(&request, 10.0);
    assert_eq!(once.intervals_s, learnt, "the same tip again");

    request = question(102);
    request.recent_intervals_s = vec![50.0, -7.0, 9999.0];
    once.learn(&request, 20.0);
    let mut expected = learnt;
    expected.observe(1.0, 0.0, BLOCKS);
    expected.observe(1.0, 50.0, BLOCKS);
    assert_eq!(
        once.intervals_s, expected,
        "two new blocks, one of them earlier than its parent"
    );
}

#[test]
fn gaps_in_which_nobody_mined_are_neither_learnt_from_nor_spoken_of() {
    // The third block of a fresh chain, whose genesis block is of 2011; it stood still before its second for a day.
    let genesis = 4.9e8;
    let mut request = question(3);
    request.network = "regtest".into();
    request.recent_intervals_s = vec![2.0, 86_400.0, genesis];
    let mut model = Model::new("regtest");
    model.learn(&request, 0.0);
    let reason = model.advise(&request, &Limits::default()).reason;
    assert!(reason.contains("takes 1.5 s on average"), "{reason}");

    // The longest that counts is a hundred times what the network aims at.
    let mut slow = Model::new("main");
    request.network = "main".into();
    request.recent_intervals_s = vec![60_000.0, 60_001.0];
    slow.learn(&request, 0.0);
    let mut expected = Waiting::prior(1.0, 600.0);
    expected.observe(1.0, 60_000.0, BLOCKS);
    assert_eq!(slow.intervals_s, expected);
}

#[test]
fn tips_that_are_left_are_counted_for_their_verdict() {
    let mut model = Model::new("main");
    for height in 0..300_u32 {
        let mut request = question(1000 + height);
        request.validation.verdict = Verdict::Undecided;
        model.learn(&request, f64::from(height));
        // A competitor at the same height, and then the next on top of it.
        let mut other = question(1000 + height);
        other.tip = format!("other-{height}");
        model.learn(&other, f64::from(height) + 0.5);
    }
    let mut request = question(2000);
    let authentic = model.advise(&request, &Limits::default());
    request.validation.verdict = Verdict::Undecided;
    let undecided = model.advise(&request, &Limits::default());
    assert_eq!(authentic.recommendation, Recommendation::Proceed);
    assert_eq!(undecided.recommendation, Recommendation::Hold);
    assert!(undecided.confidence > 0.9, "{}", undecided.confidence);
    assert_eq!(
        undecided.hold_s,
        Some(model.intervals_s.mean().clamp(1.0, HOLD_MAX_S))
    );
}

#[test]
fn a_rejected_tip_is_held_on_and_nothing_is_learnt_in_its_favour() {
    let mut model = Model::new("main");
    for height in 0..500 {
        let mut request = question(height);
        request.validation.verdict = Verdict::Rejected;
        model.learn(&request, f64::from(height));
        let reply = model.advise(&request, &Limits::default());
        assert_eq!(reply.recommendation, Recommendation::Hold);
        assert!(reply.confidence >= 0.95);
    }
}

#[test]
fn a_machine_near_its_limit_lowers_the_confidence_and_one_beyond_it_rests_for_a_minute() {
    let model = Model::new("main");
    let at = |temperature, memory| {
        let mut request = question(800_000);
        request.system = Some(machine(temperature, memory));
        model.advise(&request, &Limits::default())
    };
    let (cool, warm, hot) = (at(55.0, 4000.0), at(88.0, 4000.0), at(97.0, 4000.0));
    assert_eq!(warm.recommendation, Recommendation::Proceed);
    assert!(warm.confidence < cool.confidence - 0.05);
    assert!(warm.reason.contains("too hot with"), "{}", warm.reason);
    assert_eq!(
        (hot.recommendation, hot.hold_s),
        (Recommendation::Hold, Some(REST_S))
    );
    assert_eq!(at(55.0, 1.0).recommendation, Recommendation::Hold);
}

#[test]
fn the_machines_limits_are_those_of_the_question_unless_they_were_set_otherwise() {
    let model = Model::new("main");
    let advised = |of_question: (f64, f64), set: (Option<f64>, Option<f64>)| {
        let mut request = question(800_000);
        request.system = Some(System {
            temperature_max_c: Some(of_question.0),
            memory_min_mb: Some(of_question.1),
            ..machine(75.0, 1000.0)
        });
        let limits = Limits {
            temperature_max_c: set.0,
            memory_min_mb: set.1,
        };
        model.advise(&request, &limits).recommendation
    };
    let (proceed, hold) = (Recommendation::Proceed, Recommendation::Hold);
    assert_eq!(advised((90.0, 64.0), (None, None)), proceed);
    assert_eq!(advised((60.0, 64.0), (None, None)), hold, "too hot");
    assert_eq!(advised((90.0, 2000.0), (None, None)), hold, "memory");
    assert_eq!(advised((60.0, 64.0), (Some(110.0), None)), proceed);
    assert_eq!(advised((90.0, 2000.0), (None, Some(64.0))), proceed);
    assert_eq!(advised((90.0, 64.0), (Some(60.0), None)), hold);
}

#[test]
fn how_fast_the_machine_changes_is_learnt_from_one_question_to_the_next() {
    let heated = |step: f64| {
        let mut model = Model::new("main");
        for n in 0..200 {
            let mut request = question(800_000);
            request.system = Some(machine(if n % 2 == 0 { 80.0 } else { 80.0 + step }, 4000.0));
            model.learn(&request, f64::from(n) * 10.0);
        }
        let mut request = question(800_000);
        request.system = Some(machine(85.0, 4000.0));
        model.advise(&request, &Limits::default()).confidence
    };
    assert!(heated(0.1) > 0.99, "{}", heated(0.1));
    assert!(heated(8.0) < 0.8, "{}", heated(8.0));
}

#[test]
fn the_same_question_asked_again_is_no_step_of_the_machine() {
    let mut model = Model::new("main");
    model.learn(&question(800_000), 0.0);
    let before = model.temperature_c;
    model.learn(&question(800_000), 0.2);
    assert_eq!(model.temperature_c, before);
}

#[test]
fn where_templates_grow_fast_an_old_one_is_renewed_and_where_they_do_not_it_is_kept() {
    let advised = |growth_sat_per_s: u64| {
        let mut model = Model::new("main");
        for n in 0..60_u64 {
            let mut request = question(800_000);
            let template = request.template.as_mut().expect("there is one");
            template.fees_sat += growth_sat_per_s * 10 * n;
            model.learn(&request, (n * 10) as f64);
        }
        let mut request = question(800_000);
        request.template.as_mut().expect("there is one").age_s = 40.0;
        model.advise(&request, &Limits::default())
    };
    // Of a subsidy of 6.25 BTC and fees, 0.1 % are 635,000 sat.
    let fast = advised(60_000);
    assert_eq!(fast.recommendation, Recommendation::Retry, "{fast:?}");
    assert!(
        fast.confidence >= RETRY_FROM && fast.reason.contains("this one of 40 s"),
        "{}",
        fast.reason
    );
    assert_eq!(advised(100).recommendation, Recommendation::Proceed);
}

#[test]
fn stale_blocks_count_by_our_share_and_never_make_it_hold_alone() {
    let model = Model::new("main");
    let with = |expected_block_s, stale_ratio| {
        let mut request = question(800_000);
        request.mining.expected_block_s = Some(expected_block_s);
        request.mining.stale_ratio = Some(stale_ratio);
        model.advise(&request, &Limits::default())
    };
    assert!(with(1e12, 1.0).confidence > 0.99, "we find none anyway");
    let ours = with(1.0, 1.0);
    assert_eq!(ours.recommendation, Recommendation::Proceed);
    assert!(
        ours.confidence < 0.7 && ours.reason.contains("lost with 34 %"),
        "{ours:?}"
    );
}

#[test]
fn another_network_begins_anew_and_a_health_check_teaches_nothing() {
    let mut model = Model::new("main");
    model.learn(&question(800_000), 0.0);
    let before = model.clone();
    let mut health = question(900_000);
    health.kind = Kind::Health;
    assert!(!model.learn(&health, 1.0));
    assert_eq!(model, before);
    assert_eq!(model.advise(&health, &Limits::default()).id, "q900000");

    let mut other = question(5);
    other.network = "regtest".into();
    let mut fresh = Model::new("regtest");
    model.learn(&other, 2.0);
    fresh.learn(&other, 2.0);
    assert_eq!(model, fresh);
}

#[test]
fn what_was_learnt_can_be_kept_and_what_is_damaged_is_refused() {
    let mut model = Model::new("main");
    for height in 0..20 {
        model.learn(&question(height), f64::from(height));
    }
    let kept = serde_json::to_string(&model).expect("serialisable");
    let read: Model = serde_json::from_str(&kept).expect("readable");
    assert_eq!(
        read.advise(&question(20), &Limits::default()).reason,
        model.advise(&question(20), &Limits::default()).reason
    );
    for (from, to) in [
        ("\"v\":1", "\"v\":2"),
        ("\"events\":", "\"events\":-"),
        ("\"yes\":", "\"yes\":-"),
        ("\"network\"", "\"net\""),
    ] {
        let wrong = kept.replacen(from, to, 1);
        assert_ne!(wrong, kept);
        assert!(serde_json::from_str::<Model>(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn whatever_it_is_asked_it_gives_a_valid_answer() {
    let mut dice = Dice(7);
    let mut model = Model::new("main");
    let extremes = [0.0, -1.0, 1e-300, 1e300, f64::MAX, f64::MIN, 55.0];
    let any = |dice: &mut Dice| extremes[(dice.roll() * extremes.len() as f64) as usize];
    for n in 0..5000 {
        let mut request = question((dice.roll() * 4.0) as u32 * (u32::MAX / 4));
        request.tip = format!("tip-{}", n % 7);
        request.validation.verdict = [Verdict::Authentic, Verdict::Undecided, Verdict::Rejected]
            [(dice.roll() * 3.0) as usize];
        request.recent_intervals_s = (0..4).map(|_| any(&mut dice)).collect();
        request.system = Some(machine(any(&mut dice), any(&mut dice)));
        request.mining.expected_block_s = Some(any(&mut dice));
        request.mining.stale_ratio = Some(dice.roll());
        if let Some(template) = &mut request.template {
            template.age_s = any(&mut dice);
            template.fees_sat = if dice.roll() < 0.1 { u64::MAX } else { 0 };
        }
        model.learn(&request, any(&mut dice));
        let reply = model.advise(&request, &Limits::default());
        assert!(
            (0.0..=1.0).contains(&reply.confidence),
            "{request:?} {reply:?}"
        );
        assert_eq!(
            reply.hold_s.is_some(),
            reply.recommendation == Recommendation::Hold
        );
        assert!(
            reply
                .hold_s
                .is_none_or(|hold_s| (1.0..=HOLD_MAX_S).contains(&hold_s))
        );
        assert!(reply.reason.len() < 400, "{}", reply.reason);
    }
    let kept = serde_json::to_string(&model).expect("serialisable");
    serde_json::from_str::<Model>(&kept).expect("readable");
}

/// How often tips with an open verdict stay, and how often the machine gets too hot, is unknown to it at first. In the end
/// what it says happens as often as it says, and it is right more often than who always proceeds.
#[test]
fn its_confidence_is_how_often_it_is_right() {
    for (stays, seed) in [(0.97, 1), (0.75, 2), (0.3, 3), (0.1, 4)] {
        let mut dice = Dice(seed);
        let mut model = Model::new("main");
        let mut record = Record::default();
        let mut parent = "genesis".to_owned();
        for height in 1..2000 {
            let mut request = question(height);
            request.validation.verdict = Verdict::Undecided;
            let now = f64::from(height) * 600.0;
            model.learn(&request, now);
            record.tip(height, &request.tip, &parent);
            let reply = model.advise(&request, &Limits::default());
            record.advised(Advised {
                tip: request.tip.clone(),
                height,
                recommendation: reply.recommendation,
                confidence: reply.confidence,
                reward_sat: None,
            });
            if dice.roll() < stays {
                parent = request.tip;
                continue;
            }
            // Somebody else's block takes its place.
            request.tip = format!("other-{height}");
            request.validation.verdict = Verdict::Authentic;
            model.learn(&request, now + 1.0);
            record.tip(height, &request.tip, &parent);
            record.learned(&request.tip, Fact::Accepted);
            parent = request.tip;
        }
        let score = record.score();
        let (right, said) = (
            score.right_ratio.expect("judged"),
            score.mean_confidence.expect("judged"),
        );
        assert!(
            (right - said).abs() < 0.03,
            "{stays}: right {right}, said {said}"
        );
        let best = f64::max(stays, 1.0 - stays);
        assert!(
            right > best - 0.05,
            "{stays}: right {right} of at best {best}"
        );
        let brier = score.brier.expect("judged");
        assert!(
            brier < stays * (1.0 - stays) + 0.02,
            "{stays}: Brier {brier}"
        );
    }
}
