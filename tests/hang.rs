//! Each part of the program hangs in turn: it is named, found, given up and replaced; and what wakes up
//! later does nothing.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::{
    breakable, child, children, inject, mines_on, nothing_was_lost, until_restarted,
};
use common::node::Node;
use common::program::Home;
use common::until;
use serde_json::Value;

/// Every child there is; each has a test below.
const CHILDREN: [&str; 8] = [
    "stats",
    "resources",
    "submitter",
    "validator",
    "miner",
    "ingest",
    "api",
    "monitor",
];

/// What the health check says of a component.
fn health(home: &Home, component: &str) -> Option<Value> {
    let output = home.command(&["health-check", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(text.lines().last()?).unwrap();
    Some(report["components"][component].clone())
}

fn hangs_and_is_replaced(id: &str) {
    let node = Node::devnode();
    let home = breakable(&node);
    let running = home.start();
    assert_eq!(children(&home), CHILDREN);

    // It is found after `health.hang_after_s`, 10 s, and wakes up after that.
    inject(&home, id, &["hang", "--for", "20"]);
    until("the health check names it", || {
        let component = health(&home, id)?;
        (component["status"] != "OK").then_some(())
    });
    let again = until_restarted(&home, id, 0);
    let exit = again["last_exit"].as_str().unwrap();
    assert!(exit.contains("hangs"), "{exit}");
    mines_on(&home);

    home.until_said(&format!(
        "an abandoned generation has ended after all supervisor=signalcore child={id} generation=1"
    ));
    mines_on(&home);
    let status = home.status().unwrap();
    for other in CHILDREN {
        let generation = if other == id { 2 } else { 1 };
        assert_eq!(child(&status, other)["generation"], generation, "{status}");
    }
    assert_eq!(child(&status, id)["abandoned"], 0, "{status}");
    let (exit, last) = running.stop();
    assert!(exit.success(), "{exit}\n{}", home.log());
    nothing_was_lost(&home, &last);
}

#[test]
fn stats_hangs_and_is_replaced() {
    hangs_and_is_replaced("stats");
}

#[test]
fn resources_hangs_and_is_replaced() {
    hangs_and_is_replaced("resources");
}

#[test]
fn submitter_hangs_and_is_replaced() {
    hangs_and_is_replaced("submitter");
}

#[test]
fn validator_hangs_and_is_replaced() {
    hangs_and_is_replaced("validator");
}

#[test]
fn miner_hangs_and_is_replaced() {
    hangs_and_is_replaced("miner");
}

#[test]
fn ingest_hangs_and_is_replaced() {
    hangs_and_is_replaced("ingest");
}

#[test]
fn api_hangs_and_is_replaced() {
    hangs_and_is_replaced("api");
}

#[test]
fn monitor_hangs_and_is_replaced() {
    hangs_and_is_replaced("monitor");
}
