//! The tip moves: side branches, reorganisations, blocks invalidated and reconsidered, and what
//! becomes of coins and mempool.

#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Block, OutPoint};
use serde_json::{Value, json};
use support::zmtp::Subscriber;
use support::{Node, blocks, start};

fn statuses(node: &Node) -> Vec<(u64, u64, String)> {
    let tips = node.ok("getchaintips", &json!([]));
    let read = |tip: &Value| {
        (
            tip["height"].as_u64().unwrap(),
            tip["branchlen"].as_u64().unwrap(),
            tip["status"].as_str().unwrap().to_owned(),
        )
    };
    tips.as_array().unwrap().iter().map(read).collect()
}

#[test]
fn of_two_branches_the_one_with_more_work_wins_and_the_first_one_while_they_are_equal() {
    let node = start();
    node.devnode.generate(10).unwrap();
    let old = node.devnode.tip();
    let fork = node.devnode.block_hash(7).unwrap();
    let branch = blocks::branch(&node, fork, 4, "other");
    for block in &branch[..3] {
        assert_eq!(node.submit(block), json!("inconclusive"));
    }
    assert_eq!(node.devnode.tip(), old, "equal work does not move the tip");
    let side = branch[0].block_hash().to_string();
    let header = node.ok("getblockheader", &json!([side]));
    assert_eq!(header["confirmations"], json!(-1));
    assert_eq!(
        statuses(&node),
        [(10, 3, "valid-headers".into()), (10, 0, "active".into())].map(sorted_as(&node))
    );

    assert_eq!(node.submit(&branch[3]), Value::Null);
    assert_eq!(node.devnode.tip().hash, branch[3].block_hash());
    assert_eq!(
        statuses(&node),
        [(11, 0, "active".into()), (10, 3, "valid-fork".into())]
    );
    let header = node.ok("getblockheader", &json!([side]));
    assert_eq!(header["confirmations"], json!(4));
    assert_eq!(
        header["nextblockhash"],
        json!(branch[1].block_hash().to_string())
    );
}

/// Tips of equal height are listed in the order of their hashes.
fn sorted_as(node: &Node) -> impl Fn((u64, u64, String)) -> (u64, u64, String) {
    let tips = node.ok("getchaintips", &json!([]));
    let first_is_active = tips[0]["status"] == json!("active");
    move |(height, length, status)| {
        // Swap the two expectations where the hashes ask for it.
        match (first_is_active, status.as_str()) {
            (true, "active") => (height, 3, "valid-headers".into()),
            (true, _) => (height, 0, "active".into()),
            _ => (height, length, status),
        }
    }
}

#[test]
fn a_reorganisation_gives_coins_and_transactions_back() {
    let node = start();
    node.devnode.fund(4).unwrap();
    let fork = node.devnode.tip();
    let ids = node.devnode.fill_mempool(12).unwrap();
    let mined = node.devnode.generate(1).unwrap()[0];
    assert_eq!(node.devnode.mempool_len(), 0);
    let more = node.devnode.fill_mempool(5).unwrap();

    // Two empty blocks replace the one with twelve transactions.
    for block in blocks::branch(&node, fork.hash, 2, "empty") {
        node.submit(&block);
    }
    assert_eq!(node.devnode.tip().height, fork.height + 2);
    let waiting: Vec<String> = ids.iter().chain(&more).map(ToString::to_string).collect();
    assert_eq!(
        node.ok("getrawmempool", &json!([])),
        json!(waiting),
        "parents before children"
    );

    // They can all be mined again, and the block that held them can come back.
    assert_eq!(
        node.template()["transactions"].as_array().unwrap().len(),
        17
    );
    let tip = node.devnode.tip();
    node.devnode.generate(1).unwrap();
    assert_eq!(node.devnode.mempool_len(), 0);
    let above = node.devnode.block_hash(tip.height - 1).unwrap();
    node.devnode.invalidate(&above).unwrap();
    assert_eq!(node.devnode.tip().hash, mined);
    // One step lower, a coin of theirs was too young for a moment; the others still wait.
    let left = node.ok("getrawmempool", &json!([]));
    let left: Vec<&str> = left
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert!(
        left.iter()
            .all(|id| more.iter().any(|known| known.to_string() == *id))
    );
    assert!(left.len() >= 4, "{left:?}");
}

#[test]
fn a_transaction_that_a_block_double_spends_leaves_the_mempool_with_its_children() {
    let node = start();
    let anyone = blocks::branch(&node, node.devnode.tip().hash, 1, "anyone").remove(0);
    assert_eq!(node.submit(&anyone), Value::Null);
    node.devnode.generate(100).unwrap();
    let coin = OutPoint::new(anyone.txdata[0].compute_txid(), 0);
    let waiting = blocks::spend(coin, 4_999_990_000);
    let child = blocks::spend(OutPoint::new(waiting.compute_txid(), 0), 4_999_980_000);
    for tx in [&waiting, &child] {
        node.ok("sendrawtransaction", &json!([serialize_hex(tx)]));
    }
    let again = node.rpc(
        "sendrawtransaction",
        &json!([serialize_hex(&blocks::spend(coin, 1))]),
    );
    assert_eq!(again, Err((-26, "txn-mempool-conflict".to_owned())));

    let mut subscriber = Subscriber::connect_quietly(&node);
    let tip = node.devnode.tip();
    let other = blocks::spend(coin, 4_999_000_000);
    let txdata = vec![blocks::coinbase(tip.height + 1, "other"), other];
    let block = blocks::block_of(tip.hash, tip.time + 1, txdata);
    assert_eq!(node.submit(&block), Value::Null);
    assert_eq!(node.devnode.mempool_len(), 0);
    let expected = [
        format!("R {}", child.compute_txid()),
        format!("R {}", waiting.compute_txid()),
        format!("C {}", block.block_hash()),
    ];
    let seen: Vec<String> = subscriber
        .take(3)
        .iter()
        .map(support::zmtp::Message::text)
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn an_invalidated_block_takes_its_descendants_along_and_comes_back_when_reconsidered() {
    let node = start();
    node.devnode.generate(10).unwrap();
    let old = node.devnode.tip();
    let seventh = node.devnode.block_hash(7).unwrap();
    assert_eq!(
        node.ok("invalidateblock", &json!([seventh.to_string()])),
        Value::Null
    );
    assert_eq!(node.devnode.tip().height, 6);
    assert_eq!(
        statuses(&node),
        [(10, 4, "invalid".into()), (6, 0, "active".into())]
    );
    let top: Block =
        bitcoin::consensus::deserialize(&node.devnode.raw_block(&old.hash).unwrap()).unwrap();
    assert_eq!(node.submit(&top), json!("duplicate-invalid"));

    node.devnode.generate(2).unwrap();
    assert_eq!(node.devnode.tip().height, 8);
    assert_eq!(
        node.ok("reconsiderblock", &json!([old.hash.to_string()])),
        Value::Null
    );
    assert_eq!(node.devnode.tip(), old);
    assert_eq!(
        statuses(&node),
        [(10, 0, "active".into()), (8, 2, "valid-fork".into())]
    );
}

#[test]
fn invalidating_the_tip_falls_back_to_the_next_best_branch() {
    let node = start();
    node.devnode.generate(5).unwrap();
    let fork = node.devnode.block_hash(3).unwrap();
    let branch = blocks::branch(&node, fork, 2, "other");
    for block in &branch {
        assert_eq!(node.submit(block), json!("inconclusive"));
    }
    node.devnode.invalidate(&node.devnode.tip().hash).unwrap();
    assert_eq!(node.devnode.tip().hash, branch[1].block_hash());
}

#[test]
fn a_branch_that_fails_at_its_last_block_leaves_the_old_tip_though_the_work_is_equal() {
    let node = start();
    node.devnode.generate(10).unwrap();
    let old = node.devnode.tip();
    let fork = node.devnode.block_hash(8).unwrap();
    let mut branch = blocks::branch(&node, fork, 3, "other");
    branch[2].txdata[0].output[0].value += bitcoin::Amount::from_sat(1);
    blocks::mine(&mut branch[2]);
    assert_eq!(node.submit(&branch[0]), json!("inconclusive"));
    assert_eq!(node.submit(&branch[1]), json!("inconclusive"));
    assert_eq!(node.submit(&branch[2]), json!("bad-cb-amount"));
    assert_eq!(node.devnode.tip(), old);
    // The two below are good: one more on them, and they win.
    let next = blocks::empty_block(branch[1].block_hash(), 11, old.time + 5, "next");
    assert_eq!(node.submit(&next), Value::Null);
    assert_eq!(node.devnode.tip().hash, next.block_hash());
}

#[test]
fn blocks_survive_a_restart_where_they_are_kept_and_only_there() {
    use signalcore_devnode::{Devnode, DevnodeConfig};
    let dir = tempfile::tempdir().unwrap();
    let config = |persist| {
        let mut config = DevnodeConfig::new(dir.path());
        config.persist = persist;
        config
    };
    let node = Devnode::start_blocking(config(true)).unwrap();
    node.fund(2).unwrap();
    node.fill_mempool(3).unwrap();
    node.generate(1).unwrap();
    node.generate(2).unwrap();
    let invalid = node.tip();
    node.invalidate(&invalid.hash).unwrap();
    let tip = node.tip();
    drop(node);

    let node = Devnode::start_blocking(config(true)).unwrap();
    assert_eq!(node.tip(), tip, "the invalidated block stays invalid");
    assert_eq!(node.mempool_len(), 0);
    node.fill_mempool(4).unwrap();
    node.reconsider(&invalid.hash).unwrap();
    assert_eq!(node.tip(), invalid);
    drop(node);
    let node = Devnode::start_blocking(config(false)).unwrap();
    assert_eq!(node.tip().height, 0);
}
