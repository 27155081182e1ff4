//! Whatever happens in whatever order, the rules hold.
//!
//! A world of incarnations does at random what real ones can do: come up, fail, obey, drag its feet, hang for
//! ever, and be held up as a whole. The world checks each action of the machine against what it knows.

use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::*;
use crate::{Liveness, Probe, Progress, Restart, Strategy};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// In its factory.
    Starting,
    Up,
    /// Ended, its remains are there.
    Ended,
}

#[derive(Debug, Clone)]
struct Incarnation {
    child: usize,
    generation: u64,
    stage: Stage,
    asked: bool,
    killed: bool,
    revoked: bool,
    probed: Vec<Probe>,
}

/// Something that the world does next; the number picks an incarnation.
#[derive(Debug, Clone)]
enum Step {
    Up(usize),
    Fail(usize),
    EndWell(usize),
    /// It does what it was asked to.
    Obey(usize),
    Release(usize),
    Answer(usize),
    Count(usize, u64),
    /// The clock runs to the next deadline.
    Wait,
    Pass(u64),
    HeldUp(u64),
    Stop(u64),
}

struct World {
    machine: Machine,
    strategy: Strategy,
    now: Instant,
    alive: Vec<Incarnation>,
    /// The last generation of each child.
    generations: Vec<u64>,
    closed: Vec<bool>,
    started: bool,
}

impl World {
    fn new(strategy: Strategy, specs: Vec<ChildSpec>) -> Self {
        let now = Instant::now();
        let children = specs.len();
        let mut world = Self {
            machine: Machine::new(specs, strategy, 1_000, now),
            strategy,
            now,
            alive: Vec::new(),
            generations: vec![0; children],
            closed: vec![false; children],
            started: false,
        };
        world.machine.begin(now);
        world.settle();
        world
    }

    /// Does what the machine says, and checks that it may say so.
    fn settle(&mut self) {
        loop {
            let (actions, _) = self.machine.take_output();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.perform(action);
            }
        }
        self.started |= *self.machine.phase() == Phase::Running;
        let hanging = self.alive.iter().filter(|one| one.revoked).count();
        let told: u32 = self.machine.status().iter().map(|c| c.abandoned).sum();
        assert_eq!(hanging, told as usize, "abandoned ones are counted");
        self.is_not_stuck();
    }

    /// Whether time alone changes something, or nothing is left to change.
    fn is_not_stuck(&self) {
        if self.machine.next_deadline().is_some() || self.machine.outcome().is_some() {
            return;
        }
        for child in self.machine.status().iter() {
            let settled = matches!(child.state, ChildState::Up | ChildState::Ended);
            assert!(settled, "{} is {:?} for ever", child.id, child.state);
        }
    }

    fn find(&mut self, child: usize, generation: u64) -> Option<&mut Incarnation> {
        self.alive
            .iter_mut()
            .find(|one| one.child == child && one.generation == generation)
    }

    fn runs(&self, child: usize) -> bool {
        self.alive
            .iter()
            .any(|one| one.child == child && !one.revoked)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Launch { child, generation } => self.launch(child, generation),
            Action::Connect { child, generation } => {
                let one = self.find(child, generation).expect("it exists");
                assert_eq!(one.stage, Stage::Up);
            }
            Action::Close { child } => {
                assert!(!std::mem::replace(&mut self.closed[child], true));
                assert!(!self.runs(child), "closed while it runs");
            }
            Action::Probe {
                child,
                generation,
                probe,
            } => {
                let one = self.find(child, generation).expect("it exists");
                one.probed.push(probe);
            }
            Action::AskShutdown { child, generation } => {
                for later in child + 1..self.closed.len() {
                    assert!(!self.runs(later), "{later} is to stop before {child}");
                }
                let one = self.find(child, generation).expect("it exists");
                assert!(!std::mem::replace(&mut one.asked, true), "asked twice");
            }
            Action::Kill { child, generation } => {
                // It may have ended in the meantime.
                if let Some(one) = self.find(child, generation) {
                    one.killed = true;
                }
            }
            Action::Revoke { child, generation } => {
                if let Some(one) = self.find(child, generation) {
                    one.revoked = true;
                }
            }
            Action::Disconnect { .. } | Action::Reap { .. } => {}
        }
    }

    fn launch(&mut self, child: usize, generation: u64) {
        assert!(!self.closed[child], "{child} was closed");
        assert!(!self.runs(child), "two incarnations of {child}");
        self.generations[child] += 1;
        assert_eq!(generation, self.generations[child]);
        let status = self.machine.status();
        if !self.started || self.strategy == Strategy::OneForAll {
            for earlier in &status[..child] {
                // While a tree starts, one that failed after it had been up is started again beside the others.
                let alone = self.strategy == Strategy::OneForOne && earlier.generation > 0;
                let ready = matches!(earlier.state, ChildState::Up | ChildState::Ended);
                assert!(ready || alone, "{} comes first: {status:?}", earlier.id);
            }
        }
        if self.strategy != Strategy::OneForOne {
            for later in child + 1..self.closed.len() {
                assert!(
                    !self.runs(later),
                    "{later} runs beside the start of {child}"
                );
            }
        }
        self.alive.push(Incarnation {
            child,
            generation,
            stage: Stage::Starting,
            asked: false,
            killed: false,
            revoked: false,
            probed: Vec::new(),
        });
    }

    fn tell(&mut self, at: usize, input: Input) {
        let (child, generation) = (self.alive[at].child, self.alive[at].generation);
        self.machine.handle(child, generation, input, self.now);
    }

    fn exit(&mut self, at: usize, reason: ExitReason) {
        self.alive[at].stage = Stage::Ended;
        self.tell(at, Input::Exited(reason));
    }

    fn step(&mut self, step: &Step) {
        let pick = |at: usize| (!self.alive.is_empty()).then(|| at % self.alive.len());
        match *step {
            Step::Wait => {
                if let Some(at) = self.machine.next_deadline() {
                    self.now = at;
                    self.machine.on_time(at);
                }
            }
            Step::Pass(ms) => {
                let end = self.now + Duration::from_millis(ms);
                while let Some(at) = self.machine.next_deadline().filter(|at| *at < end) {
                    self.now = at.max(self.now + Duration::from_micros(1));
                    self.machine.on_time(self.now);
                    self.settle();
                }
                self.now = end.max(self.now);
            }
            Step::HeldUp(ms) => {
                self.now += Duration::from_millis(ms);
                self.machine.on_time(self.now);
            }
            Step::Stop(ms) => self.machine.stop(Duration::from_millis(ms), self.now),
            Step::Up(at)
            | Step::Fail(at)
            | Step::EndWell(at)
            | Step::Obey(at)
            | Step::Release(at)
            | Step::Answer(at)
            | Step::Count(at, _) => {
                if let Some(at) = pick(at) {
                    self.one(at, step);
                }
            }
        }
        self.settle();
    }

    fn one(&mut self, at: usize, step: &Step) {
        let one = &mut self.alive[at];
        match (step, one.stage) {
            (Step::Up(_), Stage::Starting) => {
                one.stage = Stage::Up;
                self.tell(at, Input::Up);
            }
            (Step::Fail(_), Stage::Starting | Stage::Up) => self.exit(at, panicked()),
            (Step::EndWell(_), Stage::Up) => self.exit(at, ExitReason::Normal),
            (Step::Obey(_), Stage::Starting | Stage::Up) if one.killed => {
                self.exit(at, ExitReason::Killed);
            }
            (Step::Obey(_), Stage::Up) if one.asked => self.exit(at, ExitReason::Shutdown),
            (Step::Release(_), Stage::Ended) => {
                self.tell(at, Input::Released);
                self.alive.remove(at);
            }
            (Step::Answer(_), Stage::Up) => {
                for probe in std::mem::take(&mut one.probed) {
                    if probe != Probe::Progress {
                        self.tell(at, Input::Alive(probe));
                    }
                }
            }
            (Step::Count(_, count), Stage::Up) => self.tell(at, Input::Count(Some(*count))),
            _ => {}
        }
    }

    /// From here on everybody does what is expected; nothing hangs that does not hang already.
    fn behave(&mut self) {
        for _ in 0..10_000 {
            let all_up = *self.machine.phase() == Phase::Running
                && self
                    .machine
                    .status()
                    .iter()
                    .all(|child| matches!(child.state, ChildState::Up | ChildState::Ended));
            if self.machine.outcome().is_some() || all_up {
                return;
            }
            let busy = self.alive.iter().position(|one| {
                !one.revoked
                    && (one.stage != Stage::Up || one.killed || one.asked || !one.probed.is_empty())
            });
            let step = match busy {
                Some(at) => match self.alive[at].stage {
                    Stage::Starting if self.alive[at].killed => Step::Obey(at),
                    Stage::Starting => Step::Up(at),
                    Stage::Up if self.alive[at].killed || self.alive[at].asked => Step::Obey(at),
                    Stage::Up => Step::Answer(at),
                    Stage::Ended => Step::Release(at),
                },
                None => Step::Wait,
            };
            self.step(&step);
        }
        panic!("it never comes to rest: {:?}", self.machine.status());
    }
}

fn strategies() -> impl Generate<Value = Strategy> {
    prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::RestForOne),
        Just(Strategy::OneForAll),
    ]
}

fn specs() -> impl Generate<Value = Vec<ChildSpec>> {
    let restart = prop_oneof![
        4 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ];
    let one = (restart, 0..4_u8, 0..20_u32).prop_map(|(restart, watched, restarts)| {
        let mut spec = spec("child")
            .restart(restart)
            .limits(exact(restarts, 600 * S));
        if watched & 1 > 0 {
            spec = spec
                .liveness(Liveness::thread(S, 3 * S))
                .liveness(Liveness::mailbox(2 * S, 3 * S));
        }
        if watched & 2 > 0 {
            spec = spec.progress(Progress::new(4 * S, || 0));
        }
        spec
    });
    proptest::collection::vec(one, 1..5).prop_map(|mut specs| {
        for (n, spec) in specs.iter_mut().enumerate() {
            spec.id = format!("child {n}").into();
        }
        specs
    })
}

fn steps() -> impl Generate<Value = Vec<Step>> {
    let which = || 0..8_usize;
    let one = prop_oneof![
        12 => which().prop_map(Step::Up),
        6 => which().prop_map(Step::Fail),
        2 => which().prop_map(Step::EndWell),
        10 => which().prop_map(Step::Obey),
        12 => which().prop_map(Step::Release),
        6 => which().prop_map(Step::Answer),
        4 => (which(), 0..9_u64).prop_map(|(at, count)| Step::Count(at, count)),
        10 => Just(Step::Wait),
        4 => (0..3_000_u64).prop_map(Step::Pass),
        1 => (0..100_000_u64).prop_map(Step::HeldUp),
    ];
    proptest::collection::vec(one, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_comes_to_rest_once_its_children_behave(
        strategy in strategies(), specs in specs(), steps in steps(),
    ) {
        let mut world = World::new(strategy, specs);
        for step in &steps {
            world.step(step);
        }
        world.behave();
    }

    #[test]
    fn a_stop_ends_by_its_deadline_whatever_the_children_do(
        strategy in strategies(), specs in specs(), before in steps(), after in steps(),
        deadline in 0..20_000_u64,
    ) {
        let mut world = World::new(strategy, specs);
        for step in &before {
            world.step(step);
        }
        let due = world.now + Duration::from_millis(deadline);
        world.step(&Step::Stop(deadline));
        for step in after.iter().filter(|step| !matches!(step, Step::HeldUp(_) | Step::Pass(_))) {
            world.step(step);
        }
        // Nobody does anything any more.
        for _ in 0..1_000 {
            if world.machine.outcome().is_some() {
                break;
            }
            world.step(&Step::Wait);
        }
        prop_assert!(world.machine.outcome().is_some(), "it never ends");
        prop_assert!(world.now <= due, "late by {:?}", world.now - due);
        prop_assert!(world.closed.iter().all(|closed| *closed));
        let hanging = world.alive.iter().all(|one| one.revoked);
        prop_assert!(hanging, "something was left its permission");
    }
}
