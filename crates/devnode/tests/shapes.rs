//! The shape of each method's answer (keys, their order, types, errors), compared with Bitcoin Core's.

#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::consensus::encode::serialize_hex;
use serde_json::{Value, json};
use support::recordings;
use support::shape::Shape;
use support::{Node, blocks};

/// A node with everything the recordings show: a mempool, a side branch, a block that was on the
/// best chain once, an invalid one, and a header without its body.
struct Scene {
    node: Node,
    side: String,
    header_only: String,
}

fn scene() -> Scene {
    let node = support::start();
    node.devnode.fund(4).unwrap();
    let fork = node
        .devnode
        .block_hash(node.devnode.tip().height - 1)
        .unwrap();
    let side = &blocks::branch(&node, fork, 1, "side")[0];
    assert_eq!(node.submit(side), json!("inconclusive"));
    let ahead = &blocks::branch(&node, node.devnode.tip().hash, 1, "ahead")[0];
    node.ok("submitheader", &json!([serialize_hex(&ahead.header)]));
    node.devnode.fill_mempool(24).unwrap();
    Scene {
        side: side.block_hash().to_string(),
        header_only: ahead.block_hash().to_string(),
        node,
    }
}

/// The whole answer to a call.
fn ask(node: &Node, method: &str, params: &Value) -> String {
    node.post(&json!({"id": "x", "method": method, "params": params}).to_string())
        .body
}

#[test]
fn answers_have_the_recorded_keys_in_the_recorded_order_with_the_recorded_types() {
    let Some(dir) = recordings::directory() else {
        return;
    };
    let scene = scene();
    let node = &scene.node;
    let tip = node.devnode.tip();
    let inner = node.devnode.block_hash(1).unwrap().to_string();
    let with_spends = {
        // A block of the mempool's, then the mempool again.
        let hash = node.devnode.generate(1).unwrap()[0].to_string();
        node.devnode.fill_mempool(24).unwrap();
        hash
    };
    let request = json!([{"rules": ["segwit"]}]);
    for (name, method, params) in [
        ("getblockchaininfo", "getblockchaininfo", json!([])),
        ("getnetworkinfo", "getnetworkinfo", json!([])),
        ("getmempoolinfo_with_txs", "getmempoolinfo", json!([])),
        ("gbt_segwit_mempool", "getblocktemplate", request.clone()),
        (
            "gbt_named_params",
            "getblocktemplate",
            json!({"template_request": {"rules": ["segwit"]}}),
        ),
        ("getmininginfo_after_gbt", "getmininginfo", json!([])),
        ("getbestblockhash", "getbestblockhash", json!([])),
        ("getblockcount", "getblockcount", json!([])),
        ("getblockhash_ok", "getblockhash", json!([1])),
        (
            "getblockheader_verbose",
            "getblockheader",
            json!([with_spends]),
        ),
        (
            "getblockheader_verbose_inner",
            "getblockheader",
            json!([inner]),
        ),
        (
            "getblockheader_raw",
            "getblockheader",
            json!([inner, false]),
        ),
        (
            "getblockheader_side_branch",
            "getblockheader",
            json!([scene.side]),
        ),
        (
            "getblockheader_header_only",
            "getblockheader",
            json!([scene.header_only]),
        ),
        ("getblock_verbosity0", "getblock", json!([with_spends, 0])),
        ("getblock_verbosity1", "getblock", json!([with_spends, 1])),
        ("getblock_verbosity2", "getblock", json!([with_spends, 2])),
        ("getblock_side_branch", "getblock", json!([scene.side, 1])),
        ("getchaintips_headers_only", "getchaintips", json!([])),
        ("getrawmempool_verbose", "getrawmempool", json!([true])),
        ("getzmqnotifications", "getzmqnotifications", json!([])),
        ("uptime", "uptime", json!([])),
    ] {
        let recorded = recordings::read(&dir, name);
        let ours = ask(node, method, &params);
        let (mut ours, mut theirs) = (Shape::of(&ours), Shape::of(&recorded.body));
        if name == "getrawmempool_verbose" {
            // Keyed by transaction: compare the first entries.
            (ours, theirs) = (
                first_value(ours.get("result")),
                first_value(theirs.get("result")),
            );
        }
        // An output with an address has one more key than the recorded OP_TRUE; a coinbase made
        // without witness lacks one.
        let difference = ours.differs(&theirs, &["address", "witness"]);
        assert_eq!(difference, None, "{name}");
    }
    assert!(tip.height > 100);
}

fn first_value(shape: &Shape) -> Shape {
    match shape {
        Shape::Object(members) => members[0].1.clone(),
        other => panic!("an object was expected: {other:?}"),
    }
}

#[test]
fn errors_have_the_recorded_codes_messages_and_statuses() {
    let Some(dir) = recordings::directory() else {
        return;
    };
    let scene = scene();
    for name in [
        "gbt_bad_mode",
        "gbt_longpoll_bad_nonhex",
        "gbt_longpoll_bad_short",
        "gbt_no_rules",
        "gbt_rules_empty",
        "gbt_rules_not_array",
        "getblock_unknown",
        "getblockhash_negative",
        "getblockhash_out_of_range",
        "getblockhash_string",
        "getblockheader_badhex",
        "getblockheader_unknown",
        "invalidateblock_unknown",
        "proposal_bad-prevblk-unknown-parent",
        "proposal_decode_failed",
        "proposal_decode_nothex",
        "proposal_no_data",
        "reconsiderblock_unknown",
        "submitblock_decode_empty",
        "submitblock_decode_failed",
        "submitblock_decode_nothex",
        "submitblock_decode_oddhex",
        "submitblock_number_param",
        "submitblock_unknown_parent",
        "submitheader_decode_failed",
        "submitheader_unknown_prev",
    ] {
        let recorded = recordings::read(&dir, name);
        let answer = scene.node.post(&recorded.request);
        assert_eq!(answer.body, recorded.body, "{name}");
        assert_eq!(answer.status_line, recorded.status_line, "{name}");
    }
    let recorded = recordings::read(&dir, "getblock_header_only");
    let error = scene
        .node
        .rpc("getblock", &json!([scene.header_only, 1]))
        .unwrap_err();
    let theirs = &recorded.json()["error"];
    assert_eq!(
        (json!(error.0), json!(error.1)),
        (theirs["code"].clone(), theirs["message"].clone())
    );
}

#[test]
fn addresses_are_validated_with_the_recorded_words() {
    let Some(dir) = recordings::directory() else {
        return;
    };
    let node = support::start();
    let mut compared = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name
            .strip_suffix(".json")
            .filter(|n| n.starts_with("validateaddress_"))
        else {
            continue;
        };
        let recorded = recordings::read(&dir, name);
        let mut ours = node.ok("validateaddress", &recorded.params());
        let mut theirs = recorded.result();
        // Where in a bech32 text the error sits is not worked out here.
        for answer in [&mut ours, &mut theirs] {
            if let Some(locations) = answer.get_mut("error_locations") {
                *locations = json!([]);
            }
        }
        assert_eq!(ours, theirs, "{name}");
        compared += 1;
    }
    assert!(compared >= 13, "only {compared} recordings found");
}

#[test]
fn an_empty_template_at_genesis_is_the_recorded_one_but_for_the_clock() {
    let Some(dir) = recordings::directory() else {
        return;
    };
    let node = support::start();
    let mut recorded = recordings::read(&dir, "gbt_at_genesis").result();
    let mut ours = node.template();
    for template in [&mut ours, &mut recorded] {
        template["curtime"] = json!(0);
        let id = template["longpollid"].as_str().unwrap()[..64].to_owned();
        template["longpollid"] = json!(id);
    }
    assert_eq!(ours, recorded);
}

#[test]
fn a_fresh_node_describes_itself_as_recorded() {
    let Some(dir) = recordings::directory() else {
        return;
    };
    let clock = std::sync::Arc::new(signalcore_devnode::ManualClock::new(1_795_227_606));
    let node = support::start_with(|config| config.clock = clock.clone());
    let mut recorded = recordings::read(&dir, "getblockchaininfo_genesis").result();
    let mut ours = node.ok("getblockchaininfo", &json!([]));
    // The recorded build warns of itself, and the progress is a guess from its clock.
    for info in [&mut ours, &mut recorded] {
        info["warnings"] = json!([]);
        let progress = info["verificationprogress"].as_f64().unwrap();
        info["verificationprogress"] = json!(format!("{progress:.9}"));
    }
    assert_eq!(ours, recorded);
}

#[test]
fn testdummy_is_signalled_from_height_144_until_it_is_active() {
    let node = support::start();
    let expect = |version: i64, rules: Value, available: Value| {
        let template = node.template();
        assert_eq!(template["version"], json!(version));
        assert_eq!(template["rules"], rules);
        assert_eq!(template["vbavailable"], available);
    };
    node.devnode.generate(142).unwrap();
    expect(0x2000_0000, json!(["csv", "!segwit", "taproot"]), json!({}));
    node.devnode.generate(1).unwrap();
    expect(
        0x3000_0000,
        json!(["csv", "!segwit", "taproot"]),
        json!({"testdummy": 28}),
    );
    node.devnode.generate(288 - 1).unwrap();
    expect(
        0x3000_0000,
        json!(["csv", "!segwit", "taproot"]),
        json!({"testdummy": 28}),
    );
    node.devnode.generate(1).unwrap();
    expect(
        0x2000_0000,
        json!(["csv", "!segwit", "taproot", "testdummy"]),
        json!({}),
    );
}
