//! What cannot be kept up ends the process with 70, for the service manager to start again.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::{breakable, children, order};
use common::node::Node;

#[test]
fn a_child_that_panics_again_and_again_ends_the_process_and_its_exits_are_named() {
    let node = Node::devnode();
    let home = breakable(&node);
    let running = home.start();
    children(&home);
    let code = running.ends_while(|| drop(order(&home, "validator", &["panic"])));
    assert_eq!(code, Some(70), "{}", home.log());
    let log = home.log();
    let (_, end) = log
        .split_once("validator could not be kept up")
        .unwrap_or_else(|| panic!("it says which child:\n{log}"));
    assert!(
        end.matches("panicked with \"injected fault\"").count() >= 10,
        "and how it ended each time:\n{end}"
    );
    // What outlives the process is in order: the next one mines on.
    let running = home.start();
    children(&home);
    let (exit, last) = running.stop();
    assert!(exit.success(), "{exit}");
    assert_eq!(last["blocks_rejected"], 0, "{last}");
}

#[test]
fn more_hung_threads_than_the_process_may_leave_behind_end_it() {
    let node = Node::devnode();
    let home = breakable(&node);
    let running = home.start();
    let children = children(&home);
    let mut next = children.iter().filter(|id| *id != "api").cycle();
    let code = running.ends_while(|| {
        let id = next.next().unwrap();
        drop(order(&home, id, &["hang", "--for", "3600"]));
    });
    assert_eq!(code, Some(70), "{}", home.log());
    assert!(
        home.log().contains("could not be kept up"),
        "{}",
        home.log()
    );
}
