//! Whether anything was lost: what the program counted, its journal and the node's chain must say the
//! same of the blocks that it found.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::node::Node;
use super::program::Home;
use super::until;

/// How well the node remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It has every block that it ever accepted.
    Whole,
    /// It was killed: of its last blocks it may have forgotten some.
    Short,
}

/// The states in which a block's way has ended.
const SETTLED: [&str; 4] = ["accepted", "stale", "rejected", "superseded"];

/// Balances the books of a home whose program has ended: `last` is the last line of its only run.
///
/// # Panics
/// Where a found block is missing, or two of the three say something else of one.
pub fn balances(home: &Home, node: &Node, last: &Value, memory: Memory) {
    let count = |key: &str| last[key].as_u64().unwrap();
    let settled = count("blocks_accepted") + count("blocks_stale") + count("blocks_rejected");
    let found = count("blocks_found");
    let before = home.journal();
    let open = before.iter().filter(|entry| !is_settled(entry)).count() as u64;
    assert_eq!(
        (before.len() as u64, settled + open),
        (found, found),
        "found, in the journal, and settled or open: {last}\n{before:#?}\n{}",
        home.log()
    );
    if open > 0 {
        deliver(home, memory);
    }
    agrees(home, node, memory);
}

fn is_settled(entry: &Value) -> bool {
    SETTLED.iter().any(|end| entry["state"] == *end)
}

/// Runs the program without mining until every block of the journal has met its fate, or is kept for a
/// node that has forgotten its parent.
fn deliver(home: &Home, memory: Memory) {
    let waits = |entry: &Value| {
        memory == Memory::Short && entry["nodes"][0]["reason"] == "prev-blk-not-found"
    };
    let running = home.start_with(&[("SIGNALCORE_MINING__ENABLED", "false")]);
    until("what was open is settled", || {
        let journal = home.journal();
        let done = |entry: &Value| is_settled(entry) || waits(entry);
        journal.iter().all(done).then_some(())
    });
    let (status, _) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
}

/// Whether journal and chain say the same, block by block.
fn agrees(home: &Home, node: &Node, memory: Memory) {
    let heights = (0..=node.height()).map(|height| json!([height]));
    let chain = node.batch("getblockhash", heights);
    let journal = home.journal();
    for entry in &journal {
        let (hash, state) = (&entry["hash"], entry["state"].as_str().unwrap());
        let height = entry["height"].as_u64().unwrap() as usize;
        let in_chain = chain.get(height) == Some(hash);
        let known = node.rpc("getblockheader", json!([hash])).is_ok();
        let agree = match state {
            // It may have been outrun later, by a longer chain.
            "accepted" => known || memory == Memory::Short,
            _ => !in_chain,
        };
        assert!(
            agree,
            "known {known}, in the chain {in_chain}: {entry:#}\n{}",
            home.log()
        );
    }
    let states: HashMap<&str, &Value> = journal
        .iter()
        .map(|entry| (entry["hash"].as_str().unwrap(), &entry["state"]))
        .collect();
    let blocks = chain.iter().skip(1).map(|hash| json!([hash, 2]));
    for block in node.batch("getblock", blocks) {
        let text = block["tx"][0]["vin"][0]["coinbase"].as_str().unwrap();
        if text.contains(&hex::encode("/signalcore/")) {
            let hash = block["hash"].as_str().unwrap();
            let state = states.get(hash);
            assert_eq!(
                state.and_then(|state| state.as_str()),
                Some("accepted"),
                "the node has {hash} in its chain\n{}",
                home.log()
            );
        }
    }
}
