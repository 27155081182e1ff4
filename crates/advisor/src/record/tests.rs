use proptest::prelude::*;

use super::*;

fn name(height: u32) -> String {
    format!("tip-{height}")
}

fn advice(height: u32, recommendation: Recommendation, confidence: f64) -> Advised {
    Advised {
        tip: name(height),
        height,
        recommendation,
        confidence,
        reward_sat: Some(312_500_000),
    }
}

/// The chain grows by one block, `count` times, from the tip at `height`.
fn grow(record: &mut Record, height: u32, count: u32) -> Vec<Judged> {
    (height..height + count)
        .flat_map(|height| record.tip(height + 1, &name(height + 1), &name(height)))
        .collect()
}

/// What becomes of both recommendations on a tip of which these facts came to be known.
fn verdicts(facts: &[Fact]) -> (bool, bool, Because) {
    let mut record = Record::default();
    record.advised(advice(100, Recommendation::Proceed, 0.9));
    record.advised(advice(100, Recommendation::Hold, 0.9));
    for fact in facts {
        assert!(record.learned(&name(100), *fact).is_empty(), "too early");
    }
    let judged = grow(&mut record, 100, SETTLED);
    assert_eq!(judged.len(), 2);
    assert_eq!(judged[0].because, judged[1].because);
    (judged[0].right, judged[1].right, judged[0].because)
}

#[test]
fn proceed_is_right_and_hold_wrong_where_hashing_was_worthwhile_and_the_other_way_round() {
    let worthwhile: [&[Fact]; 4] = [
        &[],
        &[Fact::Accepted],
        &[Fact::Accepted, Fact::Unprofitable, Fact::Strained],
        &[
            Fact::Template {
                reward_sat: u64::MAX,
            },
            Fact::TemplateRefused,
        ],
    ];
    for facts in worthwhile {
        let (proceed, hold, because) = verdicts(facts);
        assert!(proceed && !hold, "{facts:?}: {because}");
    }
    let in_vain = [
        (Fact::Rejected, Because::Rejected),
        (Fact::Lost, Because::Lost),
        (Fact::Unprofitable, Because::Unprofitable),
        (Fact::Strained, Because::Strained),
    ];
    for (fact, because) in in_vain {
        assert_eq!(verdicts(&[fact]), (false, true, because));
    }
    assert_eq!(
        verdicts(&[Fact::Accepted, Fact::Rejected]).2,
        Because::Rejected,
        "a block on a rejected tip is worth nothing"
    );
    assert_eq!(
        verdicts(&[Fact::Accepted, Fact::Lost]).2,
        Because::Lost,
        "what became of it last counts"
    );
}

#[test]
fn a_tip_that_the_chain_left_was_not_worth_hashing_on() {
    // A competitor at the same height; one level up, on another parent; one below.
    let competitors = [
        (100, "other", "tip-99"),
        (101, "other-101", "other"),
        (99, "other-99", "tip-98"),
    ];
    for (height, hash, parent) in competitors {
        let mut record = Record::default();
        record.advised(advice(100, Recommendation::Proceed, 0.9));
        let mut judged = record.tip(height, hash, parent);
        judged.extend(record.tip(102, "b", "a"));
        judged.extend(record.tip(103, "c", "b"));
        assert_eq!(judged.len(), 1);
        assert!(!judged[0].right);
        assert_eq!(judged[0].because, Because::Left);
    }
}

#[test]
fn a_tip_that_comes_back_or_is_built_upon_after_all_has_stayed() {
    let mut record = Record::default();
    record.advised(advice(100, Recommendation::Proceed, 0.9));
    record.tip(100, "other", "tip-99");
    record.tip(101, &name(101), &name(100));
    let judged = grow(&mut record, 101, 1);
    assert_eq!(judged[0].because, Because::Stayed);

    record.advised(advice(200, Recommendation::Proceed, 0.9));
    record.tip(200, "other", "tip-199");
    record.tip(201, "other-201", "other");
    record.tip(200, &name(200), &name(199));
    assert!(
        grow(&mut record, 200, SETTLED - 1).is_empty(),
        "counting begins again"
    );
    assert_eq!(
        grow(&mut record, 200 + SETTLED - 1, 1)[0].because,
        Because::Stayed
    );
}

#[test]
fn blocks_that_were_not_seen_one_by_one_are_no_evidence_against_a_tip() {
    let mut record = Record::default();
    record.advised(advice(100, Recommendation::Proceed, 0.9));
    record.tip(104, "d", "c");
    assert_eq!(grow(&mut record, 104, 2)[0].because, Because::Stayed);
}

#[test]
fn retry_is_right_when_the_next_template_pays_more_or_the_one_in_hand_is_refused() {
    let cases = [
        (
            Fact::Template {
                reward_sat: 312_812_500,
            },
            Some(Because::PaidMore),
        ),
        (
            Fact::Template {
                reward_sat: 312_812_499,
            },
            Some(Because::PaidNoMore),
        ),
        (Fact::Template { reward_sat: 0 }, Some(Because::PaidNoMore)),
        (Fact::TemplateRefused, Some(Because::TemplateRefused)),
        (Fact::Strained, None),
    ];
    for (fact, because) in cases {
        let mut record = Record::default();
        record.advised(advice(100, Recommendation::Retry, 0.8));
        assert!(record.learned("another tip", fact).is_empty());
        let judged = record.learned(&name(100), fact);
        assert_eq!(
            judged.first().map(|judged| judged.because),
            because,
            "{fact:?}"
        );
        if let Some(judged) = judged.first() {
            assert_eq!(judged.right, judged.because != Because::PaidNoMore);
        }
    }
}

#[test]
fn a_retry_whose_tip_goes_before_another_template_comes_is_not_judged() {
    let mut record = Record::default();
    record.advised(advice(100, Recommendation::Retry, 0.8));
    assert!(grow(&mut record, 100, SETTLED + 1).is_empty());
    let score = record.score();
    assert_eq!((score.given, score.judged, score.open), (1, 0, 0));
    assert_eq!((score.brier, score.right_ratio), (None, None));
}

#[test]
fn the_score_is_the_brier_score_beside_what_always_proceeding_would_have_got() {
    let mut record = Record::default();
    record.advised(advice(100, Recommendation::Proceed, 0.8));
    record.advised(advice(100, Recommendation::Hold, 0.6));
    record.advised(advice(100, Recommendation::Retry, 1.0));
    record.learned(&name(100), Fact::TemplateRefused);
    grow(&mut record, 100, SETTLED);
    let score = record.score();
    let close = |value: Option<f64>, expected: f64| {
        assert!(
            (value.expect("judged") - expected).abs() < 1e-12,
            "{value:?} {expected}"
        );
    };
    close(score.brier, (0.04 + 0.36 + 0.0) / 3.0);
    close(score.mean_confidence, 0.8);
    close(score.right_ratio, 2.0 / 3.0);
    close(score.proceed_right_ratio, 1.0);
    assert_eq!(
        score.hold,
        Tally {
            given: 1,
            right: 0,
            wrong: 1
        }
    );
}

#[test]
fn what_was_kept_goes_on_and_what_contradicts_itself_is_refused() {
    let mut record = Record::default();
    record.advised(advice(100, Recommendation::Proceed, 0.8));
    grow(&mut record, 100, SETTLED);
    let kept = serde_json::to_string(record.totals()).expect("serialisable");
    let totals: Totals = serde_json::from_str(&kept).expect("readable");
    assert_eq!(Record::resume(totals).score(), record.score());

    for (from, to) in [
        ("\"given\":1", "\"given\":0"),
        ("\"given\":1", "\"given\":18446744073709551615"),
        ("\"worthwhile\":1", "\"worthwhile\":2"),
        ("\"confidence\":0.8", "\"confidence\":-1"),
        ("\"squares\":", "\"squares\":7"),
    ] {
        let wrong = kept.replacen(from, to, 1);
        assert_ne!(wrong, kept, "{from}");
        assert!(serde_json::from_str::<Totals>(&wrong).is_err(), "{wrong}");
    }
}

fn any_event() -> impl Strategy<Value = (u8, u32, f64, u64)> {
    (
        0..12_u8,
        95..110_u32,
        prop_oneof![0.0..=1.0, Just(f64::NAN), Just(7.0)],
        any::<u64>(),
    )
}

proptest! {
    /// Whatever happens in whatever order, the open advice is bounded, nothing is judged twice, and what is kept can be
    /// read again.
    #[test]
    fn whatever_happens_the_record_is_bounded_and_sound(
        events in proptest::collection::vec(any_event(), 0..600),
    ) {
        let mut record = Record::default();
        let mut judged = 0;
        for (what, height, confidence, reward_sat) in events {
            let tip = name(height);
            judged += match what {
                0..=2 => {
                    let recommendation = [Recommendation::Proceed, Recommendation::Hold, Recommendation::Retry];
                    record.advised(advice(height, recommendation[usize::from(what)], confidence));
                    Vec::new()
                }
                3 => record.learned(&tip, Fact::Rejected),
                4 => record.learned(&tip, Fact::Accepted),
                5 => record.learned(&tip, Fact::Lost),
                6 => record.learned(&tip, Fact::Unprofitable),
                7 => record.learned(&tip, Fact::Strained),
                8 => record.learned(&tip, Fact::Template { reward_sat }),
                9 => record.learned(&tip, Fact::TemplateRefused),
                _ => record.tip(height, &tip, &name(height - 1)),
            }
            .len() as u64;
            let score = record.score();
            prop_assert_eq!(score.judged, judged);
            prop_assert!(score.open <= MAX_OPEN as u64 && score.judged + score.open <= score.given);
            for ratio in [score.right_ratio, score.mean_confidence, score.brier, score.proceed_right_ratio] {
                prop_assert!(ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
            }
        }
        let kept = serde_json::to_string(record.totals()).expect("serialisable");
        let read = serde_json::from_str::<Totals>(&kept);
        prop_assert_eq!(read.map(|totals| totals.judged()).ok(), Some(judged));
    }
}
