//! Rules one by one, then every order of answers and crashes for two nodes.

use std::collections::{HashMap, HashSet, VecDeque};

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

/// What the world can do to a block in a state: every answer to every open question.
fn possible_events(fate: &Fate) -> Vec<(Event, Duration)> {
    let mut events = vec![(Event::Journalled, START), (Event::JournalLate, START)];
    let meanings = [
        Meaning::Accepted,
        Meaning::Rejected,
        Meaning::Doubt(Absent::Resend),
        Meaning::Doubt(Absent::Stale),
        Meaning::Doubt(Absent::Refused),
        Meaning::Doubt(Absent::Invalid),
        Meaning::NotYet,
        Meaning::Refused,
    ];
    let knowns = [
        Known::Active,
        Known::Side { tip: 100 },
        Known::Side { tip: 101 },
        Known::Invalid,
        Known::HeaderOnly,
        Known::Nothing,
        Known::NoAnswer("down".to_owned()),
    ];
    for (index, node) in fate.nodes.iter().enumerate() {
        // Questions that were not asked are answered too, once: what comes late must change nothing.
        let answers = if node.phase == Phase::Sending {
            meanings.len()
        } else {
            1
        };
        for meaning in &meanings[..answers] {
            let answered = Event::Answered(index, answer(meaning.clone(), "word"));
            events.push((answered, START));
        }
        let asked = matches!(node.phase, Phase::LookingUp(_));
        for known in &knowns[..if asked { knowns.len() } else { 1 }] {
            events.push((Event::LookedUp(index, known.clone()), START));
        }
        if asked {
            events.push((Event::LookedUp(index, Known::Side { tip: 100 }), RACE));
        }
        events.push((Event::Due(index, fate.nodes[index].pauses), START));
        events.push((Event::Nudge(index), START));
    }
    events
}

/// A block with what is on disk of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    fate: Fate,
    /// Whether its finding is on disk.
    filed: bool,
    /// Final fates on disk.
    notes: Vec<Option<NodeFate>>,
    /// Whether its end is on disk.
    settled: bool,
}

impl World {
    /// What only lengthens pauses or fills messages is cut off, so that there are few worlds.
    fn folded(mut self) -> Self {
        for node in &mut self.fate.nodes {
            node.pauses = 0;
            node.word.clear();
            if node.refusals == 1 {
                node.refusals = REFUSALS - 2;
            }
            if let Phase::Done(_, reason) = &mut node.phase {
                reason.clear();
            }
        }
        if let Some(End::Rejected(reason)) = &mut self.fate.end {
            reason.clear();
        }
        self
    }

    /// Applies an event; each of its records reaches the disk or dies in a crash right after.
    fn next(&self, event: Event, now: Duration) -> Vec<Self> {
        let journalled = event == Event::Journalled;
        let (fate, effects) = self.fate.clone().step(event, now);
        check_effects(self, &fate, &effects);
        let mut world = Self {
            fate,
            ..self.clone()
        };
        world.filed |= journalled;
        let mut worlds = Vec::new();
        for effect in effects {
            worlds.extend(world.crashed());
            match effect {
                Effect::Note(index, fate, _) if fate.is_final() => {
                    world.notes[index] = Some(fate);
                }
                Effect::Settle(_) => world.settled = true,
                _ => {}
            }
        }
        worlds.extend(world.crashed());
        worlds.push(world.folded());
        worlds
    }

    /// The world after a crash and a start: only what is on disk is left.
    fn crashed(&self) -> Option<Self> {
        if !self.filed || self.settled {
            // Not on disk: only the process knew of it, and said so loudly. Settled: not sent again.
            return None;
        }
        let fates = self
            .notes
            .iter()
            .map(|fate| fate.map(|fate| (fate, "word".to_owned())));
        let fate = Fate::resume(self.fate.height, fates.collect(), self.fate.race_limit);
        Some(Self {
            fate,
            ..self.clone()
        })
    }
}

fn check_effects(before: &World, after: &Fate, effects: &[Effect]) {
    let is_done = |fate: &Fate, index: usize| matches!(fate.nodes[index].phase, Phase::Done(..));
    let settles = effects
        .iter()
        .filter(|e| matches!(e, Effect::Settle(_)))
        .count();
    assert!(
        settles <= usize::from(before.fate.end.is_none()),
        "settled twice: {before:?}"
    );
    for effect in effects {
        match effect {
            Effect::Send(index) | Effect::LookUp(index) | Effect::Pause(index, ..) => {
                assert!(
                    !is_done(&before.fate, *index),
                    "asked again after its verdict: {before:?}"
                );
            }
            Effect::Note(index, fate, _) => {
                assert_eq!(fate.is_final(), is_done(after, *index));
            }
            Effect::Settle(end) => {
                let accepted = after
                    .nodes
                    .iter()
                    .any(|n| matches!(n.phase, Phase::Done(NodeFate::Accepted, _)));
                assert_eq!(*end == End::Accepted, accepted, "{after:?}");
                let all_done = (0..after.nodes.len()).all(|index| is_done(after, index));
                assert!(
                    accepted || all_done,
                    "given up while a node was open: {after:?}"
                );
            }
        }
    }
    // Nothing is ever forgotten: what is not done has a question open or a timer running.
    for (index, node) in after.nodes.iter().enumerate() {
        let was = &before.fate.nodes[index].phase;
        let started = |e: &Effect| match (e, &node.phase) {
            (Effect::Send(i), Phase::Sending)
            | (Effect::LookUp(i), Phase::LookingUp(_))
            | (Effect::Pause(i, ..), Phase::Pausing(_)) => *i == index,
            _ => false,
        };
        let waits = matches!(node.phase, Phase::Held | Phase::Done(..));
        assert!(
            waits || *was == node.phase || effects.iter().any(started),
            "{was:?} became {:?} without {effects:?}",
            node.phase
        );
    }
}

#[test]
fn every_order_of_answers_and_crashes_ends_in_one_settlement_or_keeps_asking() {
    let start = World {
        fate: Fate::new(100, 2, RACE),
        filed: false,
        notes: vec![None, None],
        settled: false,
    };
    let mut seen: HashMap<World, usize> = HashMap::from([(start.clone(), 0)]);
    let mut worlds = vec![start.clone()];
    let mut edges: HashSet<(usize, usize)> = HashSet::new();
    let mut queue = VecDeque::from([start]);
    while let Some(world) = queue.pop_front() {
        let from = seen[&world];
        for (event, now) in possible_events(&world.fate) {
            for next in world.next(event, now) {
                let to = *seen.entry(next.clone()).or_insert_with(|| {
                    worlds.push(next.clone());
                    queue.push_back(next.clone());
                    worlds.len() - 1
                });
                edges.insert((to, from));
            }
        }
    }
    assert!(worlds.len() > 1000, "only {} worlds", worlds.len());

    // From everywhere, settlement is within reach: walk back from the worlds where all is over.
    let mut back: HashMap<usize, Vec<usize>> = HashMap::new();
    for (to, from) in edges {
        back.entry(to).or_default().push(from);
    }
    let over = |world: &World| world.settled && world.fate.is_over();
    let mut reached: HashSet<usize> = worlds
        .iter()
        .enumerate()
        .filter(|(_, world)| over(world))
        .map(|(i, _)| i)
        .collect();
    let mut queue: VecDeque<usize> = reached.iter().copied().collect();
    while let Some(at) = queue.pop_front() {
        for from in back.get(&at).into_iter().flatten() {
            if reached.insert(*from) {
                queue.push_back(*from);
            }
        }
    }
    let stuck = worlds
        .iter()
        .enumerate()
        .find(|(i, _)| !reached.contains(i));
    assert_eq!(stuck, None);
    // Before the journal nothing goes out, in no world.
    for world in worlds.iter().filter(|world| !world.filed) {
        let late = world.fate.nodes.iter().any(|n| n.phase != Phase::Held);
        assert!(!late || world.fate.nodes.iter().all(|n| n.phase != Phase::Held));
    }
}
