//! Bytes and documents that nobody meant: refused, never a panic.
#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Block, BlockHash};
use chain::{
    BlockContext, CoinbaseTag, Job, Network, PayoutScript, Template, Verdict, check_block,
    header_bytes, verify_headers,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use support::{properties, synthetic};

fn payout() -> PayoutScript {
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    PayoutScript::parse(address, Network::Regtest).unwrap()
}

/// The first few transactions of a real block with a header that fits them: small enough to
/// mutate often, rich enough to have every kind of field.
fn small_block() -> Vec<u8> {
    let mut block: Block = deserialize(bitcoin_test_data::blocks::mainnet_702861()).unwrap();
    block.txdata.truncate(12);
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    serialize(&block)
}

/// What becomes of bytes: some replaced, some inserted, some cut off or copied to another place.
fn mutated(raw: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(1), 0xfc_u8..=0xff];
    let changes = vec((any::<Index>(), byte.clone()), 0..4);
    let inserted = option::weighted(0.3, (any::<Index>(), vec(byte, 1..10)));
    let copied = option::weighted(0.2, (any::<Index>(), any::<Index>(), any::<Index>()));
    let cut = option::weighted(0.1, any::<Index>());
    (changes, inserted, copied, cut).prop_map(move |(changes, inserted, copied, cut)| {
        let mut raw = raw.clone();
        for (place, byte) in changes {
            let at = place.index(raw.len());
            raw[at] = byte;
        }
        if let Some((place, bytes)) = inserted {
            let at = place.index(raw.len());
            raw.splice(at..at, bytes);
        }
        if let Some((from, to, place)) = copied {
            let (a, b) = (from.index(raw.len()), to.index(raw.len()));
            let at = place.index(raw.len());
            let piece = raw[a.min(b)..a.max(b)].to_vec();
            raw.splice(at..at, piece);
        }
        if let Some(cut) = cut {
            raw.truncate(cut.index(raw.len()));
        }
        raw
    })
}

#[test]
fn a_synthetic_block_and_a_real_one_pass_every_property() {
    let raw = serialize(&synthetic::block());
    properties::block(&raw);
    let context = BlockContext {
        unmined: true,
        ..BlockContext::new(Network::Main)
    };
    assert_eq!(check_block(&raw, &context).verdict(), Verdict::Authentic);
    properties::block(bitcoin_test_data::blocks::mainnet_702861());
}

#[test]
fn the_least_and_the_greatest_targets_have_every_property() {
    for end in [0, 1, 2, 0xff] {
        for fill in [0, 0xff] {
            let mut number = [fill; 32];
            number[31] = end;
            let bits = [end, fill, end, 3 + end % 32];
            properties::target(&[&bits[..], &number, &[1, 0, 0, 0]].concat());
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_no_block_and_no_headers(raw in vec(any::<u8>(), 0..600)) {
        properties::block(&raw);
        properties::headers(&raw);
        let context = BlockContext { unmined: true, ..BlockContext::new(Network::Main) };
        prop_assert_ne!(check_block(&raw, &context).verdict(), Verdict::Authentic);
        prop_assert_ne!(verify_headers(Network::Main, 5, &raw, 1, 0.7, None).verdict, Verdict::Authentic);
    }

    #[test]
    fn a_mutated_block_is_read_as_the_bitcoin_crate_reads_it_or_not_at_all(
        raw in prop_oneof![mutated(small_block()), mutated(serialize(&synthetic::block()))],
    ) {
        properties::block(&raw);
    }

    #[test]
    fn headers_honest_or_not_are_judged_alike_by_every_way_in(script in vec(any::<u8>(), 0..400)) {
        properties::regtest_chain(&script);
    }

    #[test]
    fn mutated_headers_are_judged_alike_as_a_file_and_as_a_window(
        raw in mutated(Network::ALL.map(|network| header_bytes(network.genesis_header())).concat()),
    ) {
        properties::headers(&raw);
    }

    #[test]
    fn targets_are_those_of_the_bitcoin_crate(
        size in prop_oneof![any::<u8>(), 0_u8..40],
        mantissa in any::<[u8; 3]>(),
        zeros in 0_usize..32,
        number in any::<[u8; 32]>(),
        seconds in any::<[u8; 4]>(),
    ) {
        let mut number = number;
        number[..zeros].fill(0);
        let [a, b, c] = mantissa;
        properties::target(&[&[a, b, c, size][..], &number, &seconds].concat());
    }

    #[test]
    fn a_template_of_any_numbers_makes_a_valid_block_or_is_refused(
        version: i32,
        height in prop_oneof![0_u32..200, any::<u32>()],
        bits in prop_oneof![Just(0x207f_ffff_u32), any::<u32>()],
        (curtime, mintime) in any::<(u32, u32)>(),
        coinbasevalue in prop_oneof![0_u64..60_0000_0000, any::<u64>()],
        limits in any::<Option<(u16, u16)>>(),
        aux in vec(any::<u8>(), 0..110),
        required in prop_oneof![Just(0_u32), any::<u32>()],
    ) {
        let json = serde_json::json!({
            "version": version, "rules": ["csv", "!segwit", "taproot"], "vbrequired": required,
            "previousblockhash": BlockHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros()),
            "transactions": [], "coinbaseaux": {"x": hex::encode(aux)},
            "coinbasevalue": coinbasevalue, "mintime": mintime, "curtime": curtime,
            "bits": format!("{bits:08x}"), "height": height,
        });
        let mut template: Template = serde_json::from_value(json).unwrap();
        if let Some((weight, sigops)) = limits {
            template.weightlimit = Some(u64::from(weight));
            template.sigoplimit = u64::from(sigops);
        }
        let tag = CoinbaseTag::new("/signalcore/").unwrap();
        if let Ok(job) = Job::new(&template, &payout(), &tag, 1) {
            prop_assert!(job.min_time() <= job.start_time() && job.start_time() <= job.max_time());
            let solved = chain::Solved { extranonce: 1, ntime: job.start_time(), version, nonce: 0 };
            let report = job.check(&solved, true);
            prop_assert_eq!(report.verdict(), Verdict::Authentic, "{:?}", report);
        }
    }
}
