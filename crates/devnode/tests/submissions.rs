//! What `submitblock`, `submitheader` and proposals answer to good blocks, bad blocks and known ones.

#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::block::Version;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Block, CompactTarget, ScriptBuf, TxOut, Witness};
use serde_json::{Value, json};
use support::{Node, blocks, start, start_with};

/// What turns a good block into a bad one.
type Break = Box<dyn Fn(&mut Block)>;

/// A node with a mempool, and the block that its template describes.
fn with_mempool() -> (Node, Block) {
    let node = start();
    node.devnode.fund(4).unwrap();
    node.devnode.fill_mempool(24).unwrap();
    let block = blocks::from_template(&node.template());
    assert_eq!(block.txdata.len(), 25);
    (node, block)
}

#[test]
fn each_broken_rule_has_its_name_in_proposals_and_submissions() {
    let (node, good) = with_mempool();
    let now = node.template()["curtime"].as_u64().unwrap() as u32;
    let median = node.template()["mintime"].as_u64().unwrap() as u32 - 1;
    let cases: Vec<(&str, Break)> = vec![
        (
            "bad-version(0x00000003)",
            Box::new(|b| b.header.version = Version::from_consensus(3)),
        ),
        (
            "bad-version(0xffffffff)",
            Box::new(|b| b.header.version = Version::from_consensus(-1)),
        ),
        (
            "bad-diffbits",
            Box::new(|b| b.header.bits = CompactTarget::from_consensus(0x207f_fffe)),
        ),
        ("time-too-old", Box::new(move |b| b.header.time = median)),
        (
            "time-too-new",
            Box::new(move |b| b.header.time = now + 7_200 + 120),
        ),
        ("bad-txnmrklroot", Box::new(|b| b.txdata.swap(1, 2))),
        (
            "bad-txns-duplicate",
            Box::new(|b| {
                // Twenty-five leaves: the last one counts twice, so that repeating it changes no root.
                let last = b.txdata[24].clone();
                b.txdata.push(last);
            }),
        ),
        (
            "bad-cb-amount",
            Box::new(|b| {
                b.txdata[0].output[0].value += Amount::from_sat(1);
                blocks::mine(b);
            }),
        ),
        (
            "bad-cb-height",
            Box::new(|b| {
                let mut script = b.txdata[0].input[0].script_sig.to_bytes();
                script[1] ^= 1;
                b.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(script);
                blocks::mine(b);
            }),
        ),
        (
            "bad-cb-length",
            Box::new(|b| {
                let mut script = b.txdata[0].input[0].script_sig.to_bytes();
                script.resize(101, 0);
                b.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(script);
                blocks::mine(b);
            }),
        ),
        (
            "bad-cb-missing",
            Box::new(|b| {
                b.txdata.remove(0);
                blocks::mine(b);
            }),
        ),
        (
            "bad-cb-multiple",
            Box::new(|b| {
                let mut second = b.txdata[0].clone();
                second.output[0].value = Amount::from_sat(1);
                b.txdata.insert(1, second);
                blocks::mine(b);
            }),
        ),
        (
            "bad-witness-merkle-match",
            Box::new(|b| {
                // The witness is no part of the hash: another time makes it another block.
                b.header.time += 1;
                b.txdata[1].input[0].witness.push([1_u8]);
            }),
        ),
        (
            "bad-witness-nonce-size",
            Box::new(|b| {
                b.header.time += 2;
                b.txdata[0].input[0].witness = Witness::from_slice(&[[0_u8; 31]]);
            }),
        ),
        (
            "unexpected-witness",
            Box::new(|b| {
                b.txdata[0].output.pop();
                b.txdata[0].input[0].witness = Witness::new();
                blocks::mine(b);
            }),
        ),
        (
            "bad-txns-nonfinal",
            Box::new(|b| {
                b.txdata[0].lock_time = bitcoin::absolute::LockTime::from_consensus(1_000_000);
                b.txdata[0].input[0].sequence = bitcoin::Sequence::ZERO;
                blocks::mine(b);
            }),
        ),
        (
            "bad-txns-inputs-missingorspent",
            Box::new(|b| {
                // A child before its parent: the last one spends an earlier one or a coin; put it first.
                let child = b.txdata.remove(24);
                b.txdata.insert(1, child);
                commit(b);
            }),
        ),
    ];
    for (reason, break_it) in cases {
        let mut bad = good.clone();
        break_it(&mut bad);
        blocks::remine(&mut bad);
        assert_eq!(node.propose(&bad), json!(reason), "proposal");
        assert_eq!(node.submit(&bad), json!(reason), "submission");
    }
    assert_eq!(node.propose(&good), Value::Null);
    assert_eq!(node.submit(&good), Value::Null);
    assert_eq!(node.devnode.tip().hash, good.block_hash());
    assert_eq!(node.devnode.mempool_len(), 0);
}

/// Renews the witness commitment and the merkle root.
fn commit(block: &mut Block) {
    let root = block.witness_root().unwrap();
    let hash = Block::compute_witness_commitment(&root, &[0; 32]);
    let output: &mut TxOut = block.txdata[0].output.last_mut().unwrap();
    let mut script = output.script_pubkey.to_bytes();
    script[6..38].copy_from_slice(hash.as_ref());
    output.script_pubkey = ScriptBuf::from_bytes(script);
    blocks::mine(block);
}

#[test]
fn any_of_the_version_bits_that_miners_may_roll_is_accepted() {
    // As Bitcoin Core does, which never lists `version` in a template's `mutable`.
    let node = start();
    let rolled = (13..=28).map(|bit| 1 << bit).chain([0x1fff_e000]);
    for bits in rolled {
        let mut block = blocks::from_template(&node.template());
        block.header.version = Version::from_consensus(0x2000_0000 | bits);
        blocks::remine(&mut block);
        assert_eq!(node.propose(&block), Value::Null, "{bits:#010x}");
        assert_eq!(node.submit(&block), Value::Null, "{bits:#010x}");
        assert_eq!(node.devnode.tip().hash, block.block_hash());
    }
}

#[test]
fn a_forged_signature_is_refused() {
    let (node, mut block) = with_mempool();
    let mut parts: Vec<Vec<u8>> = block.txdata[1].input[0].witness.to_vec();
    parts[0][10] ^= 1;
    block.txdata[1].input[0].witness = Witness::from_slice(&parts);
    commit(&mut block);
    let reason = node.submit(&block);
    assert!(
        reason
            .as_str()
            .unwrap()
            .starts_with("block-script-verify-flag-failed"),
        "{reason}"
    );
}

#[test]
fn a_coinbase_cannot_be_spent_before_it_is_a_hundred_deep() {
    let node = start();
    node.devnode.generate(99).unwrap();
    assert!(node.devnode.fill_mempool(1).is_err());
    node.devnode.generate(1).unwrap();
    assert_eq!(node.devnode.fill_mempool(1).unwrap().len(), 1);
    // One block back, its coin is too young again, and the transaction has to go.
    node.devnode.invalidate(&node.devnode.tip().hash).unwrap();
    assert_eq!(node.devnode.mempool_len(), 0);
}

#[test]
fn work_is_asked_of_submissions_but_not_of_proposals() {
    let (node, mut block) = with_mempool();
    blocks::unmine(&mut block);
    assert_eq!(node.propose(&block), Value::Null);
    assert_eq!(node.submit(&block), json!("high-hash"));
}

#[test]
fn a_missing_coinbase_witness_is_added_by_submitblock_and_refused_in_proposals() {
    let (node, mut block) = with_mempool();
    block.txdata[0].input[0].witness = Witness::new();
    assert_eq!(node.propose(&block), json!("bad-witness-nonce-size"));
    assert_eq!(node.submit(&block), Value::Null);
}

#[test]
fn trailing_bytes_are_ignored() {
    let (node, block) = with_mempool();
    let hex = serialize_hex(&block) + "00";
    assert_eq!(node.ok("submitblock", &json!([hex])), Value::Null);
    let stored = node.ok("getblock", &json!([block.block_hash().to_string(), 0]));
    assert_eq!(stored, json!(serialize_hex(&block)));
}

#[test]
fn known_blocks_are_duplicates_of_their_kind() {
    let node = start();
    node.devnode.generate(3).unwrap();
    let fork = node.devnode.block_hash(2).unwrap();
    let tip = node.devnode.tip();
    let best: Block =
        bitcoin::consensus::deserialize(&node.devnode.raw_block(&tip.hash).unwrap()).unwrap();
    assert_eq!(node.submit(&best), json!("duplicate"));
    assert_eq!(node.propose(&best), json!("duplicate"));

    let side = &blocks::branch(&node, fork, 1, "side")[0];
    assert_eq!(node.submit(side), json!("inconclusive"));
    assert_eq!(node.submit(side), json!("duplicate"));
    assert_eq!(node.propose(side), json!("duplicate-inconclusive"));

    let mut greedy = blocks::branch(&node, tip.hash, 1, "greedy").remove(0);
    greedy.txdata[0].output[0].value += Amount::from_sat(1);
    blocks::mine(&mut greedy);
    assert_eq!(node.submit(&greedy), json!("bad-cb-amount"));
    assert_eq!(node.submit(&greedy), json!("duplicate-invalid"));
    assert_eq!(node.propose(&greedy), json!("duplicate-invalid"));
    let child = blocks::empty_block(greedy.block_hash(), tip.height + 2, tip.time + 9, "child");
    assert_eq!(node.submit(&child), json!("bad-prevblk"));

    let orphan = blocks::empty_block("11".repeat(32).parse().unwrap(), 5, tip.time + 1, "orphan");
    assert_eq!(node.submit(&orphan), json!("prev-blk-not-found"));
    assert_eq!(
        node.propose(&orphan),
        json!("inconclusive-not-best-prevblk")
    );
    let stale = blocks::branch(&node, fork, 1, "stale").remove(0);
    assert_eq!(node.propose(&stale), json!("inconclusive-not-best-prevblk"));
}

#[test]
fn a_fault_of_the_witness_is_not_held_against_the_header() {
    let (node, good) = with_mempool();
    let mut bad = good.clone();
    bad.txdata[1].input[0].witness.push([1_u8]);
    assert_eq!(bad.block_hash(), good.block_hash());
    assert_eq!(node.submit(&bad), json!("bad-witness-merkle-match"));
    assert_eq!(node.submit(&good), Value::Null);
}

#[test]
fn a_bad_block_below_a_longer_branch_is_found_when_the_branch_is_connected() {
    let node = start();
    node.devnode.generate(10).unwrap();
    let tip = node.devnode.tip();
    let fork = node.devnode.block_hash(9).unwrap();
    let mut hidden = blocks::branch(&node, fork, 1, "hidden").remove(0);
    hidden.txdata[0].output[0].value += Amount::from_sat(1);
    blocks::mine(&mut hidden);
    assert_eq!(node.submit(&hidden), json!("inconclusive"));
    let child = blocks::empty_block(hidden.block_hash(), 11, hidden.header.time + 1, "child");
    assert_eq!(
        node.submit(&child),
        json!("inconclusive"),
        "the parent fails, not this one"
    );
    assert_eq!(node.devnode.tip(), tip);
    assert_eq!(node.submit(&hidden), json!("duplicate-invalid"));
    let tips = node.ok("getchaintips", &json!([]));
    assert_eq!(tips[0]["status"], json!("invalid"));
    assert_eq!(tips[0]["branchlen"], json!(2));
    // And the chain goes on.
    node.devnode.generate(1).unwrap();
}

#[test]
fn headers_come_before_their_bodies() {
    let node = start();
    node.devnode.generate(5).unwrap();
    let branch = blocks::branch(&node, node.devnode.tip().hash, 3, "ahead");
    let header = |block: &Block| json!([serialize_hex(&block.header)]);
    let refused = node.rpc("submitheader", &header(&branch[1])).unwrap_err();
    assert_eq!(
        refused,
        (
            -25,
            format!(
                "Must submit previous header ({}) first",
                branch[0].block_hash()
            )
        )
    );
    for block in &branch {
        assert_eq!(node.ok("submitheader", &header(block)), Value::Null);
        assert_eq!(
            node.ok("submitheader", &header(block)),
            Value::Null,
            "again"
        );
    }
    let info = node.ok("getblockchaininfo", &json!([]));
    assert_eq!((&info["blocks"], &info["headers"]), (&json!(5), &json!(8)));
    let statuses = |node: &Node| -> Vec<(u64, String)> {
        let tips = node.ok("getchaintips", &json!([]));
        let tips = tips.as_array().unwrap().clone();
        let status = |tip: &Value| tip["status"].as_str().unwrap().to_owned();
        tips.iter()
            .map(|tip| (tip["height"].as_u64().unwrap(), status(tip)))
            .collect()
    };
    assert_eq!(
        statuses(&node),
        [(8, "headers-only".into()), (5, "active".into())]
    );

    // Bodies from the top down: nothing connects before the lowest is there.
    assert_eq!(node.submit(&branch[2]), json!("inconclusive"));
    assert_eq!(node.submit(&branch[1]), json!("inconclusive"));
    assert_eq!(node.devnode.tip().height, 5);
    assert_eq!(node.submit(&branch[0]), Value::Null);
    assert_eq!(node.devnode.tip().height, 8);

    let mut heavy = blocks::branch(&node, node.devnode.tip().hash, 1, "x").remove(0);
    blocks::unmine(&mut heavy);
    assert_eq!(
        node.rpc("submitheader", &header(&heavy)),
        Err((-25, "high-hash".to_owned()))
    );
}

#[test]
fn two_hours_ahead_of_the_clock_is_the_limit_and_passes_with_time() {
    let clock = std::sync::Arc::new(signalcore_devnode::ManualClock::new(1_800_000_000));
    let node = start_with(|config| config.clock = clock.clone());
    node.devnode.generate(20).unwrap();
    let parent = node.devnode.tip();
    let at = |ahead: u32| {
        blocks::empty_block(
            parent.hash,
            parent.height + 1,
            1_800_000_000 + ahead,
            "ahead",
        )
    };
    assert_eq!(node.propose(&at(7_200)), Value::Null);
    let early = at(7_201);
    assert_eq!(node.submit(&early), json!("time-too-new"));
    clock.advance(1);
    assert_eq!(node.submit(&early), Value::Null, "not held against it");

    // Six of the last eleven at the bound, and even the node cannot go on.
    for _ in 0..5 {
        let tip = node.devnode.tip();
        let next = blocks::empty_block(tip.hash, tip.height + 1, 1_800_007_201, "bound");
        assert_eq!(node.submit(&next), Value::Null);
    }
    let message = "TestBlockValidity failed: time-too-new, block timestamp too far in the future";
    let refused = node.rpc("getblocktemplate", &json!([{"rules": ["segwit"]}]));
    assert_eq!(refused, Err((-1, message.to_owned())));
    let address = node.devnode.own_address().to_string();
    let refused = node.rpc("generatetoaddress", &json!([1, address]));
    assert_eq!(refused, Err((-1, message.to_owned())));
    clock.advance(1);
    assert_eq!(node.template()["curtime"], json!(1_800_007_202));
    node.devnode.generate(1).unwrap();
}

#[test]
fn times_run_at_least_one_second_past_the_median() {
    let clock = std::sync::Arc::new(signalcore_devnode::ManualClock::new(1_800_000_000));
    let node = start_with(|config| config.clock = clock.clone());
    node.devnode.generate(11).unwrap();
    let template = node.template();
    assert_eq!(template["mintime"], template["curtime"]);
    clock.advance(100);
    let template = node.template();
    assert_eq!(template["curtime"], json!(1_800_000_100));
    assert!(template["mintime"].as_u64().unwrap() < 1_800_000_100);
}

#[test]
fn transactions_come_in_over_rpc_and_are_judged() {
    let (node, block) = with_mempool();
    let raw = serialize_hex(&block.txdata[24]);
    let txid = block.txdata[24].compute_txid().to_string();
    assert_eq!(
        node.ok("sendrawtransaction", &json!([raw])),
        json!(txid),
        "known: no error"
    );
    assert_eq!(
        node.rpc("sendrawtransaction", &json!(["00"]))
            .unwrap_err()
            .0,
        -22
    );
    assert_eq!(node.submit(&block), Value::Null);
    let again = node.rpc("sendrawtransaction", &json!([raw])).unwrap_err();
    assert_eq!(
        again,
        (-27, "Transaction outputs already in utxo set".to_owned())
    );

    // Back one block, its transactions wait again; without the mempool they can be sent again.
    node.devnode.invalidate(&block.block_hash()).unwrap();
    assert_eq!(node.devnode.mempool_len(), 24);
    let ids = node.ok("getrawmempool", &json!([]));
    assert_eq!(ids.as_array().unwrap().len(), 24);
    let numbered = node.ok("getrawmempool", &json!([false, true]));
    assert!(numbered["mempool_sequence"].as_u64().unwrap() > 48);
}
