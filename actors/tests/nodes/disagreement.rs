//! The nodes name different tips: verified work decides, and nothing else.

use bitcoin::BlockHash;
use chain::Network;
use serde_json::{Value, json};
use signalcore_actors::board::Board;
use signalcore_actors::messages::TipVerdict;

use crate::support::fake::{Answer, FakeNode};
use crate::support::{run, until};
use crate::{
    Following, NEVER, STEADY, client, client_of, followed, fork, in_use, pair, shown, sync,
    verified,
};

/// Waits until both branches were weighed.
async fn both_are_weighed(board: &Board, tips: [BlockHash; 2]) {
    until(&board.tip_weights, "the weights of both tips", |weights| {
        tips.iter()
            .all(|tip| weights.iter().any(|weight| weight.hash == *tip))
    })
    .await;
}

#[test]
fn a_branch_with_more_verified_work_is_followed_until_the_preferred_node_has_it_too() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far, board, following) = followed(dir.path(), STEADY).await;
        near.generate(1).unwrap();
        verified(&board, &near).await;
        fork(&far, 3);
        in_use(&board, "far").await;
        let tip = verified(&board, &far).await;
        assert_eq!(tip.height, 8);
        shown(&board, "near", "lag and disagreement", |node| {
            node.lag == Some(2) && node.apart_since.is_some()
        })
        .await;
        sync(&far, &near);
        assert_eq!(near.tip().hash, far.tip().hash);
        in_use(&board, "near").await;
        shown(&board, "far", "agreement", |node| {
            node.apart_since.is_none()
        })
        .await;
        following.stop().await;
    });
}

#[test]
fn of_two_branches_with_equal_work_the_first_one_stays() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far, board, following) = followed(dir.path(), STEADY).await;
        near.generate(2).unwrap();
        verified(&board, &near).await;
        fork(&far, 2);
        let tips = [near.tip().hash, far.tip().hash];
        assert_ne!(tips[0], tips[1]);
        both_are_weighed(&board, tips).await;
        let weights = board.tip_weights.borrow().clone();
        let work = |tip| {
            let weight = weights.iter().find(|weight| weight.hash == tip);
            weight.map(|weight| weight.verdict.clone())
        };
        assert!(matches!(work(tips[0]), Some(TipVerdict::Verified { .. })));
        assert_eq!(work(tips[0]), work(tips[1]));
        // One more block, and only then, it is the other one's turn.
        assert!(board.nodes.borrow()[0].active);
        assert_eq!(board.tip_seen.borrow().as_ref().unwrap().hash, tips[0]);
        fork(&far, 1);
        in_use(&board, "far").await;
        verified(&board, &far).await;
        following.stop().await;
    });
}

/// A node that claims ten thousand times the work, and has nothing to show for it but this header.
fn boaster(
    (tip, header, raw): (BlockHash, Value, String),
) -> impl Fn(&str, &Value) -> Answer + Send + 'static {
    move |method, params| match method {
        "getblockchaininfo" => Answer::Result(json!({
            "chain": "regtest", "blocks": header["height"], "headers": header["height"], "bestblockhash": tip, "difficulty": 1.0,
            "initialblockdownload": false, "chainwork": format!("{:064x}", 100_000)
        })),
        "getbestblockhash" => Answer::Result(json!(tip)),
        "getblockheader" if params[0] == json!(tip) && params[1] == json!(true) => {
            Answer::Result(header.clone())
        }
        "getblockheader" if params[0] == json!(tip) => Answer::Result(json!(raw)),
        "getblockhash" if params[0] == header["height"] => Answer::Result(json!(tip)),
        "getblocktemplate" => Answer::Error(-9, "Bitcoin Core is not connected!"),
        _ => Answer::Error(-5, "Block not found"),
    }
}

/// A header at `height` on `parent`, without proof of work.
fn unproven(parent: BlockHash, time: u32, height: u32) -> (BlockHash, Value, String) {
    use bitcoin::hashes::Hash as _;
    let mut header = bitcoin::block::Header {
        version: bitcoin::block::Version::from_consensus(0x2000_0000),
        prev_blockhash: parent,
        merkle_root: bitcoin::TxMerkleNode::all_zeros(),
        time: time + 1,
        bits: bitcoin::CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    while header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    let hash = header.block_hash();
    let verbose = json!({
        "hash": hash, "confirmations": 1, "height": height, "version": header.version.to_consensus(),
        "merkleroot": header.merkle_root, "time": header.time, "mediantime": header.time, "nonce": header.nonce,
        "bits": "207fffff", "nTx": 1, "chainwork": format!("{:064x}", 100_000), "previousblockhash": parent
    });
    (
        hash,
        verbose,
        bitcoin::consensus::encode::serialize_hex(&header),
    )
}

#[test]
fn a_node_that_claims_more_work_than_its_headers_prove_is_not_followed() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (near, far) = pair(dir.path()).await;
        let parent = near.tip();
        let boast = unproven(parent.hash, parent.time, parent.height + 1);
        let fake = FakeNode::start(boaster(boast)).await;
        let url = format!("http://{}", fake.address);
        let board = Board::new(1);
        let nodes = [client_of("far", &far), client("liar", &url, None)];
        let following = Following::start(&board, &nodes, NEVER).await;
        in_use(&board, "far").await;
        shown(&board, "liar", "its refusal", |node| {
            node.fault.as_deref() == Some("names a tip that does not pass")
        })
        .await;
        assert!(board.nodes.borrow()[0].active);
        far.generate(1).unwrap();
        verified(&board, &far).await;
        following.stop().await;
    });
}

#[test]
fn a_preferred_node_whose_tip_is_refused_is_left() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (_, far) = pair(dir.path()).await;
        let genesis = Network::Regtest.genesis_header();
        let boast = unproven(genesis.block_hash(), genesis.time, 1);
        let fake = FakeNode::start(boaster(boast)).await;
        let url = format!("http://{}", fake.address);
        let board = Board::new(1);
        let nodes = [client("liar", &url, None), client_of("far", &far)];
        let following = Following::start(&board, &nodes, NEVER).await;
        shown(&board, "liar", "its refusal", |node| {
            node.fault.as_deref() == Some("names a tip that does not pass")
        })
        .await;
        in_use(&board, "far").await;
        verified(&board, &far).await;
        following.stop().await;
    });
}
