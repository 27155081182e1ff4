//! What the validator makes of a real chain, however it moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use chain::{Network, Verdict};
use signalcore_actors::board::Board;
use signalcore_actors::messages::BodyState;
use signalcore_actors::validator::WallClock;

use crate::support::{LIMIT, client, devnode, run, stop, until, until_true};
use crate::{checked, see_tip, settings, validator, verified};

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
fn a_reorganisation_of_any_depth_is_followed_within_the_window_and_below_it() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(600).unwrap();
        let board = Board::new(1);
        let mut settings = settings(client(&devnode));
        settings.level = 16;
        let tree = validator(&board, settings).await;
        see_tip(&board, &devnode);
        verified(&board, devnode.tip().hash).await;
        // The window holds the level and the eleven ancestors that the rules need: its lower end is among
        // these depths.
        let depths = [1, 15, 16, 17, 25, 26, 27, 28, 29, 100, 400];
        for (reorgs, depth) in (1..).zip(depths) {
            let height = devnode.tip().height;
            devnode
                .invalidate(&devnode.block_hash(height + 1 - depth).unwrap())
                .unwrap();
            devnode
                .generate_to(depth + 1, &bitcoin::ScriptBuf::from_bytes(vec![0x51]))
                .unwrap();
            see_tip(&board, &devnode);
            let tip = checked(&board, devnode.tip().hash).await;
            assert_eq!(tip.height, height + 1, "{depth} deep");
            assert!(tip.report.verified >= 16, "{depth} deep: {:?}", tip.report);
            assert_eq!(board.registry.reorgs.get(), reorgs, "{depth} deep");
        }
        assert_eq!(board.registry.verifications_failed.get(), 0);
        stop(tree).await;
    });
}

#[test]
fn two_tips_of_equal_work_take_turns_as_often_as_the_node_says() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let devnode = devnode(dir.path()).await;
        devnode.generate(10).unwrap();
        let first = devnode.tip().hash;
        devnode.invalidate(&first).unwrap();
        devnode
            .generate_to(1, &bitcoin::ScriptBuf::from_bytes(vec![0x51]))
            .unwrap();
        let second = devnode.tip().hash;
        let board = Board::new(1);
        let tree = validator(&board, settings(client(&devnode))).await;
        see_tip(&board, &devnode);
        verified(&board, second).await;
        for turn in 1..=6 {
            let (from, to) = if turn % 2 == 1 {
                (second, first)
            } else {
                (first, second)
            };
            devnode.reconsider(&to).unwrap();
            devnode.invalidate(&from).unwrap();
            assert_eq!(devnode.tip().hash, to);
            see_tip(&board, &devnode);
            let tip = checked(&board, to).await;
            assert_eq!((tip.height, tip.report.verified), (10, 11));
            assert_eq!(board.registry.reorgs.get(), turn);
        }
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
        let doubt = until(&board.tip_doubt, "the doubt", Option::is_some).await;
        let doubt = doubt.unwrap();
        assert_eq!(
            (doubt.hash, doubt.verdict, &*doubt.reason),
            (devnode.tip().hash, Verdict::Undecided, "time-too-new")
        );
        assert!(board.tip_validated.borrow().is_none());
        assert_eq!(
            board.registry.verifications_failed.get(),
            0,
            "the clock's fault, nobody's failure"
        );
        looks.store(devnode.tip().time, Ordering::SeqCst);
        checked(&board, devnode.tip().hash).await;
        assert_eq!(*board.tip_doubt.borrow(), None);
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
