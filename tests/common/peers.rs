//! What only a real Bitcoin Core can do to the program: blocks from peers, initial block download, pruning.

use serde_json::{Value, json};

use super::account::balances;
use super::health::until_checked;
use super::node::Node;
use super::program::Home;
use super::scenarios::paced;
use super::tips::THEIRS;
use super::{spend, until};

/// Connects `from` to the node that listens at `address`, and waits until both are on one tip.
fn meet(from: &Node, to: &Node, address: &str) {
    from.call("setnetworkactive", json!([true]));
    until("they are connected", || {
        drop(from.rpc("addnode", json!([address, "onetry"])));
        let peers = from.call("getpeerinfo", json!([]));
        (!peers.as_array()?.is_empty()).then_some(())
    });
    until("they agree", || (from.tip() == to.tip()).then_some(()));
}

/// Cuts every connection of a node.
fn part(node: &Node) {
    node.call("setnetworkactive", json!([false]));
    until("they are apart", || {
        let peers = node.call("getpeerinfo", json!([]));
        peers.as_array()?.is_empty().then_some(())
    });
}

/// A peer that was cut off comes back with more blocks, headers first; then both make a block at one
/// height, and the program's next one decides. `node` listens at `address`.
pub fn races_a_peer_that_comes_and_goes(node: &Node, address: &str) {
    let home = Home::new(node, &paced(1.0), true);
    let running = home.start();
    let accepted = |least: u64| {
        home.until_status("it mines", |status| {
            (status["blocks"]["accepted"].as_u64()? >= least).then_some(())
        });
    };
    accepted(2);
    let peer = node.another();
    meet(&peer, node, address);

    part(&peer);
    let common = peer.height();
    until("the program made a block alone", || {
        (node.height() > common).then_some(())
    });
    let theirs = peer.generate(30, THEIRS);
    // Ours are not so many: the peer's chain has more work.
    assert!(node.height() < peer.height());
    meet(&peer, node, address);
    home.until_status("it follows the peer's chain and counts that", |status| {
        let tip = status["tip"]["height"].as_u64()?;
        (tip >= peer.height() && status["ingest"]["reorgs"].as_u64()? >= 1).then_some(())
    });
    let header = node.call("getblockheader", json!([theirs[29]]));
    assert!(header["confirmations"].as_i64().unwrap() >= 1, "{header}");

    part(&peer);
    // As many as the program makes: neither chain has more work than the other for long.
    until("both have made a block at one height", || {
        let behind = node.height().saturating_sub(peer.height());
        if behind > 0 {
            peer.generate(behind as u32, THEIRS);
        }
        (behind > 0).then_some(())
    });
    meet(&peer, node, address);
    let (status, last) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
    assert_eq!(last["blocks_rejected"], 0, "{last}\n{}", home.log());
    balances(&home, node, &last);
}

/// A node that keeps its last blocks only: every header is verified all the same, and work goes on.
pub fn mines_on_a_pruned_node(node: &Node) {
    for _ in 0..8 {
        node.generate(200, &spend::address());
    }
    node.call("pruneblockchain", json!([1_200]));
    let first = node.call("getblockhash", json!([1]));
    let error = node.rpc("getblock", json!([first])).unwrap_err();
    assert!(error.message.contains("pruned"), "{error:?}");
    let home = Home::new(node, &paced(0.2), true);
    let running = home.start();
    let verified = home.until_status("it mines", |status| {
        let enough = status["blocks"]["accepted"].as_u64()? >= 3;
        enough.then_some(status["tip"]["verified"].as_u64()?)
    });
    assert!(verified > 1_600, "every header, pruned or not: {verified}");
    let fork = node.call("getblockhash", json!([node.height() - 150]));
    node.call("invalidateblock", json!([fork]));
    node.generate(160, THEIRS);
    home.until_status("it follows a reorganisation", |status| {
        (status["ingest"]["reorgs"].as_u64()? >= 1).then_some(())
    });
    let accepted = home.until_status("it answers", |status| status["blocks"]["accepted"].as_u64());
    home.until_status("it mines on", |status| {
        (status["blocks"]["accepted"].as_u64()? >= accepted + 2).then_some(())
    });
    let (status, _) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
}

/// A node in initial block download is not mined on where that means something, and it is said why.
pub fn waits_for_the_end_of_initial_block_download(node: &Node) {
    let mining = "payout_address = \"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx\"";
    let home = Home::on_network("signet", node, mining, true);
    let running = home.start();
    let status = home.until_status("it waits", |status| {
        (status["state"] == "ibd").then(|| status.clone())
    });
    assert_eq!(status["mining"]["job"], Value::Null, "{status}");
    let checked = until_checked("health says why", &home, |checked| {
        checked.component("node").0 == "WARNING"
    });
    for component in ["node", "pipeline"] {
        let (_, message) = checked.component(component);
        assert!(message.contains("initial block download"), "{message}");
    }
    assert_eq!(checked.code, 1, "{}", checked.report);
    assert_eq!(running.stop().0.code(), Some(0));
}
