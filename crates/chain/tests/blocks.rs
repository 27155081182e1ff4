//! Real blocks are authentic, and mutated ones are refused with Bitcoin Core's words.
#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::consensus::deserialize;
use chain::{BlockContext, BlockReport, Check, Network, Status, Verdict, check_block};

fn check(network: Network, height: Option<u32>, raw: &[u8]) -> BlockReport {
    let context = BlockContext {
        height,
        ..BlockContext::new(network)
    };
    check_block(raw, &context)
}

#[test]
fn mainnet_block_702861_is_authentic_with_and_without_its_height() {
    let raw = bitcoin_test_data::blocks::mainnet_702861();
    let block: bitcoin::Block = deserialize(raw).unwrap();
    for height in [None, Some(702_861)] {
        let report = check(Network::Main, height, raw);
        assert_eq!(report.verdict(), Verdict::Authentic, "{report:?}");
        assert_eq!(report.hash, Some(block.block_hash()));
        let scripts = report.report.check(Check::Scripts).unwrap();
        assert_eq!(scripts.status, Status::Skipped);
        assert!((0.7..1.0).contains(&report.report.coverage));
    }
}

#[test]
fn any_changed_byte_of_a_real_block_is_noticed() {
    let raw = bitcoin_test_data::blocks::mainnet_702861();
    // The segwit reserved value and the witnesses are committed to as well.
    for at in (0..raw.len())
        .step_by(9_973)
        .chain([0, 40, 70, 79, 80, 81, raw.len() - 1])
    {
        let mut changed = raw.to_vec();
        changed[at] ^= 1;
        let report = check(Network::Main, Some(702_861), &changed);
        assert_eq!(report.verdict(), Verdict::Rejected, "byte {at}");
    }
}

#[test]
fn a_block_cut_anywhere_is_refused_and_never_panics() {
    let raw = bitcoin_test_data::blocks::mainnet_702861();
    for length in (0..raw.len()).step_by(4_999).chain(0..300) {
        let report = check(Network::Main, None, &raw[..length]);
        assert_eq!(report.verdict(), Verdict::Rejected, "{length} bytes");
        assert_eq!(report.hash.is_some(), length >= 80);
    }
    let longer = [raw, [0].as_slice()].concat();
    let report = check(Network::Main, None, &longer);
    assert!(report.reject_reason().unwrap().contains("1 trailing bytes"));
}

#[test]
fn the_wrong_height_is_noticed() {
    let raw = bitcoin_test_data::blocks::mainnet_702861();
    let report = check(Network::Main, Some(702_862), raw);
    assert_eq!(report.reject_reason(), Some("bad-cb-height"));
}

#[test]
fn every_real_block_is_authentic() {
    let blocks = [
        ("blocks/mainnet_413567.block", Network::Main, Some(413_567)),
        ("blocks/mainnet_866342.block", Network::Main, Some(866_342)),
        ("blocks/mainnet_227836.block", Network::Main, Some(227_836)),
        ("blocks/mainnet_13b8a.block", Network::Main, None),
        (
            "blocks/testnet3_924634.block",
            Network::Testnet3,
            Some(924_634),
        ),
    ];
    for (path, network, height) in blocks {
        let Some(raw) = support::read(path) else {
            return;
        };
        for height in [height, None] {
            let report = check(network, height, &raw);
            assert_eq!(report.verdict(), Verdict::Authentic, "{path}: {report:?}");
        }
    }
}

#[test]
fn every_block_of_the_small_sets_is_authentic() {
    let sets = [
        ("blocks/mainnet_1_255.blocks", Network::Main, 1),
        ("blocks/regtest_1_206.blocks", Network::Regtest, 1),
        ("blocks/signet_0_120.blocks", Network::Signet, 0),
        ("cases/reorg_main_0_4.blocks", Network::Main, 0),
        ("cases/reorg_side_3A_4A_5A.blocks", Network::Main, 3),
    ];
    for (path, network, first) in sets {
        let Some(data) = support::read(path) else {
            return;
        };
        for (index, raw) in support::split_blocks(&data).iter().enumerate() {
            let height = first + index as u32;
            for known in [None, Some(height)] {
                let report = check(network, known, raw);
                assert_eq!(
                    report.verdict(),
                    Verdict::Authentic,
                    "{path} {height}: {report:?}"
                );
            }
        }
    }
}

#[test]
fn mutated_trailing_truncated_and_badly_witnessed_blocks_are_refused() {
    let testnet3 = (Network::Testnet3, 924_634);
    let cases = [
        (
            "cve_2012_2459_mutated_mainnet_13b8a",
            Network::Main,
            None,
            "bad-txns-duplicate",
        ),
        (
            "bad_witness_reserved_testnet3_924634",
            testnet3.0,
            Some(testnet3.1),
            "bad-witness-merkle-match",
        ),
        (
            "trailing_testnet3_924634",
            testnet3.0,
            Some(testnet3.1),
            "1 trailing bytes",
        ),
        (
            "truncated_testnet3_924634",
            testnet3.0,
            Some(testnet3.1),
            "truncated",
        ),
    ];
    for (name, network, height, reason) in cases {
        let Some(raw) = support::read(&format!("cases/{name}.block")) else {
            return;
        };
        for known in [height, None] {
            let report = check(network, known, &raw);
            assert_eq!(report.verdict(), Verdict::Rejected, "{name}");
            let said = report.reject_reason().unwrap();
            assert!(said.contains(reason), "{name}: {said}");
            assert_eq!(report.report.first_failure.as_ref().unwrap().height, known);
        }
    }
}

#[test]
fn the_json_of_a_block_is_that_of_headers_and_its_hash() {
    let raw = bitcoin_test_data::blocks::mainnet_702861();
    let report = check(Network::Main, None, raw);
    let json = serde_json::to_value(&report).unwrap();
    let members: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "checks",
        "coverage",
        "first_failure",
        "hash",
        "level",
        "verdict",
        "verified",
    ];
    assert_eq!(members, expected);
    assert_eq!(json["verdict"], "AUTHENTIC");
    assert_eq!(json["hash"], report.hash.unwrap().to_string());
    assert_eq!(serde_json::from_value::<BlockReport>(json).unwrap(), report);

    let refused = serde_json::to_value(check(Network::Main, Some(5), &[])).unwrap();
    assert_eq!(refused["hash"], serde_json::Value::Null);
    assert_eq!(refused["first_failure"]["height"], 5);
    assert_eq!(refused["first_failure"]["check"], "encoding");
}
