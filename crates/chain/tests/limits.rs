//! What a template leaves to us: room for the coinbase, its value, its height and its commitment.
#![allow(clippy::unwrap_used)]

mod support;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    absolute, transaction,
};
use chain::{
    CoinbaseOnly, CoinbaseTag, Job, JobError, Network, PayoutScript, Solved, Template,
    TemplateTransaction, Verdict,
};
use pow::NBits;
use proptest::prelude::*;

/// One signature operation, and none.
const P2PKH: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
const P2WPKH: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// What Bitcoin Core offers as a commitment for no transactions at all.
const EMPTY_COMMITMENT: &str =
    "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";

const SOLVED: Solved = Solved {
    extranonce: 0x0102_0304_0506_0708,
    ntime: 1_700_000_001,
    version: 0x2000_0000,
    nonce: 3,
};

fn at(height: u32) -> Template {
    Template::coinbase_only(&CoinbaseOnly {
        network: Network::Regtest,
        parent: BlockHash::all_zeros(),
        parent_time: 1_600_000_000,
        height,
        bits: NBits(0x207f_ffff),
        mintime: 1_600_000_001,
        curtime: 1_700_000_000,
    })
}

fn job(template: &Template, payout: &str, tag: &str) -> Result<Job, JobError> {
    let payout = PayoutScript::parse(payout, Network::Regtest).unwrap();
    Job::new(template, &payout, &CoinbaseTag::new(tag).unwrap(), 7)
}

fn block_of(job: &Job) -> Block {
    deserialize(&job.assemble(&SOLVED)).unwrap()
}

/// A transaction that spends from `parent`, an outside coin without one.
fn spend(number: usize, parent: Option<&Transaction>, witness: bool, sigops: usize) -> Transaction {
    let coin = parent.map_or_else(
        || OutPoint::new(bitcoin::Txid::hash(&number.to_le_bytes()), 0),
        |parent| OutPoint::new(parent.compute_txid(), 0),
    );
    let mut stack = Witness::new();
    if witness {
        stack.push([7; 72]);
    }
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: stack,
        }],
        output: vec![TxOut {
            value: Amount::from_sat(number as u64),
            script_pubkey: ScriptBuf::from_bytes(vec![0xac; sigops]),
        }],
    }
}

/// A template of these: whether each spends the one before, has a witness, and its CHECKSIGs.
fn filled(shapes: &[(bool, bool, usize)], segwit: bool) -> Template {
    let mut template = at(200);
    if !segwit {
        template.rules.retain(|rule| rule != "!segwit");
        template.weightlimit = None;
        template.sizelimit = 1_000_000;
        template.sigoplimit = 20_000;
    }
    let mut before: Option<Transaction> = None;
    for (index, (depends, witness, sigops)) in shapes.iter().enumerate() {
        let parent = before.as_ref().filter(|_| *depends);
        let transaction = spend(index, parent, *witness && segwit, *sigops);
        template.transactions.push(TemplateTransaction {
            data: serialize(&transaction),
            txid: transaction.compute_txid(),
            hash: transaction.compute_wtxid(),
            depends: parent.map(|_| index as u32).into_iter().collect(),
            fee: Some(1_000 + index as u64),
            // Counted here where the server does not say.
            sigops: None,
            weight: None,
        });
        before = Some(transaction);
    }
    let fees = template.fees().unwrap();
    template.coinbasevalue = template.coinbasevalue.map(|subsidy| subsidy + fees);
    template
}

/// Weight, bytes and signature operations of a block, by the `bitcoin` crate.
fn load(block: &Block, segwit: bool) -> (u64, u64, u64) {
    let scripts = |tx: &Transaction| {
        let inputs = tx
            .input
            .iter()
            .map(|input| input.script_sig.count_sigops_legacy());
        let outputs = tx
            .output
            .iter()
            .map(|output| output.script_pubkey.count_sigops_legacy());
        inputs.chain(outputs).sum::<usize>()
    };
    let sigops: usize = block.txdata.iter().map(scripts).sum();
    let scale = if segwit { 4 } else { 1 };
    (
        block.weight().to_wu(),
        block.total_size() as u64,
        (sigops * scale) as u64,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_block_keeps_every_limit_of_its_template_and_no_more_is_left_out_than_must_be(
        shapes in proptest::collection::vec((any::<bool>(), any::<bool>(), 0_usize..40), 0..12),
        segwit: bool, tag_len in 0..=CoinbaseTag::MAX_LEN, legacy_payout: bool,
        (weight, size, sigops) in (0_u64..8_000, 0_u64..2_500, 0_u64..400),
    ) {
        let payout = if legacy_payout { P2PKH } else { P2WPKH };
        let tag = "t".repeat(tag_len);
        let mut template = filled(&shapes, segwit);
        let whole = load(&block_of(&job(&template, payout, &tag).unwrap()), segwit);
        // Limits about where the whole block is.
        template.weightlimit = segwit.then(|| (whole.0 + 1_000).saturating_sub(weight));
        template.sizelimit = (whole.1 + 300).saturating_sub(size);
        template.sigoplimit = (whole.2 + 50).saturating_sub(sigops);
        let within = |(weight, size, sigops): (u64, u64, u64)| {
            template.weightlimit.is_none_or(|limit| weight <= limit)
                && size <= template.sizelimit
                && sigops <= template.sigoplimit
        };
        let made = job(&template, payout, &tag);
        let Ok(made) = made else {
            prop_assert!(matches!(made, Err(JobError::NoRoom)));
            let mut bare = template.clone();
            bare.transactions.clear();
            bare.coinbasevalue = at(200).coinbasevalue;
            (bare.weightlimit, bare.sizelimit, bare.sigoplimit) = (None, u64::MAX, u64::MAX);
            // A transaction with a witness brought the commitment: without any it may just fit.
            bare.default_witness_commitment = segwit.then(|| EMPTY_COMMITMENT.to_owned());
            prop_assert!(!within(load(&block_of(&job(&bare, payout, &tag).unwrap()), segwit)));
            return Ok(());
        };
        let block = block_of(&made);
        prop_assert!(within(load(&block, segwit)));
        prop_assert_eq!(made.weight(), block.weight().to_wu());
        let report = made.check(&SOLVED, true);
        prop_assert_eq!(report.verdict(), Verdict::Authentic, "{:?}", report);
        // Nothing stays whose parent went, and the reward is less by the fees that went.
        let kept = made.transactions();
        prop_assert_eq!(kept + made.dropped(), template.transactions.len());
        for transaction in &template.transactions[..kept] {
            prop_assert!(transaction.depends.iter().all(|place| *place as usize <= kept));
        }
        let gone: u64 = template.transactions[kept..].iter().map(|gone| gone.fee.unwrap()).sum();
        prop_assert_eq!(Some(made.value() + gone), template.coinbasevalue);
        // One more would have been too much.
        if made.dropped() > 0 {
            let mut more = filled(&shapes[..=kept], segwit);
            more.default_witness_commitment = (block.txdata[0].output.len() > 1)
                .then(|| EMPTY_COMMITMENT.to_owned());
            prop_assert!(!within(load(&block_of(&job(&more, payout, &tag).unwrap()), segwit)));
        }
    }
}

#[test]
fn what_stands_in_the_coinbase_script_counts_as_signature_operations() {
    let mut template = filled(&[(false, false, 0)], true);
    template.transactions[0].sigops = Some(0);
    template.sigoplimit = 11;
    // Two CHECKSIGs, each of BIP141's cost 4, and one of the payout script.
    template
        .coinbaseaux
        .insert("flags".to_owned(), "acac".to_owned());
    assert_eq!(job(&template, P2WPKH, "").unwrap().dropped(), 0);
    assert!(matches!(job(&template, P2PKH, ""), Err(JobError::NoRoom)));
    template.sigoplimit = 12;
    assert_eq!(job(&template, P2PKH, "").unwrap().dropped(), 0);
}

#[test]
fn a_template_without_any_reward_is_mined_all_the_same() {
    let Some((_, answer)) = support::recorded("gbt_height_6000_zero_subsidy") else {
        return;
    };
    let template: Template = serde_json::from_value(answer["result"].clone()).unwrap();
    let job = job(&template, P2WPKH, "/t/").unwrap();
    assert_eq!(job.value(), 0);
    assert_eq!(block_of(&job).txdata[0].output[0].value, Amount::ZERO);
    assert_eq!(job.check(&SOLVED, true).verdict(), Verdict::Authentic);
}

#[test]
fn a_server_that_makes_the_coinbase_itself_is_refused_in_words() {
    let text = r#"{"version": 536870912, "previousblockhash":
        "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206", "transactions": [],
        "coinbasetxn": {"data": "0100", "required": true}, "curtime": 1700000000,
        "bits": "207fffff", "height": 1}"#;
    let template: Template = serde_json::from_str(text).unwrap();
    let refused = job(&template, P2WPKH, "").unwrap_err();
    assert_eq!(refused, JobError::NoCoinbaseValue);
    let words = refused.to_string();
    assert!(
        words.contains("coinbasetxn") && words.contains("use a node"),
        "{words}"
    );
    // Beside coinbasevalue it is an offer, and may be declined.
    let both = text.replace("\"curtime\"", "\"coinbasevalue\": 5000000000, \"curtime\"");
    assert!(job(&serde_json::from_str(&both).unwrap(), P2WPKH, "").is_ok());
}

#[test]
fn the_rule_segwit_decides_on_the_commitment_and_not_its_being_offered() {
    for (offered, active) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut template = filled(&[(false, active, 0)], active);
        template.default_witness_commitment = offered.then(|| EMPTY_COMMITMENT.to_owned());
        let made = job(&template, P2WPKH, "").unwrap();
        let block = block_of(&made);
        let outputs = block.txdata[0].output.len();
        assert_eq!(outputs, if active { 2 } else { 1 }, "{offered} {active}");
        assert_eq!(!block.txdata[0].input[0].witness.is_empty(), active);
        assert!(block.check_merkle_root() && block.check_witness_commitment());
    }
    // Without a witness in the block there is nothing to commit to, and no need.
    let plain = job(&filled(&[(false, false, 0)], true), P2WPKH, "").unwrap();
    assert_eq!(block_of(&plain).txdata[0].output.len(), 1);
}

#[test]
fn heights_up_to_16_are_one_operation_and_higher_ones_a_minimal_push() {
    for height in (1..=300).chain([32_767, 32_768, 8_388_607, 8_388_608]) {
        let block = block_of(&job(&at(height), P2WPKH, "/t/").unwrap());
        let script = block.txdata[0].input[0].script_sig.as_bytes();
        if height <= 16 {
            assert_eq!(u32::from(script[0]), 0x50 + height);
        } else {
            assert_eq!(block.bip34_block_height().unwrap(), u64::from(height));
            let length = usize::from(script[0]);
            let top = script[length];
            assert!(
                top != 0 || script[length - 1] & 0x80 != 0,
                "{height} is not minimal"
            );
        }
        assert!((2..=100).contains(&script.len()));
    }
}

#[test]
fn the_reward_of_regtest_halves_every_150_blocks_to_the_last_satoshi() {
    let value = |height| job(&at(height), P2WPKH, "").unwrap().value();
    assert_eq!((value(149), value(150)), (5_000_000_000, 2_500_000_000));
    assert_eq!((value(299), value(300)), (2_500_000_000, 1_250_000_000));
    // The 33rd halving is the last that leaves anything.
    assert_eq!((value(32 * 150), value(33 * 150 - 1)), (1, 1));
    assert_eq!((value(33 * 150), value(64 * 150)), (0, 0));
    for greedy in [150, 300, 4_950] {
        let mut template = at(greedy);
        template.coinbasevalue = template.coinbasevalue.map(|value| value + 1);
        let refused = job(&template, P2WPKH, "");
        assert!(
            matches!(refused, Err(JobError::CoinbaseValue { .. })),
            "{greedy}"
        );
    }
}
