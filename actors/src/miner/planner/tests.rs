#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::super::fixtures::{Chain, NODE_TIME, elsewhere, settings, settled};
use super::super::holds::Limits;
use super::super::pace::{Interval, PaceMode, Pacing};
use super::super::policy::PowerCost;
use super::super::sight::tip_to_build_on;
use super::*;
use crate::messages::{
    Advice, BodyState, Counsel, Decider, Recommendation, Settled, Solution, TemplateSeen, TipDoubt,
    TipProvisional,
};
use crate::proposals::{Finding, Proposals};
use chain::{Report, Verdict};

/// What a test shows to the planner: a node on its best tip, and what is set besides.
struct Scene {
    chain: Chain,
    planner: Planner,
    node: NodeState,
    tip: Option<TipValidated>,
    until: Option<Instant>,
    doubt: Option<TipDoubt>,
    template: Option<TemplateSeen>,
    found: Option<Solution>,
    settled: Option<Settled>,
    counsel: Option<Counsel>,
    is_advised: bool,
    proposals: Proposals,
    counts: Counts,
    degradation: Degradation,
}

impl Scene {
    fn new(settings: MinerSettings) -> Self {
        Self {
            chain: Chain::new(settings.network),
            planner: Planner::new(settings, fastrand::Rng::with_seed(3), &Counts::default()),
            node: NodeState::Ready,
            tip: None,
            until: None,
            doubt: None,
            template: None,
            found: None,
            settled: None,
            counsel: None,
            is_advised: false,
            proposals: Proposals::default(),
            counts: Counts::default(),
            degradation: Degradation::None,
        }
    }

    /// A tip and its template since second 0.
    fn on_tip(settings: MinerSettings) -> Self {
        let mut scene = Self::new(settings);
        scene.tip = Some(scene.chain.tip());
        scene.template = Some(scene.chain.template(scene.chain.start));
        scene
    }

    fn plan(&mut self, seconds: f64) -> Plan {
        self.planner.plan(&Sight {
            now: self.chain.at(seconds),
            node: &self.node,
            tip: self.tip.as_ref(),
            until: self.until,
            doubt: self.doubt.as_ref(),
            template: self.template.as_ref(),
            found: self.found.as_ref(),
            settled: self.settled.as_ref(),
            counsel: self.counsel.as_ref(),
            is_advised: self.is_advised,
            proposals: &self.proposals,
            counts: self.counts,
            degradation: self.degradation,
            scarce: "memory",
        })
    }

    fn task(&mut self, seconds: f64) -> Task {
        let plan = self.plan(seconds);
        plan.task
            .unwrap_or_else(|| panic!("no task at {seconds} s: {}", plan.state))
    }

    /// The state of a plan without a task.
    fn parked(&mut self, seconds: f64) -> MiningState {
        let plan = self.plan(seconds);
        assert!(plan.task.is_none(), "scans at {seconds} s: {:?}", plan.task);
        plan.state
    }

    fn no_job(&mut self, seconds: f64) -> String {
        match self.parked(seconds) {
            MiningState::NoJob { reason } => reason,
            other => panic!("{other}"),
        }
    }

    /// A block found at a moment, on the tip.
    fn find(&mut self, seconds: f64) -> Solution {
        let found = self.chain.solve(self.chain.at(seconds));
        self.found = Some(found.clone());
        self.counts.found += 1;
        found
    }

    /// The advisor says something of the tip.
    fn advise(&mut self, seconds: f64, recommendation: Recommendation) {
        let number = self
            .counsel
            .as_ref()
            .map_or(1, |counsel| counsel.number + 1);
        self.counsel = Some(Counsel {
            number,
            tip: self.tip.as_ref().unwrap().hash,
            at: self.chain.at(seconds),
            answer: Ok(Advice {
                recommendation,
                confidence: 0.9,
                reason: "it said so".to_owned(),
            }),
        });
    }

    fn template_at(&mut self, seconds: f64) {
        self.template = Some(self.chain.template(self.chain.at(seconds)));
    }

    fn scan(&mut self, hashes: u64, busy_s: f64) {
        self.counts.hashes += hashes;
        self.counts.busy += Duration::from_secs_f64(busy_s);
    }
}

fn report(verdict: Verdict, reason: &str) -> Arc<Report> {
    let failure = chain::Failure {
        height: None,
        check: chain::Check::ProofOfWork,
        reason: reason.to_owned(),
    };
    Arc::new(Report {
        verdict,
        coverage: 1.0,
        verified: 1,
        level: 1,
        checks: Vec::new(),
        first_failure: Some(failure),
    })
}

#[test]
fn nothing_is_scanned_before_node_tip_and_template_are_known() {
    let mut scene = Scene::new(settings());
    scene.node = NodeState::Unknown;
    assert!(scene.no_job(0.0).contains("not asked"));
    scene.node = NodeState::Ready;
    assert!(scene.no_job(0.0).contains("no tip"));
    scene.tip = Some(scene.chain.tip());
    assert!(scene.no_job(0.0).contains("template"));
    scene.template_at(0.1);
    assert_eq!(scene.plan(0.1).state, MiningState::Scanning);
}

#[test]
fn a_missing_template_is_asked_for_after_a_moment_and_not_all_the_time() {
    let mut scene = Scene::new(settings());
    scene.tip = Some(scene.chain.tip());
    let asked: Vec<f64> = (0..60)
        .map(|i| f64::from(i) * 0.1)
        .filter(|&second| scene.plan(second).want_template)
        .collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0] > 0.2 && asked[0] < 0.4, "{asked:?}");
}

#[test]
fn the_same_sight_is_the_same_task_and_a_template_after_a_minute_another() {
    let mut scene = Scene::on_tip(settings());
    let first = scene.task(0.0);
    assert!(!first.coinbase_only);
    assert_eq!(first.target, first.job.target());
    assert!(first.is_same(&scene.task(7.0), scene.chain.at(7.0)));
    scene.template_at(8.0);
    assert!(first.is_same(&scene.task(8.0), scene.chain.at(8.0)));
    scene.template_at(61.0);
    let second = scene.task(61.0);
    assert!(!first.is_same(&second, scene.chain.at(61.0)));
    assert_eq!(second.time.ntime(scene.chain.at(61.0)), NODE_TIME + 61);
}

#[test]
fn a_new_tip_gets_a_coinbase_only_job_at_once_and_then_its_template() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let found = scene.chain.solve(scene.chain.at(2.0));
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    let task = scene.task(5.0);
    assert!(task.coinbase_only);
    assert_eq!((task.job.prev(), task.job.height()), (found.hash, 2));
    assert_eq!(task.job.value(), 5_000_000_000);
    assert_eq!(
        task.time.ntime(scene.chain.at(5.0)),
        NODE_TIME + 5,
        "the old template's clock"
    );
    assert!(
        task.is_same(&scene.task(5.1), scene.chain.at(5.1)),
        "one job, not one per look"
    );
    scene.template_at(5.2);
    let full = scene.task(5.2);
    assert!(!full.coinbase_only && full.job.prev() == found.hash);
}

#[test]
fn without_empty_first_and_on_signet_a_new_tip_waits_for_its_template() {
    let patient = MinerSettings {
        empty_first: false,
        ..settings()
    };
    let payout = chain::PayoutScript::parse(
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        Network::Signet,
    )
    .unwrap();
    let signet = MinerSettings {
        network: Network::Signet,
        payout,
        ..settings()
    };
    for settings in [patient, signet] {
        let mut scene = Scene::on_tip(settings);
        let mut other = (*scene.template.as_ref().unwrap().template).clone();
        other.previousblockhash = elsewhere();
        scene.template.as_mut().unwrap().template = Arc::new(other);
        assert!(scene.no_job(0.0).contains("waiting for a template"));
    }
}

#[test]
fn a_template_on_another_block_than_the_tip_is_never_mined_on() {
    let mut scene = Scene::on_tip(settings());
    let task = scene.task(0.0);
    // The node is ahead of the validator: the job of the validated tip stays.
    let newer = scene.chain.solve(scene.chain.at(1.0));
    let mut ahead = Chain {
        window: scene.chain.window.clone(),
        start: scene.chain.start,
    };
    ahead.connect(&newer);
    scene.template = Some(ahead.template(scene.chain.at(1.0)));
    let same = scene.task(1.0);
    assert!(Arc::ptr_eq(&same.job, &task.job));
    // And counts at once when its parent is validated.
    scene.chain = ahead;
    scene.tip = Some(scene.chain.tip());
    let next = scene.task(1.1);
    assert!(!next.coinbase_only && next.job.prev() == newer.hash);
}

#[test]
fn a_template_against_our_own_rules_is_refused_in_words() {
    let mut scene = Scene::on_tip(settings());
    let good = (*scene.template.as_ref().unwrap().template).clone();
    let mut bits = good.clone();
    bits.bits = pow::NBits(0x1d00_ffff);
    bits.target = None;
    let mut height = good.clone();
    height.height = 7;
    let mut rule = good;
    rule.rules.push("!unheardof".to_owned());
    for (template, word) in [(bits, "nBits"), (height, "height"), (rule, "!unheardof")] {
        scene.template.as_mut().unwrap().template = Arc::new(template);
        scene.template.as_mut().unwrap().received_at += Duration::from_millis(1);
        let reason = scene.no_job(0.1);
        assert!(
            reason.contains(word) && reason.contains("refused"),
            "{reason}"
        );
    }
}

#[test]
fn a_rejected_tip_is_never_mined_on_and_a_pending_body_is_no_obstacle() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let tip = scene.tip.as_mut().unwrap();
    tip.report = report(Verdict::Rejected, "bad-diffbits");
    assert!(scene.no_job(0.1).contains("bad-diffbits"));
    let tip = scene.tip.as_mut().unwrap();
    tip.report = report(Verdict::Authentic, "");
    let body = chain::BlockReport {
        hash: None,
        report: (*report(Verdict::Rejected, "bad-txnmrklroot")).clone(),
    };
    tip.body = BodyState::Checked(Arc::new(body));
    assert!(scene.no_job(0.2).contains("bad-txnmrklroot"));
    scene.tip.as_mut().unwrap().body = BodyState::Unavailable("pruned".to_owned());
    scene.task(0.3);
}

#[test]
fn nothing_is_mined_while_the_node_follows_a_tip_that_does_not_pass() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let doubt = |verdict, reason: &str| {
        Some(TipDoubt {
            hash: elsewhere(),
            verdict,
            reason: reason.to_owned(),
        })
    };
    scene.doubt = doubt(Verdict::Rejected, "bad-diffbits");
    assert!(scene.no_job(0.1).contains("bad-diffbits"));
    scene.doubt = doubt(Verdict::Undecided, "time-too-new");
    let plan = scene.plan(0.2);
    assert!(plan.task.is_none() && plan.want_look);
    assert!(plan.state.to_string().contains("clock"), "{}", plan.state);
    assert!(!scene.plan(0.3).want_look, "not all the time");
    assert!(scene.plan(3.0).want_look);
    scene.doubt = None;
    scene.task(3.1);
}

#[test]
fn a_syncing_node_is_mined_on_only_where_that_is_allowed() {
    let syncing = |blocks, headers, ibd| NodeState::Syncing {
        blocks,
        headers,
        ibd,
    };
    let mut scene = Scene::on_tip(MinerSettings {
        during_ibd: false,
        ..settings()
    });
    for node in [syncing(0, 0, true), syncing(10, 100, false)] {
        scene.node = node;
        assert_eq!(scene.parked(0.0), MiningState::Ibd);
    }
    // The next block on its way in is no reason to stop.
    scene.node = syncing(10, 11, false);
    scene.task(0.1);
    let mut scene = Scene::on_tip(MinerSettings {
        during_ibd: true,
        ..settings()
    });
    scene.node = syncing(0, 0, true);
    scene.task(0.0);
}

#[test]
fn an_absent_node_is_mined_on_for_a_while_and_a_refused_one_not_at_all() {
    let mut scene = Scene::on_tip(settings());
    scene.node = NodeState::Absent {
        reason: "connection refused".to_owned(),
    };
    scene.task(0.0);
    scene.task(119.0);
    assert!(scene.no_job(121.0).contains("connection refused"));
    scene.node = NodeState::Ready;
    scene.task(122.0);
    scene.node = NodeState::Refused {
        reason: "the node is on main".to_owned(),
    };
    assert_eq!(scene.no_job(123.0), "the node is on main");
}

#[test]
fn after_a_solution_the_new_tip_is_waited_for() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let found = scene.find(1.0);
    assert_eq!(scene.no_job(1.0), "solved; waiting for the new tip");
    scene.settled = Some(settled(&found, Outcome::Accepted));
    assert_eq!(scene.no_job(1.1), "solved; waiting for the new tip");
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    assert_eq!(scene.task(1.2).job.prev(), found.hash);
}

#[test]
fn a_restarted_miner_knows_that_its_predecessor_found_a_block() {
    let mut scene = Scene::on_tip(settings());
    scene.find(1.0);
    assert!(
        scene.no_job(1.1).contains("solved"),
        "the first plan of this planner"
    );
}

#[test]
fn a_late_block_on_an_old_tip_does_not_hide_the_one_on_this_tip() {
    let outbox = crate::submitter::Outbox::default();
    let mut chain = Chain::new(Network::Regtest);
    let (winner, late) = (chain.solve(chain.start), chain.solve(chain.start));
    chain.connect(&winner);
    let ours = chain.solve(chain.start);
    assert!(outbox.latest(None).is_none());
    for solution in [&winner, &ours, &late] {
        outbox.push(solution.clone());
    }
    let latest = |parent| outbox.latest(parent).unwrap().hash;
    assert_eq!(latest(Some(winner.hash)), ours.hash);
    assert_eq!(latest(Some(winner.job.prev())), late.hash);
    assert_eq!(latest(Some(elsewhere())), late.hash, "the last of all");
}

#[test]
fn a_tip_that_comes_back_is_mined_on_again() {
    let mut scene = Scene::on_tip(settings());
    let before = scene.tip.clone();
    let found = scene.find(1.0);
    scene.no_job(1.0);
    let window = scene.chain.window.clone();
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    scene.task(2.0);
    // The node goes back (invalidateblock).
    scene.chain.window = window;
    scene.tip = before;
    scene.template_at(3.0);
    assert_eq!(scene.task(3.0).job.height(), 1);
}

#[test]
fn after_a_refused_block_only_a_fresh_template_counts_and_pauses_grow() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let mut now = 1.0;
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let found = scene.find(now);
        scene.no_job(now);
        scene.settled = Some(settled(
            &found,
            Outcome::Rejected("bad-cb-amount".to_owned()),
        ));
        scene.counts.rejected += 1;
        now += 0.01;
        let plan = scene.plan(now);
        assert!(
            plan.task.is_none() && plan.want_template,
            "{:?}",
            plan.state
        );
        assert!(
            plan.state.to_string().contains("bad-cb-amount"),
            "{}",
            plan.state
        );
        now += 0.01;
        scene.template_at(now);
        let refused_at = now;
        while scene.plan(now).task.is_none() {
            now += 0.05;
            assert!(now < 1000.0, "never resumed");
        }
        pauses.push(now - refused_at);
        now += 0.5;
    }
    assert!(
        pauses.windows(2).all(|pair| pair[1] > pair[0] * 1.5),
        "{pauses:?}"
    );
}

#[test]
fn a_solution_without_a_verdict_is_not_waited_for_for_ever() {
    let mut scene = Scene::on_tip(settings());
    scene.find(1.0);
    scene.no_job(1.0);
    scene.no_job(30.9);
    let plan = scene.plan(31.0);
    assert!(plan.task.is_none() && plan.want_template);
    assert!(
        plan.state.to_string().contains("unsettled"),
        "{}",
        plan.state
    );
    scene.template_at(31.5);
    scene.task(31.5);
}

#[test]
fn a_settled_block_that_does_not_become_the_tip_is_told_from_an_unsettled_one() {
    for (outcome, words) in [
        (Outcome::Accepted, "was accepted, but is not the node's tip"),
        (Outcome::Stale, "is stale"),
    ] {
        let mut scene = Scene::on_tip(settings());
        let found = scene.find(1.0);
        scene.settled = Some(settled(&found, outcome));
        scene.no_job(30.9);
        let reason = scene.no_job(31.0);
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn found_and_accepted_blocks_never_exceed_the_limit() {
    let mut scene = Scene::on_tip(MinerSettings {
        block_limit: Some(2),
        ..settings()
    });
    scene.counts = Counts {
        found: 1,
        accepted: 1,
        ..Counts::default()
    };
    scene.task(0.0);
    scene.counts.found = 2;
    let by = "the block limit".to_owned();
    assert_eq!(
        scene.parked(0.1),
        MiningState::SwitchedOff { by: by.clone() }
    );
    scene.counts.rejected = 1;
    scene.task(0.2);
    scene.counts = Counts {
        found: 3,
        accepted: 2,
        rejected: 1,
        ..Counts::default()
    };
    assert_eq!(scene.parked(0.3), MiningState::SwitchedOff { by });
}

#[test]
fn switched_off_by_the_configuration_nothing_is_scanned() {
    let mut scene = Scene::on_tip(MinerSettings {
        enabled: false,
        ..settings()
    });
    let MiningState::SwitchedOff { by } = scene.parked(0.0) else {
        panic!("on")
    };
    assert!(by.contains("mining.enabled"), "{by}");
}

#[test]
fn a_stale_template_is_asked_for_while_scanning_goes_on() {
    let mut scene = Scene::on_tip(settings());
    assert!(!scene.plan(59.0).want_template);
    let plan = scene.plan(61.0);
    assert!(plan.want_template && plan.task.is_some());
    assert!(!scene.plan(61.5).want_template, "asked a moment ago");
    assert!(scene.plan(64.0).want_template);
    scene.template_at(64.5);
    assert!(!scene.plan(70.0).want_template);
}

#[test]
fn a_coinbase_only_job_keeps_asking_for_the_template() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    let found = scene.chain.solve(scene.chain.at(5.0));
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    assert!(!scene.plan(5.0).want_template);
    assert!(scene.plan(5.5).want_template);
}

#[test]
fn a_chain_ahead_of_the_node_parks_with_a_reason_until_time_catches_up() {
    let mut scene = Scene::on_tip(settings());
    scene.tip.as_mut().unwrap().min_time = NODE_TIME + 7200 - 50;
    assert!(scene.no_job(0.1).contains("two hours"));
    let rule = scene.task(11.0).time;
    assert_eq!(rule.ntime(scene.chain.at(11.0)), NODE_TIME + 7150);
}

#[test]
fn time_never_crosses_to_where_other_bits_hold() {
    let payout = chain::PayoutScript::parse(
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        Network::Testnet3,
    )
    .unwrap();
    let mut scene = Scene::on_tip(MinerSettings {
        network: Network::Testnet3,
        payout,
        ..settings()
    });
    let tip_time = scene.chain.tip().header.time;
    let mut template = (*scene.template.as_ref().unwrap().template).clone();
    template.curtime = tip_time + 1190;
    scene.template.as_mut().unwrap().template = Arc::new(template.clone());
    let rule = scene.task(0.0).time;
    assert_eq!(rule.ntime(scene.chain.at(5.0)), tip_time + 1195);
    assert_eq!(rule.ntime(scene.chain.at(500.0)), tip_time + 1200);
    template.curtime = tip_time + 1201;
    scene.template.as_mut().unwrap().template = Arc::new(template);
    scene.template.as_mut().unwrap().received_at = scene.chain.at(11.0);
    let rule = scene.task(11.0).time;
    assert_eq!(rule.first, tip_time + 1201);
}

fn paced(mode: PaceMode, interval: Interval) -> MinerSettings {
    MinerSettings {
        pacing: Some(Pacing { mode, interval }),
        ..settings()
    }
}

#[test]
fn pace_by_work_measures_first_and_then_follows_the_hash_rate() {
    let mut scene = Scene::on_tip(paced(PaceMode::Work, Interval::Fixed(2.0)));
    let plan = scene.plan(0.0);
    let task = plan.task.unwrap();
    assert_eq!(plan.state, MiningState::Paced);
    assert!(
        task.target.difficulty() > 1e50,
        "nothing is found while measuring"
    );
    assert!(plan.look_again < Duration::from_millis(100));

    scene.scan(100_000, 0.1); // 1 MH/s
    let first = scene.task(0.1);
    let expected = Target::from_expected_hashes(2e6).difficulty();
    assert!((first.target.difficulty() / expected - 1.0).abs() < 1e-6);
    assert!(
        Arc::ptr_eq(&first.job, &task.job),
        "the same job at another target"
    );

    scene.scan(1_100_000, 1.0); // a little faster: no reason for a new target
    assert_eq!(scene.task(1.1).target, first.target);
    for second in 0..60 {
        scene.scan(4_000_000, 1.0);
        scene.plan(2.0 + f64::from(second));
    }
    let later = scene.task(63.0);
    let ratio = later.target.difficulty() / first.target.difficulty();
    assert!((3.0..4.1).contains(&ratio), "{ratio}");
}

#[test]
fn pace_by_sleep_waits_after_each_block() {
    let mut scene = Scene::on_tip(paced(PaceMode::Sleep, Interval::Fixed(3.0)));
    assert_eq!(scene.plan(0.0).state, MiningState::Scanning);
    let found = scene.find(1.0);
    assert_eq!(scene.parked(1.0), MiningState::Paced);
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    assert_eq!(scene.parked(1.1), MiningState::Paced);
    assert_eq!(
        scene.plan(3.9).look_again,
        Duration::from_millis(100),
        "woken in time"
    );
    assert_eq!(scene.task(4.1).job.prev(), found.hash);
}

#[test]
fn no_network_but_regtest_is_paced() {
    let payout = chain::PayoutScript::parse(
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        Network::Testnet3,
    )
    .unwrap();
    let settings = MinerSettings {
        network: Network::Testnet3,
        payout,
        ..paced(PaceMode::Work, Interval::Fixed(60.0))
    };
    let mut scene = Scene::on_tip(settings);
    let plan = scene.plan(0.0);
    assert_eq!(plan.state, MiningState::Scanning);
    let task = plan.task.unwrap();
    assert_eq!(task.target, task.job.target());
}

#[test]
fn a_hold_parks_resumes_by_itself_and_is_bounded_by_the_days_allowance() {
    let dear = PowerCost {
        watts: 1e15,
        sat_per_kwh: 1e15,
    };
    let mut scene = Scene::on_tip(MinerSettings {
        power_cost: Some(dear),
        limits: Limits {
            hold_max: Duration::from_secs(45),
            hold_max_ratio: 100.0 / (24.0 * 3600.0),
            ..Limits::default()
        },
        ..settings()
    });
    scene.task(0.0); // nothing is held before the hash rate is known
    scene.scan(1_000_000, 1.0);
    let plan = scene.plan(1.0);
    let MiningState::Held { for_s, reason } = &plan.state else {
        panic!("not held")
    };
    assert_eq!(*for_s, 45);
    assert!(reason.contains("power costs"), "{reason}");
    assert_eq!(plan.decision.unwrap().by, Decider::Policy);
    let MiningState::Held { for_s, .. } = scene.parked(40.5) else {
        panic!("not held")
    };
    assert_eq!(for_s, 6);
    // Two and a bit: 45 + 45 + 10 s are allowed in a day, with 45 s of hashing in between.
    let held = (0..300)
        .filter(|&s| scene.plan(41.0 + f64::from(s)).task.is_none())
        .count();
    assert_eq!(held, 60);
    scene.task(400.0);
}

#[test]
fn advice_to_hold_parks_the_threads_for_its_time_and_on_its_tip() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    scene.advise(1.0, Recommendation::Hold(Duration::from_secs(20)));
    let MiningState::Held { for_s, reason } = scene.parked(1.0) else {
        panic!("not held")
    };
    assert_eq!((for_s, reason.as_str()), (20, "it said so"));
    scene.parked(20.9);
    let decision = scene.plan(21.0).decision.unwrap();
    assert_eq!(decision.by, Decider::Policy);
    scene.task(22.0);

    scene.advise(30.0, Recommendation::Hold(Duration::from_secs(20)));
    scene.parked(30.0);
    let found = scene.find(31.0);
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    scene.template_at(31.0);
    scene.task(31.0);
}

#[test]
fn advice_to_retry_asks_for_one_template_while_scanning_goes_on() {
    let mut scene = Scene::on_tip(settings());
    scene.task(0.0);
    scene.advise(1.0, Recommendation::Retry);
    let plan = scene.plan(1.0);
    assert!(plan.want_template && plan.task.is_some());
    for s in 2..20 {
        assert!(!scene.plan(f64::from(s)).want_template, "{s}");
    }
}

#[test]
fn a_blocking_gate_waits_for_the_advice_on_a_new_tip_and_no_longer_than_it_may() {
    let gated = || {
        let mut scene = Scene::on_tip(MinerSettings {
            gate: Some(Duration::from_secs(3)),
            ..settings()
        });
        scene.is_advised = true;
        scene
    };
    let mut scene = gated();
    let plan = scene.plan(0.0);
    assert!(plan.task.is_none());
    assert_eq!(
        plan.decision.unwrap().course,
        Course::Wait(Duration::from_secs(3))
    );
    scene.parked(2.9);
    scene.task(3.0);

    let mut scene = gated();
    scene.parked(0.0);
    scene.advise(1.0, Recommendation::Proceed);
    scene.task(1.0);

    let mut scene = gated();
    scene.is_advised = false;
    scene.task(0.0);
}

#[test]
fn scarce_resources_take_threads_away_and_at_last_all() {
    let mut scene = Scene::on_tip(MinerSettings {
        threads: 4,
        ..settings()
    });
    let all = scene.task(1.0);
    assert_eq!(all.threads, 4);
    scene.degradation = Degradation::Trimmed;
    assert!(all.is_same(&scene.task(2.0), scene.chain.at(2.0)));
    scene.degradation = Degradation::Eased;
    let half = scene.task(3.0);
    assert_eq!(half.threads, 2);
    assert!(Arc::ptr_eq(&half.job, &all.job), "on the same job");
    assert!(!all.is_same(&half, scene.chain.at(3.0)), "and a new order");
    scene.degradation = Degradation::Parked;
    let state = scene.parked(4.0);
    assert_eq!(
        state.to_string(),
        "switched off by scarce resources (memory)"
    );
    scene.degradation = Degradation::None;
    assert_eq!(scene.task(5.0).threads, 4);
}

#[test]
fn a_tip_ahead_is_built_on_until_its_time_is_up_where_a_job_can_be_made_for_it() {
    let mut chain = Chain::new(Network::Regtest);
    let validated = chain.tip();
    let found = chain.solve(chain.start);
    chain.connect(&found);
    let ahead = TipProvisional {
        tip: chain.tip(),
        until: chain.at(1.0),
    };
    let on = |settings: &MinerSettings, validated: Option<&TipValidated>, seconds: f64| {
        let now = chain.at(seconds);
        let (tip, until) = tip_to_build_on(validated, Some(&ahead), settings, None, now);
        (tip.map(|tip| tip.hash), until)
    };
    let (below, above) = (Some(validated.hash), Some(ahead.tip.hash));
    let usual = settings();
    assert_eq!(
        on(&usual, Some(&validated), 0.9),
        (above, Some(ahead.until))
    );
    // Whether or not somebody withdraws it.
    assert_eq!(on(&usual, Some(&validated), 1.0), (below, None));
    assert_eq!(
        on(&usual, Some(&ahead.tip), 0.0),
        (above, None),
        "confirmed"
    );
    assert_eq!(on(&usual, None, 0.0), (None, None));
    let patient = MinerSettings {
        empty_first: false,
        ..settings()
    };
    assert_eq!(on(&patient, Some(&validated), 0.0), (below, None));
}

#[test]
fn a_tip_that_was_only_ahead_gets_a_job_at_once_and_gives_way_to_the_one_below() {
    let mut scene = Scene::on_tip(settings());
    let below = scene.tip.clone();
    let of_template = scene.task(0.0);
    let found = scene.chain.solve(scene.chain.start);
    scene.chain.connect(&found);
    scene.tip = Some(scene.chain.tip());
    scene.until = Some(scene.chain.at(1.75));
    let ahead = scene.task(0.1);
    assert_eq!((ahead.job.prev(), ahead.coinbase_only), (found.hash, true));
    assert!(scene.plan(1.7).look_again <= Duration::from_millis(51));
    // The node confirms: nothing begins anew.
    scene.until = None;
    assert!(scene.task(1.7).is_same(&ahead, scene.chain.at(1.7)));
    // Had it not: back to the template that is still there.
    scene.tip = below;
    let back = scene.task(1.8);
    assert_eq!(back.job.prev(), of_template.job.prev());
    assert!(!back.coinbase_only);
    assert_ne!(
        back.round, of_template.round,
        "a block of then ends nothing"
    );
}

#[test]
fn a_shape_that_the_node_refuses_is_not_mined_and_tried_again_with_every_template() {
    let mut scene = Scene::on_tip(settings());
    let candidate = scene.plan(0.0).candidate.unwrap();
    let note = |scene: &mut Scene, finding| {
        let shape = candidate.job.shape();
        scene.proposals.note(&candidate.node, shape, finding);
    };
    note(&mut scene, Finding::Refused("time-too-old".to_owned()));
    scene.task(0.1);
    note(&mut scene, Finding::Refused("bad-cb-amount".to_owned()));
    let reason = scene.no_job(0.2);
    assert!(
        reason.contains("bad-cb-amount") && reason.contains("p2wpkh"),
        "{reason}"
    );
    // The next template is offered at once, whatever it pays, and mined when it passes.
    scene.template_at(1.0);
    let plan = scene.plan(1.0);
    let next = plan.candidate.unwrap();
    assert!(plan.task.is_none() && !Arc::ptr_eq(&next.job, &candidate.job));
    note(&mut scene, Finding::Sound);
    assert!(Arc::ptr_eq(&scene.task(1.1).job, &next.job));
}
