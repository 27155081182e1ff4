//! Each part of the program crashes in turn, and the program goes on mining.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::{
    breakable, child, children, inject, mines_on, nothing_was_lost, order, until_restarted,
};
use common::node::Node;
use common::program::Home;
use common::scenarios::paced;

/// Breaks every child in turn, each twice; `names` says whether a last exit names what was done.
fn each_child_in_turn(kind: &str, names: impl Fn(&str) -> bool) {
    let node = Node::devnode();
    let home = breakable(&node);
    let running = home.start();
    let children = children(&home);
    assert!(children.len() >= 7, "{children:?}");
    for id in &children {
        for round in 0..2 {
            inject(&home, id, &[kind]);
            let again = until_restarted(&home, id, round);
            let exit = again["last_exit"].as_str().unwrap();
            assert!(names(exit), "{id}: {exit}");
        }
        mines_on(&home);
    }
    let status = home.status().unwrap();
    for id in &children {
        let child = child(&status, id);
        assert_eq!(child["restarts"], 2, "only what was broken: {status}");
        assert_eq!(child["generation"], 3, "{status}");
    }
    let (exit, last) = running.stop();
    assert!(exit.success(), "{exit}\n{}", home.log());
    assert_eq!(last["restarts"], 2 * children.len(), "{last}");
    nothing_was_lost(&home, &last);
}

#[test]
fn every_child_panics_and_the_program_goes_on_mining() {
    each_child_in_turn("panic", |exit| {
        exit.contains("panicked with \"injected fault\" at ") && exit.contains(".rs:")
    });
}

#[test]
fn every_child_exits_and_the_program_goes_on_mining() {
    each_child_in_turn("exit", |exit| exit.contains("stopped by itself"));
}

#[test]
fn a_planned_fault_comes_true() {
    let node = Node::devnode();
    let home = breakable(&node);
    let running = home.start_with(&[("SIGNALCORE_FAULT", "validator:panic@0.5,ingest:exit@0.1")]);
    for id in ["validator", "ingest"] {
        until_restarted(&home, id, 0);
    }
    mines_on(&home);
    let (exit, last) = running.stop();
    assert!(exit.success(), "{exit}\n{}", home.log());
    nothing_was_lost(&home, &last);
}

#[test]
fn faults_are_refused_where_they_are_not_allowed() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.2), true);
    let planned = [("SIGNALCORE_FAULT", "miner:panic@1")];
    let output = home.command_with(&["run"], &planned);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("debug.fault_injection"), "{said}");

    let running = home.start();
    children(&home);
    let output = order(&home, "miner", &["panic"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("debug.fault_injection"), "{said}");
    let (exit, last) = running.stop();
    assert!(exit.success(), "{exit}");
    assert_eq!(last["restarts"], 0, "{last}");
}

#[test]
fn an_order_that_makes_no_sense_is_refused_in_words() {
    let node = Node::devnode();
    let home = breakable(&node);
    let output = order(&home, "miner", &["panic"]);
    assert_eq!(output.status.code(), Some(69), "nobody runs");
    let output = order(&home, "miner", &["panic", "--for", "3"]);
    assert_eq!(output.status.code(), Some(2), "only a hang lasts");
    for (plan, word) in [("minor:panic@1", "minor"), ("miner:panic", "miner:panic")] {
        let output = home.command_with(&["run"], &[("SIGNALCORE_FAULT", plan)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(word), "{said}");
    }
    let running = home.start();
    children(&home);
    let output = order(&home, "minor", &["panic"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("minor"), "{said}");
    drop(running);
}
