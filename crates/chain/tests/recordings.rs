//! Blocks that a real Bitcoin Core accepted or refused: the same verdict and the same words here.
#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::{Amount, BlockHash};
use chain::{
    BlockContext, BlockReport, Check, Network, ParentContext, Template, Verdict, check_block,
};
use pow::NBits;

/// The height is what the coinbase says.
const HEIGHT_OF_BLOCK: u32 = 0;

/// The context of the blocks proposed on top of one recorded template.
fn context_of(template: &Template) -> BlockContext {
    BlockContext {
        height: Some(template.height),
        parent: Some(ParentContext {
            hash: template.previousblockhash,
            time: template.mintime - 1,
            median_time_past: template.mintime - 1,
            required_bits: Some(template.bits),
        }),
        fees: template.fees().map(Amount::from_sat),
        now: Some(template.curtime + 1),
        unmined: true,
        ..BlockContext::new(Network::Regtest)
    }
}

fn template(name: &str) -> Option<Template> {
    let (_, answer) = support::recorded(name)?;
    Some(serde_json::from_value(answer["result"].clone()).unwrap())
}

/// The block of a recorded proposal or submission, and what Bitcoin Core said.
fn block(name: &str) -> Option<(Vec<u8>, Option<String>)> {
    let (parameter, answer) = support::recorded(name)?;
    let text = parameter["data"].as_str().or(parameter.as_str()).unwrap();
    let said = answer["result"].as_str().map(str::to_owned);
    Some((hex::decode(text).unwrap(), said))
}

fn assert_same(name: &str, report: &BlockReport, said: Option<&str>) {
    assert_eq!(report.reject_reason(), said, "{name}: {report:?}");
    let expected = match said {
        None => Verdict::Authentic,
        Some("time-too-new") => Verdict::Undecided,
        Some(_) => Verdict::Rejected,
    };
    assert_eq!(report.verdict(), expected, "{name}");
}

#[test]
fn proposals_on_a_full_template_get_cores_answer() {
    let Some(template) = template("gbt_segwit_mempool") else {
        return;
    };
    let context = context_of(&template);
    let names = [
        "bad-cb-amount",
        "bad-cb-height",
        "bad-cb-length-long",
        "bad-cb-length-short",
        "bad-cb-missing",
        "bad-cb-multiple",
        "bad-diffbits",
        "bad-txnmrklroot",
        "bad-version-1",
        "bad-version-3",
        "bad-witness-merkle-match",
        "bad-witness-nonce-size",
        "duplicate_tx",
        "no-coinbase-witness-but-commitment",
        "nonfinal_coinbase",
        "time-too-new",
        "time-too-old",
        "time_at_mintime",
        "underpaying_ok",
        "unexpected-witness",
        "valid",
        "valid_no_pow",
        "version_4_ok",
        "version_bip320",
        "version_negative",
    ];
    for name in names {
        let (raw, said) = block(&format!("proposal_{name}")).unwrap();
        assert_same(name, &check_block(&raw, &context), said.as_deref());
    }
}

/// Proposals that have a template of their own, made anew from the block.
#[test]
fn proposals_of_small_blocks_get_cores_answer() {
    let cases = [
        ("bip34_h145_minimal", 145),
        ("bip34_h145_one_byte", 145),
        ("bip34_h145_three_bytes", 145),
        ("no-witness-no-commitment-coinbase-only", 121),
        ("two_commitments_last_right", HEIGHT_OF_BLOCK),
        ("two_commitments_last_wrong", HEIGHT_OF_BLOCK),
    ];
    for (name, height) in cases {
        let Some((raw, said)) = block(&format!("proposal_{name}")) else {
            return;
        };
        let height = if height == HEIGHT_OF_BLOCK {
            let block: bitcoin::Block = bitcoin::consensus::deserialize(&raw).unwrap();
            block.bip34_block_height().unwrap() as u32
        } else {
            height
        };
        let context = BlockContext {
            height: Some(height),
            unmined: true,
            ..BlockContext::new(Network::Regtest)
        };
        assert_same(name, &check_block(&raw, &context), said.as_deref());
    }
    for name in ["bip34_small_height_op_n", "bip34_small_height_push_byte"] {
        let (raw, said) = block(&format!("proposal_{name}")).unwrap();
        let verdicts = (1..=16).map(|height| {
            let context = BlockContext {
                height: Some(height),
                unmined: true,
                ..BlockContext::new(Network::Regtest)
            };
            check_block(&raw, &context).verdict()
        });
        let accepted = verdicts
            .filter(|verdict| *verdict == Verdict::Authentic)
            .count();
        assert_eq!(accepted, usize::from(said.is_none()), "{name}");
    }
}

#[test]
fn an_empty_block_that_keeps_the_fees_pays_too_much() {
    let Some((raw, said)) = block("proposal_missing_txs_same_value") else {
        return;
    };
    let context = BlockContext {
        height: Some(121),
        unmined: true,
        ..BlockContext::new(Network::Regtest)
    };
    assert_same(
        "missing_txs_same_value",
        &check_block(&raw, &context),
        said.as_deref(),
    );
}

#[test]
fn a_large_proposal_is_authentic() {
    let Some(template) = template("gbt_large_2040_txs") else {
        return;
    };
    let (raw, said) = block("proposal_large_2040_txs").unwrap();
    assert_eq!(said, None);
    assert_same("large", &check_block(&raw, &context_of(&template)), None);
}

#[test]
fn submitted_blocks_get_cores_answer() {
    let on_any_parent = |raw: &[u8], height, fees| BlockContext {
        height: Some(height),
        parent: Some(ParentContext {
            hash: BlockHash::from_raw_hash(bitcoin::hashes::Hash::from_byte_array(
                raw[4..36].try_into().unwrap(),
            )),
            time: 0,
            median_time_past: 0,
            required_bits: Some(NBits(0x207f_ffff)),
        }),
        fees,
        ..BlockContext::new(Network::Regtest)
    };
    let fees =
        template("gbt_segwit_mempool").map(|template| Amount::from_sat(template.fees().unwrap()));
    let names = [
        "high-hash",
        "bad-diffbits",
        "bad-version",
        "bad-txnmrklroot",
        "bad-witness-merkle-match",
        "bad-witness-nonce-size",
        "bad-cb-amount",
        "bad-cb-height",
    ];
    for name in names {
        let Some((raw, said)) = block(&format!("submitblock_{name}")) else {
            return;
        };
        let report = check_block(&raw, &on_any_parent(&raw, 121, fees));
        assert_same(name, &report, said.as_deref());
    }
    let (raw, said) = block("submitblock_accepted_null").unwrap();
    let context = BlockContext::new(Network::Regtest);
    assert_same("accepted", &check_block(&raw, &context), said.as_deref());
}

#[test]
fn bytes_that_core_cannot_decode_are_refused_as_such() {
    for name in ["proposal_decode_failed", "submitblock_decode_failed"] {
        let Some((raw, _)) = block(name) else { return };
        let report = check_block(&raw, &BlockContext::new(Network::Regtest));
        let failure = report.report.first_failure.as_ref().unwrap();
        assert_eq!(failure.check, Check::Encoding, "{name}");
        assert!(failure.reason.starts_with("block-decode-failed"), "{name}");
    }
}

#[test]
fn signet_blocks_of_the_trivial_challenge_need_a_commitment() {
    let cases = [
        ("submitblock_mined_accepted", Verdict::Authentic),
        ("submitblock_explicit_empty_solution", Verdict::Authentic),
        ("submitblock_no_commitment", Verdict::Rejected),
    ];
    for (name, expected) in cases {
        let Some((raw, said)) = block(&format!("nets/signet51_{name}")) else {
            return;
        };
        let context = BlockContext {
            trivial_signet: true,
            ..BlockContext::new(Network::Signet)
        };
        let report = check_block(&raw, &context);
        assert_eq!(report.verdict(), expected, "{name}");
        assert_eq!(report.reject_reason(), said.as_deref(), "{name}");
        // Without knowing the challenge, its solution is left to the node.
        let report = check_block(&raw, &BlockContext::new(Network::Signet));
        assert_eq!(report.verdict(), Verdict::Authentic, "{name}");
    }
}
