//! What the whole program must do when the node's best block moves: far back, to and fro, unannounced, or
//! to a block that another miner made.

use serde_json::{Value, json};

use super::account::balances;
use super::health::until_checked;
use super::node::Node;
use super::program::{Home, Running};
use super::scenarios::{IDLE, paced};
use super::{ReservedPort, spend, until};

/// Somebody else's address.
pub const THEIRS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// Waits until so many blocks more than now are accepted.
pub fn mines_on(home: &Home, blocks: u64) {
    let accepted = home.until_status("it answers", |status| status["blocks"]["accepted"].as_u64());
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + blocks).then_some(())
    });
}

/// Stops it, and sees to it that nothing was lost.
fn ends_well(home: &Home, node: &Node, running: Running) -> Value {
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    balances(home, node, &last);
    last
}

/// Gives a node the blocks of another one, of which it has to take all.
pub fn give(node: &Node, from: &Node, hashes: &[Value]) {
    let raw = from.batch("getblock", hashes.iter().map(|hash| json!([hash, 0])));
    for answer in node.batch("submitblock", raw.into_iter().map(|block| json!([block]))) {
        let taken = ["inconclusive", "duplicate", "duplicate-inconclusive"]
            .iter()
            .any(|word| answer == *word);
        assert!(answer.is_null() || taken, "{answer}");
    }
}

/// The hashes of a node's blocks from height 1 on.
pub fn chain(node: &Node) -> Vec<Value> {
    node.batch(
        "getblockhash",
        (1..=node.height()).map(|height| json!([height])),
    )
}

/// A branch of more than a hundred blocks takes the place of as many, those that were just mined among
/// them, while the program mines.
pub fn mines_on_after_a_reorganisation_of_a_hundred_blocks(node: &Node) {
    node.generate(110, &spend::address());
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 3).then_some(())
    });
    let rival = node.another();
    // What is mined meanwhile, the rival has to spare.
    let ahead = node.height() as u32 + 100;
    let theirs: Vec<Value> = rival
        .generate(ahead, THEIRS)
        .into_iter()
        .map(Value::from)
        .collect();
    give(node, &rival, &theirs);
    assert_eq!(node.call("getblockhash", json!([1])), theirs[0]);
    home.until_status("it follows them and counts that", |status| {
        let follows = status["tip"]["height"].as_u64()? >= theirs.len() as u64;
        (follows && status["ingest"]["reorgs"].as_u64()? >= 1).then_some(())
    });
    mines_on(&home, 3);
    let last = ends_well(&home, node, running);
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
}

/// Two blocks at one height: the one that came first is worked on, until a block on the other one decides.
pub fn stays_on_the_first_of_two_equal_tips(node: &Node) {
    node.generate(5, &spend::address());
    let rival = node.another();
    give(&rival, node, &chain(node));
    let home = Home::new(node, IDLE, true);
    let running = home.start();
    let first = node.generate(1, &spend::address()).remove(0);
    let second = rival.generate(1, THEIRS).remove(0);
    home.until_tip(&first);
    give(node, &rival, &[json!(second)]);
    assert_eq!(node.tip(), first, "the first one that a node sees");
    // Another block of the first branch, and everything known of it: the second one was passed over.
    let third = node.generate(1, &spend::address()).remove(0);
    home.until_tip(&third);
    assert_eq!(home.status().unwrap()["ingest"]["reorgs"], 0);
    // Two on the second one decide for it.
    let decided: Vec<Value> = rival
        .generate(2, THEIRS)
        .into_iter()
        .map(Value::from)
        .collect();
    give(node, &rival, &decided);
    home.until_tip(decided[1].as_str().unwrap());
    assert_eq!(home.status().unwrap()["ingest"]["reorgs"], 1);
    ends_well(&home, node, running);
}

/// A block that is found while others were quicker: it is delivered all the same, and counted as stale.
pub fn counts_a_block_that_came_too_late_as_stale(node: &mut Node) {
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
    node.stop();
    let late = until("a block found without a node is in the journal", || {
        let journal = home.journal().into_iter();
        journal.rev().find(|entry| entry["state"] != "accepted")
    });
    // The program stands still while the node comes back and hears of other blocks.
    running.signal("STOP");
    node.start();
    node.generate(2, THEIRS);
    running.signal("CONT");
    let hash = late["hash"].as_str().unwrap();
    home.until_entry("the late block is settled", hash, |entry| {
        entry["state"] == "stale"
    });
    let header = node.call("getblockheader", json!([hash]));
    assert_eq!(header["confirmations"], -1, "the node has it: {header}");
    mines_on(&home, 1);
    let last = ends_well(&home, node, running);
    assert_eq!(last["blocks_stale"], 1, "{last}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    assert!(last["blocks_accepted"].as_u64().unwrap() > before, "{last}");
}

/// The node goes back, block by block and then by many, and forward again, which nobody announces in so
/// many words; the program mines on whatever is best.
pub fn mines_on_a_node_that_goes_back_and_forth(node: &Node) {
    node.generate(40, &spend::address());
    let home = Home::new(node, &paced(0.3), true);
    let running = home.start();
    mines_on(&home, 2);
    let mut dropped = Vec::new();
    for depth in [1, 2, 1, 20] {
        let lowest = node.call("getblockhash", json!([node.height() + 1 - depth]));
        node.call("invalidateblock", json!([lowest]));
        dropped.push(lowest);
        mines_on(&home, 2);
    }
    for hash in dropped.into_iter().rev() {
        node.call("reconsiderblock", json!([hash]));
        mines_on(&home, 2);
    }
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    // A block found on a branch at the very moment when the node was told to hold it for invalid.
    let refused = last["blocks_rejected"].as_u64().unwrap();
    let words = ["bad-prevblk", "duplicate-invalid"];
    let journal = home.journal();
    let reasons: Vec<&str> = journal
        .iter()
        .filter(|entry| entry["state"] == "rejected")
        .map(|entry| entry["nodes"][0]["reason"].as_str().unwrap_or_default())
        .collect();
    assert!(
        reasons.iter().all(|reason| words.contains(reason)),
        "{reasons:?}"
    );
    assert!(reasons.len() as u64 >= refused, "{last}");
    assert!(refused <= 8, "one at each move: {last}");
}

/// Headers arrive before their blocks: work goes on where the blocks are, and the operator reads what is
/// missing.
pub fn mines_on_while_headers_are_ahead_of_their_blocks(node: &Node) {
    node.generate(10, &spend::address());
    let rival = node.another();
    give(&rival, node, &chain(node));
    let home = Home::new(node, &paced(0.5), true);
    let running = home.start();
    mines_on(&home, 1);
    let ahead = 300;
    let theirs: Vec<Value> = rival
        .generate(ahead, THEIRS)
        .into_iter()
        .map(Value::from)
        .collect();
    for header in rival.batch(
        "getblockheader",
        theirs.iter().map(|hash| json!([hash, false])),
    ) {
        node.call("submitheader", json!([header]));
    }
    home.until_status("it sees that blocks are missing", |status| {
        let words = format!("of {} known headers", 10 + ahead);
        status["node"]["state"]
            .as_str()?
            .contains(&words)
            .then_some(())
    });
    // A fresh regtest is mined on whatever it lacks.
    mines_on(&home, 2);
    let ill = until_checked("it is said", &home, |checked| {
        checked.component("node").0 == "WARNING"
    });
    assert!(
        ill.component("node").1.contains("known headers"),
        "{}",
        ill.report
    );
    give(node, &rival, &theirs);
    home.until_status("it follows once the blocks are there", |status| {
        (status["tip"]["height"].as_u64()? >= 10 + u64::from(ahead)).then_some(())
    });
    mines_on(&home, 2);
    let last = ends_well(&home, node, running);
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
}

/// Nobody publishes where the program listens: polls see every tip, and work goes on.
pub fn mines_although_nobody_publishes(node: &Node) {
    let home = Home::new(node, &paced(0.3), true);
    let nobody = ReservedPort::new();
    home.reconfigure(&node.zmq(), &format!("tcp://127.0.0.1:{}", nobody.number));
    let running = home.start();
    mines_on(&home, 3);
    for _ in 0..3 {
        let theirs = node.generate(1, THEIRS).remove(0);
        let height = node.call("getblockheader", json!([theirs]))["height"].as_u64();
        home.until_status("it knows the tip or its successor", |status| {
            (status["tip"]["height"].as_u64() >= height).then_some(())
        });
    }
    mines_on(&home, 2);
    assert_eq!(home.status().unwrap()["ingest"]["zmq_messages"], 0);
    let last = ends_well(&home, node, running);
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
}

/// More is published than the publisher keeps for a program that stands still: what was lost is counted
/// or made up for, and the tip is the node's.
pub fn catches_up_after_notifications_were_lost(node: &Node) {
    let home = Home::new(node, &paced(0.5), true);
    let running = home.start();
    home.until_status("it hears the node", |status| {
        (status["ingest"]["zmq_messages"].as_u64()? > 0).then_some(())
    });
    running.signal("STOP");
    for _ in 0..6 {
        node.generate(500, THEIRS);
    }
    running.signal("CONT");
    home.until_status("it knows the tip or its successor", |status| {
        (status["tip"]["height"].as_u64()? >= 3_000).then_some(())
    });
    mines_on(&home, 2);
    let status = home.status().unwrap();
    assert_eq!(status["ingest"]["zmq_garbage"], 0, "{status}");
    let last = ends_well(&home, node, running);
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
}

/// A validator that hangs while the node's tip moves: hashing goes on on the old block, which is said
/// loudly, with what to do, until it is over.
pub fn says_that_work_is_stale_until_it_is_not(node: &Node) {
    let mining = format!(
        "{}\n[debug]\nfault_injection = true\nhang_after_s = 60.0",
        paced(3600.0)
    );
    let home = Home::new(node, &mining, true);
    let running = home.start();
    home.until_status("it scans", |status| {
        let job = status["mining"]["job"]["height"].as_u64()?;
        (job == 1 && status["mining"]["hashrate_hs"].as_f64()? > 0.0).then_some(())
    });
    assert_eq!(home.status().unwrap()["mining"]["stale"], Value::Null);
    super::faults::inject(&home, "validator", &["hang", "--for", "15"]);
    let tip = node.generate(1, THEIRS).remove(0);
    let stale = home.until_status("it sees that the work is stale", |status| {
        let stale = &status["mining"]["stale"];
        stale.is_object().then(|| stale.clone())
    });
    assert_eq!(stale["best"], tip, "{stale}");
    assert_eq!(stale["cause"], "unverified", "{stale}");
    assert_eq!(stale["threads"], json!(["hash-0"]), "{stale}");
    assert!(stale["age_s"].as_f64().unwrap() > 2.0, "{stale}");
    until_checked("health says it", &home, |checked| {
        let (status, message) = checked.component("pipeline");
        ["WARNING", "CRITICAL"].contains(&status) && message.contains("stale work: hash-0")
    });
    home.until_status("it is over", |status| {
        let mining = &status["mining"];
        (mining["stale"].is_null() && mining["job"]["prev"] == tip).then_some(())
    });
    let status = home.status().unwrap();
    assert!(
        status["mining"]["stale_alarms"].as_u64().unwrap() >= 1,
        "{status}"
    );
    home.until_said("stale work is over after");
    ends_well(&home, node, running);
}
