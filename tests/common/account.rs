//! Whether anything was lost: what the program counted, its journal and the node's chain must say the
//! same of the blocks that it found.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::node::Node;
use super::program::Home;
use super::until;

/// The states in which a block's way has ended.
const SETTLED: [&str; 4] = ["accepted", "stale", "rejected", "superseded"];

/// Balances the books of a home whose program has ended: `last` is the last line of its only run. What it
/// left open when it was stopped, a second run without mining has to bring to its end.
///
/// # Panics
/// Where a found block is missing, or two of the three say something else of one.
pub fn balances(home: &Home, node: &Node, last: &Value) {
    let count = |key: &str| last[key].as_u64().unwrap();
    let settled = count("blocks_accepted") + count("blocks_stale") + count("blocks_rejected");
    let found = count("blocks_found");
    let journal = home.journal();
    let open = journal.iter().filter(|entry| !is_settled(entry)).count() as u64;
    assert_eq!(
        (journal.len() as u64, settled + open),
        (found, found),
        "in the journal, and settled or open: {last}\n{journal:#?}\n{}",
        home.log()
    );
    if disagreement(home, node).is_none() {
        return;
    }
    let running = home.start_with(&[("SIGNALCORE_MINING__ENABLED", "false")]);
    let mut what = None;
    let agreed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("journal and chain agree", || {
            what = disagreement(home, node);
            what.is_none().then_some(())
        });
    }));
    assert!(agreed.is_ok(), "{}\n{}", what.unwrap(), home.log());
    let (status, _) = running.stop();
    assert!(status.success(), "{status}\n{}", home.log());
}

fn is_settled(entry: &Value) -> bool {
    SETTLED.iter().any(|end| entry["state"] == *end)
}

/// Where journal and chain do not say the same; none where they do, block by block.
fn disagreement(home: &Home, node: &Node) -> Option<String> {
    let heights = (0..=node.height()).map(|height| json!([height]));
    let chain = node.batch("getblockhash", heights);
    let journal = home.journal();
    for entry in &journal {
        let height = entry["height"].as_u64().unwrap() as usize;
        let in_chain = chain.get(height) == Some(&entry["hash"]);
        let known = node.rpc("getblockheader", json!([entry["hash"]])).is_ok();
        let agree = match entry["state"].as_str().unwrap() {
            // A longer chain may have outrun it since, so long that it is not followed any more.
            "accepted" => known,
            _ => is_settled(entry) && !in_chain,
        };
        if !agree {
            return Some(format!(
                "known to the node {known}, in its chain {in_chain}: {entry:#}"
            ));
        }
    }
    let states: HashMap<&str, &Value> = journal
        .iter()
        .map(|entry| (entry["hash"].as_str().unwrap(), &entry["state"]))
        .collect();
    let blocks = chain.iter().skip(1).map(|hash| json!([hash, 2]));
    let ours = hex::encode("/signalcore/");
    let mut blocks = node.batch("getblock", blocks).into_iter();
    blocks.find_map(|block| {
        let text = block["tx"][0]["vin"][0]["coinbase"].as_str().unwrap();
        let hash = block["hash"].as_str().unwrap();
        let state = states.get(hash).copied();
        let agree = !text.contains(&ours) || state.is_some_and(|state| state == "accepted");
        (!agree).then(|| format!("the node has {hash} in its chain, and the journal {state:?}"))
    })
}
