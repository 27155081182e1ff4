//! The rules, driven by hand: no threads, no sleeping.
#![allow(clippy::unwrap_used)]

mod group;
mod property;
mod watch;

use super::*;
use crate::status::{ChildState, Outcome};
use crate::{Backoff, Intensity, RestartLimits};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// A machine, its clock, and everything that it said.
struct Rig {
    machine: Machine,
    now: Instant,
    told: Vec<(String, EventKind)>,
}

fn exact(restarts: u32, period: Duration) -> RestartLimits {
    let backoff = Backoff {
        jitter: 0.0,
        ..Backoff::default()
    };
    RestartLimits::new(backoff, Intensity { restarts, period }).unwrap()
}

fn spec(id: &str) -> ChildSpec {
    ChildSpec::new(id)
        .limits(exact(10, 60 * S))
        .start_timeout(10 * S)
        .shutdown(5 * S)
}

fn panicked() -> ExitReason {
    ExitReason::Failed {
        by: "actor".into(),
        error: "on purpose".into(),
    }
}

impl Rig {
    fn new(specs: Vec<ChildSpec>) -> Self {
        Self::with(Strategy::OneForOne, specs)
    }

    fn with(strategy: Strategy, specs: Vec<ChildSpec>) -> Self {
        let now = Instant::now();
        let mut rig = Self {
            machine: Machine::new(specs, strategy, 2, now),
            now,
            told: Vec::new(),
        };
        rig.machine.begin(now);
        rig
    }

    /// All children up.
    fn running(specs: Vec<ChildSpec>) -> Self {
        Self::running_with(Strategy::OneForOne, specs)
    }

    fn running_with(strategy: Strategy, specs: Vec<ChildSpec>) -> Self {
        let children = specs.len();
        let mut rig = Self::with(strategy, specs);
        for child in 0..children {
            assert_eq!(
                rig.actions(),
                [Action::Launch {
                    child,
                    generation: 1
                }]
            );
            rig.input(child, 1, Input::Up);
            assert_eq!(
                rig.machine.actions.remove(0),
                Action::Connect {
                    child,
                    generation: 1
                }
            );
        }
        assert_eq!(*rig.machine.phase(), Phase::Running);
        rig.told.clear();
        rig
    }

    fn input(&mut self, child: usize, generation: u64, input: Input) {
        self.machine.handle(child, generation, input, self.now);
    }

    fn actions(&mut self) -> Vec<Action> {
        let (actions, events) = self.machine.take_output();
        let events = events
            .into_iter()
            .map(|event| (event.child.to_string(), event.kind));
        self.told.extend(events);
        actions
    }

    /// Lets the clock run until something is due; says how far that was.
    fn wait(&mut self) -> Duration {
        let begun = self.now;
        let mut due = self.machine.next_due().expect("something is due");
        while self.now < due || self.now == begun {
            self.look(due);
            if self.now == due {
                break;
            }
            // Being late moves what is due.
            due = self.machine.next_due().expect("something is due");
        }
        self.now.duration_since(begun)
    }

    /// Lets the clock run, looked at as often as the machine asks for.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.look(end);
            if self.now == end {
                return;
            }
        }
    }

    /// One look at the clock: when the machine asks for it, or at `end`.
    fn look(&mut self, end: Instant) {
        let asked = self.machine.next_deadline();
        self.now = asked.map_or(end, |at| at.min(end));
        self.machine.on_time(self.now);
    }

    /// The whole process is held up for this long.
    fn held_up(&mut self, time: Duration) {
        self.now += time;
        self.machine.on_time(self.now);
    }

    /// One failure and its release; says how long the machine waits before it starts the child again.
    fn fail_and_restart(&mut self, child: usize) -> Duration {
        let generation = self.machine.slots[child].generation;
        self.input(child, generation, Input::Exited(panicked()));
        self.input(child, generation, Input::Released);
        self.actions();
        let waited = self.wait();
        let generation = generation + 1;
        assert_eq!(self.actions(), [Action::Launch { child, generation }]);
        self.input(child, generation, Input::Up);
        self.actions();
        waited
    }

    fn state(&self, child: usize) -> ChildState {
        self.machine.status()[child].state
    }

    fn has_told(&self, child: &str, kind: &EventKind) -> bool {
        self.told
            .iter()
            .any(|told| told.0 == child && told.1 == *kind)
    }
}

#[test]
fn a_failed_child_is_started_again_after_release_and_backoff_and_not_before() {
    let mut rig = Rig::running(vec![spec("a")]);
    rig.input(0, 1, Input::Exited(panicked()));
    assert_eq!(
        rig.actions(),
        [
            Action::Disconnect { child: 0 },
            Action::Reap {
                child: 0,
                generation: 1
            }
        ]
    );
    // It takes 20 ms to be released: only then its fate is decided, and those 20 ms count.
    rig.pass(20 * MS);
    assert_eq!(rig.actions(), []);
    assert_eq!(rig.state(0), ChildState::Releasing);
    rig.input(0, 1, Input::Released);
    assert_eq!(
        rig.actions(),
        [Action::Revoke {
            child: 0,
            generation: 1
        }]
    );
    assert_eq!(rig.state(0), ChildState::Restarting);
    assert_eq!(rig.wait(), 30 * MS);
    assert_eq!(
        rig.actions(),
        [Action::Launch {
            child: 0,
            generation: 2
        }]
    );
}

#[test]
fn a_release_slower_than_the_backoff_is_followed_by_the_start_at_once() {
    let mut rig = Rig::running(vec![spec("a")]);
    rig.input(0, 1, Input::Exited(panicked()));
    rig.pass(S);
    rig.input(0, 1, Input::Released);
    assert_eq!(rig.wait(), Duration::ZERO);
}

#[test]
fn delays_grow_with_each_failure_and_start_over_after_a_healthy_period() {
    let mut rig = Rig::running(vec![spec("a")]);
    let waited: Vec<Duration> = (0..4).map(|_| rig.fail_and_restart(0)).collect();
    assert_eq!(waited, [50 * MS, 100 * MS, 200 * MS, 400 * MS]);
    // Not quite healthy.
    rig.pass((60 * S).checked_sub(MS).unwrap());
    assert_eq!(rig.fail_and_restart(0), 800 * MS);
    // Healthy.
    rig.pass(60 * S);
    assert_eq!(rig.fail_and_restart(0), 50 * MS);
}

#[test]
fn the_restart_beyond_the_intensity_escalates() {
    let mut rig = Rig::running(vec![spec("a").limits(exact(3, 60 * S))]);
    for _ in 0..3 {
        rig.fail_and_restart(0);
    }
    rig.input(0, 4, Input::Exited(panicked()));
    rig.input(0, 4, Input::Released);
    rig.actions();
    assert!(rig.has_told("a", &EventKind::Escalated(EscalationCause::Intensity)));
    let Some(Outcome::Escalated {
        child,
        cause,
        exits,
    }) = rig.machine.outcome()
    else {
        panic!("expected an escalation");
    };
    assert_eq!((&*child, cause), ("a", EscalationCause::Intensity));
    assert!(exits.iter().map(|exit| exit.generation).eq(1..=4));
    assert_eq!(rig.machine.next_deadline(), None);
}

#[test]
fn failures_outside_of_the_period_do_not_count() {
    let mut rig = Rig::running(vec![spec("a").limits(exact(3, 60 * S))]);
    for _ in 0..30 {
        rig.fail_and_restart(0);
        rig.pass(20 * S);
    }
    assert_eq!(*rig.machine.phase(), Phase::Running);
    assert_eq!(rig.machine.status()[0].restarts, 30);
}

#[test]
fn an_intensity_of_none_escalates_at_the_first_failure() {
    let mut rig = Rig::running(vec![spec("a").limits(exact(0, S))]);
    rig.input(0, 1, Input::Exited(panicked()));
    rig.input(0, 1, Input::Released);
    assert!(rig.machine.outcome().is_some());
}

#[test]
fn failures_are_counted_per_child() {
    let limits = exact(3, 600 * S);
    let mut rig = Rig::running(vec![spec("a").limits(limits), spec("b").limits(limits)]);
    for _ in 0..3 {
        rig.fail_and_restart(0);
        rig.fail_and_restart(1);
    }
    assert_eq!(*rig.machine.phase(), Phase::Running);
}

#[test]
fn a_child_that_always_fails_at_once_escalates_within_the_default_limits() {
    let limits = RestartLimits::default();
    assert!(RestartLimits::new(*limits.backoff(), limits.intensity()).is_ok());
    let mut rig = Rig::running(vec![spec("a").limits(limits)]);
    let begun = rig.now;
    for _ in 0..10 {
        rig.fail_and_restart(0);
    }
    rig.input(0, 11, Input::Exited(panicked()));
    rig.input(0, 11, Input::Released);
    assert!(matches!(
        rig.machine.outcome(),
        Some(Outcome::Escalated { .. })
    ));
    assert!(rig.now - begun < 30 * S);
}

#[test]
fn an_escalation_stops_the_others_in_reverse_before_it_is_told() {
    let limits = exact(0, S);
    let mut rig = Rig::running(vec![spec("a"), spec("b").limits(limits), spec("c")]);
    rig.input(1, 1, Input::Exited(panicked()));
    rig.input(1, 1, Input::Released);
    let asked = |child| Action::AskShutdown {
        child,
        generation: 1,
    };
    assert!(rig.actions().contains(&asked(2)));
    rig.input(2, 1, Input::Exited(ExitReason::Shutdown));
    assert!(!rig.actions().contains(&asked(0)));
    rig.input(2, 1, Input::Released);
    assert!(rig.actions().contains(&asked(0)));
    assert_eq!(rig.machine.outcome(), None);
    rig.input(0, 1, Input::Exited(ExitReason::Shutdown));
    rig.input(0, 1, Input::Released);
    assert!(
        matches!(rig.machine.outcome(), Some(Outcome::Escalated { child, .. }) if &*child == "b")
    );
}

#[test]
fn a_child_that_is_not_up_in_time_is_killed_and_given_the_grace_to_be_dropped() {
    let mut rig = Rig::running(vec![spec("a")]);
    rig.fail_and_restart(0);
    rig.input(0, 2, Input::Exited(panicked()));
    rig.input(0, 2, Input::Released);
    rig.wait();
    rig.actions();
    assert_eq!(rig.wait(), 10 * S);
    let kill = Action::Kill {
        child: 0,
        generation: 3,
    };
    assert_eq!(rig.actions(), [kill, Action::Disconnect { child: 0 }]);
    assert!(rig.has_told("a", &EventKind::Exited(ExitReason::StartTimeout(10 * S))));
    // It was free, and is dropped. The reason stays the first one told.
    rig.input(0, 3, Input::Exited(ExitReason::Killed));
    assert_eq!(
        rig.actions(),
        [Action::Reap {
            child: 0,
            generation: 3
        }]
    );
    rig.input(0, 3, Input::Released);
    let exit = rig.machine.status()[0].last_exit.clone().unwrap();
    assert_eq!(exit.reason, ExitReason::StartTimeout(10 * S));
    assert_eq!(rig.state(0), ChildState::Restarting);
}

#[test]
fn what_hangs_is_abandoned_revoked_and_followed() {
    let mut rig = Rig::running(vec![spec("a")]);
    rig.input(0, 1, Input::Exited(panicked()));
    rig.actions();
    // Its shutdown deadline bounds its release.
    assert_eq!(rig.wait(), 5 * S);
    let generation = 1;
    let actions = rig.actions();
    assert_eq!(
        actions[0],
        Action::Revoke {
            child: 0,
            generation
        }
    );
    assert!(rig.has_told("a", &EventKind::Abandoned));
    assert_eq!(rig.wait(), Duration::ZERO);
    assert_eq!(
        rig.actions(),
        [Action::Launch {
            child: 0,
            generation: 2
        }]
    );
    assert_eq!(rig.machine.status()[0].abandoned, 1);
}

#[test]
fn late_reports_of_an_old_generation_change_nothing() {
    let mut rig = Rig::running(vec![spec("a")]);
    rig.input(0, 1, Input::Exited(panicked()));
    rig.wait();
    rig.actions();
    // Between its abandonment and the start of its successor...
    rig.input(0, 1, Input::Up);
    rig.input(0, 1, Input::Exited(ExitReason::Normal));
    assert_eq!(rig.state(0), ChildState::Restarting);
    rig.wait();
    rig.input(0, 2, Input::Up);
    rig.actions();
    let before = rig.machine.status();
    // ... and after it.
    rig.input(0, 1, Input::Up);
    rig.input(0, 1, Input::Exited(ExitReason::Normal));
    assert_eq!(rig.actions(), []);
    let after = rig.machine.status();
    assert_eq!((after[0].state, after[0].generation), (ChildState::Up, 2));
    assert_eq!(after[0].last_exit, before[0].last_exit);
    // Its end is news for the count only.
    rig.input(0, 1, Input::Released);
    assert_eq!(rig.actions(), []);
    assert_eq!(rig.machine.status()[0].abandoned, 0);
    assert_eq!(rig.state(0), ChildState::Up);
}

#[test]
fn one_more_abandoned_than_allowed_escalates() {
    let mut rig = Rig::running(vec![spec("a")]);
    for generation in 1..=3 {
        rig.input(0, generation, Input::Up);
        rig.input(0, generation, Input::Exited(panicked()));
        rig.pass(5 * S);
        if generation < 3 {
            assert_eq!(rig.state(0), ChildState::Restarting);
            rig.wait();
        }
    }
    rig.actions();
    let outcome = rig.machine.outcome();
    assert!(
        matches!(
            outcome,
            Some(Outcome::Escalated {
                cause: EscalationCause::Abandoned,
                ..
            })
        ),
        "{outcome:?}"
    );
    assert_eq!(rig.machine.still_running(), ["a".into()]);
}

#[test]
fn a_stop_asks_one_after_the_other_and_kills_who_is_late() {
    let mut rig = Rig::running(vec![spec("a"), spec("b")]);
    rig.machine.stop(60 * S, rig.now);
    assert_eq!(
        rig.actions(),
        [Action::AskShutdown {
            child: 1,
            generation: 1
        }]
    );
    assert_eq!(rig.wait(), 5 * S);
    let kill = Action::Kill {
        child: 1,
        generation: 1,
    };
    assert_eq!(rig.actions()[0], kill);
    // The grace passes as well: it hangs.
    assert_eq!(rig.wait(), KILL_GRACE);
    let actions = rig.actions();
    assert!(actions.contains(&Action::Revoke {
        child: 1,
        generation: 1
    }));
    assert!(actions.contains(&Action::AskShutdown {
        child: 0,
        generation: 1
    }));
    rig.input(0, 1, Input::Exited(ExitReason::Shutdown));
    rig.input(0, 1, Input::Released);
    assert_eq!(rig.machine.outcome(), Some(Outcome::Stopped));
    assert_eq!(rig.machine.still_running(), ["b".into()]);
}

#[test]
fn the_deadline_of_a_stop_holds_whatever_the_children_allow_themselves() {
    let patient = |id: &str| spec(id).shutdown(Duration::MAX);
    let mut rig = Rig::running(vec![patient("a"), patient("b"), patient("c")]);
    let asked = rig.now;
    rig.machine.stop(10 * S, rig.now);
    rig.actions();
    assert_eq!(rig.wait(), 9 * S);
    let killed = rig
        .actions()
        .into_iter()
        .filter(|action| matches!(action, Action::Kill { .. }));
    assert_eq!(killed.count(), 3);
    while rig.machine.outcome().is_none() {
        rig.wait();
    }
    assert_eq!(rig.now - asked, 10 * S);
    assert_eq!(rig.machine.still_running().len(), 3);
}

#[test]
fn a_short_deadline_of_a_stop_holds_for_what_is_killed_and_for_what_is_being_released() {
    for exits in [false, true] {
        let mut rig = Rig::running(vec![spec("a").shutdown(60 * S)]);
        let asked = rig.now;
        rig.machine.stop(2 * S, rig.now);
        if exits {
            rig.input(0, 1, Input::Exited(ExitReason::Shutdown));
        }
        while rig.machine.outcome().is_none() {
            rig.wait();
        }
        assert_eq!(rig.now - asked, 2 * S);
        assert_eq!(rig.machine.still_running(), ["a".into()]);
    }
}

#[test]
fn a_second_stop_brings_the_deadline_forward_and_never_back() {
    let mut rig = Rig::running(vec![spec("a").shutdown(Duration::MAX)]);
    let asked = rig.now;
    rig.machine.stop(8 * S, rig.now);
    rig.machine.stop(4 * S, rig.now);
    rig.machine.stop(100 * S, rig.now);
    while rig.machine.outcome().is_none() {
        rig.wait();
    }
    assert_eq!(rig.now - asked, 4 * S);
}

#[test]
fn a_child_that_fails_while_others_stop_is_not_started_again() {
    let mut rig = Rig::running(vec![spec("a"), spec("b")]);
    rig.machine.stop(60 * S, rig.now);
    rig.input(0, 1, Input::Exited(panicked()));
    rig.input(0, 1, Input::Released);
    rig.input(1, 1, Input::Exited(ExitReason::Shutdown));
    rig.input(1, 1, Input::Released);
    assert_eq!(rig.machine.outcome(), Some(Outcome::Stopped));
    let launched = rig.actions();
    assert!(
        !launched
            .iter()
            .any(|action| matches!(action, Action::Launch { .. }))
    );
}

#[test]
fn a_child_that_fails_while_others_start_is_started_again() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")]);
    rig.input(0, 1, Input::Up);
    rig.fail_and_restart(0);
    assert_eq!(*rig.machine.phase(), Phase::Starting { next: 1 });
    rig.input(1, 1, Input::Up);
    assert_eq!(*rig.machine.phase(), Phase::Running);
}

#[test]
fn a_stop_during_the_start_drops_who_is_not_up_and_starts_nobody_else() {
    let mut rig = Rig::new(vec![spec("a"), spec("b"), spec("c")]);
    rig.input(0, 1, Input::Up);
    rig.actions();
    rig.machine.stop(60 * S, rig.now);
    let actions = rig.actions();
    assert!(actions.contains(&Action::Kill {
        child: 1,
        generation: 1
    }));
    assert!(actions.contains(&Action::Close { child: 2 }));
    rig.input(1, 1, Input::Exited(ExitReason::Killed));
    rig.input(1, 1, Input::Released);
    rig.input(0, 1, Input::Exited(ExitReason::Shutdown));
    rig.input(0, 1, Input::Released);
    assert_eq!(rig.machine.outcome(), Some(Outcome::Stopped));
    assert_eq!(rig.machine.status()[2].generation, 0);
    // It had nothing to drain: being dropped is how it follows the request.
    let exit = rig.machine.status()[1].last_exit.clone().unwrap();
    assert_eq!(exit.reason, ExitReason::Shutdown);
}
