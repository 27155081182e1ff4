//! One for all, and rest for one.

use super::*;
use crate::Restart;
use crate::Strategy::{OneForAll, RestForOne};

fn three(strategy: Strategy) -> Rig {
    Rig::running_with(strategy, vec![spec("a"), spec("b"), spec("c")])
}

fn asked(child: usize, generation: u64) -> Action {
    Action::AskShutdown { child, generation }
}

fn launch(child: usize, generation: u64) -> Action {
    Action::Launch { child, generation }
}

impl Rig {
    /// It fails by itself and is released.
    fn fails(&mut self, child: usize) {
        let generation = self.machine.slots[child].generation;
        self.input(child, generation, Input::Exited(panicked()));
        self.input(child, generation, Input::Released);
    }

    /// It does what it was asked to.
    fn stops(&mut self, child: usize) {
        let generation = self.machine.slots[child].generation;
        self.input(child, generation, Input::Exited(ExitReason::Shutdown));
        self.input(child, generation, Input::Released);
    }

    fn comes_up(&mut self, child: usize) {
        let generation = self.machine.slots[child].generation;
        self.input(child, generation, Input::Up);
    }

    /// Who was asked to stop, dropped, or started since the last look, in order.
    fn steps(&mut self) -> Vec<Action> {
        let mut actions = self.actions();
        actions.retain(|action| {
            matches!(
                action,
                Action::AskShutdown { .. } | Action::Kill { .. } | Action::Launch { .. }
            )
        });
        actions
    }

    fn states(&self) -> Vec<ChildState> {
        self.machine
            .status()
            .iter()
            .map(|child| child.state)
            .collect()
    }

    fn generations(&self) -> Vec<u64> {
        self.machine
            .status()
            .iter()
            .map(|child| child.generation)
            .collect()
    }
}

#[test]
fn rest_for_one_restarts_the_child_and_those_after_it_and_nobody_else() {
    let mut rig = three(RestForOne);
    rig.fails(1);
    assert_eq!(rig.steps(), [asked(2, 1)]);
    // Nothing starts beside what is still to be stopped.
    rig.pass(S);
    assert_eq!(rig.steps(), []);
    rig.stops(2);
    assert_eq!(rig.steps(), [launch(1, 2)]);
    rig.comes_up(1);
    assert_eq!(rig.steps(), [launch(2, 2)]);
    rig.comes_up(2);
    assert_eq!(rig.generations(), [1, 2, 2]);
    assert_eq!(rig.states(), [ChildState::Up; 3]);
    let restarts: Vec<u64> = rig.machine.status().iter().map(|c| c.restarts).collect();
    assert_eq!(restarts, [0, 1, 1]);
}

#[test]
fn one_for_all_stops_all_in_reverse_and_starts_all_in_order() {
    let mut rig = three(OneForAll);
    rig.fails(1);
    assert_eq!(rig.steps(), [asked(2, 1)]);
    rig.input(2, 1, Input::Exited(ExitReason::Shutdown));
    // Ended, but not released.
    assert_eq!(rig.steps(), []);
    rig.input(2, 1, Input::Released);
    assert_eq!(rig.steps(), [asked(0, 1)]);
    rig.stops(0);
    // The delay of the one that failed, for all.
    assert_eq!(rig.states(), [ChildState::Restarting; 3]);
    assert_eq!(rig.wait(), 50 * MS);
    assert_eq!(rig.steps(), [launch(0, 2)]);
    rig.comes_up(0);
    assert_eq!(rig.steps(), [launch(1, 2)]);
    rig.comes_up(1);
    assert_eq!(rig.steps(), [launch(2, 2)]);
    rig.comes_up(2);
    assert_eq!(rig.states(), [ChildState::Up; 3]);
    assert_eq!(rig.machine.next_deadline(), None);
}

#[test]
fn the_time_it_took_to_stop_the_siblings_counts_towards_the_delay() {
    let mut rig = three(OneForAll);
    rig.fails(0);
    rig.pass(20 * MS);
    rig.stops(2);
    rig.stops(1);
    assert_eq!(rig.wait(), 30 * MS);
    rig.actions();
    assert_eq!(rig.generations(), [2, 1, 1]);
}

#[test]
fn temporary_siblings_end_and_transient_ones_are_started_again() {
    let mut rig = Rig::running_with(
        OneForAll,
        vec![
            spec("a"),
            spec("temporary").restart(Restart::Temporary),
            spec("transient").restart(Restart::Transient),
            spec("done").restart(Restart::Transient),
        ],
    );
    // It has done its work: that is no failure, and it is not called back.
    rig.input(3, 1, Input::Exited(ExitReason::Normal));
    rig.input(3, 1, Input::Released);
    assert_eq!(rig.steps(), []);
    rig.fails(0);
    rig.stops(2);
    rig.stops(1);
    assert!(rig.actions().contains(&Action::Close { child: 1 }));
    rig.wait();
    rig.comes_up(0);
    rig.comes_up(2);
    let up = [
        ChildState::Up,
        ChildState::Ended,
        ChildState::Up,
        ChildState::Ended,
    ];
    assert_eq!(rig.states(), up);
    assert_eq!(rig.generations(), [2, 1, 2, 1]);
}

#[test]
fn an_end_that_is_not_followed_by_a_restart_concerns_nobody_else() {
    for strategy in [OneForAll, RestForOne] {
        let mut rig = Rig::running_with(
            strategy,
            vec![
                spec("temporary").restart(Restart::Temporary),
                spec("transient").restart(Restart::Transient),
                spec("a"),
            ],
        );
        rig.fails(0);
        rig.input(1, 1, Input::Exited(ExitReason::Normal));
        rig.input(1, 1, Input::Released);
        assert_eq!(rig.steps(), []);
        assert_eq!(rig.state(2), ChildState::Up);
    }
}

#[test]
fn a_sibling_that_hangs_while_it_is_stopped_is_abandoned_and_followed() {
    let mut rig = three(OneForAll);
    rig.fails(0);
    assert_eq!(rig.steps(), [asked(2, 1)]);
    assert_eq!(rig.wait(), 5 * S);
    let kill = Action::Kill {
        child: 2,
        generation: 1,
    };
    assert_eq!(rig.steps(), [kill]);
    assert_eq!(rig.wait(), KILL_GRACE);
    assert!(rig.has_told("c", &EventKind::Abandoned) || rig.machine.status()[2].abandoned == 1);
    assert_eq!(rig.steps(), [asked(1, 1)]);
    rig.stops(1);
    rig.comes_up(0);
    rig.comes_up(1);
    rig.comes_up(2);
    assert_eq!(rig.generations(), [2, 2, 2]);
    // It wakes up.
    rig.input(2, 1, Input::Released);
    assert_eq!(rig.machine.status()[2].abandoned, 0);
    assert_eq!(rig.states(), [ChildState::Up; 3]);
}

#[test]
fn too_many_siblings_that_hang_while_they_are_stopped_escalate() {
    let mut rig = Rig::running_with(OneForAll, ["a", "b", "c", "d"].map(spec).to_vec());
    rig.fails(0);
    while rig.machine.outcome().is_none() {
        rig.wait();
    }
    let outcome = rig.machine.outcome();
    let Some(Outcome::Escalated { child, cause, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((&*child, cause), ("b", EscalationCause::Abandoned));
    assert_eq!(
        rig.machine.still_running(),
        ["b".into(), "c".into(), "d".into()]
    );
}

#[test]
fn a_sibling_that_fails_by_itself_while_others_are_stopped_is_counted_and_not_asked() {
    let once = exact(1, 60 * S);
    let mut rig = Rig::running_with(
        OneForAll,
        vec![spec("a"), spec("b").limits(once), spec("c")],
    );
    for generation in 1..=2 {
        rig.fails(0);
        assert_eq!(rig.steps(), [asked(2, generation)]);
        rig.fails(1);
        if generation == 2 {
            break;
        }
        assert_eq!(rig.steps(), []);
        rig.stops(2);
        rig.wait();
        for child in 0..3 {
            rig.comes_up(child);
        }
        rig.actions();
        assert_eq!(rig.states(), [ChildState::Up; 3]);
    }
    assert!(matches!(
        rig.machine.phase(),
        Phase::Stopping {
            why: Why::Escalated { child: 1, .. },
            ..
        }
    ));
}

#[test]
fn a_sibling_that_does_not_stop_cleanly_when_asked_is_no_failure_of_its_own() {
    let never = exact(0, 60 * S);
    let mut rig = Rig::running_with(OneForAll, vec![spec("a"), spec("b").limits(never)]);
    rig.fails(0);
    assert_eq!(rig.steps(), [asked(1, 1)]);
    // It panics in its drain.
    rig.fails(1);
    rig.wait();
    rig.comes_up(0);
    rig.comes_up(1);
    assert_eq!(rig.states(), [ChildState::Up; 2]);
}

#[test]
fn a_failure_during_the_start_of_the_group_takes_a_step_back() {
    // One for all: those before it are stopped again.
    let mut rig = three(OneForAll);
    rig.fails(2);
    rig.stops(1);
    rig.stops(0);
    rig.wait();
    rig.comes_up(0);
    rig.steps();
    rig.fails(1);
    assert_eq!(rig.steps(), [asked(0, 2)]);
    rig.stops(0);
    rig.wait();
    for child in 0..3 {
        assert_eq!(rig.steps().len(), 1);
        rig.comes_up(child);
    }
    assert_eq!(rig.generations(), [3, 3, 2]);

    // Rest for one: they are left alone.
    let mut rig = three(RestForOne);
    rig.fails(0);
    rig.stops(2);
    rig.stops(1);
    rig.wait();
    rig.comes_up(0);
    rig.steps();
    rig.fails(1);
    rig.wait();
    assert_eq!(rig.steps(), [launch(1, 3)]);
    rig.comes_up(1);
    assert_eq!(rig.steps(), [launch(2, 2)]);
    rig.comes_up(2);
    assert_eq!(rig.generations(), [2, 3, 2]);
    assert_eq!(rig.states(), [ChildState::Up; 3]);
}

#[test]
fn a_member_that_does_not_come_up_in_time_has_failed_by_itself() {
    let mut rig = three(RestForOne);
    rig.fails(0);
    rig.stops(2);
    rig.stops(1);
    rig.wait();
    rig.comes_up(0);
    assert_eq!(rig.wait(), 10 * S);
    rig.input(1, 2, Input::Exited(ExitReason::Killed));
    rig.input(1, 2, Input::Released);
    let exit = rig.machine.status()[1].last_exit.clone().unwrap();
    assert_eq!(exit.reason, ExitReason::StartTimeout(10 * S));
    rig.wait();
    rig.comes_up(1);
    rig.comes_up(2);
    assert_eq!(rig.generations(), [2, 3, 2]);
}

#[test]
fn a_failure_before_the_group_widens_it_and_the_longer_delay_counts() {
    let mut rig = three(RestForOne);
    for _ in 0..3 {
        rig.fails(2);
        rig.wait();
        rig.comes_up(2);
    }
    // The fourth delay is 400 ms, that of another child's first failure is 50 ms.
    rig.fails(2);
    rig.pass(10 * MS);
    rig.fails(0);
    rig.actions();
    rig.stops(1);
    assert_eq!(rig.wait(), 390 * MS);
    for (child, generation) in [(0, 2), (1, 2), (2, 5)] {
        assert_eq!(rig.steps(), [launch(child, generation)]);
        rig.comes_up(child);
    }
    assert_eq!(rig.states(), [ChildState::Up; 3]);
}

#[test]
fn only_the_child_that_fails_is_counted() {
    let twice = exact(2, 600 * S);
    let specs = ["a", "b", "c"].map(|id| spec(id).limits(twice));
    let mut rig = Rig::running_with(OneForAll, specs.to_vec());
    for child in [0, 1, 2, 0, 1, 2] {
        rig.fails(child);
        for sibling in (0..3).rev().filter(|sibling| *sibling != child) {
            rig.stops(sibling);
        }
        rig.wait();
        for sibling in 0..3 {
            rig.comes_up(sibling);
        }
        rig.actions();
        assert_eq!(rig.states(), [ChildState::Up; 3]);
    }
    rig.fails(1);
    let Phase::Stopping { why, .. } = rig.machine.phase() else {
        panic!("expected an escalation");
    };
    let Why::Escalated {
        child,
        cause,
        exits,
    } = why
    else {
        panic!("expected an escalation");
    };
    assert_eq!((*child, *cause), (1, EscalationCause::Intensity));
    assert_eq!(exits.len(), 3);
}

#[test]
fn a_stop_in_the_middle_of_a_group_starts_nobody_and_stops_the_rest_in_reverse() {
    // While members are stopped.
    let mut rig = three(OneForAll);
    rig.fails(1);
    rig.actions();
    rig.machine.stop(60 * S, rig.now);
    assert_eq!(rig.steps(), []);
    rig.stops(2);
    assert_eq!(rig.steps(), [asked(0, 1)]);
    rig.stops(0);
    assert_eq!(rig.machine.outcome(), Some(Outcome::Stopped));

    // While the delay passes.
    let mut rig = three(OneForAll);
    rig.fails(1);
    rig.stops(2);
    rig.stops(0);
    rig.actions();
    rig.machine.stop(60 * S, rig.now);
    assert_eq!(rig.steps(), []);
    assert_eq!(rig.machine.outcome(), Some(Outcome::Stopped));
    assert_eq!(rig.machine.next_deadline(), None);

    // While members are started.
    let mut rig = three(OneForAll);
    rig.fails(1);
    rig.stops(2);
    rig.stops(0);
    rig.wait();
    rig.comes_up(0);
    rig.actions();
    rig.machine.stop(60 * S, rig.now);
    let kill = Action::Kill {
        child: 1,
        generation: 2,
    };
    assert_eq!(rig.steps(), [kill]);
    rig.stops(1);
    assert_eq!(rig.steps(), [asked(0, 2)]);
    rig.stops(0);
    assert_eq!(rig.machine.outcome(), Some(Outcome::Stopped));
}

#[test]
fn a_failure_during_the_first_start_takes_along_who_was_started() {
    let mut rig = Rig::with(OneForAll, vec![spec("a"), spec("b"), spec("c")]);
    rig.comes_up(0);
    rig.steps();
    rig.fails(0);
    // It is not up yet: it is dropped, which is no failed start.
    let kill = Action::Kill {
        child: 1,
        generation: 1,
    };
    assert_eq!(rig.steps(), [kill]);
    rig.input(1, 1, Input::Exited(ExitReason::Killed));
    rig.input(1, 1, Input::Released);
    rig.wait();
    for (child, generation) in [(0, 2), (1, 2), (2, 1)] {
        assert_eq!(rig.steps(), [launch(child, generation)]);
        rig.comes_up(child);
    }
    assert_eq!(*rig.machine.phase(), Phase::Running);

    // One that was never up and does not come up with its group is a failed start.
    let mut rig = Rig::with(OneForAll, vec![spec("a"), spec("b")]);
    rig.comes_up(0);
    rig.fails(0);
    rig.input(1, 1, Input::Exited(ExitReason::Killed));
    rig.input(1, 1, Input::Released);
    rig.wait();
    rig.comes_up(0);
    rig.fails(1);
    rig.stops(0);
    let Some(Outcome::Escalated { child, cause, .. }) = rig.machine.outcome() else {
        panic!("expected a failed start");
    };
    assert_eq!((&*child, cause), ("b", EscalationCause::Start));
}

#[test]
fn a_temporary_child_that_its_group_stops_before_it_was_up_does_not_hold_up_the_start() {
    let temporary = spec("b").restart(Restart::Temporary);
    let mut rig = Rig::with(RestForOne, vec![spec("a"), temporary, spec("c")]);
    rig.comes_up(0);
    rig.fails(0);
    rig.input(1, 1, Input::Exited(ExitReason::Killed));
    rig.input(1, 1, Input::Released);
    rig.wait();
    rig.actions();
    rig.comes_up(0);
    assert_eq!(rig.steps(), [launch(2, 1)]);
    rig.comes_up(2);
    assert_eq!(*rig.machine.phase(), Phase::Running);
    assert_eq!(rig.state(1), ChildState::Ended);
}

#[test]
fn two_failures_at_once_are_one_group() {
    for strategy in [OneForAll, RestForOne] {
        let mut rig = three(strategy);
        rig.input(0, 1, Input::Exited(panicked()));
        rig.input(2, 1, Input::Exited(panicked()));
        rig.input(2, 1, Input::Released);
        rig.pass(S);
        rig.input(0, 1, Input::Released);
        rig.actions();
        while rig.states() != [ChildState::Up; 3] {
            let busy = |state: &ChildState| state.is_running() && *state != ChildState::Up;
            match rig.states().iter().position(busy) {
                Some(child) if rig.state(child) == ChildState::Starting => rig.comes_up(child),
                Some(child) => rig.stops(child),
                None => drop(rig.wait()),
            }
        }
        let slots = rig.machine.slots.iter();
        let failures: Vec<usize> = slots.map(|slot| slot.recent.len()).collect();
        assert_eq!(failures, [1, 0, 1], "{strategy:?} {:?}", rig.told);
    }
}
