//! A tip that is looked at before it is connected is the tip that connecting it would make.
#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use chain::{
    Ahead, HeaderReject, HeaderWindow, Network, NotAhead, header_bytes, names_height, proves_work,
    work_of,
};
use pow::{NBits, Target};
use proptest::prelude::*;

/// Searches a nonce that makes the header meet its own target, or that keeps it from it.
fn seal(mut header: Header, meets: bool) -> Header {
    let target = Target::from_nbits(NBits(header.bits.to_consensus())).unwrap();
    while target.is_met_by(&pow::sha256d(&header_bytes(&header))) != meets {
        header.nonce = header.nonce.wrapping_add(1);
    }
    header
}

fn child(parent: &Header, salt: u8) -> Header {
    Header {
        version: bitcoin::block::Version::from_consensus(0x2000_0000),
        prev_blockhash: parent.block_hash(),
        merkle_root: bitcoin::TxMerkleNode::from_byte_array([salt; 32]),
        time: parent.time + 1,
        nonce: 0,
        ..*parent
    }
}

/// Headers of regtest on top of `parent`: two hashes each on average.
fn mine(parent: &Header, count: usize, salt: u8) -> Vec<Header> {
    let mut chain = Vec::new();
    let mut last = *parent;
    for _ in 0..count {
        last = seal(child(&last, salt), true);
        chain.push(last);
    }
    chain
}

fn regtest(length: usize) -> (HeaderWindow, Vec<Header>) {
    let mut window = HeaderWindow::from_genesis(Network::Regtest, 16_000);
    let mut all = vec![*Network::Regtest.genesis_header()];
    all.extend(mine(&all[0], length, 0));
    window.connect(&all[1..], None).unwrap();
    (window, all)
}

/// What is to be known ahead of a tip that the window has by now.
fn arrived(window: &HeaderWindow) -> Ahead {
    let tip = window.tip();
    Ahead {
        tip,
        median_time_past: window.median_time_past().unwrap(),
        min_time: window.min_time().unwrap(),
        next_bits: window.next_bits(tip.header.time).unwrap(),
        work: window.chainwork_from_anchor(),
    }
}

fn refusal(window: &HeaderWindow, header: Header, now: Option<u32>) -> HeaderReject {
    match window.look_ahead(&[header], now) {
        Err(NotAhead::Refused(failure)) => failure.reject,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_real_header_is_known_ahead_as_it_turns_out_on_every_network() {
    for (path, network) in [
        ("headers/mainnet_0_32259.headers", Network::Main),
        ("headers/testnet3_0_9999.headers", Network::Testnet3),
        ("headers/testnet4_0_100.headers", Network::Testnet4),
        ("headers/signet_0_2015.headers", Network::Signet),
    ] {
        let Some(data) = support::read(path) else {
            return;
        };
        let all = support::headers(&data);
        let mut window = HeaderWindow::from_genesis(network, 16_000);
        for pair in all[1..].chunks(2).take(5_000) {
            let ahead = window.look_ahead(pair, None).unwrap();
            window.connect(pair, None).unwrap();
            assert_eq!(ahead, arrived(&window), "{path}");
        }
    }
}

#[test]
fn what_is_in_the_chain_already_or_has_no_more_work_is_not_ahead() {
    let (window, all) = regtest(30);
    for known in [1, 15, 29, 30] {
        assert_eq!(
            window.look_ahead(&all[known..=known], None),
            Err(NotAhead::NoMoreWork)
        );
    }
    let rival = mine(&all[29], 1, 7);
    assert_eq!(window.look_ahead(&rival, None), Err(NotAhead::NoMoreWork));
    let longer = mine(&all[20], 11, 7);
    let ahead = window.look_ahead(&longer, None).unwrap();
    assert_eq!((ahead.tip.height, ahead.tip.header), (31, longer[10]));
}

#[test]
fn without_proof_of_work_nothing_else_of_a_header_is_looked_at() {
    let (window, all) = regtest(5);
    let mut stranger = child(&all[5], 1);
    stranger.prev_blockhash = bitcoin::BlockHash::from_byte_array([9; 32]);
    let bare = seal(stranger, false);
    assert!(!proves_work(Network::Regtest, &bare, &bare.block_hash()));
    assert_eq!(refusal(&window, bare, None), HeaderReject::HighHash);
    let sealed = seal(stranger, true);
    assert!(proves_work(Network::Regtest, &sealed, &sealed.block_hash()));
    assert_eq!(refusal(&window, sealed, None), HeaderReject::BadPrevblk);
    // Regtest's easy target is none of the main network.
    assert!(!proves_work(Network::Main, &sealed, &sealed.block_hash()));
}

#[test]
fn each_rule_of_the_next_header_is_applied() {
    let (window, all) = regtest(20);
    let good = child(&all[20], 1);
    let with = |change: fn(&mut Header)| {
        let mut header = good;
        change(&mut header);
        seal(header, true)
    };
    let harder = with(|header| header.bits = bitcoin::CompactTarget::from_consensus(0x207f_fffe));
    assert!(matches!(
        refusal(&window, harder, None),
        HeaderReject::BadDiffbits { .. }
    ));
    let old = with(|header| header.time -= 7);
    assert!(matches!(
        refusal(&window, old, None),
        HeaderReject::TimeTooOld { .. }
    ));
    let version = with(|header| header.version = bitcoin::block::Version::from_consensus(3));
    assert_eq!(refusal(&window, version, None), HeaderReject::BadVersion(3));
    let now = good.time - 7_201;
    assert!(refusal(&window, with(|_| {}), Some(now)).is_passing());
    assert!(window.look_ahead(&[with(|_| {})], Some(now + 1)).is_ok());
}

#[test]
fn a_coinbase_names_its_height_or_the_block_is_no_block_of_that_height() {
    let params = Network::Regtest.params();
    let raw = bitcoin::consensus::serialize(&support::synthetic::block());
    // Its script begins with a push of three bytes: 1, 2, 3.
    let height = 0x03_02_01;
    assert!(names_height(&raw, height, params));
    assert!(!names_height(&raw, height + 1, params));
    assert!(!names_height(&raw[..90], height, params), "cut short");
    assert!(!names_height(&raw[..80], height, params));
    assert!(names_height(&[], 0, params), "no rule below BIP34");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn looking_ahead_is_connecting_and_changes_nothing(
        depth in 0_usize..40, length in 1_usize..50, salt in 1_u8.., level in 1_u32..60,
    ) {
        let (_, all) = regtest(40);
        let mut window = HeaderWindow::from_genesis(Network::Regtest, level);
        window.connect(&all[1..], None).unwrap();
        let branch = mine(&all[40 - depth], length, salt);
        let before = window.clone();
        let ahead = window.look_ahead(&branch, None);
        prop_assert_eq!(arrived(&window), arrived(&before));
        prop_assert_eq!(ahead.is_ok(), length > depth);
        if let Ok(ahead) = ahead {
            window.connect(&branch, None).unwrap();
            prop_assert_eq!(ahead, arrived(&window));
            prop_assert_eq!(ahead.work, work_of(&all[..=40 - depth]) + work_of(&branch));
        }
    }

    #[test]
    fn no_bytes_of_a_body_cause_a_panic(raw in prop::collection::vec(any::<u8>(), 0..300), height: u32) {
        for network in Network::ALL {
            let _ = names_height(&raw, height, network.params());
        }
    }
}
