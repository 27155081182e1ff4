//! Ranges of headers and walks back, against a server that keeps a chain.

use std::collections::HashMap;

use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use node::{MAX_BATCH, NodeError};
use serde_json::{Value, json};

use crate::http_server::{After, Server, answer};
use crate::rpc;

/// Headers that link; their work is nobody's concern here.
fn chain(parent: BlockHash, count: u32, mark: u32) -> Vec<Header> {
    let mut prev_blockhash = parent;
    (0..count)
        .map(|nonce| {
            let header = Header {
                version: Version::TWO,
                prev_blockhash,
                merkle_root: TxMerkleNode::all_zeros(),
                time: mark,
                bits: CompactTarget::from_consensus(0x207f_ffff),
                nonce,
            };
            prev_blockhash = header.block_hash();
            header
        })
        .collect()
}

/// What the server knows, by hash and by height.
struct Chain {
    active: Vec<BlockHash>,
    /// Height, header, and whether it is active.
    headers: HashMap<BlockHash, (u32, Header, bool)>,
}

impl Chain {
    fn new(active: &[Header], side: &[(u32, Header)]) -> Self {
        let numbered = (0..).zip(active.iter().copied());
        let all = side
            .iter()
            .map(|(height, header)| (*height, *header, false))
            .chain(numbered.map(|(height, header)| (height, header, true)));
        Self {
            active: active.iter().map(Header::block_hash).collect(),
            headers: all.map(|entry| (entry.1.block_hash(), entry)).collect(),
        }
    }
}

/// Answers one request of the three that header queries are made of.
fn respond(chain: &Chain, request: &Value) -> Value {
    let params = &request["params"];
    let outcome = match request["method"].as_str().unwrap() {
        "getblockhash" => match chain.active.get(params[0].as_u64().unwrap() as usize) {
            Some(hash) => Ok(json!(hash)),
            None => Err((-8, "Block height out of range")),
        },
        "getblockheader" => {
            let wanted: BlockHash = params[0].as_str().unwrap().parse().unwrap();
            match chain.headers.get(&wanted) {
                None => Err((-5, "Block not found")),
                Some((_, header, _)) if params[1] == json!(false) => {
                    Ok(json!(serialize_hex(header)))
                }
                Some((height, header, active)) => Ok(json!({
                    "hash": wanted,
                    "confirmations": if *active { json!(chain.active.len() as u32 - height) } else { json!(-1) },
                    "height": height,
                    "version": header.version.to_consensus(),
                    "merkleroot": header.merkle_root,
                    "time": header.time,
                    "mediantime": header.time,
                    "nonce": header.nonce,
                    "bits": format!("{:08x}", header.bits.to_consensus()),
                    "chainwork": "0".repeat(64),
                    "nTx": 1,
                    "previousblockhash": header.prev_blockhash,
                })),
            }
        }
        other => panic!("{other}"),
    };
    match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": request["id"]}),
        Err((code, message)) => {
            json!({"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": request["id"]})
        }
    }
}

fn serving(active: &[Header], side: &[(u32, Header)]) -> Server {
    let chain = Chain::new(active, side);
    Server::start(move |request, stream| {
        let body = match request.json() {
            // In another order than asked: the ids decide.
            Value::Array(batch) => batch.iter().rev().map(|one| respond(&chain, one)).collect(),
            one => respond(&chain, &one),
        };
        answer(stream, 200, &body.to_string());
        After::KeepAlive
    })
}

#[test]
fn a_range_is_fetched_in_two_batches_and_ends_with_the_chain() {
    let active = chain(BlockHash::all_zeros(), 3000, 1);
    let server = serving(&active, &[]);
    let mut rpc = rpc(&server.url);
    assert_eq!(rpc.get_headers(0, 2000).unwrap(), active[..2000]);
    assert_eq!(server.requests().len(), 2);
    assert_eq!(rpc.get_headers(2000, MAX_BATCH).unwrap(), active[2000..]);
    assert_eq!(rpc.get_headers(0, 10_000).unwrap().len(), MAX_BATCH);
    assert!(rpc.get_headers(3000, 10).unwrap().is_empty());
    assert!(rpc.get_headers(5, 0).unwrap().is_empty());
}

#[test]
fn a_reorganisation_between_the_batches_is_noticed() {
    let active = chain(BlockHash::all_zeros(), 20, 1);
    let other = chain(active[9].block_hash(), 10, 2);
    // The heights of one moment, and everything that was ever there.
    let mixed = [&active[..15], &other[5..]].concat();
    let all: Vec<_> = active
        .iter()
        .chain(&other)
        .map(|header| (0, *header))
        .collect();
    let server = serving(&mixed, &all);
    let error = rpc(&server.url).get_headers(5, 15).unwrap_err();
    assert!(matches!(error, NodeError::ChainMoved { .. }), "{error}");
    assert!(error.is_transient());
}

#[test]
fn a_walk_back_stops_where_the_parent_is_known() {
    let active = chain(BlockHash::all_zeros(), 50, 1);
    let server = serving(&active, &[]);
    let known = active[46].block_hash();
    let walked = rpc(&server.url)
        .walk_back(active[49].block_hash(), 100, |hash| *hash == known)
        .unwrap();
    assert_eq!(walked, active[47..]);
    assert_eq!(server.requests().len(), 3, "one by one, it is a short way");
}

#[test]
fn a_long_walk_back_goes_by_batches() {
    let active = chain(BlockHash::all_zeros(), 1500, 1);
    let server = serving(&active, &[]);
    let mut rpc = rpc(&server.url);
    let known = active[99].block_hash();
    let walked = rpc
        .walk_back(active[1499].block_hash(), 16_000, |hash| *hash == known)
        .unwrap();
    assert_eq!(walked, active[100..]);
    assert!(
        server.requests().len() < 30,
        "{} requests",
        server.requests().len()
    );
    // To the beginning, and to a bound.
    assert_eq!(
        rpc.walk_back(active[1499].block_hash(), 16_000, |_| false)
            .unwrap(),
        active
    );
    assert_eq!(
        rpc.walk_back(active[1499].block_hash(), 700, |_| false)
            .unwrap(),
        active[800..]
    );
}

#[test]
fn a_side_branch_is_walked_until_it_meets_known_ground() {
    let active = chain(BlockHash::all_zeros(), 400, 1);
    let branch = chain(active[299].block_hash(), 60, 2);
    let side: Vec<_> = (300..).zip(branch.iter().copied()).collect();
    let server = serving(&active, &side);
    let known = active[250].block_hash();
    let walked = rpc(&server.url)
        .walk_back(branch[59].block_hash(), 16_000, |hash| *hash == known)
        .unwrap();
    assert_eq!(walked, [&active[251..300], &branch[..]].concat());
}

#[test]
fn a_batch_with_answers_missing_or_strange_is_malformed() {
    for broken in [
        "[]",
        r#"[{"result":"x","error":null,"id":424242}]"#,
        "{}",
        "7",
        r#"[{"id":1}]"#,
    ] {
        let server = Server::answering(200, broken);
        let error = rpc(&server.url).get_headers(0, 3).unwrap_err();
        assert!(
            matches!(error, NodeError::Malformed { .. }),
            "{broken}: {error}"
        );
    }
}
