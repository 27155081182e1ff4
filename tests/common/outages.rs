//! What the whole program must do beside a node that goes away, comes back, stands still or has no
//! time for it.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::account::balances;
use super::health::until_checked;
use super::node::Node;
use super::program::Home;
use super::scenarios::paced;
use super::until;

/// A clean restart of the node, with a new cookie: mining goes on by itself.
pub fn survives_a_restart_of_the_node(node: &mut Node) {
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 2).then_some(())
    });
    let cookie = std::fs::read(node.cookie_file()).unwrap();
    node.stop();
    home.until_status("it sees that the node is gone", |status| {
        status["node"]["state"]
            .as_str()?
            .contains("absent")
            .then_some(())
    });
    node.start();
    assert_ne!(
        std::fs::read(node.cookie_file()).unwrap(),
        cookie,
        "the node wrote a new cookie"
    );
    let accepted = home.until_status("it answers", |status| status["blocks"]["accepted"].as_u64());
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + 2).then_some(())
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    balances(&home, node, &last);
}

/// The node is killed, a block is found meanwhile, the program is killed too: nothing is lost.
pub fn a_block_found_while_the_node_is_down_is_delivered(node: &mut Node) {
    let home = Home::new(node, &paced(3.0), true);
    let running = home.start();
    // Right after a block, so that the next one, of which work is done already, is three seconds away.
    let before = home.until_status("it works on its own block", |status| {
        let accepted = status["blocks"]["accepted"].as_u64()?;
        let tip = status["tip"]["height"].as_u64()?;
        let done = accepted >= 1
            && status["blocks"]["found"] == accepted
            && tip == accepted
            && status["mining"]["job"]["height"].as_u64()? == tip + 1;
        done.then_some(accepted)
    });
    node.flush();
    node.kill();
    let waiting = until("a block found without a node is in the journal", || {
        home.journal()
            .into_iter()
            .find(|entry| entry["state"] != "accepted")
    });
    assert_eq!(home.journal().len() as u64, before + 1);
    running.kill();
    node.start();
    let running = home.start();
    let hash = waiting["hash"].as_str().unwrap().to_owned();
    home.until_entry("the block is delivered", &hash, |entry| {
        entry["state"] == "accepted"
    });
    let header = node.call("getblockheader", json!([hash]));
    assert!(header["confirmations"].as_i64().unwrap() >= 1, "{header}");
    let (status, _) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
}

/// The node is killed while the program mines, its cookie left stale, its last blocks perhaps
/// forgotten: when it is back, the program mines on what it has.
pub fn survives_a_killed_node(node: &mut Node) {
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 5).then_some(())
    });
    let stale = std::fs::read(node.cookie_file()).unwrap();
    node.kill();
    assert_eq!(std::fs::read(node.cookie_file()).unwrap(), stale);
    home.until_status("it sees that the node is gone", |status| {
        status["node"]["state"]
            .as_str()?
            .contains("absent")
            .then_some(())
    });
    node.start();
    let accepted = home.until_status("it answers", |status| status["blocks"]["accepted"].as_u64());
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + 5).then_some(())
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    balances(&home, node, &last);
}

/// The program is there first: it waits, and mines once the node is there.
pub fn waits_for_a_node_that_starts_later(node: &mut Node) {
    node.stop();
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    home.until_status("it runs without a node", |status| {
        status["node"]["state"]
            .as_str()?
            .contains("absent")
            .then_some(())
    });
    node.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 3).then_some(())
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}");
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
}

/// The node stands still, its sockets open, for longer than any answer may take, and goes on: that is
/// said, and nothing is lost.
pub fn survives_a_node_that_stands_still(node: &Node) {
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 3).then_some(())
    });
    node.freeze();
    let frozen = home.until_status("it sees that the node does not answer", |status| {
        let absent = status["node"]["state"].as_str()?.contains("absent");
        absent.then_some(status["blocks"]["accepted"].as_u64()?)
    });
    until_checked("health says so", &home, |checked| {
        checked.component("node").0 == "CRITICAL"
    });
    node.thaw();
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= frozen + 5).then_some(())
    });
    until_checked("health says that it is over", &home, |checked| {
        checked.component("node").0 == "OK"
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    balances(&home, node, &last);
}

/// Others ask the node as often as they can: blocks are delivered all the same.
pub fn mines_beside_other_clients(node: &Node) {
    let home = Home::new(node, &paced(0.5), true);
    let running = home.start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Busy is an answer too.
                    drop(node.rpc("getblockchaininfo", json!([])));
                }
            });
        }
        let mined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            home.until_status("it mines", |status| {
                (status["blocks"]["accepted"].as_u64()? >= 5).then_some(())
            });
        }));
        over.store(true, Ordering::Relaxed);
        mined.unwrap_or_else(|_| panic!("it does not mine:\n{}", home.log()));
    });
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    balances(&home, node, &last);
}
