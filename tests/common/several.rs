//! What the whole program must do beside several nodes.

use serde_json::json;

use super::account::balances;
use super::health::until_checked;
use super::node::Node;
use super::program::Home;
use super::scenarios::paced;
use super::tips::{THEIRS, chain, give, mines_on};
use super::{spend, until};

/// A home that prefers `first` and has `second` to fall back on, on the same chain.
fn beside(first: &Node, second: &Node) -> Home {
    first.generate(3, &spend::address());
    give(second, first, &chain(first));
    let home = Home::new(first, &paced(0.3), true);
    home.add_node("second", second);
    home
}

/// Waits until tips and templates come from this node.
fn until_in_use(home: &Home, name: &str) {
    home.until_status(&format!("{name} is in use"), |status| {
        let mut nodes = status["nodes"].as_array()?.iter();
        let node = nodes.find(|node| node["name"] == name)?;
        (node["active"] == true).then_some(())
    });
}

/// The preferred node stands still: mining goes on with the other one, and once the first goes on it
/// gets every block that was found meanwhile.
pub fn mines_on_when_the_preferred_node_freezes(near: &Node, far: &Node) {
    let home = Home::new(near, &paced(1.0), true);
    home.add_node("far", far);
    let running = home.start();
    home.until_status("it mines, with the preferred node", |status| {
        let used = &status["nodes"][0];
        let mines = status["blocks"]["accepted"].as_u64()? >= 2;
        (mines && used["active"] == true && status["node"]["name"] == "local").then_some(())
    });
    near.freeze();
    home.until_status("it uses the other node", |status| {
        let used = &status["nodes"][1];
        (used["active"] == true && status["node"]["name"] == "far").then_some(())
    });
    let before = far.height();
    until("the other node gets further blocks", || {
        (far.height() >= before + 2).then_some(())
    });
    let missed = far.height();
    near.thaw();
    until("the first one gets what it missed", || {
        (near.height() >= missed).then_some(())
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    let hash = |node: &Node| node.call("getblockhash", json!([missed]));
    assert_eq!(hash(near), hash(far));
}

/// The preferred node is killed: work goes on with the other one. It comes back without its last blocks,
/// is given them, and proves itself: it is preferred again.
pub fn fails_over_and_back(first: &mut Node) {
    let second = first.another();
    let home = beside(first, &second);
    let running = home.start();
    until_in_use(&home, "local");
    mines_on(&home, 2);
    first.kill();
    until_in_use(&home, "second");
    mines_on(&home, 3);
    let ill = until_checked("health names it", &home, |checked| {
        checked.component("node").0 == "WARNING"
    });
    let (_, message) = ill.component("node");
    assert!(message.contains("local is absent"), "{message}");
    assert_eq!(ill.code, 1, "{}", ill.report);
    first.start();
    // What a node of a network has from its peers. The rest it has from the program.
    give(first, &second, &chain(&second));
    until_in_use(&home, "local");
    mines_on(&home, 3);
    until_checked("health says that it is over", &home, |checked| {
        checked.component("node").0 == "OK"
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    balances(&home, &second, &last);
}

/// The nodes part ways: the chain with more verified work is worked on, whichever node is preferred, and
/// the operator reads that they disagree.
pub fn follows_the_node_with_more_work(first: &Node) {
    let second = first.another();
    let home = beside(first, &second);
    let running = home.start();
    until_in_use(&home, "local");
    mines_on(&home, 2);
    // A branch that the first node knows nothing of, with more work than it can catch up with.
    let rival = first.another();
    give(&rival, first, &chain(first)[..2]);
    rival.generate(first.height() as u32 + 60, THEIRS);
    let tip = rival.tip();
    give(&second, &rival, &chain(&rival));
    until_in_use(&home, "second");
    until("blocks are made on it", || {
        let header = second.call("getblockheader", json!([tip]));
        (header["confirmations"].as_i64()? > 3).then_some(())
    });
    let ill = until_checked("health says that they disagree", &home, |checked| {
        let (status, message) = checked.component("node");
        status == "WARNING" && message.contains("local")
    });
    assert!(
        ill.component("node").1.starts_with("second is"),
        "{}",
        ill.report
    );
    give(first, &second, &chain(&second));
    until_checked("health says that they agree", &home, |checked| {
        checked.component("node").0 == "OK"
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    balances(&home, &second, &last);
}
