//! Who hangs, and who was only held up.

use super::*;
use crate::{Liveness, Probe, Progress};

fn watched(id: &str) -> ChildSpec {
    spec(id).liveness(Liveness::thread(S, 10 * S))
}

fn ask(probe: Probe, generation: u64) -> Action {
    Action::Probe {
        child: 0,
        generation,
        probe,
    }
}

fn hung(probe: Probe, within: Duration) -> EventKind {
    EventKind::Exited(ExitReason::Hung { probe, within })
}

#[test]
fn a_thread_that_answers_is_asked_again_and_again() {
    let mut rig = Rig::running(vec![watched("a")]);
    for _ in 0..100 {
        assert_eq!(rig.wait(), S);
        assert_eq!(rig.actions(), [ask(Probe::Thread, 1)]);
        rig.pass(9 * S);
        rig.input(0, 1, Input::Alive(Probe::Thread));
    }
    assert_eq!(rig.state(0), ChildState::Up);
}

#[test]
fn a_thread_that_does_not_answer_hangs() {
    let mut rig = Rig::running(vec![watched("a")]);
    rig.wait();
    rig.actions();
    assert_eq!(rig.wait(), 10 * S);
    let kill = Action::Kill {
        child: 0,
        generation: 1,
    };
    assert_eq!(rig.actions(), [kill, Action::Disconnect { child: 0 }]);
    assert!(rig.has_told("a", &hung(Probe::Thread, 10 * S)));
    assert_eq!(rig.wait(), KILL_GRACE);
    assert!(rig.actions().contains(&Action::Revoke {
        child: 0,
        generation: 1
    }));
    rig.wait();
    rig.input(0, 2, Input::Up);
    rig.actions();
    // Its successor is watched from its own start, and not by what the old thread answers at last.
    rig.wait();
    assert_eq!(rig.actions(), [ask(Probe::Thread, 2)]);
    rig.input(0, 1, Input::Alive(Probe::Thread));
    assert_eq!(rig.wait(), 10 * S);
    assert_eq!(rig.state(0), ChildState::Releasing);
}

#[test]
fn a_supervisor_that_was_held_up_itself_asks_again_before_it_judges() {
    let mut rig = Rig::running(vec![watched("a")]);
    rig.wait();
    rig.actions();
    // The whole process was stopped for an hour, or only for a little longer than the child is granted.
    for (before, stopped) in [(S, 3600 * S), (100 * MS, 12 * S), (9 * S, 6 * S)] {
        rig.pass(before);
        rig.held_up(stopped);
        assert_eq!(rig.actions(), [ask(Probe::Thread, 1)]);
        assert_eq!(rig.state(0), ChildState::Up);
    }
    // It has its full time again. What is missed for a moment is added to it, and no more than that.
    rig.pass(9 * S);
    rig.held_up(2 * S + 250 * MS);
    assert_eq!(rig.actions(), []);
    assert_eq!(rig.wait(), 750 * MS);
    rig.actions();
    assert!(rig.has_told("a", &hung(Probe::Thread, 10 * S)));
}

#[test]
fn a_supervisor_that_is_always_a_little_late_still_finds_who_hangs() {
    let mut rig = Rig::running(vec![watched("a")]);
    rig.wait();
    let asked = rig.now;
    while rig.state(0) == ChildState::Up {
        let at = rig.machine.next_deadline().unwrap();
        rig.now = at + S;
        rig.machine.on_time(rig.now);
        assert!(rig.now - asked < 60 * S, "never found");
    }
    // And abandons it.
    while rig.state(0) != ChildState::Starting {
        let at = rig.machine.next_deadline().unwrap();
        rig.now = at + S;
        rig.machine.on_time(rig.now);
        assert!(rig.now - asked < 90 * S, "never abandoned");
    }
}

#[test]
fn what_time_the_process_was_held_up_counts_against_no_start_no_stop_and_no_release() {
    // A start.
    let mut rig = Rig::new(vec![spec("a")]);
    rig.pass(9 * S);
    rig.held_up(3600 * S);
    assert_eq!(rig.state(0), ChildState::Starting);
    rig.input(0, 1, Input::Up);
    // A release: what is left of its time is left.
    rig.input(0, 1, Input::Exited(panicked()));
    rig.pass(S);
    rig.held_up(3600 * S);
    assert_eq!(rig.state(0), ChildState::Releasing);
    assert_eq!(rig.wait(), 3 * S + 750 * MS);
    assert_eq!(rig.state(0), ChildState::Restarting);
    rig.wait();
    rig.input(0, 2, Input::Up);
    // A stop without a deadline of its own.
    rig.machine.stop(Duration::MAX, rig.now);
    rig.held_up(3600 * S);
    assert_eq!(rig.state(0), ChildState::Stopping);
    assert!(!rig.has_told("a", &EventKind::Exited(ExitReason::Killed)));
}

#[test]
fn a_late_report_of_an_end_is_heard_before_the_time_it_took() {
    let mut rig = Rig::running(vec![spec("a")]);
    rig.input(0, 1, Input::Exited(panicked()));
    rig.now += 3600 * S;
    rig.input(0, 1, Input::Released);
    assert_eq!(rig.state(0), ChildState::Restarting);
    assert_eq!(rig.machine.status()[0].abandoned, 0);
}

#[test]
fn an_actor_that_takes_no_message_hangs_though_its_thread_answers() {
    let both = watched("a").liveness(Liveness::mailbox(2 * S, 6 * S));
    let mut rig = Rig::running(vec![both]);
    assert_eq!(rig.wait(), S);
    assert_eq!(rig.actions(), [ask(Probe::Thread, 1)]);
    rig.input(0, 1, Input::Alive(Probe::Thread));
    assert_eq!(rig.machine.status()[0].last_answer, Some(rig.now));
    rig.wait();
    let both = [ask(Probe::Thread, 1), ask(Probe::Mailbox, 1)];
    assert_eq!(rig.actions(), both);
    for _ in 0..5 {
        // It answers nothing but for its thread.
        rig.input(0, 1, Input::Alive(Probe::Thread));
        rig.wait();
        rig.actions();
    }
    rig.input(0, 1, Input::Alive(Probe::Thread));
    assert_eq!(rig.wait(), S);
    rig.actions();
    assert!(rig.has_told("a", &hung(Probe::Mailbox, 6 * S)));
}

/// A counter that may stand still for 8 s, read every 2 s.
fn counted(id: &str) -> ChildSpec {
    spec(id).progress(Progress::new(8 * S, || 0))
}

fn read(generation: u64) -> [Action; 1] {
    [ask(Probe::Progress, generation)]
}

#[test]
fn a_counter_that_stands_still_for_too_long_is_a_hang() {
    let mut rig = Rig::running(vec![counted("a")]);
    // What it shows first is where it starts.
    assert_eq!(rig.wait(), Duration::ZERO);
    assert_eq!(rig.actions(), read(1));
    rig.input(0, 1, Input::Count(Some(5)));
    for count in [6, 7, 3, 1_000] {
        assert_eq!(rig.wait(), 2 * S);
        assert_eq!(rig.actions(), read(1));
        rig.input(0, 1, Input::Count(Some(count)));
        assert_eq!(rig.machine.status()[0].last_answer, Some(rig.now));
    }
    for _ in 0..4 {
        assert_eq!(rig.state(0), ChildState::Up);
        assert_eq!(rig.wait(), 2 * S);
        assert_eq!(rig.actions(), read(1));
        rig.input(0, 1, Input::Count(Some(1_000)));
    }
    rig.actions();
    assert!(rig.has_told("a", &hung(Probe::Progress, 8 * S)));
    // Its successor starts from where the counter stands.
    rig.wait();
    rig.wait();
    rig.actions();
    rig.input(0, 2, Input::Up);
    rig.actions();
    rig.wait();
    assert_eq!(rig.actions(), read(2));
    rig.input(0, 2, Input::Count(Some(1_000)));
    rig.pass(7 * S);
    assert_eq!(rig.state(0), ChildState::Up);
}

#[test]
fn a_counter_that_moves_at_the_last_moment_is_no_hang() {
    let mut rig = Rig::running(vec![counted("a")]);
    for count in 0..20 {
        rig.wait();
        rig.input(0, 1, Input::Count(Some(count)));
        for _ in 0..3 {
            rig.wait();
            rig.input(0, 1, Input::Count(Some(count)));
        }
    }
    assert_eq!(rig.state(0), ChildState::Up);
}

#[test]
fn a_counter_that_cannot_be_read_stands_still() {
    let mut rig = Rig::running(vec![counted("a")]);
    for _ in 0..5 {
        assert_eq!(rig.state(0), ChildState::Up);
        rig.wait();
        rig.input(0, 1, Input::Count(None));
    }
    assert_eq!(rig.state(0), ChildState::Releasing);
}

#[test]
fn a_counter_that_stood_still_while_the_process_did_has_its_full_time_again() {
    let mut rig = Rig::running(vec![counted("a")]);
    rig.wait();
    rig.input(0, 1, Input::Count(Some(1)));
    for _ in 0..3 {
        rig.wait();
        rig.input(0, 1, Input::Count(Some(1)));
    }
    rig.held_up(3600 * S);
    rig.input(0, 1, Input::Count(Some(1)));
    assert_eq!(rig.state(0), ChildState::Up);
    let resumed = rig.now;
    while rig.state(0) == ChildState::Up {
        rig.wait();
        rig.input(0, 1, Input::Count(Some(1)));
    }
    assert_eq!(rig.now - resumed, 8 * S);
}

#[test]
fn a_child_that_is_not_up_is_not_asked() {
    let mut rig = Rig::running(vec![watched("a").shutdown(60 * S)]);
    rig.machine.stop(60 * S, rig.now);
    rig.actions();
    rig.pass(30 * S);
    assert_eq!(rig.actions(), []);
}
