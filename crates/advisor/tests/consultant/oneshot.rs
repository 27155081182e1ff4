//! A command for each try.

use std::time::Duration;

use advisor::breaker::{BreakerState, Limits};
use advisor::consultant::{Consultant, Mode};
use advisor::outcome::Outcome;
use advisor::protocol::{Kind, Misrequest, Recommendation};

use super::{Office, appears, ask, request, run};

fn office(script: &str) -> Office {
    Office::new(Mode::OneShot, script)
}

#[test]
fn a_good_reply_is_the_answer_and_shows_in_counts_and_health() {
    let office = office("hear; reply");
    let mut consultant = office.consultant();
    let answer = run(ask(&mut consultant, "q1"));
    let reply = answer.reply.as_ref().expect("it answers");
    assert_eq!(
        (reply.id.as_str(), reply.recommendation),
        ("q1", Recommendation::Proceed)
    );
    assert_eq!((answer.outcome(), answer.failures.len()), (Outcome::Ok, 0));
    let health = office.health();
    assert_eq!(
        (health.last, health.availability),
        (Some(Outcome::Ok), Some(1.0))
    );
    assert!(health.last_good.is_some() && health.response.is_some_and(|took| took <= answer.took));
    run(consultant.close());
    let counts = office.counts();
    assert_eq!(
        (
            counts.questions,
            counts.answered,
            counts.outcomes[&Outcome::Ok]
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_question_that_got_an_empty_reply_is_asked_again_with_less() {
    let office = office(r#"hear; echo "$question" >> questions; [ "$attempt" = 1 ] || reply"#);
    let mut consultant = office.consultant();
    let answer = run(ask(&mut consultant, "q1"));
    assert!(answer.reply.is_some());
    assert_eq!(answer.failures[0].outcome, Outcome::Empty);
    let questions = office.lines("questions");
    assert_eq!(questions.len(), 2);
    assert!(questions[0].contains("recent_intervals_s"));
    assert!(
        questions[1].contains(r#""attempt":2"#) && !questions[1].contains("recent_intervals_s")
    );
}

#[test]
fn each_way_to_fail_is_tried_again_counted_and_said() {
    let long = "x".repeat(1000);
    for (script, outcome) in [
        ("echo", Outcome::Empty),
        ("exit 1", Outcome::Crash),
        ("kill -KILL $$", Outcome::Signal),
        ("echo Sure, here is my advice:", Outcome::Garbage),
        (
            &format!("while :; do printf {long}; done"),
            Outcome::TooLarge,
        ),
        ("echo '{\"answer\":\"PROCEED\"}'", Outcome::WrongSchema),
        ("hear; say other PROCEED", Outcome::WrongId),
    ] {
        let office = office(script);
        let mut consultant = office.consultant();
        let answer = run(ask(&mut consultant, "q1"));
        assert_eq!(answer.outcome(), outcome, "{script}: {answer:?}");
        assert_eq!((answer.reply, answer.failures.len()), (None, 3));
        assert_eq!(office.count(outcome), 3, "{script}");
        assert_eq!(office.counts().unanswered, 1);
        assert_eq!(office.health().availability, Some(0.0));
    }
}

#[test]
fn a_missing_program_is_a_spawn_failure() {
    let mut office = office("");
    office.settings.cell.command = vec!["/no/such/program".to_owned()];
    let answer = run(ask(&mut office.consultant(), "q1"));
    assert_eq!(answer.outcome(), Outcome::SpawnFailure);
}

#[test]
fn a_command_that_hangs_is_given_up_when_the_time_for_all_tries_is_over() {
    let mut office = office("echo $$ >> pids; exec sleep 600");
    office.settings.patience.per_try = Duration::from_millis(1500);
    office.settings.patience.overall = Duration::from_secs(2);
    let mut consultant = office.consultant();
    let answer = run(ask(&mut consultant, "q1"));
    assert_eq!(answer.outcome(), Outcome::Timeout, "{answer:?}");
    assert!(answer.failures.len() <= 2 && answer.took >= Duration::from_millis(1500));
    run(consultant.close());
    for pid in office.lines("pids") {
        assert!(!alive(&pid), "process {pid} is left");
    }
}

#[test]
fn a_question_that_is_given_up_leaves_no_process() {
    let office = office("echo $$ > pid.new; mv pid.new pid; exec sleep 600");
    let mut consultant = office.consultant();
    run(async {
        tokio::select! {
            answer = ask(&mut consultant, "q1") => panic!("it sleeps, and yet: {answer:?}"),
            () = appears(office.file("pid")) => {}
        }
        assert!(alive(&office.lines("pid")[0]));
        consultant.close().await;
    });
    assert!(!alive(&office.lines("pid")[0]));
}

#[test]
fn an_advisor_that_fails_too_often_is_not_started_until_its_pause_is_over() {
    let mut office = office("echo run >> runs; [ -e repaired ] || exit 1; hear; reply");
    office.breaker = Limits {
        calls: 2,
        pause: Duration::from_millis(50),
        pause_most: super::LONG,
        trials: 1,
        ..Limits::default()
    };
    let mut consultant = office.consultant();
    run(async {
        let answer = ask(&mut consultant, "q1").await;
        assert_eq!(answer.outcome(), Outcome::Crash);
        let runs = office.lines("runs").len();
        std::fs::write(office.file("repaired"), "").expect("a file");
        // Its pauses are not waited for, but for as many as it takes.
        let mut left_alone = 0;
        while ask(&mut consultant, "q2").await.reply.is_none() {
            left_alone += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(office.count(Outcome::BreakerOpen), left_alone);
        assert_eq!(office.lines("runs").len(), runs + 1);
        assert_eq!(office.health().breaker, BreakerState::Closed);
    });
}

#[test]
fn an_open_breaker_is_said_without_a_try() {
    let mut office = office("echo run >> runs; exit 1");
    office.breaker = Limits {
        calls: 1,
        pause: super::LONG,
        pause_most: super::LONG,
        ..Limits::default()
    };
    let mut consultant = office.consultant();
    run(ask(&mut consultant, "q1"));
    let answer = run(ask(&mut consultant, "q2"));
    assert_eq!(answer.outcome(), Outcome::BreakerOpen);
    assert!(
        answer.failures[0].detail.contains("left alone"),
        "{answer:?}"
    );
    assert_eq!(office.lines("runs").len(), 1);
    assert_eq!(office.health().breaker, BreakerState::Open);
}

#[test]
fn who_asks_next_goes_on_with_what_is_known() {
    let mut office = office("echo run >> runs; [ ! -e broken ] || exit 1; hear; reply");
    office.cache = super::LONG;
    office.breaker.calls = 1;
    (office.breaker.pause, office.breaker.pause_most) = (super::LONG, super::LONG);
    run(async {
        assert!(ask(&mut office.consultant(), "q1").await.reply.is_some());
        let kept = ask(&mut office.consultant(), "q2").await;
        assert!(kept.cached, "{kept:?}");

        std::fs::write(office.file("broken"), "").expect("a file");
        let mut other = request("q3");
        other.tip = "0e".repeat(32);
        for outcome in [Outcome::Crash, Outcome::BreakerOpen, Outcome::BreakerOpen] {
            let answer = office.consultant().ask(&other).await;
            assert_eq!(answer.expect("it keeps the rules").outcome(), outcome);
        }
    });
    assert_eq!(office.lines("runs").len(), 2);
    assert_eq!(office.counts().questions, 5);
    assert_eq!(office.health().availability, Some(0.25), "kept ones aside");
}

#[test]
fn the_same_question_is_answered_without_asking_and_another_is_asked() {
    let mut office = office("echo run >> runs; hear; reply");
    office.cache = super::LONG;
    let mut consultant = office.consultant();
    run(async {
        assert!(!ask(&mut consultant, "q1").await.cached);
        let again = ask(&mut consultant, "q2").await;
        assert!(again.cached);
        assert_eq!(again.reply.expect("it is kept").id, "q2");
        let mut other = request("q3");
        other.tip = "0e".repeat(32);
        assert!(
            !consultant
                .ask(&other)
                .await
                .expect("it keeps the rules")
                .cached
        );
        let mut health = request("q4");
        health.kind = Kind::Health;
        assert!(
            !consultant
                .ask(&health)
                .await
                .expect("it keeps the rules")
                .cached
        );
    });
    let counts = office.counts();
    assert_eq!((counts.cache_hits, counts.cache_misses), (1, 2));
    assert_eq!((counts.questions, counts.answered), (4, 4));
    assert_eq!(office.lines("runs").len(), 3);
}

#[test]
fn nobody_is_asked_what_breaks_the_rules() {
    let office = office("echo run >> runs; hear; reply");
    let mut consultant: Consultant = office.consultant();
    let mut wrong = request("q1");
    wrong.recent_intervals_s.push(f64::NAN);
    let refused = run(consultant.ask(&wrong));
    assert!(matches!(
        refused,
        Err(Misrequest::Value {
            field: "recent_intervals_s",
            ..
        })
    ));
    assert_eq!(
        (office.counts().questions, office.lines("runs").len()),
        (0, 0)
    );
}

pub(super) fn alive(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid).exists()
}
