//! A model of a found block's way, in every state that it can be in.
//!
//! Real are the machine of a block's fate and what the journal's records add up to; modelled are the outbox,
//! the queue of records in memory, the disk, the nodes and the crashes. A world is all of that at one moment. From the
//! world in which the block lies in the outbox, every world that can follow is visited, breadth first:
//!
//! - the submitter takes the block, a record reaches the disk, the journal's deadline passes;
//! - a node gives any answer to any open question, a pause ends, a node is back; and what nobody asked any more is
//!   answered too;
//! - before each single effect of each of these the submitter dies (memory stays), or the process (only the disk
//!   stays). A submitter that is abandoned is one that dies: the next effect finds its generation revoked.
//!
//! | promise | where it is checked |
//! |---|---|
//! | nothing is given to a node before it is on disk, unless the deadline has passed | `Model::carry_out` |
//! | a block is settled once, and accepted only if a node has said so | `Model::carry_out` |
//! | stale or rejected only when each node has decided, or for stale is out of reach | `Model::carry_out` |
//! | a node that has decided is asked no more | `Model::carry_out` |
//! | a block is lost only with the process, and only if it was not on disk | `World::is_kept` |
//! | what is open is given to every node that has not decided, after any death | `Model::start` |
//! | nothing is asked twice without a pause in between | `World::after_event` |
//! | what is not decided has a question open or a timer running | `World::is_awake` |
//! | from everywhere the end is within reach | `explore` |
#![allow(clippy::print_stdout)]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime};

use super::entry::{BlockEnd, NodeFate, Replay};
use super::fake::block;
use super::record::{AnswerRecord, FoundRecord, Record};
use crate::submitter::answer::{Absent, Answer, Meaning};
use crate::submitter::fate::{
    Effect, End, Event, Fate, Known, MANY, NodeIndex, OneNode, Phase, REFUSALS,
};

const HEIGHT: u32 = 100;
const RACE: Duration = Duration::from_mins(1);
const START: Duration = Duration::ZERO;
const NAMES: [&str; 2] = ["first", "second"];

/// A record of which the fate depends; what only people read is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Line {
    Found,
    Answer(NodeIndex, NodeFate),
    Settled(BlockEnd),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    in_outbox: bool,
    /// Records in memory, in the order in which they will be written.
    queue: Vec<Line>,
    /// Records on disk.
    disk: Vec<Line>,
    /// The submitter's machine; none before it took the block and after all is over.
    fate: Option<Fate>,
    /// The journal's deadline has passed.
    late: bool,
    /// The process died before the block was on disk.
    lost: bool,
}

/// The world in which a thread has just found the block.
fn found() -> World {
    World {
        in_outbox: true,
        queue: Vec::new(),
        disk: Vec::new(),
        fate: None,
        late: false,
        lost: false,
    }
}

impl World {
    /// What the journal says as long as the process lives.
    fn memory(&self) -> Vec<Line> {
        [&self.disk[..], &self.queue].concat()
    }

    fn end_in_memory(&self) -> Option<BlockEnd> {
        self.memory().into_iter().find_map(|line| match line {
            Line::Settled(end) => Some(end),
            _ => None,
        })
    }

    fn nodes(&self) -> &[OneNode] {
        self.fate.as_ref().map_or(&[], |fate| &fate.nodes)
    }

    fn nodes_mut(&mut self) -> &mut [OneNode] {
        self.fate.as_mut().map_or(&mut [], |fate| &mut fate.nodes)
    }

    fn is_kept(&self) -> bool {
        self.in_outbox || self.memory().contains(&Line::Found) || self.lost
    }

    fn is_over(&self) -> bool {
        self.lost
            || (!self.in_outbox
                && self.queue.is_empty()
                && self.fate.is_none()
                && self.end_in_memory().is_some())
    }

    /// Each node that has not decided waits for the journal, for an answer or for a timer.
    fn is_awake(&self) -> bool {
        let open = self.memory().contains(&Line::Found) && self.end_in_memory().is_none();
        !open || self.fate.is_some()
    }
}

/// How far a node's question is from the next pause.
fn steps_to_pause(phase: &Phase) -> u32 {
    match phase {
        Phase::Sending => 2,
        Phase::LookingUp(_) => 1,
        Phase::Held | Phase::Pausing(_) | Phase::Done(..) => 0,
    }
}

fn is_done(fate: &Fate, index: NodeIndex) -> bool {
    matches!(fate.nodes[index].phase, Phase::Done(..))
}

/// Any order of nodes.
fn order(node: &OneNode) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&node.phase, node.pauses, node.refusals, node.racing_since).hash(&mut hasher);
    hasher.finish()
}

/// The world without what decides nothing: words, how long a pause is, which of two nodes is which, an outbox or
/// a deadline that nobody looks at any more. Of pauses only whether there were many matters, of refusals whether the
/// next is the last; from few there are at any time many, so that it is up to two worlds.
fn folded(mut world: World) -> Vec<World> {
    world.in_outbox &= !world.memory().contains(&Line::Found);
    world.late &= !world.disk.contains(&Line::Found);
    let Some(fate) = &mut world.fate else {
        return vec![world];
    };
    for node in &mut fate.nodes {
        node.word.clear();
        node.nudged = false;
        node.refusals = if node.refusals > 0 { REFUSALS - 1 } else { 0 };
        if let Phase::Done(_, reason) = &mut node.phase {
            reason.clear();
        }
    }
    if let Some(End::Rejected(reason)) = &mut fate.end {
        reason.clear();
    }
    if fate.nodes.first().map(order) > fate.nodes.last().map(order) {
        fate.nodes.reverse();
        let last = fate.nodes.len() - 1;
        for line in world.queue.iter_mut().chain(&mut world.disk) {
            if let Line::Answer(index, _) = line {
                *index = last - *index;
            }
        }
    }
    let mut worlds = vec![world];
    for index in 0..worlds[0].nodes().len() {
        for at in 0..worlds.len() {
            let pauses = worlds[at].nodes()[index].pauses;
            if pauses > 0 && pauses < MANY {
                let mut few = worlds[at].clone();
                few.nodes_mut()[index].pauses = 0;
                worlds.push(few);
            }
            if pauses > 0 {
                worlds[at].nodes_mut()[index].pauses = MANY;
            }
        }
    }
    worlds
}

/// All that can happen to a machine: every answer to every open question, one answer that nobody waits for, timers.
fn events(fate: &Fate) -> Vec<(Event, Duration)> {
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
        Known::Side { tip: HEIGHT },
        Known::Side { tip: HEIGHT + 1 },
        Known::Invalid,
        Known::HeaderOnly,
        Known::Nothing,
        Known::NoAnswer(String::new()),
    ];
    let mut events = Vec::new();
    for (index, node) in fate.nodes.iter().enumerate() {
        let sending = node.phase == Phase::Sending;
        for meaning in &meanings[..if sending { meanings.len() } else { 1 }] {
            let reason = String::new();
            let meaning = meaning.clone();
            events.push((Event::Answered(index, Answer { meaning, reason }), START));
        }
        let asking = matches!(node.phase, Phase::LookingUp(_));
        for known in &knowns[..if asking { knowns.len() } else { 1 }] {
            events.push((Event::LookedUp(index, known.clone()), START));
        }
        if asking {
            let side = Known::Side { tip: HEIGHT };
            events.push((Event::LookedUp(index, side), RACE));
        }
        events.push((Event::Due(index, node.pauses), START));
        events.push((Event::Nudge(index), START));
    }
    events
}

struct Model {
    nodes: usize,
    found: FoundRecord,
    /// What starts were worked out already.
    starts: RefCell<HashMap<Vec<Line>, Option<Fate>>>,
}

impl Model {
    fn new(nodes: usize) -> Self {
        Self {
            nodes,
            found: FoundRecord::of(&block(HEIGHT, 0)),
            starts: RefCell::default(),
        }
    }

    fn record(&self, line: Line) -> Record {
        let (hash, at) = (self.found.hash(), SystemTime::UNIX_EPOCH);
        match line {
            Line::Found => Record::Found(self.found.clone()),
            Line::Answer(index, fate) => Record::Answer(AnswerRecord {
                hash,
                node: NAMES[index].into(),
                fate,
                reason: String::new(),
                raw: String::new(),
                at,
            }),
            Line::Settled(end) => Record::Settled {
                hash,
                end,
                reason: String::new(),
                at,
            },
        }
    }

    /// The machine with which a submitter starts.
    fn restarted(&self, lines: &[Line]) -> Option<Fate> {
        if let Some(known) = self.starts.borrow().get(lines) {
            return known.clone();
        }
        let fate = self.start(lines);
        self.starts
            .borrow_mut()
            .insert(lines.to_vec(), fate.clone());
        fate
    }

    /// The same from what the records add up to; then it gives the block to everybody who has not decided.
    fn start(&self, lines: &[Line]) -> Option<Fate> {
        let mut replay = Replay::default();
        for line in lines {
            replay.apply(&self.record(*line));
        }
        let entry = replay.entries.remove(&self.found.hash())?;
        if entry.settled.is_some() {
            return None;
        }
        let fates = NAMES[..self.nodes].iter().map(|name| {
            let node = entry.nodes.iter().find(|node| &*node.name == *name)?;
            node.answer.clone()
        });
        let fate = Fate::resume(HEIGHT, fates.collect(), RACE);
        let (_, effects) = fate.clone().step(Event::Journalled, START);
        let settles = effects.iter().any(|e| matches!(e, Effect::Settle(_)));
        for index in 0..self.nodes {
            let decided = is_done(&fate, index);
            let sent = effects.contains(&Effect::Send(index));
            assert_eq!(sent, !decided, "{lines:?} starts {fate:?}");
        }
        let all_decided = (0..self.nodes).all(|index| is_done(&fate, index));
        assert!(settles || !all_decided, "{lines:?} starts {fate:?}");
        Some(fate)
    }

    /// The worlds after a death at this moment: of the submitter, and of the process.
    fn deaths(&self, world: &World) -> [World; 2] {
        let submitter = World {
            fate: self.restarted(&world.memory()),
            ..world.clone()
        };
        let process = World {
            in_outbox: false,
            queue: Vec::new(),
            fate: self.restarted(&world.disk),
            late: false,
            lost: !world.disk.contains(&Line::Found),
            ..world.clone()
        };
        [submitter, process]
    }

    /// Everything that can follow.
    fn next(&self, world: &World) -> Vec<World> {
        let mut next = Vec::from(self.deaths(world));
        if world.in_outbox {
            let mut taken = world.clone();
            if !taken.memory().contains(&Line::Found) {
                taken.queue.push(Line::Found);
                taken.fate = Some(Fate::new(HEIGHT, self.nodes, RACE));
            }
            // It may die before it takes the block out of the outbox.
            next.extend(self.deaths(&taken));
            taken.in_outbox = false;
            next.push(taken);
        }
        if !world.queue.is_empty() {
            let mut written = world.clone();
            let line = written.queue.remove(0);
            written.disk.push(line);
            next.push(written);
        }
        let Some(fate) = &world.fate else {
            return next;
        };
        if world.disk.contains(&Line::Found) {
            next.extend(self.after_event(world, Event::Journalled, START));
        } else {
            let late = World {
                late: true,
                ..world.clone()
            };
            next.extend(self.after_event(&late, Event::JournalLate, START));
        }
        for (event, now) in events(fate) {
            next.extend(self.after_event(world, event, now));
        }
        next
    }

    /// The worlds after an event, all of its effects carried out or any number of the first of them.
    fn after_event(&self, world: &World, event: Event, now: Duration) -> Vec<World> {
        let Some(before) = world.fate.clone() else {
            return Vec::new();
        };
        let answer = match &event {
            Event::Answered(index, answer) if before.nodes[*index].phase == Phase::Sending => {
                Some((*index, answer.meaning == Meaning::Accepted))
            }
            Event::LookedUp(index, known)
                if matches!(before.nodes[*index].phase, Phase::LookingUp(_)) =>
            {
                Some((*index, *known == Known::Active))
            }
            _ => None,
        };
        let (fate, effects) = before.clone().step(event, now);
        if let Some((index, _)) = answer {
            let steps = |fate: &Fate| steps_to_pause(&fate.nodes[index].phase);
            assert!(
                steps(&fate) < steps(&before),
                "no pause after an answer: {fate:?}"
            );
        }
        for (index, node) in fate.nodes.iter().enumerate() {
            let started = |e: &Effect| match (e, &node.phase) {
                (Effect::Send(i), Phase::Sending)
                | (Effect::LookUp(i), Phase::LookingUp(_))
                | (Effect::Pause(i, ..), Phase::Pausing(_)) => *i == index,
                _ => false,
            };
            let accepted =
                |fate: &Fate| matches!(fate.nodes[index].phase, Phase::Done(NodeFate::Accepted, _));
            assert!(
                !accepted(&fate) || accepted(&before) || answer == Some((index, true)),
                "the node has not accepted it: {fate:?}"
            );
            let waits = matches!(node.phase, Phase::Held | Phase::Done(..));
            let same = before.nodes[index].phase == node.phase;
            assert!(
                waits || same || effects.iter().any(started),
                "nobody will ever ask again: {fate:?}"
            );
        }
        let mut world = World {
            fate: Some(fate),
            ..world.clone()
        };
        let mut next = Vec::new();
        for effect in effects {
            let known = world.queue.len();
            self.carry_out(&mut world, &before, effect);
            // A death before it was among what follows already, and so is one after it unless the journal knows more.
            if world.queue.len() > known {
                next.extend(self.deaths(&world));
            }
        }
        if world.fate.as_ref().is_some_and(Fate::is_over) {
            world.fate = None;
        }
        next.push(world);
        next
    }

    fn carry_out(&self, world: &mut World, before: &Fate, effect: Effect) {
        match effect {
            Effect::Send(index) => {
                let may = world.late || world.disk.contains(&Line::Found);
                assert!(may, "sent before it was on disk: {world:?}");
                assert!(
                    !is_done(before, index),
                    "asked after its verdict: {world:?}"
                );
            }
            Effect::LookUp(index) | Effect::Pause(index, ..) => {
                assert!(
                    !is_done(before, index),
                    "asked after its verdict: {world:?}"
                );
            }
            Effect::Note(index, fate, _) => {
                if fate.is_final() {
                    world.queue.push(Line::Answer(index, fate));
                }
            }
            Effect::Settle(end) => {
                assert_eq!(world.end_in_memory(), None, "settled twice: {world:?}");
                let fate = world.fate.as_ref().expect("it has just settled");
                let undecided = || (0..self.nodes).filter(|index| !is_done(fate, *index));
                let end = match end {
                    End::Accepted => {
                        let accepted = |node: &OneNode| {
                            matches!(node.phase, Phase::Done(NodeFate::Accepted, _))
                        };
                        assert!(fate.nodes.iter().any(accepted), "by nobody: {world:?}");
                        BlockEnd::Accepted
                    }
                    End::Stale => {
                        let mut undecided = undecided();
                        let out_of_reach = undecided.all(|index| fate.nodes[index].pauses >= MANY);
                        assert!(out_of_reach, "given up too early: {world:?}");
                        BlockEnd::Stale
                    }
                    End::Rejected(_) => {
                        assert_eq!(undecided().count(), 0, "given up too early: {world:?}");
                        BlockEnd::Rejected
                    }
                };
                world.queue.push(Line::Settled(end));
            }
        }
    }
}

/// Visits every world; how many there are.
fn explore(nodes: usize) -> usize {
    let model = Model::new(nodes);
    let mut numbers = HashMap::from([(found(), 0)]);
    let mut over = Vec::new();
    let mut back: Vec<Vec<u32>> = vec![Vec::new()];
    let mut queue = VecDeque::from([found()]);
    while let Some(world) = queue.pop_front() {
        let from = numbers[&world];
        assert!(world.is_kept(), "nobody has the block any more: {world:?}");
        assert!(world.is_awake(), "nobody looks after the block: {world:?}");
        if world.is_over() {
            over.push(from);
        }
        if world.lost {
            continue;
        }
        for next in model.next(&world).into_iter().flat_map(folded) {
            let to = if let Some(to) = numbers.get(&next) {
                *to
            } else {
                let number = numbers.len() as u32;
                numbers.insert(next.clone(), number);
                back.push(Vec::new());
                queue.push_back(next);
                number
            };
            if back[to as usize].last() != Some(&from) {
                back[to as usize].push(from);
            }
        }
    }
    // Back from every end.
    let mut reaches = vec![false; numbers.len()];
    for at in &over {
        reaches[*at as usize] = true;
    }
    while let Some(at) = over.pop() {
        for from in &back[at as usize] {
            if !std::mem::replace(&mut reaches[*from as usize], true) {
                over.push(*from);
            }
        }
    }
    let stuck = numbers.iter().find(|(_, at)| !reaches[**at as usize]);
    assert!(stuck.is_none(), "no end can be reached from {stuck:?}");
    numbers.len()
}

#[test]
fn a_block_given_to_one_node_keeps_its_promises_in_every_state() {
    let worlds = explore(1);
    println!("{worlds} states with one node");
    assert!(worlds > 200, "only {worlds} states");
}

#[test]
fn a_block_given_to_two_nodes_keeps_its_promises_in_every_state() {
    let worlds = explore(2);
    println!("{worlds} states with two nodes");
    assert!(worlds > 20_000, "only {worlds} states");
}
