use bitcoin::hashes::Hash;
use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);
const STEADY: Duration = Duration::from_secs(30);

fn block(n: u8) -> BlockHash {
    BlockHash::from_byte_array([n; 32])
}

fn work(n: u8) -> Work {
    let mut bytes = [0; 32];
    bytes[31] = n;
    Work::from_be_bytes(bytes)
}

/// A node on tip `n`, which has as much work as its number says.
fn on(n: u8) -> Standing {
    Standing {
        says: Says::Ready,
        asked_at: None,
        tip: Some(block(n)),
        claim: Claim::Proven(work(n)),
        no_template: None,
    }
}

fn down() -> Standing {
    Standing {
        says: Says::Down,
        ..on(1)
    }
}

#[test]
fn the_first_one_is_waited_for_at_the_start_but_not_for_long() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    let asked = Standing {
        says: Says::Nothing,
        asked_at: Some(start),
        tip: None,
        claim: Claim::Unproven,
        no_template: None,
    };
    let decision = choice.decide(&[asked, on(1)], start);
    assert_eq!(decision.active, 0);
    assert_eq!(decision.due, Some(start + PATIENCE));
    let decision = choice.decide(&[asked, on(1)], start + PATIENCE);
    assert_eq!((decision.active, decision.fitness[0]), (1, Fitness::Silent));
}

#[test]
fn a_node_that_fails_is_left_at_once_for_the_most_preferred_that_is_good() {
    let start = Instant::now();
    let syncing = Standing {
        says: Says::Syncing,
        ..on(1)
    };
    for failed in [down(), syncing] {
        let mut choice = Choice::new(4, 0, STEADY);
        assert_eq!(
            choice.decide(&[on(1), down(), on(1), on(1)], start).active,
            0
        );
        let decision = choice.decide(&[failed, down(), on(1), on(1)], start);
        assert_eq!(decision.active, 2);
    }
}

#[test]
fn silence_is_a_failure_after_a_second_and_a_half() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    let asked = Standing {
        asked_at: Some(start),
        ..on(1)
    };
    let decision = choice.decide(&[asked, on(1)], start + S);
    assert_eq!((decision.active, decision.due), (0, Some(start + PATIENCE)));
    assert_eq!(choice.decide(&[asked, on(1)], start + PATIENCE).active, 1);
}

#[test]
fn nothing_is_gained_by_going_from_one_useless_node_to_another() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    let syncing = Standing {
        says: Says::Syncing,
        ..on(1)
    };
    assert_eq!(choice.decide(&[down(), syncing], start).active, 0);
    assert_eq!(choice.decide(&[down(), down()], start).active, 0);
}

#[test]
fn a_preferred_node_is_returned_to_when_it_was_good_for_half_a_minute_without_a_break() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    assert_eq!(choice.decide(&[down(), on(1)], start).active, 1);
    assert_eq!(choice.decide(&[on(1), on(1)], start + S).active, 1);
    assert_eq!(choice.decide(&[down(), on(1)], start + 20 * S).active, 1);
    let decision = choice.decide(&[on(1), on(1)], start + 21 * S);
    assert_eq!(decision.due, Some(start + 21 * S + STEADY));
    let before = start + 20 * S + STEADY;
    assert_eq!(choice.decide(&[on(1), on(1)], before).active, 1);
    assert_eq!(choice.decide(&[on(1), on(1)], before + S).active, 0);
}

#[test]
fn a_node_that_fails_soon_after_each_return_has_to_prove_itself_for_longer_and_longer() {
    let mut now = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    let mut proofs = Vec::new();
    for _ in 0..7 {
        assert_eq!(choice.decide(&[down(), on(1)], now).active, 1);
        let decision = choice.decide(&[on(1), on(1)], now);
        let back = decision.due.expect("it will be returned to");
        proofs.push(back - now);
        assert_eq!(choice.decide(&[on(1), on(1)], back).active, 0);
        now = back + S;
    }
    assert_eq!(
        proofs,
        [30, 60, 120, 240, 480, 600, 600].map(Duration::from_secs)
    );
    // What has been good for long begins anew.
    now += SOON;
    assert_eq!(choice.decide(&[down(), on(1)], now).active, 1);
    assert_eq!(choice.decide(&[on(1), on(1)], now).due, Some(now + STEADY));
}

#[test]
fn a_chain_that_is_behind_and_goes_on_is_left_all_the_same() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    for n in 1..8_u8 {
        let now = start + u32::from(n - 1) * S / 4;
        let named = Standing {
            claim: Claim::Unproven,
            ..on(n)
        };
        choice.decide(&[named, on(90)], now);
        let decision = choice.decide(&[on(n), on(90)], now);
        assert_eq!(decision.active, usize::from(now >= start + PATIENCE), "{n}");
    }
}

#[test]
fn more_verified_work_elsewhere_wins_after_the_time_that_a_block_takes_to_arrive() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    let decision = choice.decide(&[on(1), on(2)], start);
    assert_eq!((decision.active, decision.due), (0, Some(start + PATIENCE)));
    let decision = choice.decide(&[on(1), on(2)], start + PATIENCE);
    assert_eq!((decision.active, decision.fitness[0]), (1, Fitness::Behind));
    // It has caught up, and has to be steady first.
    assert_eq!(
        choice.decide(&[on(2), on(2)], start + 2 * PATIENCE).active,
        1
    );
}

#[test]
fn a_node_that_catches_up_in_time_stays_and_has_all_the_time_again() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    for n in 1..20 {
        let at = start + PATIENCE * u32::from(n);
        assert_eq!(choice.decide(&[on(n), on(n + 1)], at).active, 0);
        assert_eq!(
            choice
                .decide(&[on(n + 1), on(n + 1)], at + PATIENCE / 2)
                .active,
            0
        );
    }
}

#[test]
fn equal_work_on_another_tip_changes_nothing_however_long_it_lasts() {
    let start = Instant::now();
    let other = Standing {
        tip: Some(block(9)),
        ..on(1)
    };
    for active in [0, 1] {
        let mut choice = Choice::new(2, active, STEADY);
        for minutes in 0..100 {
            let at = start + 60 * S * minutes;
            assert_eq!(choice.decide(&[on(1), other], at).active, active);
        }
    }
}

#[test]
fn what_was_not_verified_counts_for_nothing_and_what_was_refused_speaks_against_the_node() {
    let start = Instant::now();
    for claim in [Claim::Unproven, Claim::Refused] {
        let mut choice = Choice::new(2, 0, STEADY);
        let liar = Standing { claim, ..on(200) };
        for minutes in 0..10 {
            let at = start + 60 * S * minutes;
            assert_eq!(choice.decide(&[on(1), liar], at).active, 0, "{claim:?}");
        }
    }
    let mut choice = Choice::new(2, 0, STEADY);
    let liar = Standing {
        claim: Claim::Refused,
        ..on(200)
    };
    assert_eq!(choice.decide(&[liar, on(1)], start).active, 1);
}

#[test]
fn of_two_in_reserve_the_one_whose_tip_was_verified_is_taken() {
    let mut choice = Choice::new(3, 0, STEADY);
    let unproven = Standing {
        claim: Claim::Unproven,
        ..on(200)
    };
    let decision = choice.decide(&[down(), unproven, on(1)], Instant::now());
    assert_eq!(decision.active, 2);
}

#[test]
fn a_new_tip_of_the_node_in_use_is_no_reason_to_leave_it_before_it_is_verified() {
    let mut choice = Choice::new(2, 0, STEADY);
    let new = Standing {
        claim: Claim::Unproven,
        ..on(2)
    };
    assert_eq!(choice.decide(&[new, on(1)], Instant::now()).active, 0);
}

#[test]
fn a_node_without_templates_is_left_and_its_failure_is_forgotten_after_a_minute() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    let failing = |last| Standing {
        no_template: Some(NoTemplate { since: start, last }),
        ..on(1)
    };
    assert_eq!(choice.decide(&[failing(start), on(1)], start).active, 0);
    let at = start + PATIENCE;
    let decision = choice.decide(&[failing(at), on(1)], at);
    assert_eq!(
        (decision.active, decision.fitness[0]),
        (1, Fitness::NoTemplate)
    );
    let decision = choice.decide(&[failing(at), on(1)], at + FORGET / 2);
    assert_eq!(decision.fitness[0], Fitness::NoTemplate);
    let decision = choice.decide(&[failing(at), on(1)], at + FORGET);
    assert_eq!((decision.active, decision.fitness[0]), (1, Fitness::Good));
    let decision = choice.decide(&[failing(at), on(1)], at + FORGET + STEADY);
    assert_eq!(decision.active, 0);
}

#[test]
fn a_preferred_node_that_hears_of_each_block_a_little_later_is_steady_all_the_same() {
    let start = Instant::now();
    let mut choice = Choice::new(2, 0, STEADY);
    assert_eq!(choice.decide(&[down(), on(1)], start).active, 1);
    for n in 1..=31_u8 {
        let at = start + S * u32::from(n);
        choice.decide(&[on(n), on(n + 1)], at);
        choice.decide(&[on(n + 1), on(n + 1)], at + S / 2);
    }
    assert_eq!(choice.active, 0);
}

fn standings() -> impl Strategy<Value = Vec<(u8, u8, u8, bool, bool)>> {
    prop::collection::vec((0_u8..4, 0_u8..3, 1_u8..4, any::<bool>(), any::<bool>()), 3)
}

fn standing(of: (u8, u8, u8, bool, bool), at: Instant) -> Standing {
    let (says, claim, tip, asked, fails) = of;
    Standing {
        says: [Says::Nothing, Says::Down, Says::Syncing, Says::Ready][usize::from(says)],
        asked_at: asked.then_some(at),
        tip: Some(block(tip)),
        claim: [Claim::Unproven, Claim::Refused, Claim::Proven(work(tip))][usize::from(claim)],
        no_template: fails.then_some(NoTemplate {
            since: at,
            last: at,
        }),
    }
}

proptest! {
    #[test]
    fn whatever_the_nodes_do_a_good_one_is_in_use_where_there_is_one_and_changes_have_a_reason(
        rounds in prop::collection::vec((standings(), 0_u64..5_000), 1..60)
    ) {
        let mut now = Instant::now();
        let mut choice = Choice::new(3, 0, STEADY);
        let mut before = 0;
        for (nodes, wait) in rounds {
            let since = now;
            let nodes: Vec<_> = nodes.into_iter().map(|of| standing(of, since)).collect();
            now += Duration::from_millis(wait);
            let decision = choice.decide(&nodes, now);
            let (active, ranks) = (decision.active, &decision.fitness);
            if decision.fitness[before] != Fitness::Unknown {
                let best = ranks.iter().map(|fitness| fitness.rank()).max().expect("three");
                prop_assert_eq!(ranks[active].rank(), best);
            }
            if active != before {
                let better = ranks[active].rank() > ranks[before].rank();
                prop_assert!(better || (active < before && nodes[active].tip == nodes[before].tip));
            }
            prop_assert!(decision.due.is_none_or(|due| due > now));
            // Left alone, it comes to rest: what it waits for passes.
            let mut later = now;
            let mut looks = 0;
            let mut rest = Choice::new(3, active, STEADY);
            while let Some(due) = rest.decide(&nodes, later).due {
                prop_assert!(due > later);
                later = due;
                looks += 1;
                prop_assert!(looks < 50);
            }
            before = active;
        }
    }
}
