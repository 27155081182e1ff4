//! Every rule, with the clock in the test's hand.

use std::sync::Arc;
use std::time::Duration;

use chain::{Network, Verdict};
use supervise::ChildState;

use super::fixtures::{Case, RATE, block, secs};
use super::{Answer, COMPONENTS, Component, Condition};
use crate::messages::{MiningState, NodeState, TipDoubt, Undelivered};
use crate::resources::{Alert, Degradation, Resource};
use crate::stale::{StaleCause, StaleWork};

/// Asserts a component's condition, and that its message and the whole say why.
#[track_caller]
fn is(case: &Case, name: &str, condition: Condition, word: &str) -> Component {
    let component = case.component(name);
    assert_eq!(component.status, condition, "{name}: {component:?}");
    assert!(component.message.contains(word), "{name}: {component:?}");
    let whole = case.report();
    assert!(whole.status >= condition, "{whole:?}");
    component
}

fn no_job(reason: &str) -> MiningState {
    MiningState::NoJob {
        reason: reason.to_owned(),
    }
}

#[test]
fn a_program_that_works_on_the_nodes_tip_is_ok_in_every_component() {
    let mut case = Case::well();
    case.pass(20);
    let report = case.report();
    assert_eq!(report.status, Condition::Ok, "{report:#?}");
    for name in COMPONENTS {
        let component = &report.components[name];
        assert!(!component.message.is_empty(), "{name}: {component:?}");
    }
    assert_eq!(report.components.len(), COMPONENTS.len());
    assert!(report.is_ready());
}

#[test]
fn a_child_that_answers_carries_its_latency() {
    let case = Case::well();
    let miner = is(&case, "miner", Condition::Ok, "scanning");
    assert_eq!(miner.latency_s, Some(0.001));
    assert_eq!(case.component("node").latency_s, None);
}

#[test]
fn a_child_that_does_not_answer_hangs_and_is_named() {
    let mut case = Case::well();
    case.answers("validator", Answer::Missing(secs(1.0)));
    is(&case, "validator", Condition::Critical, "hangs");
    assert!(
        case.report().message.contains("validator: hangs"),
        "{}",
        case.report().message
    );
}

#[test]
fn a_child_that_is_restarting_is_a_warning_and_one_that_stays_down_is_critical() {
    let mut case = Case::well();
    let now = case.look.now;
    let child = case.child("ingest");
    child.state = ChildState::Restarting;
    child.since = now;
    child.last_exit = Some("panicked at a line".to_owned());
    case.answers("ingest", Answer::Down);
    case.look.now += secs(2.0);
    is(&case, "ingest", Condition::Warning, "panicked at a line");
    is(&case, "recovery", Condition::Warning, "ingest");
    case.look.now += secs(60.0);
    is(&case, "ingest", Condition::Critical, "restarting");
}

#[test]
fn a_child_that_ended_for_good_is_critical() {
    let mut case = Case::well();
    case.child("monitor").state = ChildState::Ended;
    is(&case, "monitor", Condition::Critical, "ended");
}

#[test]
fn a_child_that_this_version_does_not_know_is_reported_too() {
    let mut case = Case::well();
    let mut other = case.child("stats").clone();
    other.id = Arc::from("ops/breakers");
    other.state = ChildState::Ended;
    case.look.children.push(other);
    is(&case, "ops/breakers", Condition::Critical, "ended");
}

#[test]
fn a_supervisor_that_does_not_answer_is_critical() {
    let mut case = Case::well();
    is(&case, "supervisor", Condition::Ok, "8 of 8");
    case.look.roll_call.as_mut().expect("asked").supervisor = None;
    is(&case, "supervisor", Condition::Critical, "supervise");
}

#[test]
fn nobody_who_was_not_asked_is_blamed() {
    let mut case = Case::well();
    case.look.roll_call = None;
    let report = case.report();
    assert_eq!(report.status, Condition::Ok, "{report:?}");
    assert_eq!(report.components["stats"].latency_s, None);
}

#[test]
fn what_was_restarted_has_recovered_when_it_is_up_and_answers() {
    let mut case = Case::well();
    is(&case, "recovery", Condition::Ok, "nothing");
    case.child("validator").restarts = 1;
    case.child("validator").last_exit = Some("panicked".to_owned());
    case.pass(1);
    is(&case, "recovery", Condition::Ok, "validator was restarted");
    case.answers("validator", Answer::Missing(secs(1.0)));
    is(&case, "recovery", Condition::Warning, "validator");
}

#[test]
fn abandoned_incarnations_are_a_warning_with_their_number() {
    let mut case = Case::well();
    case.child("submitter").abandoned = 2;
    is(&case, "recovery", Condition::Warning, "2 of submitter");
}

#[test]
fn many_restarts_lately_are_a_warning_until_they_are_long_ago() {
    let mut case = Case::well();
    for restarts in 1..=4 {
        case.child("api").restarts = restarts;
        case.pass(1);
    }
    is(&case, "recovery", Condition::Warning, "4 of api");
    case.pass(400);
    is(&case, "recovery", Condition::Ok, "nothing");
}

#[test]
fn an_absent_or_refused_node_is_critical_and_stops_what_depends_on_it() {
    let mut case = Case::well();
    let reason = "connection refused".to_owned();
    for (state, word) in [
        (
            NodeState::Absent {
                reason: reason.clone(),
            },
            "absent: connection refused",
        ),
        (NodeState::Refused { reason }, "refused: connection refused"),
    ] {
        case.look.node = state;
        for component in ["node", "ingest", "pipeline"] {
            is(&case, component, Condition::Critical, word);
        }
        assert!(!case.report().is_ready());
    }
}

#[test]
fn work_that_the_node_would_refuse_is_a_warning_with_its_reason() {
    let mut case = Case::well();
    case.look.refusal = Some("bad-txns-inputs-missingorspent".to_owned());
    for mining in [MiningState::Scanning, MiningState::Paced] {
        case.look.mining = mining;
        is(
            &case,
            "miner",
            Condition::Warning,
            "bad-txns-inputs-missingorspent",
        );
    }
    case.look.refusal = None;
    is(&case, "miner", Condition::Ok, "paced");
}

#[test]
fn work_on_another_than_the_newest_template_is_a_warning_with_its_reason() {
    let mut case = Case::well();
    case.look.fallback = Some("the template of local is refused".to_owned());
    is(&case, "miner", Condition::Warning, "of local is refused");
    case.look.fallback = None;
    is(&case, "miner", Condition::Ok, "scanning");
}

#[test]
fn a_syncing_node_is_a_warning_and_not_ready() {
    let mut case = Case::well();
    case.look.node = NodeState::Syncing {
        blocks: 100,
        headers: 900,
        ibd: true,
    };
    for component in ["node", "ingest", "pipeline"] {
        is(&case, component, Condition::Warning, "100 of 900");
    }
    assert!(!case.report().is_ready());
}

#[test]
fn a_node_that_connects_the_next_block_is_not_syncing() {
    let mut case = Case::well();
    case.look.node = NodeState::Syncing {
        blocks: 899,
        headers: 901,
        ibd: false,
    };
    is(&case, "node", Condition::Ok, "901");
}

#[test]
fn a_regtest_node_that_calls_its_old_tip_a_download_misses_nothing() {
    let mut case = Case::well();
    case.look.node = NodeState::Syncing {
        blocks: 5,
        headers: 5,
        ibd: true,
    };
    is(&case, "node", Condition::Warning, "download");
    case.look.network = Network::Regtest;
    is(&case, "node", Condition::Ok, "tip");
}

#[test]
fn what_is_not_known_at_the_start_is_unknown_and_later_wrong() {
    let mut case = Case::well();
    case.look.now = case.look.started_at + secs(1.0);
    case.look.node = NodeState::Unknown;
    is(&case, "node", Condition::Unknown, "not asked yet");
    assert_eq!(case.report().status, Condition::Unknown);
    case.look.node = NodeState::Ready;
    case.look.tip_seen = None;
    case.look.tip_validated = None;
    case.look.mining = no_job("no tip is validated yet");
    is(&case, "ingest", Condition::Unknown, "no tip");
    is(&case, "miner", Condition::Unknown, "no tip");
    assert_eq!(case.report().status, Condition::Unknown);
    case.look.now += secs(60.0);
    is(&case, "ingest", Condition::Critical, "no tip");
    is(&case, "pipeline", Condition::Critical, "no tip");
}

#[test]
fn templates_that_stay_away_are_a_warning_and_then_critical() {
    let mut case = Case::well();
    case.look.now += secs(100.0);
    is(&case, "ingest", Condition::Warning, "template");
    case.look.now += secs(300.0);
    is(&case, "ingest", Condition::Critical, "template");
    case.verify_only();
    is(&case, "ingest", Condition::Ok, "tip");
}

#[test]
fn a_new_tip_may_take_its_grace_through_the_pipeline() {
    let mut case = Case::well();
    case.pass(5);
    case.look.tip_seen = Some(block(8));
    case.pass(9);
    is(&case, "validator", Condition::Ok, "verifying");
    is(&case, "pipeline", Condition::Ok, "following");
    case.look.tip_validated = Some((block(8), 8));
    case.pass(9);
    is(&case, "pipeline", Condition::Ok, "the job follows");
    case.look.job_parent = Some(block(8));
    case.pass(1);
    is(&case, "pipeline", Condition::Ok, "mined on");
}

#[test]
fn a_tip_that_is_not_verified_in_time_is_critical() {
    let mut case = Case::well();
    case.pass(5);
    case.look.tip_seen = Some(block(8));
    case.pass(12);
    is(
        &case,
        "validator",
        Condition::Critical,
        "nothing was verified",
    );
    is(&case, "pipeline", Condition::Critical, "not verified");
    assert!(!case.report().is_ready());
}

#[test]
fn a_validator_that_brings_results_is_only_slow() {
    let mut case = Case::well();
    case.pass(5);
    case.look.tip_seen = Some(block(8));
    for _ in 0..30 {
        case.look.verifications += 500;
        case.pass(1);
    }
    is(&case, "validator", Condition::Warning, "still verifying");
}

#[test]
fn an_idle_validator_is_fine_and_says_for_how_long() {
    let mut case = Case::well();
    case.pass(15);
    is(
        &case,
        "validator",
        Condition::Ok,
        "nothing to verify for 15 s",
    );
    case.look.now += Duration::from_mins(11);
    is(&case, "validator", Condition::Ok, "the chain is quiet");
}

#[test]
fn a_tip_that_breaks_the_rules_is_critical_and_one_ahead_of_the_clock_a_warning() {
    let mut case = Case::well();
    case.look.tip_seen = Some(block(8));
    let doubt = |verdict, reason: &str| {
        Some(TipDoubt {
            hash: block(8),
            verdict,
            reason: reason.to_owned(),
        })
    };
    case.look.tip_doubt = doubt(Verdict::Rejected, "high-hash");
    is(&case, "validator", Condition::Critical, "high-hash");
    case.look.tip_doubt = doubt(Verdict::Undecided, "time-too-new");
    is(&case, "validator", Condition::Warning, "time-too-new");
    // An old doubt about another tip is none.
    case.look.tip_seen = Some(block(7));
    is(&case, "validator", Condition::Ok, "");
}

#[test]
fn a_job_that_stays_on_an_old_tip_is_critical() {
    let mut case = Case::well();
    case.look.tip_seen = Some(block(8));
    case.look.tip_validated = Some((block(8), 8));
    case.pass(1);
    is(&case, "pipeline", Condition::Ok, "the job follows");
    case.pass(12);
    is(&case, "pipeline", Condition::Critical, "still on another");
}

#[test]
fn fast_blocks_are_no_lag_while_everything_moves() {
    let mut case = Case::well();
    for n in 10..60 {
        // Never agreeing when looked at, always moving.
        case.look.tip_seen = Some(block(n + 2));
        case.look.tip_validated = Some((block(n + 1), u32::from(n)));
        case.look.job_parent = Some(block(n));
        case.pass(1);
        assert_eq!(case.component("pipeline").status, Condition::Ok);
    }
}

#[test]
fn a_miner_without_a_job_is_critical_with_its_reason_after_a_grace() {
    let mut case = Case::well();
    case.look.mining = no_job("solved; waiting for the new tip");
    case.look.job_parent = None;
    case.pass(1);
    is(&case, "miner", Condition::Warning, "waiting");
    is(&case, "pipeline", Condition::Ok, "waiting");
    case.look.mining = no_job("no template for this tip");
    case.pass(12);
    is(
        &case,
        "miner",
        Condition::Critical,
        "no template for this tip",
    );
    is(&case, "pipeline", Condition::Critical, "no template");
    case.look.mining = MiningState::Scanning;
    case.look.job_parent = Some(block(7));
    case.pass(1);
    is(&case, "miner", Condition::Ok, "scanning");
}

#[test]
fn a_miner_that_is_parked_where_that_is_meant_is_fine() {
    let mut case = Case::well();
    let by = "the block limit".to_owned();
    let reason = "advisor: power is dear".to_owned();
    for state in [
        MiningState::SwitchedOff { by },
        MiningState::Held { for_s: 60, reason },
        MiningState::Paced,
    ] {
        case.look.mining = state.clone();
        case.look.job_parent = None;
        for _ in 0..60 {
            // Parked threads go round, and hash nothing.
            case.look.template_at = Some(case.look.now);
            case.look.now += secs(1.0);
            case.look.threads.iter_mut().for_each(|t| t.rounds += 20);
            case.memory.observe(&case.look);
        }
        let report = case.report();
        assert_eq!(report.status, Condition::Ok, "{state:?}: {report:?}");
        is(&case, "performance", Condition::Ok, "not scanning");
    }
    case.look.mining = MiningState::Ibd;
    is(&case, "miner", Condition::Warning, "catch up");
}

#[test]
fn an_instance_that_only_verifies_is_fine_idle() {
    let mut case = Case::well();
    case.verify_only();
    case.pass(60);
    let report = case.report();
    assert_eq!(report.status, Condition::Ok, "{report:?}");
    is(&case, "miner", Condition::Ok, "mining.enabled = false");
    is(&case, "pipeline", Condition::Ok, "mining is off");
}

#[test]
fn threads_that_stand_still_are_critical_even_when_parked() {
    let mut case = Case::well();
    case.pass(20);
    case.look.mining = MiningState::Paced;
    for _ in 0..20 {
        case.look.now += secs(1.0);
        case.look.threads[0].rounds += 20;
        case.memory.observe(&case.look);
    }
    is(&case, "miner", Condition::Critical, "hash-1");
    // Threads of a miner that has just been restarted have had no time yet.
    case.child("miner").since = case.look.now;
    is(&case, "miner", Condition::Ok, "paced");
}

#[test]
fn scanning_without_a_hash_is_critical() {
    let mut case = Case::well();
    case.pass(5);
    for _ in 0..12 {
        case.look.now += secs(1.0);
        case.look.threads.iter_mut().for_each(|t| t.rounds += 20);
        case.memory.observe(&case.look);
    }
    is(&case, "miner", Condition::Critical, "not a hash");
    is(&case, "performance", Condition::Critical, "0 H/s");
}

#[test]
fn a_thread_below_its_share_of_its_best_is_a_warning() {
    let mut case = Case::well();
    case.pass(20);
    is(&case, "performance", Condition::Ok, "100 %");
    for _ in 0..20 {
        case.second_at(0.6);
    }
    is(&case, "performance", Condition::Ok, "60 %");
    for _ in 0..20 {
        case.second_at(0.4);
    }
    is(&case, "performance", Condition::Warning, "40 %");
}

#[test]
fn where_there_is_a_tuned_rate_a_thread_is_held_against_that() {
    let mut case = Case::well();
    case.look.tuned_hs = Some(4.0 * RATE as f64);
    case.pass(20);
    is(
        &case,
        "performance",
        Condition::Warning,
        "25 % of the tuned rate",
    );
    case.look.tuned_hs = Some(0.9 * RATE as f64);
    is(
        &case,
        "performance",
        Condition::Ok,
        "111 % of the tuned rate",
    );
}

#[test]
fn one_slow_thread_among_fast_ones_is_found() {
    let mut case = Case::well();
    case.pass(20);
    for _ in 0..20 {
        case.second_at(1.0);
        case.look.threads[1].hashes -= RATE * 3 / 4;
        case.memory.observe(&case.look);
    }
    is(&case, "performance", Condition::Warning, "hash-1");
}

#[test]
fn scarce_resources_are_a_warning_and_nearly_none_critical() {
    let mut case = Case::well();
    let alert = |critical| Alert {
        resource: Resource::Disk,
        critical,
        message: "12 MB left on /var".to_owned(),
    };
    case.look.alerts = vec![alert(false)];
    is(&case, "resources", Condition::Warning, "12 MB left");
    case.look.alerts.push(alert(true));
    is(&case, "resources", Condition::Critical, "12 MB left");
    case.look.alerts.clear();
    case.look.degradation = Degradation::Eased;
    is(
        &case,
        "resources",
        Condition::Warning,
        "half of the hashing",
    );
    case.look.degradation = Degradation::Parked;
    is(&case, "miner", Condition::Warning, "resources");
    is(&case, "performance", Condition::Ok, "not scanning");
}

#[test]
fn a_journal_that_does_not_get_to_disk_is_critical() {
    let mut case = Case::well();
    case.look.journal_trouble = Some("no space left on device".to_owned());
    is(&case, "store", Condition::Critical, "no space left");
}

#[test]
fn found_blocks_that_nobody_takes_are_critical() {
    let mut case = Case::well();
    case.look.outbox = 2;
    case.pass(1);
    is(&case, "submitter", Condition::Ok, "up");
    case.pass(10);
    is(&case, "submitter", Condition::Critical, "2 found blocks");
}

#[test]
fn found_blocks_that_no_node_takes_are_a_warning_and_critical_if_it_lasts() {
    let mut case = Case::well();
    case.look.undelivered = Some(Undelivered {
        blocks: 1,
        height: 8,
        since: case.look.now,
        reason: "the node forbids submitblock".to_owned(),
    });
    case.pass(5);
    is(&case, "submitter", Condition::Ok, "up");
    case.pass(1);
    is(
        &case,
        "submitter",
        Condition::Warning,
        "forbids submitblock",
    );
    case.pass(55);
    is(&case, "submitter", Condition::Critical, "height 8");
}

#[test]
fn an_http_server_that_could_not_listen_is_a_warning_of_the_api() {
    let mut case = Case::well();
    case.look.http_trouble = Some("127.0.0.1:9833 is in use".to_owned());
    is(&case, "api", Condition::Warning, "9833");
}

#[test]
fn stale_work_is_a_warning_with_its_cause_and_critical_if_it_lasts() {
    let mut case = Case::well();
    case.look.stale = Some(StaleWork {
        since: case.look.now,
        best: block(8),
        cause: StaleCause::NotTakenUp,
        threads: vec![1],
    });
    case.pass(3);
    is(&case, "pipeline", Condition::Warning, "stale work: hash-1");
    assert!(!case.report().is_ready());
    case.pass(8);
    is(&case, "pipeline", Condition::Critical, "kernel");
    case.look.stale = None;
    case.pass(1);
    is(&case, "pipeline", Condition::Ok, "mined on");
}
