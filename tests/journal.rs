//! `journal show` and `journal resubmit`, and blocks that their node has forgotten.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Output;

use common::node::Node;
use common::program::Home;
use common::scenarios::{IDLE, fast, paced};
use common::until;
use serde_json::{Value, json};

fn document(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn fails(output: &Output, code: i32, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

/// Has the configuration name another node from now on, and mine no more.
fn move_to(home: &Home, from: &Node, to: &Node) {
    home.reconfigure(&from.rpc_url(), &to.rpc_url());
    let cookie = |node: &Node| node.cookie_file().display().to_string();
    home.reconfigure(&cookie(from), &cookie(to));
    home.reconfigure(&fast(), IDLE);
}

#[test]
fn a_block_is_shown_with_all_that_is_known_of_it() {
    let node = Node::devnode();
    let home = Home::new(&node, &fast(), true);
    home.mine(20);
    let journal = home.journal();
    let hash = journal[4]["hash"].as_str().unwrap();
    let height = journal[4]["height"].as_u64().unwrap();
    let shown = document(&home.command(&["journal", "show", &hash[..16], "--json"]));
    assert_eq!(shown["hash"], hash, "{shown}");
    assert_eq!(shown["state"], "accepted", "{shown}");
    let block = node.call("getblock", json!([hash, 2]));
    let (of_node, of_ours) = (&block, &shown["block"]);
    for (theirs, ours) in [
        ("previousblockhash", "previous"),
        ("merkleroot", "merkle_root"),
        ("time", "time"),
        ("bits", "bits"),
        ("nonce", "nonce"),
        ("version", "version"),
        ("size", "size_bytes"),
        ("weight", "weight_wu"),
    ] {
        assert_eq!(of_node[theirs], of_ours[ours], "{ours}");
    }
    let coinbase = &block["tx"][0];
    assert_eq!(coinbase["txid"], of_ours["coinbase"]["txid"]);
    let paid = &coinbase["vout"][0]["scriptPubKey"]["address"];
    assert_eq!(*paid, of_ours["coinbase"]["outputs"][0]["address"]);
    let text = of_ours["coinbase"]["text"].as_str().unwrap();
    assert!(text.contains("/signalcore/"), "{shown}");
    let history = shown["history"].as_array().unwrap();
    let events: Vec<&str> = history
        .iter()
        .map(|s| s["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["found", "sent", "answered", "settled"], "{shown}");

    let file = home.data_dir().join("block.raw");
    let path = file.to_str().unwrap();
    let words = home.command(&["journal", "show", hash, "--output", path]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    for word in [
        hash,
        &height.to_string(),
        "accepted",
        "local",
        "/signalcore/",
    ] {
        assert!(words.contains(word), "{word} in {words}");
    }
    let raw = node.raw_block(hash);
    assert_eq!(hex::encode(std::fs::read(&file).unwrap()), raw);
    let again = home.command(&["journal", "show", hash, "--output", path]);
    fails(&again, 1, "new file");
    let digits = home.command(&["journal", "show", hash, "--hex"]);
    assert_eq!(String::from_utf8_lossy(&digits.stdout).trim(), raw);

    // Of twenty hashes below 8, several begin alike.
    let first = |entry: &Value| entry["hash"].as_str().unwrap()[..1].to_owned();
    let twice = journal.iter().map(first).find(|digit| {
        let alike = journal.iter().filter(|entry| first(entry) == *digit);
        alike.count() > 1
    });
    fails(
        &home.command(&["journal", "show", &twice.unwrap()]),
        1,
        "say more of it",
    );
    fails(
        &home.command(&["journal", "show", "feed"]),
        1,
        "journal list",
    );
    fails(
        &home.command(&["journal", "resubmit", "feed"]),
        1,
        "journal list",
    );
}

#[test]
fn a_block_that_its_node_does_not_have_is_submitted_again_without_an_instance() {
    let (mut node, mut fresh) = (Node::devnode(), Node::devnode());
    let home = Home::new(&node, &fast(), true);
    home.mine(1);
    let hash = home.journal()[0]["hash"].as_str().unwrap().to_owned();
    let resubmit = ["journal", "resubmit", &hash, "--json"];
    move_to(&home, &node, &fresh);
    node.stop();
    let answer = document(&home.command(&resubmit));
    let accepted = json!([{"name": "local", "state": "accepted", "reason": null}]);
    assert_eq!(answer, json!({"hash": hash, "nodes": accepted}));
    assert_eq!(fresh.tip(), hash);

    let named = home.command(&["journal", "resubmit", &hash, "--node", "other"]);
    fails(&named, 1, "the configuration names local");
    fresh.call("invalidateblock", json!([hash]));
    let refused = home.command(&resubmit);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        document(&refused)["nodes"][0]["reason"],
        "duplicate-invalid"
    );
    fresh.kill();
    let unreachable = home.command(&resubmit);
    assert_eq!(unreachable.status.code(), Some(69));
    let reason = document(&unreachable)["nodes"][0]["reason"].clone();
    assert!(
        reason.as_str().unwrap().contains("cannot reach"),
        "{reason}"
    );
    let shown = document(&home.command(&["journal", "show", &hash, "--json"]));
    let history = shown["history"].as_array().unwrap();
    assert!(
        history.len() > 4,
        "what the nodes said is written down: {shown}"
    );
}

#[test]
fn a_block_that_its_node_forgot_is_given_to_it_again_by_itself_and_on_request() {
    let (node, fresh) = (Node::devnode(), Node::devnode());
    let home = Home::new(&node, &fast(), true);
    home.mine(2);
    let journal = home.journal();
    let hash = |at: usize| journal[at]["hash"].as_str().unwrap().to_owned();
    move_to(&home, &node, &fresh);
    let running = home.start();
    until("the node has both", || {
        (fresh.tip() == hash(1)).then_some(())
    });
    let answer = home.command(&["journal", "resubmit", &hash(0), "--json"]);
    let nodes = &document(&answer)["nodes"];
    assert_eq!(nodes[0]["state"], "accepted", "{nodes}");
    assert_eq!(
        nodes[0]["reason"], "duplicate",
        "the instance did it: {nodes}"
    );
    let named = home.command(&["journal", "resubmit", &hash(0), "--node", "other"]);
    fails(&named, 1, "the configuration names local");
    let (exit, last) = running.stop();
    assert!(exit.success(), "{exit}\n{}", home.log());
    assert_eq!(
        last["blocks_accepted"], 0,
        "they were counted before: {last}"
    );
    let states: Vec<Value> = home.journal().iter().map(|e| e["state"].clone()).collect();
    assert_eq!(states, ["accepted", "accepted"]);
}

#[test]
fn the_journal_follows_a_reorganisation() {
    let node = Node::devnode();
    let home = Home::new(&node, &paced(0.5), true);
    let running = home.start();
    home.until_status("it mines", |status| {
        (status["blocks"]["accepted"].as_u64()? >= 3).then_some(())
    });
    let victim = home.journal()[1]["hash"].as_str().unwrap().to_owned();
    node.call("invalidateblock", json!([victim]));
    home.until_entry("it is out of the chain", &victim, |entry| {
        entry["state"] == "stale" && entry["settled_as"] == "accepted"
    });
    let (exit, last) = running.stop();
    assert!(exit.success(), "{exit}\n{}", home.log());
    let lifetime = last["blocks_accepted"].as_u64().unwrap();
    assert!(lifetime >= 3, "a count is not taken back: {last}");
}
