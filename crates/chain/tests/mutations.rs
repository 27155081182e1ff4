//! Bytes and documents that nobody meant: refused, never a panic.
#![allow(clippy::unwrap_used)]

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Block, BlockHash};
use chain::{
    BlockContext, CoinbaseTag, Job, Network, PayoutScript, Template, Verdict, check_block,
    verify_headers,
};
use proptest::prelude::*;
use proptest::sample::Index;

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

proptest! {
    #[test]
    fn random_bytes_are_no_block_and_no_headers(raw in proptest::collection::vec(any::<u8>(), 0..600)) {
        let context = BlockContext { unmined: true, ..BlockContext::new(Network::Main) };
        prop_assert_ne!(check_block(&raw, &context).verdict(), Verdict::Authentic);
        prop_assert_ne!(verify_headers(Network::Main, 5, &raw, 1, 0.7, None).verdict, Verdict::Authentic);
    }

    #[test]
    fn a_block_is_read_as_the_bitcoin_crate_reads_it_or_not_at_all(
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in any::<Index>(),
        insert in proptest::option::of((any::<Index>(), any::<u8>())),
    ) {
        let mut raw = small_block();
        for (place, byte) in changes {
            let at = 80 + place.index(raw.len() - 80);
            raw[at] = byte;
        }
        if let Some((place, byte)) = insert {
            let at = 80 + place.index(raw.len() - 80);
            raw.insert(at, byte);
        } else if cut.index(3) == 0 {
            raw.truncate(cut.index(raw.len()));
        }
        let context = BlockContext { unmined: true, ..BlockContext::new(Network::Main) };
        let report = check_block(&raw, &context);
        let read = deserialize::<Block>(&raw);
        let undecodable = report.reject_reason().is_some_and(|r| r.starts_with("block-decode-failed"));
        // The crate is a little more liberal with sizes than Core; never the other way round.
        if !undecodable {
            prop_assert!(read.is_ok(), "{:?}", report.reject_reason());
            let block = read.unwrap();
            prop_assert_eq!(report.hash, Some(block.block_hash()));
            let same_root = block.check_merkle_root();
            let said = report.reject_reason();
            prop_assert_eq!(said != Some("bad-txnmrklroot"), same_root || said == Some("bad-txns-duplicate"));
        }
    }

    #[test]
    fn a_template_of_any_numbers_makes_a_valid_block_or_is_refused(
        version: i32,
        height in prop_oneof![0_u32..200, any::<u32>()],
        bits in prop_oneof![Just(0x207f_ffff_u32), any::<u32>()],
        (curtime, mintime) in any::<(u32, u32)>(),
        coinbasevalue in prop_oneof![0_u64..60_0000_0000, any::<u64>()],
        limits in any::<Option<(u16, u16)>>(),
        aux in proptest::collection::vec(any::<u8>(), 0..110),
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
