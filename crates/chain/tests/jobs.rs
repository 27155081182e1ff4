//! Jobs from recorded templates: the block is the one that Bitcoin Core accepted, but for the
//! coinbase.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash};
use chain::{
    CoinbaseOnly, CoinbaseTag, HeaderWindow, Job, JobError, MAX_VERSIONS, Network, PayoutScript,
    Solved, Template, TransactionFault, VERSION_ROLLING_MASK, Verdict, VersionRolling,
};
use pow::{NBits, Target};
use proptest::prelude::*;

const P2WPKH: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

fn payout(network: Network) -> PayoutScript {
    let script = PayoutScript::parse(P2WPKH, Network::Regtest).unwrap();
    let address = bitcoin::Address::from_script(script.script(), network.bitcoin()).unwrap();
    PayoutScript::parse(&address.to_string(), network).unwrap()
}

fn tag() -> CoinbaseTag {
    CoinbaseTag::new("/signalcore/").unwrap()
}

fn job(template: &Template) -> Result<Job, JobError> {
    Job::new(template, &payout(Network::Regtest), &tag(), 0)
}

fn recorded_template(name: &str) -> Option<Template> {
    let (_, answer) = support::recorded(name)?;
    Some(serde_json::from_value(answer["result"].clone()).unwrap())
}

/// A template on top of the regtest genesis, by our own rules.
fn empty() -> Template {
    let window = HeaderWindow::from_genesis(Network::Regtest, 100);
    Template::coinbase_only_on(&window, 1_700_000_000).unwrap()
}

const FIRST: Solved = Solved {
    extranonce: 7,
    ntime: 1_700_000_001,
    version: 0x2000_2000,
    nonce: 3,
};

/// Searches until the regtest target is met.
fn solve(job: &Job, mut solved: Solved) -> Solved {
    while !job.is_solved_by(&solved) {
        solved.nonce += 1;
    }
    solved
}

#[test]
fn a_job_makes_the_block_that_core_accepted_but_for_the_coinbase() {
    for (template, proposal) in [
        ("gbt_segwit_mempool", "proposal_valid"),
        ("gbt_large_2040_txs", "proposal_large_2040_txs"),
    ] {
        let Some(template) = recorded_template(template) else {
            return;
        };
        let (parameter, _) = support::recorded(proposal).unwrap();
        let accepted: Block =
            deserialize(&hex::decode(parameter["data"].as_str().unwrap()).unwrap()).unwrap();
        let job = job(&template).unwrap();
        assert_eq!(job.notes(), [""; 0]);
        assert_eq!(job.dropped(), 0);
        assert_eq!(job.transactions(), template.transactions.len());

        let raw = job.assemble(&FIRST);
        let ours: Block = deserialize(&raw).unwrap();
        assert_eq!(serialize(&ours), raw);
        assert_eq!(ours.txdata[1..], accepted.txdata[1..]);
        // The witness commitment is the same, since the coinbase stands as zeros in it.
        assert_eq!(ours.txdata[0].output[1], accepted.txdata[0].output[1]);
        assert_eq!(
            ours.txdata[0].input[0].witness,
            accepted.txdata[0].input[0].witness
        );
        assert_eq!(
            Some(ours.txdata[0].output[0].value.to_sat()),
            template.coinbasevalue
        );
        assert!(ours.check_merkle_root() && ours.check_witness_commitment());
        assert_eq!(
            ours.bip34_block_height().unwrap(),
            u64::from(template.height)
        );
        assert_eq!(ours.weight().to_wu(), job.weight());
        assert_eq!(ours.header.version.to_consensus(), FIRST.version);
        assert_eq!(ours.block_hash(), job.hash_of(&FIRST));

        // Core's own coinbase put on our merkle branch gives Core's merkle root.
        let solved = Solved {
            ntime: template.curtime,
            ..FIRST
        };
        let report = job.check(&solve(&job, solved), false);
        assert_eq!(report.verdict(), Verdict::Authentic, "{report:?}");
    }
}

#[test]
fn every_recorded_template_reads_and_writes_back_unchanged() {
    let names = [
        "gbt_at_genesis",
        "gbt_before_segwit_activation",
        "gbt_blockversion_option",
        "gbt_height_6000_zero_subsidy",
        "gbt_large_2040_txs",
        "gbt_segwit_mempool",
        "gbt_testdummy_active",
        "gbt_vbavailable_testdummy_started",
        "nets/signet51_gbt",
        "nets/signet_default_gbt",
        "nets/test_no_peers_gbt",
        "nets/testnet4_no_peers_gbt",
    ];
    for name in names {
        let Some((_, answer)) = support::recorded(name) else {
            return;
        };
        let template: Template = serde_json::from_value(answer["result"].clone()).unwrap();
        assert_eq!(
            serde_json::to_value(&template).unwrap(),
            answer["result"],
            "{name}"
        );
        // Not only the same members: in the same order, too.
        let text = serde_json::to_string(&template).unwrap();
        let recording = support::json(&format!("core/rpc/{name}.json")).unwrap();
        let body = recording["response"]["body"].as_str().unwrap();
        assert!(body.contains(&text), "{name}");
    }
}

#[test]
fn unknown_fields_are_ignored_and_optional_ones_may_be_absent() {
    let minimal = r#"{"version": 536870912, "previousblockhash":
        "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206", "transactions": [],
        "coinbasevalue": 5000000000, "curtime": 1700000000, "bits": "207fffff", "height": 1,
        "something_new": {"a": [1]}}"#;
    let template: Template = serde_json::from_str(minimal).unwrap();
    let job = job(&template).unwrap();
    // No rule says that segwit is active: no commitment.
    assert_eq!(job.check(&FIRST, true).reject_reason(), None);
    let block: Block = deserialize(&job.assemble(&FIRST)).unwrap();
    assert_eq!(block.txdata[0].output.len(), 1);
    for field in ["version", "previousblockhash", "bits", "height", "curtime"] {
        let mut value: serde_json::Value = serde_json::from_str(minimal).unwrap();
        value.as_object_mut().unwrap().remove(field);
        let error = serde_json::from_value::<Template>(value).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn a_commitment_offered_before_segwit_is_not_used() {
    let Some(template) = recorded_template("gbt_before_segwit_activation") else {
        return;
    };
    assert!(template.default_witness_commitment.is_some());
    let job = job(&template).unwrap();
    let block: Block = deserialize(&job.assemble(&FIRST)).unwrap();
    assert_eq!(block.txdata[0].output.len(), 1);
    assert!(block.txdata[0].input[0].witness.is_empty());
}

#[test]
fn a_wrong_commitment_is_replaced_and_noted() {
    let mut template = empty();
    template.default_witness_commitment = Some(format!("6a24aa21a9ed{}", "00".repeat(32)));
    let job = job(&template).unwrap();
    assert!(
        job.notes()[0].contains("is not that of its transactions"),
        "{:?}",
        job.notes()
    );
    assert_eq!(job.check(&FIRST, true).verdict(), Verdict::Authentic);
}

#[test]
fn templates_of_signets_are_mined_only_with_the_trivial_challenge() {
    let Some(open) = recorded_template("nets/signet51_gbt") else {
        return;
    };
    let signet = payout(Network::Signet);
    let job = Job::new(&open, &signet, &tag(), 0).unwrap();
    let block: Block = deserialize(&job.assemble(&FIRST)).unwrap();
    assert!(block.check_witness_commitment() && block.txdata[0].output.len() == 2);
    assert_eq!(job.check(&FIRST, true).verdict(), Verdict::Authentic);

    let signed = recorded_template("nets/signet_default_gbt").unwrap();
    let refused = Job::new(&signed, &signet, &tag(), 0).unwrap_err();
    assert!(matches!(&refused, JobError::SignetChallenge(c) if c.starts_with("5121")));
    assert!(refused.to_string().contains("without its keys"));
}

#[test]
fn an_empty_signet_block_commits_all_the_same() {
    let window = HeaderWindow::from_genesis(Network::Signet, 100);
    let mut template = Template::coinbase_only_on(&window, 1_700_000_000).unwrap();
    let signet = payout(Network::Signet);
    let unknown = Job::new(&template, &signet, &tag(), 0).unwrap_err();
    assert!(matches!(unknown, JobError::SignetChallenge(_)));
    template.signet_challenge = Some("51".to_owned());
    let job = Job::new(&template, &signet, &tag(), 0).unwrap();
    let block: Block = deserialize(&job.assemble(&FIRST)).unwrap();
    assert_eq!(block.txdata[0].output.len(), 2);
    assert!(block.check_witness_commitment());
}

#[test]
fn an_empty_job_by_our_own_rules_is_a_valid_block() {
    for height in [1, 16, 17, 127, 128, 150, 32_768, 9_600] {
        let template = Template::coinbase_only(&CoinbaseOnly {
            network: Network::Regtest,
            parent: BlockHash::all_zeros(),
            parent_time: 1_600_000_000,
            height,
            bits: NBits(0x207f_ffff),
            mintime: 1_600_000_001,
            curtime: 1_700_000_000,
        });
        let job = job(&template).unwrap();
        let subsidy = Network::Regtest.params().block_subsidy(height).to_sat();
        assert_eq!(job.value(), subsidy);
        let report = job.check(&solve(&job, FIRST), false);
        assert_eq!(report.verdict(), Verdict::Authentic, "{height}: {report:?}");
        let block: Block = deserialize(&job.assemble(&FIRST)).unwrap();
        assert!(block.txdata[0].input[0].witness.is_empty());
        assert!(block.txdata[0].is_coinbase());
    }
}

#[test]
fn no_two_consumers_or_extranonces_search_the_same_header() {
    let template = empty();
    let mut seen = BTreeSet::new();
    for consumer in [0, 1, 0x100, u16::MAX] {
        let job = Job::new(&template, &payout(Network::Regtest), &tag(), consumer).unwrap();
        for extranonce in [0, 1, 0x100, u64::MAX] {
            assert!(seen.insert(job.header(extranonce, 1_700_000_000)));
        }
    }
}

#[test]
fn the_tag_and_the_payout_are_in_the_coinbase() {
    for length in [0, 1, CoinbaseTag::MAX_LEN] {
        let text = "x".repeat(length);
        let tag = CoinbaseTag::new(&text).unwrap();
        let payout = payout(Network::Regtest);
        let job = Job::new(&empty(), &payout, &tag, 3).unwrap();
        let block: Block = deserialize(&job.assemble(&FIRST)).unwrap();
        let script = block.txdata[0].input[0].script_sig.to_bytes();
        assert!((2..=100).contains(&script.len()));
        assert!(script.ends_with(text.as_bytes()));
        assert_eq!(
            block.txdata[0].output[0].script_pubkey.as_script(),
            payout.script()
        );
        assert_eq!(job.check(&FIRST, true).verdict(), Verdict::Authentic);
    }
    assert!(CoinbaseTag::new(&"x".repeat(CoinbaseTag::MAX_LEN + 1)).is_err());
}

#[test]
fn coinbaseaux_goes_into_the_script_and_never_breaks_it() {
    let with = |hex: String| {
        let mut template = empty();
        template.coinbaseaux.insert("flags".to_owned(), hex);
        job(&template)
    };
    let job = with("062f503253482f".to_owned()).unwrap();
    let block: Block = deserialize(&job.assemble(&FIRST)).unwrap();
    let script = block.txdata[0].input[0].script_sig.to_bytes();
    assert!(script.windows(7).any(|part| part == b"\x06/P2SH/"));

    let crowded = with("51".repeat(80)).unwrap();
    assert!(crowded.notes()[0].contains("tag left out"));
    assert_eq!(crowded.check(&FIRST, true).verdict(), Verdict::Authentic);
    assert!(matches!(
        with("51".repeat(100)),
        Err(JobError::ScriptTooLong(_))
    ));
    assert!(matches!(with("zz".to_owned()), Err(JobError::Aux { .. })));
}

#[test]
fn transactions_are_left_out_where_the_coinbase_needs_their_room() {
    let Some(mut template) = recorded_template("gbt_segwit_mempool") else {
        return;
    };
    let whole = job(&template).unwrap();
    let total = whole.weight();
    for (spare, dropped) in [(0, 0), (1, 1), (2_000, 2)] {
        template.weightlimit = Some(total - spare);
        let job = job(&template).unwrap();
        assert!(job.dropped() >= dropped, "{spare}: {}", job.dropped());
        assert!((job.dropped() == 0) == (dropped == 0));
        assert!(job.weight() <= total - spare);
        let kept = &template.transactions[..job.transactions()];
        let gone = &template.transactions[job.transactions()..];
        let fees: u64 = gone.iter().map(|gone| gone.fee.unwrap()).sum();
        assert_eq!(Some(job.value() + fees), template.coinbasevalue);
        for transaction in kept {
            assert!(
                transaction
                    .depends
                    .iter()
                    .all(|place| *place as usize <= kept.len())
            );
        }
        let report = job.check(&FIRST, true);
        assert_eq!(report.verdict(), Verdict::Authentic, "{report:?}");
    }
    template.weightlimit = Some(total - 1);
    template.transactions.last_mut().unwrap().fee = None;
    assert!(matches!(job(&template), Err(JobError::UnknownFee { .. })));
    template.weightlimit = Some(500);
    assert!(matches!(job(&template), Err(JobError::NoRoom)));
}

#[test]
fn signature_operations_are_kept_within_the_limit() {
    let Some(mut template) = recorded_template("gbt_segwit_mempool") else {
        return;
    };
    template.sigoplimit = template
        .transactions
        .iter()
        .map(|t| t.sigops.unwrap())
        .sum();
    assert_eq!(job(&template).unwrap().dropped(), 0);
    template.sigoplimit -= 1;
    assert!(job(&template).unwrap().dropped() > 0);
}

#[test]
fn templates_that_contradict_themselves_are_refused_in_words() {
    let Some(good) = recorded_template("gbt_segwit_mempool") else {
        return;
    };
    let refused = |spoil: &dyn Fn(&mut Template)| {
        let mut template = good.clone();
        spoil(&mut template);
        job(&template).unwrap_err()
    };
    let fault = |spoil: &dyn Fn(&mut Template)| match refused(spoil) {
        JobError::Transaction { index, cause } => (index, cause),
        other => panic!("{other}"),
    };
    assert!(matches!(
        fault(&|t| t.transactions[3].data[10] ^= 1),
        (3, TransactionFault::Txid { .. })
    ));
    let witness = |t: &mut Template| {
        let length = t.transactions[0].data.len();
        t.transactions[0].data[length - 6] ^= 1;
    };
    assert!(matches!(
        fault(&witness),
        (0, TransactionFault::Wtxid { .. })
    ));
    assert!(matches!(
        fault(&|t| t.transactions[2].data.push(0)),
        (2, TransactionFault::Undecodable(_))
    ));
    assert!(matches!(
        fault(&|t| t.transactions[2].depends = vec![3]),
        (2, TransactionFault::Depends(3))
    ));
    assert!(matches!(
        fault(&|t| t.transactions.swap(0, 1)),
        (0, TransactionFault::Depends(1))
    ));
    let twice = |t: &mut Template| {
        let again = t.transactions[0].clone();
        t.transactions.push(again);
    };
    assert!(matches!(fault(&twice), (0, TransactionFault::Twice)));
    let old = |t: &mut Template| t.rules.retain(|rule| rule != "!segwit");
    assert!(matches!(fault(&old), (0, TransactionFault::Witness)));

    assert!(matches!(
        refused(&|t| t.coinbasevalue = t.coinbasevalue.map(|value| value + 1)),
        JobError::CoinbaseValue { .. }
    ));
    assert!(matches!(
        refused(&|t| t.target = Some(Target::MAX)),
        JobError::Target { .. }
    ));
    assert!(matches!(
        refused(&|t| t.bits = NBits(0x2100_ffff)),
        JobError::Bits(_)
    ));
    assert!(matches!(refused(&|t| t.version = 3), JobError::Version(3)));
    assert!(matches!(
        refused(&|t| t.vbrequired = 2),
        JobError::RequiredBits(2)
    ));
    assert!(matches!(refused(&|t| t.height = 0), JobError::Genesis));
    let unknown = refused(&|t| t.rules.push("!future".to_owned()));
    assert!(unknown.to_string().contains("\"!future\"") && unknown.to_string().contains("update"));
    let mut template = good.clone();
    template.rules.push("future".to_owned());
    assert!(job(&template).is_ok());
}

/// The job of a template, changed first, and the versions that it may be searched with.
fn versions(rolling: VersionRolling, change: &dyn Fn(&mut Template)) -> Vec<i32> {
    let mut template = empty();
    change(&mut template);
    job(&template).unwrap().versions_with(rolling).to_vec()
}

/// Fails unless the versions are all different, and roll in these bits at most.
fn roll_within(versions: &[i32], bits: u32) {
    let distinct: BTreeSet<i32> = versions.iter().copied().collect();
    assert_eq!(distinct.len(), versions.len());
    for version in versions {
        let rolled = (version ^ versions[0]).cast_unsigned();
        assert_eq!(rolled & !bits, 0, "{version:#x}");
        assert_eq!(
            rolled & versions[0].cast_unsigned(),
            0,
            "{version:#x} clears a bit"
        );
    }
}

#[test]
fn versions_roll_in_bits_that_mean_nothing() {
    let free = versions(VersionRolling::Auto, &|_| {});
    assert_eq!((free[0], free.len()), (0x2000_0000, MAX_VERSIONS));
    roll_within(&free, VERSION_ROLLING_MASK);
    // Each bit in half of them: below what any node takes for a majority.
    for bit in (0..32).map(|bit| 1 << bit) {
        let set = free
            .iter()
            .filter(|version| (*version ^ free[0]) & bit != 0);
        assert!([0, MAX_VERSIONS / 2].contains(&set.count()), "{bit:#x}");
    }

    let signalling = versions(VersionRolling::Auto, &|t| {
        t.version = 0x3000_0004;
        t.vbavailable.insert("testdummy".to_owned(), 28);
        t.vbavailable.insert("near".to_owned(), 14);
        t.vbavailable.insert("nonsense".to_owned(), 77);
    });
    assert_eq!(
        (signalling[0], signalling.len()),
        (0x3000_0004, MAX_VERSIONS)
    );
    roll_within(&signalling, VERSION_ROLLING_MASK & !0x1000_4000);

    // Where little is free there are fewer.
    let crowded = versions(VersionRolling::Auto, &|t| t.version = 0x3fff_8000);
    assert_eq!(crowded.len(), 4);
    roll_within(&crowded, 0x6000);
    assert_eq!(
        versions(VersionRolling::On, &|t| t.version = 0x3fff_e000).len(),
        1
    );
}

#[test]
fn versions_do_not_roll_where_the_template_or_the_operator_forbids_it() {
    let off = |rolling, change: &dyn Fn(&mut Template)| versions(rolling, change).len() == 1;
    let required = |t: &mut Template| {
        t.version = 0x2000_2002;
        t.vbrequired = 0x2002;
    };
    assert_eq!(versions(VersionRolling::Auto, &required), [0x2000_2002]);
    assert!(off(VersionRolling::Off, &|_| {}));
    // On is on, except in the bits required.
    let on = versions(VersionRolling::On, &required);
    assert_eq!(on.len(), MAX_VERSIONS);
    roll_within(&on, VERSION_ROLLING_MASK & !0x2000);
    // A version that is not in the form of BIP9 has no bits.
    for version in [4, 0x4000_0000, 0x6000_0000] {
        assert_eq!(
            versions(VersionRolling::On, &|t| t.version = version),
            [version]
        );
    }
}

#[test]
fn versions_of_recorded_templates_keep_what_the_node_signals() {
    let auto = VersionRolling::Auto;
    for (name, fixed) in [
        ("gbt_segwit_mempool", 0),
        ("gbt_before_segwit_activation", 0),
        ("gbt_testdummy_active", 0),
        ("gbt_blockversion_option", 1 << 28),
        // Bit 28 is signalled.
        ("gbt_vbavailable_testdummy_started", 1 << 28),
        ("warnings_unknown_versionbits_gbt", 1 << 28),
        ("nets/signet51_gbt", 0),
        ("nets/test_no_peers_gbt", 0),
        ("nets/testnet4_no_peers_gbt", 0),
    ] {
        let Some(template) = recorded_template(name) else {
            return;
        };
        let network = match name {
            "nets/signet51_gbt" => Network::Signet,
            "nets/test_no_peers_gbt" => Network::Testnet3,
            "nets/testnet4_no_peers_gbt" => Network::Testnet4,
            _ => Network::Regtest,
        };
        let job = Job::new(&template, &payout(network), &tag(), 0).unwrap();
        let versions = job.versions_with(auto);
        assert_eq!(
            (versions[0], versions.len()),
            (template.version, MAX_VERSIONS),
            "{name}"
        );
        roll_within(versions, VERSION_ROLLING_MASK & !fixed);
        assert_eq!(
            job.versions_with(VersionRolling::Off),
            [template.version],
            "{name}"
        );
    }
    // Signatures of a signet with keys commit to the version: there is no job at all.
    let signed = recorded_template("nets/signet_default_gbt").unwrap();
    let refused = Job::new(&signed, &payout(Network::Signet), &tag(), 0);
    assert!(matches!(refused, Err(JobError::SignetChallenge(_))));
}

#[test]
fn times_stay_where_the_bits_hold() {
    let on = |network: Network, height, parent_time: Option<u32>, curtime, bits| {
        let mut template = Template::coinbase_only(&CoinbaseOnly {
            network,
            parent: BlockHash::all_zeros(),
            parent_time: 0,
            height,
            bits: NBits(bits),
            mintime: 1_000_000,
            curtime,
        });
        template.parent_time = parent_time;
        let job = Job::new(&template, &payout(network), &tag(), 0).unwrap();
        assert!(job.min_time() <= job.start_time() && job.start_time() <= job.max_time());
        (job.min_time(), job.start_time(), job.max_time())
    };
    let rolled = |start: u32| start + chain::MAX_TIME_ROLL_S;
    for network in [Network::Testnet3, Network::Testnet4] {
        let parent = 1_001_000;
        let late = parent + 1_200;
        let start = late - 100;
        assert_eq!(
            on(network, 5, Some(parent), start, 0x1c00_ffff),
            (1_000_000, start, late)
        );
        let start = late + 1;
        let bounds = on(network, 5, Some(parent), start, 0x1d00_ffff);
        assert_eq!(bounds, (late + 1, start, rolled(start)));
        assert_eq!(
            on(network, 5, None, start, 0x1d00_ffff),
            (start, start, start)
        );
        // A period's first block has one target whatever its time.
        let bounds = on(network, 2_016, None, start, 0x1d00_ffff);
        assert_eq!(bounds, (1_000_000, start, rolled(start)));
    }
    for (network, bits) in [
        (Network::Main, 0x1703_a30c),
        (Network::Regtest, 0x207f_ffff),
    ] {
        let bounds = on(network, 900_001, None, 1_500_000, bits);
        assert_eq!(bounds, (1_000_000, 1_500_000, rolled(1_500_000)));
        // A clock behind the earliest time allowed starts there.
        assert_eq!(on(network, 900_001, None, 5, bits).1, 1_000_000);
    }
    let job = job(&empty()).unwrap();
    assert_eq!(job.clamp_time(0), job.min_time());
    assert_eq!(job.clamp_time(u32::MAX), job.max_time());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_solution_makes_the_block_of_its_header(
        extranonce: u64, ntime: u32, nonce: u32, consumer: u16, place in 0..MAX_VERSIONS,
    ) {
        let job = Job::new(&empty(), &payout(Network::Regtest), &tag(), consumer).unwrap();
        let solved = Solved { extranonce, ntime, version: job.versions()[place], nonce };
        let raw = job.assemble(&solved);
        let header = job.header_of(&solved);
        prop_assert_eq!(&raw[..80], &header[..]);
        let block: Block = deserialize(&raw).unwrap();
        prop_assert!(block.check_merkle_root());
        prop_assert_eq!(block.block_hash(), job.hash_of(&solved));
        let met = job.target().is_met_by(block.block_hash().as_byte_array());
        prop_assert_eq!(job.is_solved_by(&solved), met);
        prop_assert_eq!(serialize(&block.txdata[0]), job.coinbase(extranonce));
        prop_assert_eq!(block.weight().to_wu(), job.weight());
    }
}
