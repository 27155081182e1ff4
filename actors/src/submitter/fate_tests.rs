//! The rules one by one; every order of answers and crashes is in `journal/model_tests.rs`.

use super::*;

const RACE: Duration = Duration::from_mins(1);
const START: Duration = Duration::ZERO;

fn answer(meaning: Meaning, reason: &str) -> Answer {
    Answer {
        meaning,
        reason: reason.to_owned(),
    }
}

fn released(nodes: usize) -> Fate {
    Fate::new(100, nodes, RACE).step(Event::Journalled, START).0
}

/// Steps through events at time zero and gives the effects of the last.
fn after(fate: Fate, events: impl IntoIterator<Item = Event>) -> (Fate, Vec<Effect>) {
    events
        .into_iter()
        .fold((fate, Vec::new()), |(fate, _), event| {
            fate.step(event, START)
        })
}

#[test]
fn nothing_is_sent_before_the_journal_and_all_at_once_after() {
    let fate = Fate::new(100, 2, RACE);
    for event in [Event::Journalled, Event::JournalLate] {
        let (sent, effects) = fate.clone().step(event, START);
        assert_eq!(effects, [Effect::Send(0), Effect::Send(1)]);
        let (_, effects) = sent.step(Event::Journalled, START);
        assert_eq!(effects, [], "nor twice when the disk comes round");
    }
}

#[test]
fn the_first_acceptance_settles_and_the_other_node_is_still_followed() {
    let (fate, effects) = after(
        released(2),
        [Event::Answered(1, answer(Meaning::Accepted, ""))],
    );
    let accepted = Effect::Note(1, NodeFate::Accepted, String::new());
    assert_eq!(effects, [accepted, Effect::Settle(End::Accepted)]);
    assert!(!fate.is_over());
    let (fate, effects) = after(
        fate,
        [Event::Answered(
            0,
            answer(Meaning::Rejected, "bad-cb-amount"),
        )],
    );
    assert_eq!(
        effects,
        [Effect::Note(
            0,
            NodeFate::Rejected,
            "bad-cb-amount".to_owned()
        )]
    );
    assert!(fate.is_over());
}

#[test]
fn one_refusal_does_not_settle_while_another_node_is_silent() {
    let rejected = |index, reason| Event::Answered(index, answer(Meaning::Rejected, reason));
    let (fate, effects) = after(released(2), [rejected(0, "high-hash")]);
    assert_eq!(
        effects,
        [Effect::Note(0, NodeFate::Rejected, "high-hash".to_owned())]
    );
    let (_, effects) = after(fate, [rejected(1, "bad-cb-height")]);
    assert_eq!(
        effects[1],
        Effect::Settle(End::Rejected("high-hash".to_owned()))
    );
}

#[test]
fn a_duplicate_counts_as_accepted_only_after_a_look_up() {
    let duplicate = Event::Answered(0, answer(Meaning::Doubt(Absent::Resend), "duplicate"));
    let (fate, effects) = after(released(1), [duplicate]);
    assert_eq!(effects, [Effect::LookUp(0)]);
    let (_, effects) = after(fate.clone(), [Event::LookedUp(0, Known::Active)]);
    assert_eq!(effects[1], Effect::Settle(End::Accepted));
    let (_, effects) = after(fate.clone(), [Event::LookedUp(0, Known::Invalid)]);
    assert_eq!(
        effects[1],
        Effect::Settle(End::Rejected("duplicate".to_owned()))
    );
    let (_, effects) = after(fate, [Event::LookedUp(0, Known::Nothing)]);
    assert!(matches!(effects[1], Effect::Pause(0, 1, _)), "{effects:?}");
}

#[test]
fn a_block_that_the_node_holds_to_be_invalid_is_rejected_unless_it_is_active() {
    let invalid = answer(Meaning::Doubt(Absent::Invalid), "duplicate-invalid");
    let (fate, _) = after(released(1), [Event::Answered(0, invalid)]);
    let rejected = Effect::Settle(End::Rejected("duplicate-invalid".to_owned()));
    for known in [Known::Side { tip: 100 }, Known::Invalid, Known::Nothing] {
        let (_, effects) = after(fate.clone(), [Event::LookedUp(0, known)]);
        assert_eq!(effects[1], rejected);
    }
    let (_, effects) = after(fate, [Event::LookedUp(0, Known::Active)]);
    assert_eq!(effects[1], Effect::Settle(End::Accepted));
}

#[test]
fn a_side_block_is_stale_once_its_rival_has_a_child_or_the_race_has_lasted_too_long() {
    let inconclusive = Event::Answered(0, answer(Meaning::Doubt(Absent::Resend), "inconclusive"));
    let side = |tip| Event::LookedUp(0, Known::Side { tip });
    let (racing, effects) = after(released(1), [inconclusive, side(100)]);
    assert!(matches!(effects[1], Effect::Pause(0, 1, _)), "{effects:?}");
    let (asking, effects) = racing.step(Event::Due(0, 1), START);
    assert_eq!(effects, [Effect::LookUp(0)]);
    let (_, effects) = asking.clone().step(side(101), START);
    assert_eq!(effects[1], Effect::Settle(End::Stale));
    let (_, effects) = asking
        .clone()
        .step(Event::LookedUp(0, Known::Active), START);
    assert_eq!(
        effects[1],
        Effect::Settle(End::Accepted),
        "the race can be won"
    );
    let (_, effects) = asking.clone().step(side(100), Duration::from_secs(59));
    assert!(matches!(effects[1], Effect::Pause(0, 2, _)), "{effects:?}");
    let (_, effects) = asking.step(side(100), RACE);
    assert_eq!(effects[1], Effect::Settle(End::Stale));
}

#[test]
fn a_node_that_is_back_is_given_what_it_missed_without_a_long_pause() {
    // The connection broke while it took the block, and it has not answered for long.
    let doubt = Event::Answered(0, answer(Meaning::Doubt(Absent::Resend), "no answer"));
    let silent = || Event::LookedUp(0, Known::NoAnswer("refused".to_owned()));
    let (mut fate, _) = after(released(1), [doubt, silent()]);
    for pause in 1..=10 {
        (fate, _) = after(fate, [Event::Due(0, pause), silent()]);
    }
    let (asking, effects) = after(fate.clone(), [Event::Nudge(0)]);
    assert_eq!(effects, [Effect::LookUp(0)]);
    let (pausing, effects) = after(asking, [Event::LookedUp(0, Known::Nothing)]);
    assert_eq!(effects[1], Effect::Pause(0, 12, FIRST_PAUSE));
    let (_, effects) = after(pausing.clone(), [Event::Due(0, 12)]);
    assert_eq!(effects, [Effect::Send(0)]);

    // It is back while it is being asked.
    let (asking, _) = after(fate, [Event::Due(0, 11), Event::Nudge(0)]);
    let (_, effects) = after(asking, [silent()]);
    assert_eq!(effects[1], Effect::Pause(0, 12, FIRST_PAUSE));

    // One good moment makes one pause short.
    let doubt = Event::Answered(0, answer(Meaning::Doubt(Absent::Resend), "no answer"));
    let (_, effects) = after(pausing, [Event::Due(0, 12), doubt, silent()]);
    assert_eq!(effects[1], Effect::Pause(0, 13, LONGEST_PAUSE));
}

#[test]
fn a_node_that_is_gone_for_good_does_not_keep_a_stale_block_open() {
    let side = Event::LookedUp(0, Known::Side { tip: 101 });
    let doubt = Event::Answered(0, answer(Meaning::Doubt(Absent::Resend), "inconclusive"));
    let (mut fate, effects) = after(released(2), [doubt, side]);
    assert!(!effects.contains(&Effect::Settle(End::Stale)));
    let mut tries = 0;
    loop {
        let down = Event::Answered(1, answer(Meaning::NotYet, "connection refused"));
        let (next, effects) = after(fate, [down]);
        tries += 1;
        fate = next;
        if effects.contains(&Effect::Settle(End::Stale)) {
            break;
        }
        assert!(tries < 20, "never settled");
        (fate, _) = after(fate, [Event::Due(1, tries)]);
    }
    assert_eq!(tries, MANY);
    assert!(!fate.is_over(), "it is offered to that node all the same");
}

#[test]
fn a_refusal_that_may_be_an_accident_is_believed_at_the_fourth_time() {
    let mut fate = released(1);
    let refused = || Event::Answered(0, answer(Meaning::Refused, "bad-witness-merkle-match"));
    for pause in 1..REFUSALS {
        let (next, effects) = after(fate, [refused(), Event::Due(0, pause)]);
        assert_eq!(effects, [Effect::Send(0)]);
        fate = next;
    }
    let (_, effects) = after(fate, [refused()]);
    let reason = "bad-witness-merkle-match".to_owned();
    assert_eq!(effects[1], Effect::Settle(End::Rejected(reason)));
}

#[test]
fn pauses_double_up_to_their_bound_and_never_end() {
    let mut fate = released(1);
    let mut pauses = Vec::new();
    for _ in 0..100 {
        let (next, effects) = after(fate, [Event::Answered(0, answer(Meaning::NotYet, "down"))]);
        let Effect::Pause(0, number, time) = effects[1] else {
            panic!("{effects:?}")
        };
        pauses.push(time);
        fate = after(next, [Event::Due(0, number)]).0;
    }
    assert_eq!(pauses[..3], [50, 100, 200].map(Duration::from_millis));
    assert_eq!(pauses[99], LONGEST_PAUSE);
    assert!(pauses.is_sorted());
}

#[test]
fn a_nudge_ends_a_pause_and_its_timer_then_does_nothing() {
    let not_yet = || Event::Answered(0, answer(Meaning::NotYet, "prev-blk-not-found"));
    let (fate, effects) = after(released(1), [not_yet(), Event::Nudge(0)]);
    assert_eq!(effects, [Effect::Send(0)]);
    let (fate, effects) = after(fate, [not_yet(), Event::Due(0, 1)]);
    assert_eq!(
        effects,
        [],
        "the first pause's timer does not end the second"
    );
    assert_eq!(after(fate, [Event::Due(0, 2)]).1, [Effect::Send(0)]);
}

#[test]
fn a_block_from_the_journal_is_not_sent_again_to_a_node_that_has_decided() {
    let rejected = Some((NodeFate::Rejected, "high-hash".to_owned()));
    let unknown = Some((NodeFate::Unknown, "down".to_owned()));
    let resumed = Fate::resume(100, vec![rejected, unknown, None], RACE);
    let (_, effects) = resumed.step(Event::Journalled, START);
    assert_eq!(effects, [Effect::Send(1), Effect::Send(2)]);
    let accepted = Some((NodeFate::Accepted, String::new()));
    let resumed = Fate::resume(100, vec![accepted, None], RACE);
    let (_, effects) = resumed.step(Event::Journalled, START);
    assert_eq!(
        effects,
        [Effect::Send(1), Effect::Settle(End::Accepted)],
        "the end was not written"
    );
}

#[test]
fn a_block_that_nobody_has_is_told_from_one_in_a_race() {
    let not_yet = |index| Event::Answered(index, answer(Meaning::NotYet, "busy"));
    let fate = released(2);
    assert_eq!(fate.nobody_has_it(), None, "being sent for the first time");
    let (fate, _) = after(fate, [not_yet(1)]);
    assert_eq!(fate.nobody_has_it(), Some("busy"));
    let refused = Event::Answered(1, answer(Meaning::Rejected, "high-hash"));
    let (of_other, _) = after(fate.clone(), [not_yet(0), Event::Due(1, 1), refused]);
    assert_eq!(
        of_other.nobody_has_it(),
        Some("busy"),
        "the other node's word"
    );
    let doubt = || Event::Answered(0, answer(Meaning::Doubt(Absent::Resend), "inconclusive"));
    let (racing, _) = after(
        fate.clone(),
        [doubt(), Event::LookedUp(0, Known::Side { tip: 100 })],
    );
    assert_eq!(racing.nobody_has_it(), None);
    let (stale, _) = after(
        fate.clone(),
        [doubt(), Event::LookedUp(0, Known::Side { tip: 101 })],
    );
    assert_eq!(stale.nobody_has_it(), None);
    let accepted = Event::Answered(0, answer(Meaning::Accepted, ""));
    assert_eq!(after(fate, [accepted]).0.nobody_has_it(), None);
}
