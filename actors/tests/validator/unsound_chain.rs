//! What the validator makes of headers and blocks that break a rule, and of a node that fails.

use bitcoin::block::Header;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, TxMerkleNode};
use chain::{Network, Verdict};
use serde_json::{Value, json};
use signalcore_actors::board::Board;
use signalcore_actors::messages::BodyState;

use crate::support::fake::{Answer, FakeNode};
use crate::support::{client_at, run, stop, until, until_true};
use crate::{checked, see, settings, validator, verified};

/// Headers on regtest's genesis, each with its proof of work.
fn mined(count: usize, spoil: impl Fn(usize, &mut Header)) -> Vec<Header> {
    let mut headers = vec![*Network::Regtest.genesis_header()];
    for height in 1..=count {
        let parent = headers[height - 1];
        let mut header = Header {
            version: bitcoin::block::Version::from_consensus(0x2000_0000),
            prev_blockhash: parent.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array([height as u8; 32]),
            time: parent.time + 60,
            nonce: 0,
            ..parent
        };
        spoil(height, &mut header);
        while !header.target().is_met_by(header.block_hash()) {
            header.nonce += 1;
        }
        headers.push(header);
    }
    headers
}

/// A node whose active chain these headers are, and which answers `getblock` as given.
fn serving(
    headers: Vec<Header>,
    block: Answer,
) -> impl Fn(&str, &Value) -> Answer + Send + 'static {
    let by_hash = move |headers: &[Header], hash: &Value| {
        headers
            .iter()
            .position(|header| json!(header.block_hash()) == *hash)
    };
    move |method, params| match method {
        "getblockhash" => match headers.get(params[0].as_u64().unwrap() as usize) {
            Some(header) => Answer::Result(json!(header.block_hash())),
            None => Answer::Error(-8, "Block height out of range"),
        },
        "getblockheader" => match by_hash(&headers, &params[0]) {
            Some(height) if params[1] == json!(true) => {
                let header = &headers[height];
                Answer::Result(json!({
                    "hash": header.block_hash(), "confirmations": headers.len() - height, "height": height,
                    "version": header.version.to_consensus(), "merkleroot": header.merkle_root,
                    "time": header.time, "mediantime": header.time, "nonce": header.nonce,
                    "bits": format!("{:08x}", header.bits.to_consensus()), "nTx": 1,
                    "chainwork": format!("{:064x}", 2 * (height + 1)), "previousblockhash": header.prev_blockhash
                }))
            }
            Some(height) => Answer::Result(json!(serialize_hex(&headers[height]))),
            None => Answer::Error(-5, "Block not found"),
        },
        "getblock" => block.clone(),
        _ => Answer::Error(-32601, "Method not found"),
    }
}

#[test]
fn a_node_whose_headers_break_a_rule_is_not_followed_until_its_chain_is_sound_again() {
    run(async {
        let pruned = || Answer::Error(-1, "Block not available (pruned data)");
        let sound = mined(20, |_, _| {});
        let spoilt: [(&str, Vec<Header>); 3] = [
            (
                "time-too-old",
                mined(20, |height, header| {
                    if height == 15 {
                        header.time -= 3600;
                    }
                }),
            ),
            (
                "bad-version",
                mined(20, |height, header| {
                    if height == 20 {
                        header.version = bitcoin::block::Version::ONE;
                    }
                }),
            ),
            (
                "bad-diffbits",
                mined(20, |height, header| {
                    if height == 7 {
                        header.bits = bitcoin::CompactTarget::from_consensus(0x2070_0000);
                    }
                }),
            ),
        ];
        for (what, headers) in spoilt {
            let tip = headers.last().unwrap().block_hash();
            let fake = FakeNode::start(serving(headers, pruned())).await;
            let board = Board::new(1);
            let tree = validator(&board, settings(client_at(fake.address, None))).await;
            see(&board, "fake", tip);
            until_true(what, || board.registry.verifications_failed.get() > 0).await;
            assert!(board.tip_validated.borrow().is_none(), "{what}");
            let doubt = until(&board.tip_doubt, what, Option::is_some).await;
            let doubt = doubt.unwrap();
            assert_eq!((doubt.hash, doubt.verdict), (tip, Verdict::Rejected));
            assert!(doubt.reason.starts_with(what), "{doubt:?}");

            fake.now(serving(sound.clone(), pruned()));
            let tip = sound.last().unwrap().block_hash();
            see(&board, "fake", tip);
            let validated = checked(&board, tip).await;
            assert_eq!(validated.height, 20);
            let BodyState::Unavailable(why) = &validated.body else {
                panic!("{:?}", validated.body)
            };
            assert!(why.contains("pruned"), "{why}");
            stop(tree).await;
        }
    });
}

#[test]
fn a_block_that_does_not_belong_to_its_header_is_rejected_in_so_many_words() {
    run(async {
        let headers = mined(6, |_, _| {});
        let tip = headers[5];
        // The header is right; the transaction behind it is another one.
        let coinbase = &Network::Regtest.genesis().txdata[0];
        let block = format!("{}01{}", serialize_hex(&tip), serialize_hex(coinbase));
        let fake = FakeNode::start(serving(
            headers[..=5].to_vec(),
            Answer::Result(json!(block)),
        ))
        .await;
        let board = Board::new(1);
        let tree = validator(&board, settings(client_at(fake.address, None))).await;
        see(&board, "fake", tip.block_hash());
        let validated = checked(&board, tip.block_hash()).await;
        let BodyState::Checked(report) = &validated.body else {
            panic!("{:?}", validated.body)
        };
        assert_eq!(report.verdict(), Verdict::Rejected, "{report:?}");
        assert_eq!(report.reject_reason(), Some("bad-txnmrklroot"));
        assert_eq!(board.registry.verifications_failed.get(), 1);

        // A child makes it no better, whatever its own block is.
        let child = headers[6].block_hash();
        let asked = fake.calls("getblock");
        fake.now(serving(
            headers,
            Answer::Error(-1, "Block not available (pruned data)"),
        ));
        let mut shown = board.tip_validated.subscribe();
        shown.mark_unchanged();
        see(&board, "fake", child);
        shown.changed().await.unwrap();
        let validated = shown.borrow_and_update().clone().unwrap();
        assert_eq!(validated.hash, child);
        let BodyState::Checked(report) = &validated.body else {
            panic!("{:?}", validated.body)
        };
        assert_eq!(
            (report.verdict(), report.hash),
            (Verdict::Rejected, Some(tip.block_hash()))
        );
        assert_eq!(fake.calls("getblock"), asked);
        stop(tree).await;

        // Nor does another incarnation, which has seen nothing of this itself.
        shown.mark_unchanged();
        let tree = validator(&board, settings(client_at(fake.address, None))).await;
        shown.changed().await.unwrap();
        let validated = shown.borrow_and_update().clone().unwrap();
        let BodyState::Checked(report) = &validated.body else {
            panic!("{:?}", validated.body)
        };
        assert_eq!(
            (validated.hash, report.hash),
            (child, Some(tip.block_hash()))
        );
        stop(tree).await;
    });
}

#[test]
fn a_node_that_fails_in_between_is_asked_again_and_a_newer_tip_interrupts() {
    run(async {
        let headers = mined(12, |_, _| {});
        let block = || Answer::Error(-1, "Block not available (not fully downloaded)");
        let fake = FakeNode::start(|_, _| Answer::Http(503, "Work queue depth exceeded")).await;
        let board = Board::new(1);
        let tree = validator(&board, settings(client_at(fake.address, None))).await;
        see(&board, "fake", headers[10].block_hash());
        until_true("errors being counted", || {
            board.registry.rpc_errors.get() >= 2
        })
        .await;
        fake.now(serving(headers[..=11].to_vec(), block()));
        verified(&board, headers[10].block_hash()).await;
        // A tip nobody can find, and right behind it one that is there.
        see(&board, "fake", BlockHash::from_byte_array([7; 32]));
        until_true("the question for it", || fake.calls("getblockheader") > 0).await;
        fake.now(serving(headers.clone(), block()));
        see(&board, "fake", headers[12].block_hash());
        verified(&board, headers[12].block_hash()).await;
        stop(tree).await;
    });
}
