//! `getblocktemplate`: templates, the long poll, proposals (BIPs 22, 23, 9, 145).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::consensus::encode::serialize_hex;
use serde::Serialize;
use serde_json::Value;

use super::args::{Args, Kind, Param, parse_hash, required};
use super::chain_info::target_text;
use super::json;
use super::{aside, mining};
use crate::deployments::{State, TESTDUMMY_BIT};
use crate::envelope::{RpcError, RpcResult};
use crate::mempool::PoolTx;
use crate::node::Node;
use crate::rules;
use crate::template::witness_commitment_script;

pub(super) const NAME: &str = "getblocktemplate";
pub(super) const PARAMS: &[Param] = &[required("template_request", Kind::Object)];

const NEEDS_SEGWIT: &str = "getblocktemplate must be called with the segwit rule set (call with {\"rules\": [\"segwit\"]})";

pub(super) async fn get_block_template(node: &Arc<Node>, args: Args) -> RpcResult {
    let request = args.get(0);
    match &request["mode"] {
        Value::Null => {}
        Value::String(mode) if mode == "template" => {}
        Value::String(mode) if mode == "proposal" => {
            let Value::String(data) = &request["data"] else {
                return Err(RpcError::new(
                    RpcError::TYPE,
                    "Missing data String key for proposal",
                ));
            };
            let (node, data) = (Arc::clone(node), data.clone());
            return aside(move || mining::propose(&node, &data)).await;
        }
        _ => return Err(RpcError::new(RpcError::PARAMETER, "Invalid mode")),
    }
    let rules = request["rules"].as_array();
    if !rules.is_some_and(|rules| rules.iter().any(|rule| rule == "segwit")) {
        return Err(RpcError::new(RpcError::PARAMETER, NEEDS_SEGWIT));
    }
    if let Some(watched) = Watched::read(node, &request["longpollid"])? {
        wait_for_change(node, watched).await;
    }
    let node = Arc::clone(node);
    aside(move || build(&node)).await
}

/// What a long poll has seen already.
#[derive(Debug, PartialEq, Eq)]
struct Watched {
    tip: BlockHash,
    updates: u64,
}

impl Watched {
    /// Reads a `longpollid`: a hash and a counter. Anything that is no string means "from now on".
    fn read(node: &Node, id: &Value) -> Result<Option<Self>, RpcError> {
        match id {
            Value::Null => Ok(None),
            Value::String(id) => {
                let hash: String = id.chars().take(64).collect();
                let counter: String = id.chars().skip(64).collect();
                Ok(Some(Self {
                    tip: parse_hash(&hash, "longpollid")?,
                    updates: counter.parse().unwrap_or_default(),
                }))
            }
            _ => {
                let world = node.world();
                Ok(Some(Self {
                    tip: world.index().tip_hash(),
                    updates: world.mempool().updates(),
                }))
            }
        }
    }
}

/// Returns when the tip is another than the one watched, when the mempool has changed at one of the
/// times at which it is looked at, or when the node stops.
async fn wait_for_change(node: &Node, watched: Watched) {
    let mut tip = node.tip();
    let mut stop = node.stopping();
    let mut pause: Duration = node.settings.longpoll_first_check;
    loop {
        tokio::select! {
            // An error means that the sender is gone: the node is being dropped.
            _ = tip.wait_for(|tip| *tip != watched.tip) => return,
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {
                if node.world().mempool().updates() != watched.updates {
                    return;
                }
                pause = node.settings.longpoll_next_check;
            }
        }
    }
}

#[derive(Serialize)]
struct Template {
    capabilities: [&'static str; 1],
    version: i32,
    rules: Vec<&'static str>,
    vbavailable: BTreeMap<&'static str, u8>,
    vbrequired: u32,
    previousblockhash: String,
    transactions: Vec<TemplateTx>,
    coinbaseaux: BTreeMap<String, String>,
    coinbasevalue: u64,
    longpollid: String,
    target: String,
    mintime: u32,
    mutable: [&'static str; 3],
    noncerange: &'static str,
    sigoplimit: usize,
    sizelimit: usize,
    weightlimit: usize,
    curtime: u32,
    bits: String,
    height: u32,
    default_witness_commitment: String,
}

#[derive(Serialize)]
struct TemplateTx {
    data: String,
    txid: String,
    hash: String,
    /// Positions, from 1, of earlier transactions in the list that this one spends.
    depends: Vec<usize>,
    fee: u64,
    sigops: u64,
    weight: u64,
}

fn build(node: &Node) -> RpcResult {
    let (figures, updates, transactions) = {
        let mut world = node.world();
        let figures = world.figures().map_err(|reject| {
            RpcError::new(RpcError::MISC, mining::validity_text(&reject.reason))
        })?;
        let template = world.current_template();
        (figures, template.updates, template.transactions.clone())
    };
    // The rest, hex of megabytes perhaps, is written without the lock.
    let mut rules_in_force = vec!["csv", "!segwit", "taproot"];
    let mut available = BTreeMap::new();
    match figures.testdummy {
        State::Active => rules_in_force.push("testdummy"),
        State::Started | State::LockedIn => {
            available.insert("testdummy", TESTDUMMY_BIT);
        }
        State::Defined => {}
    }
    let fees: u64 = transactions.iter().map(|entry| entry.fee).sum();
    json::result(&Template {
        capabilities: ["proposal"],
        version: figures.version,
        rules: rules_in_force,
        vbavailable: available,
        vbrequired: 0,
        previousblockhash: figures.previous.to_string(),
        coinbaseaux: BTreeMap::new(),
        coinbasevalue: figures.subsidy.to_sat() + fees,
        longpollid: format!("{}{updates}", figures.previous),
        target: target_text(figures.bits),
        mintime: figures.min_time,
        mutable: ["time", "transactions", "prevblock"],
        noncerange: "00000000ffffffff",
        sigoplimit: rules::MAX_SIGOPS,
        sizelimit: rules::MAX_WEIGHT,
        weightlimit: rules::MAX_WEIGHT,
        curtime: figures.time,
        bits: format!("{:08x}", figures.bits),
        height: figures.height,
        default_witness_commitment: witness_commitment_script(&transactions).to_hex_string(),
        transactions: list(&transactions),
    })
}

fn list(transactions: &[PoolTx]) -> Vec<TemplateTx> {
    let positions: HashMap<_, _> = transactions
        .iter()
        .enumerate()
        .map(|(index, entry)| (entry.txid, index + 1))
        .collect();
    transactions
        .iter()
        .map(|entry| {
            let mut depends: Vec<usize> = entry
                .tx
                .input
                .iter()
                .filter_map(|input| positions.get(&input.previous_output.txid).copied())
                .collect();
            depends.sort_unstable();
            depends.dedup();
            TemplateTx {
                data: serialize_hex(&*entry.tx),
                txid: entry.txid.to_string(),
                hash: entry.wtxid.to_string(),
                depends,
                fee: entry.fee,
                sigops: entry.sigops,
                weight: entry.weight,
            }
        })
        .collect()
}
