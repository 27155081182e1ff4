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

mod ahead;
mod fallback;
mod found;
mod holding;
mod pacing;

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

#[test]
fn a_shape_that_the_node_refuses_is_not_mined_and_tried_again_with_every_template() {
    let mut scene = Scene::on_tip(settings());
    let candidate = scene.plan(0.0).candidate.unwrap();
    let note = |scene: &mut Scene, finding| {
        scene.proposals.note(&candidate, finding);
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
