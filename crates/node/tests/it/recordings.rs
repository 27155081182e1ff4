//! What Bitcoin Core 31.99 was recorded answering, through our client: every recorded request that one of our methods
//! can make, with the recorded status and body.

use std::fs;
use std::path::Path;

use bitcoin::consensus::encode::deserialize;
use node::{HeaderInfo, NodeError, Rpc, TipStatus};
use serde_json::{Value, json};

use crate::http_server::{After, Server, answer};
use crate::{recordings, rpc};

struct Recording {
    name: String,
    request: Value,
    status: u16,
    body: String,
}

impl Recording {
    fn read(path: &Path) -> Option<Self> {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let status = json["response"]["status_line"]
            .as_str()?
            .split(' ')
            .nth(1)?
            .parse()
            .ok()?;
        let request = json["request"]["body"].as_str()?;
        Some(Self {
            name: path.file_stem()?.to_str()?.to_owned(),
            request: serde_json::from_str(request).unwrap_or(Value::Null),
            status,
            body: json["response"]["body"].as_str()?.to_owned(),
        })
    }

    fn answer(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A server that answers as recorded, with the id of the request that it gets.
    fn server(&self) -> Server {
        let (status, body, recorded_id) =
            (self.status, self.body.clone(), self.answer()["id"].clone());
        Server::start(move |request, stream| {
            let id = format!("\"id\":{recorded_id}");
            let body = match body.rfind(&id) {
                // An id of null stays: it stands for a request that could not be read.
                Some(at) if !recorded_id.is_null() => {
                    format!(
                        "{}\"id\":{}{}",
                        &body[..at],
                        request.json()["id"],
                        &body[at + id.len()..]
                    )
                }
                _ => body.clone(),
            };
            answer(stream, status, &body);
            After::KeepAlive
        })
    }
}

fn all_in(folder: &str) -> Option<Vec<Recording>> {
    let mut paths: Vec<_> = fs::read_dir(recordings(folder)?)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no recordings in {folder}");
    Some(
        paths
            .iter()
            .filter_map(|path| Recording::read(path))
            .collect(),
    )
}

/// Makes the recorded request through our method for it; `None` where we have no such method, or it
/// cannot be made to ask this. What it answers is compared with the recorded result as far as it holds it.
fn replay(rpc: &mut Rpc, recording: &Recording) -> Option<Result<(), NodeError>> {
    let params = &recording.request["params"];
    let result = &recording.answer()["result"];
    let hash = || params[0].as_str()?.parse().ok();
    let name = &recording.name;
    Some(match recording.request["method"].as_str()? {
        "getblockchaininfo" => rpc.get_blockchain_info().map(|info| {
            assert_eq!(json!(info.chain), result["chain"], "{name}");
            assert_eq!(json!(info.blocks), result["blocks"], "{name}");
            assert_eq!(json!(info.headers), result["headers"], "{name}");
            assert_eq!(json!(info.best_block), result["bestblockhash"], "{name}");
            assert_eq!(
                json!(info.chainwork.to_string()),
                result["chainwork"],
                "{name}"
            );
            assert_eq!(
                json!(info.initial_block_download),
                result["initialblockdownload"],
                "{name}"
            );
            assert_eq!(json!(info.warnings), result["warnings"], "{name}");
            assert_eq!(
                info.signet_challenge.is_some(),
                result.get("signet_challenge").is_some(),
                "{name}"
            );
        }),
        "getnetworkinfo" => rpc.get_network_info().map(|info| {
            assert_eq!(json!(info.version), result["version"], "{name}");
            assert_eq!(json!(info.connections), result["connections"], "{name}");
        }),
        "getbestblockhash" => rpc
            .get_best_block_hash()
            .map(|hash| assert_eq!(json!(hash), *result)),
        "getblockcount" if params.as_array().is_none_or(Vec::is_empty) => rpc
            .get_block_count()
            .map(|count| assert_eq!(json!(count), *result)),
        "getblockhash" => {
            let height = params[0]
                .as_u64()
                .and_then(|height| u32::try_from(height).ok())?;
            rpc.get_block_hash(height)
                .map(|hash| assert_eq!(json!(hash), *result))
        }
        "getblockheader" if params[1] == json!(false) => {
            rpc.get_block_header(&hash()?).map(|header| {
                let bytes = bitcoin::consensus::encode::serialize_hex(&header);
                assert_eq!(json!(bytes), *result, "{name}");
            })
        }
        "getblockheader" => rpc.get_block_header_info(&hash()?).map(|info: HeaderInfo| {
            assert_eq!(json!(info.hash), result["hash"], "{name}");
            assert_eq!(json!(info.height), result["height"], "{name}");
            assert_eq!(json!(info.confirmations), result["confirmations"], "{name}");
            assert_eq!(
                json!(info.chainwork.to_string()),
                result["chainwork"],
                "{name}"
            );
        }),
        "getblock" if params[1] == json!(0) => rpc.get_block(&hash()?).map(|block| {
            assert_eq!(json!(hex::encode(block)), *result, "{name}");
        }),
        "getchaintips" => rpc.get_chain_tips().map(|tips| {
            assert_eq!(tips.len(), result.as_array().unwrap().len(), "{name}");
            assert!(
                tips.iter().any(|tip| tip.status == TipStatus::Active),
                "{name}"
            );
            assert!(
                !tips
                    .iter()
                    .any(|tip| matches!(tip.status, TipStatus::Other(_))),
                "{name}"
            );
        }),
        "getzmqnotifications" => rpc.get_zmq_notifications().map(|publishers| {
            assert_eq!(publishers.len(), result.as_array().unwrap().len(), "{name}");
        }),
        "validateaddress" => {
            let address = params[0].as_str()?.parse().ok()?;
            rpc.validate_address(&address).map(|info| {
                assert_eq!(json!(info.is_valid), result["isvalid"], "{name}");
                let script = info.script_pubkey.map(|script| script.to_hex_string());
                assert_eq!(json!(script), result["scriptPubKey"], "{name}");
            })
        }
        "uptime" => rpc
            .uptime()
            .map(|seconds| assert_eq!(json!(seconds), *result)),
        // What is not hex our client refuses by itself.
        "submitblock"
            if params[0]
                .as_str()
                .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) =>
        {
            rpc.submit_block_hex(params[0].as_str()?).map(|answer| {
                assert_eq!(json!(answer.raw()), *result, "{name}");
            })
        }
        "getblocktemplate" => return template(rpc, recording),
        _ => return None,
    })
}

fn template(rpc: &mut Rpc, recording: &Recording) -> Option<Result<(), NodeError>> {
    let request = recording.request["params"].get(0)?;
    let result = &recording.answer()["result"];
    let network = if recording.name.starts_with("signet") {
        chain::Network::Signet
    } else {
        chain::Network::Regtest
    };
    if request["mode"] == "proposal" {
        let block = hex::decode(request["data"].as_str()?).ok()?;
        return Some(rpc.propose_block(network, &block).map(|answer| {
            use node::ProposalAnswer as Answer;
            let word = match answer {
                Answer::Valid => Value::Null,
                Answer::NotBestParent => json!("inconclusive-not-best-prevblk"),
                Answer::Duplicate => json!("duplicate"),
                Answer::DuplicateInconclusive => json!("duplicate-inconclusive"),
                Answer::Rejected(reason) => json!(reason),
                other => panic!("{other:?}"),
            };
            assert_eq!(word, *result, "{}", recording.name);
        }));
    }
    let template = match request["longpollid"].as_str() {
        Some(id) => rpc.wait_for_block_template(network, id),
        None => rpc.get_block_template(network),
    };
    Some(template.map(|template| {
        assert_eq!(
            json!(template.height),
            result["height"],
            "{}",
            recording.name
        );
        assert_eq!(
            json!(template.longpollid),
            result["longpollid"],
            "{}",
            recording.name
        );
        let transactions = result["transactions"].as_array().unwrap();
        assert_eq!(
            template.transactions.len(),
            transactions.len(),
            "{}",
            recording.name
        );
    }))
}

/// Replays a folder; answers how many of its recordings were asked for.
fn replay_all(folder: &str) -> Option<usize> {
    let mut replayed = 0;
    for recording in all_in(folder)? {
        let server = recording.server();
        let Some(outcome) = replay(&mut rpc(&server.url), &recording) else {
            continue;
        };
        replayed += 1;
        let error = &recording.answer()["error"];
        match (outcome, error["code"].as_i64()) {
            (Err(NodeError::WarmingUp { text }), Some(-28)) => {
                assert_eq!(json!(text), error["message"]);
            }
            (Ok(()), None)
            | (Err(NodeError::NoPeers { .. }), Some(-9))
            | (Err(NodeError::Syncing { .. }), Some(-10)) => {}
            (Err(NodeError::Rpc { code, .. }), Some(recorded)) => {
                assert_eq!(i64::from(code), recorded, "{}", recording.name);
            }
            (outcome, recorded) => panic!(
                "{}: {outcome:?} where {recorded:?} was recorded",
                recording.name
            ),
        }
        assert_eq!(server.requests().len(), 1, "{}", recording.name);
        check_request(&recording, &server);
    }
    Some(replayed)
}

/// Where our client asks at all, it asks what was recorded: the same method and block or hash.
fn check_request(recording: &Recording, server: &Server) {
    let sent = server.requests()[0].json();
    assert_eq!(
        sent["method"], recording.request["method"],
        "{}",
        recording.name
    );
    let (ours, recorded) = (&sent["params"], &recording.request["params"]);
    match recording.request["method"].as_str().unwrap() {
        "getblocktemplate" => {
            assert_eq!(ours[0]["data"], recorded[0]["data"], "{}", recording.name);
            assert_eq!(
                ours[0]["longpollid"], recorded[0]["longpollid"],
                "{}",
                recording.name
            );
            assert!(
                ours[0]["rules"]
                    .as_array()
                    .unwrap()
                    .contains(&json!("segwit"))
            );
        }
        "getblockheader" | "getblockhash" | "submitblock" | "getblock" => {
            assert_eq!(ours[0], recorded[0], "{}", recording.name);
        }
        _ => {}
    }
}

#[test]
fn recorded_answers_are_understood() {
    let Some(replayed) = replay_all("rpc") else {
        return;
    };
    assert!(replayed > 130, "only {replayed} recordings were replayed");
}

#[test]
fn recorded_answers_of_other_networks_are_understood() {
    let Some(replayed) = replay_all("rpc/nets") else {
        return;
    };
    assert!(replayed > 35, "only {replayed} recordings were replayed");
}

#[test]
fn recorded_envelopes_are_understood() {
    let Some(recordings) = all_in("rpc/jsonrpc") else {
        return;
    };
    for recording in recordings {
        let server = recording.server();
        let outcome = rpc(&server.url).get_block_count();
        let answer = recording.answer();
        let name = &recording.name;
        match (&answer["error"]["code"], answer["result"].as_u64()) {
            (Value::Number(code), _) => match outcome {
                Err(NodeError::Rpc { code: got, .. }) => {
                    assert_eq!(json!(got), json!(code), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            },
            // Without an id it could be anybody's answer.
            (_, Some(_)) if answer["id"].is_null() => assert!(outcome.is_err(), "{name}"),
            (_, Some(count)) => assert_eq!(u64::from(outcome.unwrap()), count, "{name}"),
            // Batches, empty bodies, other results.
            _ => assert!(
                matches!(
                    outcome,
                    Err(NodeError::Malformed { .. } | NodeError::Http { .. })
                ),
                "{name}: {outcome:?}"
            ),
        }
        assert_eq!(server.requests().len(), 1, "{name}");
    }
}

#[test]
fn recorded_statuses_have_errors_of_their_own() {
    let Some(recordings) = all_in("rpc/http") else {
        return;
    };
    for recording in recordings {
        let server = recording.server();
        let outcome = rpc(&server.url).get_block_count();
        let right = match recording.status {
            200 => outcome.is_ok(),
            401 => matches!(outcome, Err(NodeError::Unauthorized { .. })),
            403 => matches!(outcome, Err(NodeError::Forbidden { .. })),
            503 => matches!(outcome, Err(NodeError::Busy { .. })),
            status => matches!(outcome, Err(NodeError::Http { status: got, .. }) if got == status),
        };
        assert!(right, "{}: {outcome:?}", recording.name);
        assert_eq!(server.requests().len(), 1, "{}", recording.name);
    }
}

#[test]
fn a_recorded_batch_refused_during_warm_up_is_understood() {
    let Some(recordings) = all_in("rpc") else {
        return;
    };
    let batch = recordings
        .iter()
        .find(|r| r.name == "error_minus28_warmup_batch")
        .unwrap();
    let body = batch.body.clone();
    let server = Server::start(move |request, stream| {
        let id = &request.json()[0]["id"];
        answer(
            stream,
            200,
            &body.replace("\"id\":1", &format!("\"id\":{id}")),
        );
        After::KeepAlive
    });
    let error = rpc(&server.url).get_headers(0, 1).unwrap_err();
    assert!(matches!(error, NodeError::WarmingUp { .. }), "{error}");
}

#[test]
fn the_recorded_raw_header_and_block_decode() {
    let Some(recordings) = all_in("rpc") else {
        return;
    };
    let block = recordings
        .iter()
        .find(|r| r.name == "getblock_verbosity0")
        .unwrap();
    let bytes = hex::decode(block.answer()["result"].as_str().unwrap()).unwrap();
    let decoded: bitcoin::Block = deserialize(&bytes).unwrap();
    assert_eq!(json!(decoded.block_hash()), block.request["params"][0]);
}
