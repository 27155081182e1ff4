//! A window follows its node: reorgs, steps back, bad branches, and a bounded past.
#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use chain::{Check, HeaderReject, HeaderWindow, Network, Status, Verdict, header_bytes, work_of};
use pow::{NBits, Target};
use proptest::prelude::*;

/// Mines regtest headers: two hashes each on average.
fn mine(parent: &Header, count: u32, salt: u8) -> Vec<Header> {
    let target = Target::from_nbits(NBits(0x207f_ffff)).unwrap();
    let mut chain = Vec::new();
    let mut last = *parent;
    for _ in 0..count {
        let mut header = Header {
            version: bitcoin::block::Version::from_consensus(0x2000_0000),
            prev_blockhash: last.block_hash(),
            merkle_root: bitcoin::TxMerkleNode::from_byte_array([salt; 32]),
            time: last.time + 1,
            nonce: 0,
            ..last
        };
        while !target.is_met_by(header.block_hash().as_byte_array()) {
            header.nonce += 1;
        }
        chain.push(header);
        last = header;
    }
    chain
}

fn regtest(level: u32, length: u32) -> (HeaderWindow, Vec<Header>) {
    let mut window = HeaderWindow::from_genesis(Network::Regtest, level);
    let mut all = vec![*Network::Regtest.genesis_header()];
    all.extend(mine(&all[0], length, 0));
    window.connect(&all[1..], None).unwrap();
    (window, all)
}

#[test]
fn the_recorded_reorg_switches_to_the_side_chain_and_back() {
    let Some(main) = support::read("cases/reorg_main_0_4.blocks") else {
        return;
    };
    let side = support::read("cases/reorg_side_3A_4A_5A.blocks").unwrap();
    let headers = |data: &[u8]| -> Vec<Header> {
        let blocks = support::split_blocks(data);
        blocks
            .iter()
            .map(|raw| support::headers(&raw[..80])[0])
            .collect()
    };
    let (main, side) = (headers(&main), headers(&side));
    let mut window = HeaderWindow::from_genesis(Network::Main, 16_000);
    window.connect(&main[1..], None).unwrap();
    let fork = main[2].block_hash();
    assert!(work_of(&side) > window.work_above(&fork).unwrap());

    let connected = window.connect(&side, None).unwrap();
    assert_eq!(connected.fork_height, 2);
    assert_eq!(connected.connected, 3);
    assert_eq!(
        connected.disconnected,
        [main[4].block_hash(), main[3].block_hash()]
    );
    assert_eq!(window.tip().height, 5);
    assert_eq!(window.tip().hash, side[2].block_hash());
    assert_eq!(window.height_of(&main[3].block_hash()), None);

    let back = window.connect(&main[3..], None).unwrap();
    assert_eq!(
        (back.fork_height, back.disconnected.len(), back.connected),
        (2, 3, 2)
    );
    assert_eq!(window.chainwork_from_anchor(), work_of(&main));
}

#[test]
fn a_reorg_of_any_depth_in_the_window_is_followed() {
    let (window, all) = regtest(16_000, 300);
    for depth in [1, 2, 50, 299, 300] {
        let mut window = window.clone();
        let fork = 300 - depth;
        let branch = mine(&all[fork], depth as u32 + 1, 9);
        let connected = window.connect(&branch, None).unwrap();
        assert_eq!(connected.fork_height, fork as u32);
        assert_eq!(connected.disconnected.len(), depth);
        assert_eq!(connected.disconnected.first(), Some(&all[300].block_hash()));
        assert_eq!(window.tip().hash, branch.last().unwrap().block_hash());
        assert_eq!(window.tip().height, 301);
        let whole = [&all[..=fork], branch.as_slice()].concat();
        assert_eq!(window.chainwork_from_anchor(), work_of(&whole));
    }
}

#[test]
fn a_branch_with_one_bad_header_changes_nothing() {
    let (mut window, all) = regtest(16_000, 20);
    let before = window.clone();
    let mut branch = mine(&all[10], 30, 3);
    branch[20].merkle_root = bitcoin::TxMerkleNode::all_zeros();
    let failure = window.connect(&branch, None).unwrap_err();
    // The changed header may still meet the easy target; then its child does not name it.
    let expected = if failure.reject == HeaderReject::HighHash {
        31
    } else {
        32
    };
    assert_eq!(failure.height, expected, "{failure}");
    assert_eq!(window.tip(), before.tip());
    assert_eq!(
        window.chainwork_from_anchor(),
        before.chainwork_from_anchor()
    );

    let orphan = mine(&branch[29], 1, 0);
    let failure = window.connect(&orphan, None).unwrap_err();
    assert_eq!(
        (failure.height, failure.reject),
        (21, HeaderReject::BadPrevblk)
    );
}

#[test]
fn headers_that_are_known_already_change_nothing() {
    let (mut window, all) = regtest(16_000, 20);
    for known in [&all[20..], &all[15..]] {
        let connected = window.connect(known, None).unwrap();
        assert_eq!((connected.fork_height, connected.connected), (20, 0));
        assert_eq!(connected.disconnected, []);
    }
    let more = mine(&all[20], 2, 0);
    let overlapping = [&all[18..], more.as_slice()].concat();
    let connected = window.connect(&overlapping, None).unwrap();
    assert_eq!((connected.fork_height, connected.connected), (20, 2));
    let nothing = window.connect(&[], None).unwrap();
    assert_eq!((nothing.fork_height, nothing.connected), (22, 0));
}

#[test]
fn a_node_that_steps_back_is_followed() {
    let (mut window, all) = regtest(16_000, 20);
    let gone = window.rewind_to(&all[17].block_hash()).unwrap();
    let expected: Vec<BlockHash> = all[18..].iter().rev().map(Header::block_hash).collect();
    assert_eq!(gone, expected);
    assert_eq!(window.tip().height, 17);
    assert_eq!(window.chainwork_from_anchor(), work_of(&all[..18]));
    assert_eq!(window.connect(&all[18..], None).unwrap().connected, 3);
    assert!(window.rewind_to(&BlockHash::all_zeros()).is_err());
    assert_eq!(window.rewind_to(&all[20].block_hash()).unwrap(), []);
}

#[test]
fn the_past_is_bounded_and_the_level_is_kept() {
    let level = 200;
    let (mut window, all) = regtest(level, 3_000);
    assert!(window.base_height() > 0);
    let held = window.tip().height - window.base_height();
    assert!(held >= level + 11, "{held}");
    assert!(held < level + 11 + 144 + 1_100, "{held}");
    assert_eq!(window.verified(), level);
    assert_eq!(window.header_at(window.base_height() - 1), None);
    assert_eq!(window.header_at(2_999), Some(&all[2_999]));
    assert_eq!(window.hash_at(2_999), Some(all[2_999].block_hash()));
    // As deep a reorg as the level is still checked on known headers.
    let branch = mine(&all[3_000 - level as usize], level + 1, 5);
    window.connect(&branch, None).unwrap();
    assert_eq!(window.verified(), level);
}

#[test]
fn an_anchored_window_verifies_its_level_from_what_fetch_start_asks_for() {
    let Some(data) = support::read("headers/mainnet_0_32259.headers") else {
        return;
    };
    let all = support::headers(&data);
    for (tip, level) in [
        (32_259, 16_000),
        (32_256, 1),
        (32_255, 2_017),
        (20_000, 16_000),
        (10_000, 16_000),
    ] {
        let start = HeaderWindow::fetch_start(Network::Main, tip, level);
        let headers = all[start as usize..=tip as usize].to_vec();
        let mut window =
            HeaderWindow::anchored(Network::Main, level, start, headers, None).unwrap();
        assert_eq!(
            window.verified(),
            level.min(tip + 1),
            "tip {tip}, level {level}"
        );
        assert_eq!(window.tip().hash, all[tip as usize].block_hash());
        let report = window.report(0.7);
        assert_eq!(report.verdict, Verdict::Authentic);
        let status = if start == 0 {
            Status::NotApplicable
        } else {
            Status::Assumed
        };
        assert_eq!(report.check(Check::Context).unwrap().status, status);
        window.connect(&all[tip as usize + 1..], None).unwrap();
        assert_eq!(window.verified(), level.min(32_260));
    }
    let Some(data) = support::read("headers/testnet3_0_9999.headers") else {
        return;
    };
    let all = support::headers(&data);
    let start = HeaderWindow::fetch_start(Network::Testnet3, 9_999, 5_000);
    let headers = all[start as usize..].to_vec();
    let window = HeaderWindow::anchored(Network::Testnet3, 5_000, start, headers, None).unwrap();
    assert_eq!(window.verified(), 5_000);
}

#[test]
fn a_window_anchored_too_high_says_how_little_is_verified() {
    let Some(data) = support::read("headers/mainnet_0_32259.headers") else {
        return;
    };
    let all = support::headers(&data);
    let window =
        HeaderWindow::anchored(Network::Main, 16_000, 32_200, all[32_200..].to_vec(), None)
            .unwrap();
    // The retarget at 32,256 could not be recomputed.
    assert_eq!(window.first_verified(), 32_257);
    assert_eq!(window.verified(), 3);
}

#[test]
fn an_anchored_window_is_checked_like_any_other() {
    let Some(data) = support::read("headers/mainnet_0_32259.headers") else {
        return;
    };
    let all = support::headers(&data);
    let mut bad = all[20_000..25_000].to_vec();
    bad[3_000].nonce ^= 1;
    let failure = HeaderWindow::anchored(Network::Main, 16_000, 20_000, bad, None).unwrap_err();
    assert_eq!(
        (failure.height, failure.reject),
        (23_000, HeaderReject::HighHash)
    );
    let empty = HeaderWindow::anchored(Network::Main, 16_000, 20_000, Vec::new(), None);
    assert_eq!(empty.unwrap_err().reject, HeaderReject::BadPrevblk);
    let foreign = HeaderWindow::anchored(Network::Main, 16_000, 0, all[1..].to_vec(), None);
    assert_eq!(foreign.unwrap_err().height, 0);
}

#[test]
fn the_next_block_is_asked_for_what_the_chain_then_accepts() {
    let Some(data) = support::read("headers/testnet3_0_9999.headers") else {
        return;
    };
    let all = support::headers(&data);
    let mut window = HeaderWindow::from_genesis(Network::Testnet3, 16_000);
    for header in &all[1..] {
        let bits = window.next_bits(header.time).unwrap();
        assert_eq!(bits.0, header.bits.to_consensus());
        assert!(window.median_time_past().unwrap() < header.time);
        window.connect(&[*header], None).unwrap();
    }
}

#[test]
fn the_earliest_time_is_past_the_median_and_near_the_parent_at_a_period_start() {
    let (window, all) = regtest(16_000, 143);
    let median = window.median_time_past().unwrap();
    assert_eq!(median, all[138].time);
    // Height 144 starts a period of regtest.
    assert_eq!(
        window.min_time(),
        Some((median + 1).max(all[143].time - 600))
    );
    let mut late = all[143];
    late.prev_blockhash = all[142].block_hash();
    late.time += 5_000;
    let target = Target::from_nbits(NBits(0x207f_ffff)).unwrap();
    while !target.is_met_by(&pow::sha256d(&header_bytes(&late))) {
        late.nonce += 1;
    }
    let mut window = window;
    window.connect(&[late], None).unwrap();
    assert_eq!(window.tip().height, 143);
    assert_eq!(window.min_time(), Some(late.time - 600));
    assert_eq!(
        chain::min_time(Network::Regtest.params(), 144, &window),
        Ok(late.time - 600)
    );
}

#[test]
fn a_header_too_far_ahead_is_refused_until_its_time_comes() {
    let (mut window, all) = regtest(16_000, 5);
    let next = mine(&all[5], 1, 0);
    let now = next[0].time - 7_201;
    let failure = window.connect(&next, Some(now)).unwrap_err();
    assert!(failure.reject.is_passing(), "{failure}");
    assert_eq!(window.connect(&next, Some(now + 1)).unwrap().connected, 1);

    let future =
        |window: &HeaderWindow| window.report(0.7).check(Check::FutureTime).unwrap().status;
    assert_eq!(
        future(&window),
        Status::NotApplicable,
        "five came without a clock"
    );
    let mut clocked = HeaderWindow::from_genesis(Network::Regtest, 10);
    clocked.connect(&all[1..], Some(u32::MAX)).unwrap();
    assert_eq!(future(&clocked), Status::Passed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_walk_over_branches_equals_a_window_made_anew(
        steps in proptest::collection::vec((0_usize..60, 1_u32..25, any::<u8>()), 1..20),
    ) {
        let genesis = *Network::Regtest.genesis_header();
        let mut window = HeaderWindow::from_genesis(Network::Regtest, 30);
        let mut all = vec![genesis];
        for (depth, length, salt) in steps {
            let fork = all.len() - 1 - depth.min(all.len() - 1);
            if salt % 5 == 0 {
                window.rewind_to(&all[fork].block_hash()).unwrap();
                all.truncate(fork + 1);
            } else {
                let branch = mine(&all[fork], length, salt);
                let connected = window.connect(&branch, None).unwrap();
                // A branch mined with the same salt may share headers with the old one.
                prop_assert!(connected.fork_height as usize >= fork);
                all.truncate(fork + 1);
                all.extend(branch);
            }
            let mut anew = HeaderWindow::from_genesis(Network::Regtest, 30);
            anew.connect(&all[1..], None).unwrap();
            prop_assert_eq!(window.tip(), anew.tip());
            prop_assert_eq!(window.verified(), anew.verified());
            prop_assert_eq!(window.next_bits(0), anew.next_bits(0));
            prop_assert_eq!(window.min_time(), anew.min_time());
            prop_assert_eq!(window.chainwork_from_anchor(), anew.chainwork_from_anchor());
        }
    }
}
