#![allow(clippy::unwrap_used, clippy::print_stderr)]

use bitcoin::hashes::Hash as _;
use chain::{HeaderWindow, header_from_bytes};

use super::super::clock::{JobTime, job_time};
use super::super::fixtures::{Chain, settings};
use super::*;

/// An address of every test network.
const ADDRESS: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

fn settings_of(network: Network) -> MinerSettings {
    let payout = chain::PayoutScript::parse(ADDRESS, network).unwrap();
    MinerSettings {
        network,
        payout,
        ..settings()
    }
}

/// A real chain up to and with `height`.
fn real(network: Network, file: &str, height: usize) -> Option<Chain> {
    let Some(folder) = std::env::var_os("SIGNALCORE_TESTDATA") else {
        eprintln!("skipped: SIGNALCORE_TESTDATA not set");
        return None;
    };
    let raw = std::fs::read(std::path::Path::new(&folder).join(file)).unwrap();
    let headers: Vec<_> = raw
        .as_chunks::<80>()
        .0
        .iter()
        .map(header_from_bytes)
        .collect();
    let mut window = HeaderWindow::from_genesis(network, 20_000);
    window.connect(&headers[1..=height], None).unwrap();
    Some(Chain {
        window,
        start: Instant::now(),
    })
}

fn reading(now: u32) -> Reading {
    Reading {
        now: Some(now),
        latest: u32::MAX,
    }
}

/// The job of a moment at which there is no reason to fall back.
fn work_of(on_tip: &mut OnTip, moment: &Moment<'_>) -> Arc<Work> {
    let chosen = on_tip.work(moment).unwrap();
    assert!(chosen.fallback.is_none(), "{:?}", chosen.fallback);
    chosen.work
}

fn seen(chain: &Chain, curtime: u32, received_at: Instant) -> TemplateSeen {
    let template = Template::coinbase_only_on(&chain.window, curtime).unwrap();
    TemplateSeen {
        template: Arc::new(template),
        node: "test".into(),
        received_at,
    }
}

/// The times that a job may carry when the node's clock is at `now`, over the next hours.
fn times(work: &Work, now: u32) -> (u32, u32) {
    let at = Instant::now();
    match job_time(reading(now), at, work.min_time, work.boundary) {
        JobTime::Roll(rule) => (rule.ntime(at), rule.ntime(at + Duration::from_hours(5))),
        JobTime::Wait(wait) => panic!("waits {wait:?}"),
    }
}

/// The third and fourth period of testnet3, the first whose blocks are of either difficulty.
#[test]
fn our_own_jobs_ask_for_what_the_blocks_of_testnet3_then_had() {
    let Some(mut chain) = real(Network::Testnet3, "headers/testnet3_0_9999.headers", 9_999) else {
        return;
    };
    let settings = settings_of(Network::Testnet3);
    let headers: Vec<_> = (0..=9_999)
        .map(|height| *chain.window.header_at(height).unwrap())
        .collect();
    let (mut least, mut regular, mut starts) = (0, 0, 0);
    for height in (4_031..8_065).rev() {
        let parent = headers[height].block_hash();
        chain.window.rewind_to(&parent).unwrap();
        let next = headers[height + 1];
        let tip = chain.tip();
        let mut on_tip = OnTip::new(tip.hash, chain.start);
        let work = work_of(
            &mut on_tip,
            &Moment {
                settings: &settings,
                tip: &tip,
                template: None,
                reading: Some(reading(next.time)),
                bar: &|_| None,
                now: chain.start,
            },
        );
        assert_eq!(
            work.job.bits().0,
            next.bits.to_consensus(),
            "block {}",
            height + 1
        );
        let (from, to) = times(&work, next.time);
        assert_eq!(from, next.time.max(tip.min_time));
        let late = tip.header.time + 1_200;
        if (height + 1) % 2_016 == 0 {
            // One target at whatever time, and never ten minutes before its parent.
            starts += 1;
            assert_eq!(work.boundary, None);
            assert!(times(&work, late).1 > late && tip.min_time >= tip.header.time - 600);
        } else if next.time > late {
            least += 1;
            assert_eq!(work.job.bits(), Network::Testnet3.params().pow_limit_bits);
        } else {
            regular += 1;
            assert_eq!(to, late, "never into the times of the other target");
        }
    }
    assert!(
        least > 170 && regular > 3_000 && starts == 3,
        "{least} {regular} {starts}"
    );
}

#[test]
fn a_job_is_made_anew_when_the_clock_crosses_twenty_minutes_after_the_parent() {
    // Regular difficulty is above the least there, and testnet4 began with it.
    for (network, file, height) in [
        (Network::Testnet3, "headers/testnet3_0_9999.headers", 9_000),
        (Network::Testnet4, "headers/testnet4_0_100.headers", 100),
    ] {
        let Some(chain) = real(network, file, height) else {
            return;
        };
        let settings = settings_of(network);
        let tip = chain.tip();
        let late = tip.header.time + 1_200;
        let regular = tip.next_bits.unwrap();
        let least = network.params().pow_limit_bits;
        let templates = [Some(seen(&chain, late - 5, chain.start)), None];
        for template in templates {
            let mut on_tip = OnTip::new(tip.hash, chain.start);
            let mut at = |time: u32| {
                let now = chain.at(f64::from(time - (late - 5)));
                work_of(
                    &mut on_tip,
                    &Moment {
                        settings: &settings,
                        tip: &tip,
                        template: template.as_ref(),
                        reading: Some(reading(time)),
                        bar: &|_| None,
                        now,
                    },
                )
            };
            let early = at(late - 5);
            assert_eq!(early.is_our_own(), template.is_none());
            assert_eq!(
                (early.job.bits(), times(&early, late - 5)),
                (regular, (late - 5, late))
            );
            assert!(Arc::ptr_eq(&early, &at(late)), "the last second");
            let after = at(late + 1);
            assert!(!Arc::ptr_eq(&early, &after));
            assert_eq!((after.job.bits(), after.job.prev()), (least, tip.hash));
            assert_eq!(after.job.value(), early.job.value());
            assert_eq!(times(&after, late + 1).0, late + 1);
            assert_eq!(
                times(&after, late - 60).0,
                late + 1,
                "a clock that was set back"
            );
            assert!(Arc::ptr_eq(&after, &at(late + 300)), "once");
        }
    }
}

#[test]
fn at_the_start_of_a_period_no_time_makes_a_block_easier() {
    let Some(chain) = real(Network::Testnet3, "headers/testnet3_0_9999.headers", 8_063) else {
        return;
    };
    let (settings, tip) = (settings_of(Network::Testnet3), chain.tip());
    let mut on_tip = OnTip::new(tip.hash, chain.start);
    let mut at = |time| {
        work_of(
            &mut on_tip,
            &Moment {
                settings: &settings,
                tip: &tip,
                template: None,
                reading: Some(reading(time)),
                bar: &|_| None,
                now: chain.start,
            },
        )
    };
    let first = at(tip.header.time + 60);
    assert!(Arc::ptr_eq(&first, &at(tip.header.time + 100_000)));
    assert_ne!(first.job.bits(), Network::Testnet3.params().pow_limit_bits);
}

fn on_signet(challenge: Option<&str>) -> Result<Chosen, Problem> {
    let chain = Chain::new(Network::Signet);
    // The newest template is one of another tip: all that is left of it is its challenge.
    let mut other = seen(&chain, 1_700_000_000, chain.start);
    let mut template = (*other.template).clone();
    template.previousblockhash = BlockHash::all_zeros();
    template.signet_challenge = challenge.map(str::to_owned);
    other.template = Arc::new(template);
    let tip = chain.tip();
    let mut on_tip = OnTip::new(tip.hash, chain.start);
    let settings = settings_of(Network::Signet);
    on_tip.work(&Moment {
        settings: &settings,
        tip: &tip,
        template: Some(&other),
        reading: Some(reading(1_700_000_000)),
        bar: &|_| None,
        now: chain.start,
    })
}

#[test]
fn a_signet_that_was_seen_to_ask_for_nothing_has_jobs_of_our_own_with_a_commitment() {
    let work = on_signet(Some("51")).unwrap().work;
    assert!(work.is_our_own());
    let coinbase: bitcoin::Transaction =
        bitcoin::consensus::deserialize(&work.job.coinbase(0)).unwrap();
    assert_eq!(
        coinbase.output.len(),
        2,
        "no block without commitment there"
    );
    assert!(!coinbase.input[0].witness.is_empty());
}

#[test]
fn a_signet_that_asks_for_signatures_or_is_not_known_has_none() {
    for challenge in [None, Some("512103ad5e51ae")] {
        let reason = on_signet(challenge).unwrap_err().reason;
        assert!(reason.contains("waiting for a template"), "{reason}");
    }
}

/// A regtest tip with a template in use, and what later ones make of it.
struct Refreshed {
    chain: Chain,
    on_tip: OnTip,
}

impl Refreshed {
    fn new() -> Self {
        let chain = Chain::new(Network::Regtest);
        Self {
            on_tip: OnTip::new(chain.tip().hash, chain.start),
            chain,
        }
    }

    /// The job after a template came at `seconds` that pays so much more than subsidy.
    fn at(&mut self, seconds: f64, fees: u64) -> Arc<Work> {
        let now = self.chain.at(seconds);
        let mut seen = self.chain.template(now);
        let mut template = (*seen.template).clone();
        // Whose fees are not told, which is allowed.
        template.coinbasevalue = template.coinbasevalue.map(|value| value / 2 + fees);
        seen.template = Arc::new(template);
        let (settings, tip) = (settings(), self.chain.tip());
        work_of(
            &mut self.on_tip,
            &Moment {
                settings: &settings,
                tip: &tip,
                template: Some(&seen),
                reading: Some(reading(super::super::fixtures::NODE_TIME)),
                bar: &|_| None,
                now,
            },
        )
    }
}

#[test]
fn a_newer_template_takes_the_place_of_the_job_where_its_fees_are_worth_it() {
    let mut refreshed = Refreshed::new();
    let first = refreshed.at(0.0, 0);
    assert!(Arc::ptr_eq(&first, &refreshed.at(5.0, 10_000)));
    assert!(Arc::ptr_eq(&first, &refreshed.at(6.0, 0)));
    let second = refreshed.at(7.0, 10_000_000);
    assert_eq!(second.job.value(), first.job.value() + 10_000_000);
    assert!(
        Arc::ptr_eq(&second, &refreshed.at(20.0, 0)),
        "one that pays less"
    );
    assert!(Arc::ptr_eq(&second, &refreshed.at(66.0, 0)));
    let third = refreshed.at(67.0, 0);
    assert!(!Arc::ptr_eq(&second, &third), "a minute old");
    assert_eq!(third.received_at, Some(refreshed.chain.at(67.0)));
}

#[test]
fn a_job_that_came_to_nothing_is_replaced_by_any() {
    let mut refreshed = Refreshed::new();
    let first = refreshed.at(0.0, 0);
    assert!(Arc::ptr_eq(&first, &refreshed.at(2.0, 0)));
    refreshed
        .on_tip
        .set_back("was refused", refreshed.chain.at(3.0));
    let second = refreshed.at(4.0, 0);
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &refreshed.at(5.0, 0)));
}
