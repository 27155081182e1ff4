//! The validator against real sockets: what it verifies, refuses, and follows.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bitcoin::block::Header;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, TxMerkleNode};
use chain::{Network, Verdict};
use devnode::Devnode;
use node::Node;
use serde_json::{Value, json};
use signalcore_actors::board::Board;
use signalcore_actors::messages::{BodyState, TipSeen, TipSource, TipValidated};
use signalcore_actors::validator::{Validator, ValidatorSettings, WallClock};
use supervise::Supervisor;
use support::fake::{Answer, FakeNode};
use support::{LIMIT, client, client_at, devnode, run, stop, supervise, until, until_true};

fn settings(node: Node) -> ValidatorSettings {
    ValidatorSettings {
        network: Network::Regtest,
        level: 16_000,
        coverage_min: 0.7,
        nodes: vec![node],
        clock: WallClock::default(),
    }
}

async fn validator(board: &Board, settings: ValidatorSettings) -> Supervisor {
    let board = board.clone();
    supervise(move |incarnation| Ok(Validator::new(settings.clone(), board.clone(), incarnation)))
        .await
}

/// Plays ingest: the node's tip is seen.
fn see(board: &Board, node: &str, hash: BlockHash) {
    board.tip_seen.send_replace(Some(TipSeen {
        hash,
        node: node.into(),
        source: TipSource::Poll,
        seen_at: Instant::now(),
    }));
}

fn see_tip(board: &Board, devnode: &Devnode) {
    see(board, "local", devnode.tip().hash);
}

async fn verified(board: &Board, hash: BlockHash) -> TipValidated {
    let tip = until(&board.tip_validated, "the tip's verification", |tip| {
        tip.as_ref().is_some_and(|tip| tip.hash == hash)
    });
    tip.await.expect("just seen")
}

async fn checked(board: &Board, hash: BlockHash) -> TipValidated {
    let tip = until(
        &board.tip_validated,
        "the check of the tip's block",
        |tip| {
            tip.as_ref()
                .is_some_and(|tip| tip.hash == hash && !matches!(tip.body, BodyState::Pending))
        },
    );
    tip.await.expect("just seen")
}

#[test]
fn a_chain_is_verified_from_genesis_and_the_block_behind_its_tip_is_checked() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.fund(5).unwrap();
        devnode.fill_mempool(20).unwrap();
        devnode.generate(1).unwrap();
        let board = Board::new(1);
        let tree = validator(&board, settings(client(&devnode))).await;
        see_tip(&board, &devnode);
        let tip = checked(&board, devnode.tip().hash).await;
        assert_eq!(tip.height, devnode.tip().height);
        assert_eq!(tip.report.verdict, Verdict::Authentic, "{:?}", tip.report);
        assert_eq!(tip.report.verified, tip.height + 1);
        assert!(tip.min_time > tip.median_time_past);
        assert_eq!(tip.next_bits, Some(pow::NBits(0x207f_ffff)));
        let BodyState::Checked(block) = &tip.body else {
            panic!("{:?}", tip.body)
        };
        assert_eq!(block.verdict(), Verdict::Authentic, "{block:?}");
        // Every header above genesis, and the block.
        assert_eq!(
            board.registry.verifications_passed.get(),
            u64::from(tip.height) + 1
        );
        assert_eq!(board.registry.verifications_failed.get(), 0);
        stop(tree).await;
    });
}

#[test]
fn genesis_itself_is_a_tip() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let board = Board::new(1);
        let tree = validator(&board, settings(client(&devnode))).await;
        see_tip(&board, &devnode);
        let tip = checked(&board, Network::Regtest.genesis_hash()).await;
        assert_eq!(tip.height, 0);
        assert!(
            matches!(&tip.body, BodyState::Checked(block) if block.verdict() != Verdict::Rejected),
            "{tip:?}"
        );
        stop(tree).await;
    });
}

#[test]
fn a_chain_longer_than_the_level_is_verified_for_the_level_and_grows_block_by_block() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(4100).unwrap();
        let board = Board::new(1);
        let mut settings = settings(client(&devnode));
        settings.level = 16;
        let tree = validator(&board, settings).await;
        see_tip(&board, &devnode);
        let tip = verified(&board, devnode.tip().hash).await;
        assert_eq!(tip.report.verified, 16);
        let first = board.registry.verifications_passed.get();
        assert!(
            first < 200,
            "only the level and what the rules need was fetched: {first}"
        );
        for _ in 0..3 {
            devnode.generate(1).unwrap();
            see_tip(&board, &devnode);
            checked(&board, devnode.tip().hash).await;
        }
        stop(tree).await;
    });
}

#[test]
fn missed_blocks_are_verified_on_the_way_however_many() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        let board = Board::new(1);
        let tree = validator(&board, settings(client(&devnode))).await;
        for missed in [1, 2, 50, 2500, 5] {
            let before = board.registry.verifications_passed.get();
            devnode.generate(missed).unwrap();
            see_tip(&board, &devnode);
            let tip = checked(&board, devnode.tip().hash).await;
            assert_eq!(tip.report.verified, tip.height + 1);
            // Every header; and the newest blocks, for nobody looked at them in between.
            let bodies = if before == 0 { 1 } else { missed.min(16) };
            let all = before + u64::from(missed + bodies);
            until_true("the check of the missed blocks", || {
                board.registry.verifications_passed.get() == all
            })
            .await;
        }
        assert_eq!(board.registry.reorgs.get(), 0);
        stop(tree).await;
    });
}

#[test]
fn reorganisations_and_steps_back_are_followed_and_counted() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(300).unwrap();
        let board = Board::new(1);
        let tree = validator(&board, settings(client(&devnode))).await;
        see_tip(&board, &devnode);
        verified(&board, devnode.tip().hash).await;
        let mut reorgs = 0;
        for depth in [1, 6, 20, 200] {
            let tip = devnode.tip();
            let lowest = devnode.block_hash(tip.height + 1 - depth).unwrap();

            // Back only.
            devnode.invalidate(&lowest).unwrap();
            see_tip(&board, &devnode);
            let back = checked(&board, devnode.tip().hash).await;
            assert_eq!(back.height, tip.height - depth);
            reorgs += 1;
            assert_eq!(board.registry.reorgs.get(), reorgs, "back by {depth}");

            // Forward again: no reorganisation, for nothing is disconnected.
            devnode.reconsider(&lowest).unwrap();
            see_tip(&board, &devnode);
            checked(&board, tip.hash).await;
            assert_eq!(board.registry.reorgs.get(), reorgs);

            // To another branch.
            devnode.invalidate(&lowest).unwrap();
            devnode
                .generate_to(depth + 1, &bitcoin::ScriptBuf::from_bytes(vec![0x51]))
                .unwrap();
            see_tip(&board, &devnode);
            let other = checked(&board, devnode.tip().hash).await;
            assert_eq!(other.height, tip.height + 1);
            assert_eq!(other.report.verified, other.height + 1);
            reorgs += 1;
            assert_eq!(
                board.registry.reorgs.get(),
                reorgs,
                "another branch, {depth} deep"
            );
        }
        stop(tree).await;
    });
}

#[test]
fn a_fork_below_the_window_builds_another_window() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(4100).unwrap();
        let board = Board::new(1);
        let mut settings = settings(client(&devnode));
        settings.level = 16;
        let tree = validator(&board, settings).await;
        see_tip(&board, &devnode);
        verified(&board, devnode.tip().hash).await;
        devnode
            .invalidate(&devnode.block_hash(1000).unwrap())
            .unwrap();
        devnode
            .generate_to(20, &bitcoin::ScriptBuf::from_bytes(vec![0x51]))
            .unwrap();
        see_tip(&board, &devnode);
        let tip = verified(&board, devnode.tip().hash).await;
        assert_eq!((tip.height, tip.report.verified), (1019, 16));
        stop(tree).await;
    });
}

#[test]
fn a_tip_ahead_of_our_clock_is_not_mined_on_until_the_clock_allows() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(20).unwrap();
        let behind = devnode.tip().time - 3 * 3600;
        let clock = Arc::new(AtomicU32::new(behind));
        let board = Board::new(1);
        let mut settings = settings(client(&devnode));
        let hands = Arc::clone(&clock);
        settings.clock = WallClock::new(move || hands.load(Ordering::SeqCst));
        let looks = Arc::clone(&clock);
        let tree = validator(&board, settings).await;
        see_tip(&board, &devnode);
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert!(board.tip_validated.borrow().is_none());
        assert_eq!(
            board.registry.verifications_failed.get(),
            0,
            "the clock's fault, nobody's failure"
        );
        looks.store(devnode.tip().time, Ordering::SeqCst);
        checked(&board, devnode.tip().hash).await;
        stop(tree).await;
    });
}

#[test]
fn tips_that_come_without_a_pause_do_not_keep_each_other_from_being_verified() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(1).unwrap();
        let board = Board::new(1);
        let tree = validator(&board, settings(client(&devnode))).await;
        see_tip(&board, &devnode);
        verified(&board, devnode.tip().hash).await;
        let first = devnode.tip().height;
        let validated = || {
            board
                .tip_validated
                .borrow()
                .as_ref()
                .map_or(0, |tip| tip.height)
        };
        let started = Instant::now();
        let mut in_the_rush = first;
        while in_the_rush == first && started.elapsed() < LIMIT && devnode.tip().height < 20_000 {
            devnode.generate(1).unwrap();
            see_tip(&board, &devnode);
            tokio::task::yield_now().await;
            in_the_rush = validated();
        }
        assert!(
            in_the_rush > first,
            "nothing was verified while tips kept coming"
        );
        checked(&board, devnode.tip().hash).await;
        stop(tree).await;
    });
}

#[test]
fn a_successor_builds_its_own_window_and_publishes_the_tip_again() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(30).unwrap();
        let board = Board::new(1);
        let node = client(&devnode);
        let tree = validator(&board, settings(node.clone())).await;
        see_tip(&board, &devnode);
        checked(&board, devnode.tip().hash).await;
        stop(tree).await;
        board.tip_validated.send_replace(None);
        let tree = validator(&board, settings(node)).await;
        checked(&board, devnode.tip().hash).await;
        stop(tree).await;
    });
}

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
        see(&board, "fake", child);
        let validated = checked(&board, child).await;
        let BodyState::Checked(report) = &validated.body else {
            panic!("{:?}", validated.body)
        };
        assert_eq!(
            (report.verdict(), report.hash),
            (Verdict::Rejected, Some(tip.block_hash()))
        );
        assert_eq!(fake.calls("getblock"), asked);
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
