//! Real transactions of mainnet, in templates and blocks.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::path::PathBuf;

use bitcoin::Block;
use bitcoin::consensus::deserialize;
use serde_json::{Value, json};
use support::{blocks, start};

/// A block of mainnet; none, with a word of it, without the data.
fn mainnet(height: u32) -> Option<Block> {
    let Some(dir) = std::env::var_os("SIGNALCORE_TESTDATA").map(PathBuf::from) else {
        eprintln!("skipped: SIGNALCORE_TESTDATA not set");
        return None;
    };
    let raw = std::fs::read(dir.join(format!("blocks/mainnet_{height}.block"))).unwrap();
    Some(deserialize(&raw).unwrap())
}

#[test]
fn a_template_of_mainnets_transactions_is_full_and_its_block_is_accepted() {
    let (Some(old), Some(young)) = (mainnet(413_567), mainnet(866_342)) else {
        return;
    };
    let node = start();
    node.devnode.generate(1).unwrap();
    let all: Vec<_> = [old, young]
        .into_iter()
        .flat_map(|block| block.txdata)
        .collect();
    let count = all.len();
    let adopted = node.devnode.adopt(all);
    // Many of today's transactions carry the height of their time, and are not final here.
    assert!(adopted > 1_500 && adopted < count, "{adopted} of {count}");
    let template = node.template();
    let transactions = template["transactions"].as_array().unwrap();
    let weight: u64 = transactions
        .iter()
        .map(|tx| tx["weight"].as_u64().unwrap())
        .sum();
    assert!(weight > 3_980_000, "{weight}");
    assert!(transactions.len() > 1_000, "{}", transactions.len());
    let block = blocks::from_template(&template);
    assert_eq!(node.propose(&block), Value::Null);
    assert_eq!(node.submit(&block), Value::Null);
    assert_eq!(node.devnode.tip().height, 2);
    // They come back with a reorganisation, coins and all, and go into another block.
    node.devnode.invalidate(&block.block_hash()).unwrap();
    assert_eq!(node.devnode.mempool_len(), adopted);
    node.devnode.generate(1).unwrap();
    let info = node.ok("getblock", &json!([node.devnode.tip().hash.to_string()]));
    assert!(
        info["weight"].as_u64().unwrap() > 3_980_000,
        "{}",
        info["weight"]
    );
}
