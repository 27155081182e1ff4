//! One command for many questions.

use std::time::Duration;

use advisor::breaker::BreakerState;
use advisor::consultant::Mode;
use advisor::outcome::Outcome;
use tokio::time::{sleep, timeout};

use super::oneshot::alive;
use super::{LONG, Office, appears, ask, run};

fn office(script: &str) -> Office {
    Office::new(Mode::Persistent, script)
}

#[test]
fn one_command_answers_all_questions_and_its_end_leaves_nothing() {
    let office = office("while :; do hear; reply; done");
    let mut consultant = office.consultant();
    run(async {
        let mut pids = Vec::new();
        for id in ["q1", "q2", "q3"] {
            let reply = ask(&mut consultant, id).await.reply.expect("it answers");
            assert_eq!(reply.id, id);
            // The reason of these advisors is their process.
            pids.push(reply.reason);
        }
        pids.dedup();
        assert_eq!(pids.len(), 1, "{pids:?}");
        assert!(alive(&pids[0]));
        consultant.close().await;
        let counts = office.counts();
        assert_eq!((counts.sessions, counts.sessions_lost), (1, 0));
        assert!(!alive(&pids[0]));
    });
}

#[test]
fn a_reply_to_an_earlier_question_is_thrown_away_and_counted_and_one_to_nobodys_too() {
    // It answers the first question twice, and before the second one a question that nobody asked.
    let office = office("hear; reply; reply; hear; say nobodys HOLD; reply; hear");
    let mut consultant = office.consultant();
    run(async {
        assert!(ask(&mut consultant, "q1").await.reply.is_some());
        let answer = ask(&mut consultant, "q2").await;
        assert_eq!(answer.reply.expect("it answers").id, "q2");
        assert!(answer.failures.is_empty());
        assert_eq!((office.counts().late, office.counts().foreign), (1, 1));
        consultant.close().await;
    });
}

#[test]
fn an_empty_reply_is_a_blank_line_and_the_same_command_is_asked_again_with_less() {
    let office = office(r#"hear; echo; hear; echo "$question" > second; reply; hear"#);
    let mut consultant = office.consultant();
    run(async {
        let answer = ask(&mut consultant, "q1").await;
        assert!(answer.reply.is_some());
        assert_eq!(answer.failures[0].outcome, Outcome::Empty);
        assert!(!office.lines("second")[0].contains("recent_intervals_s"));
        consultant.close().await;
        assert_eq!(office.counts().sessions, 1);
    });
}

#[test]
fn a_slow_reply_to_the_first_try_is_good_in_a_later_one() {
    let mut office = office("hear; hear; reply; while :; do hear; done");
    office.settings.patience.attempts = 1000;
    office.settings.patience.per_try = Duration::from_millis(100);
    let mut consultant = office.consultant();
    run(async {
        let answer = ask(&mut consultant, "q1").await;
        assert!(answer.reply.is_some());
        assert_eq!(answer.failures[0].outcome, Outcome::Timeout);
        assert_eq!(office.counts().sessions, 1);
        consultant.close().await;
    });
}

#[test]
fn a_command_that_ends_at_a_question_is_started_again_for_the_next_try() {
    let office =
        office("[ -e here ] || { : > here; hear; exit 3; }; while :; do hear; reply; done");
    let mut consultant = office.consultant();
    run(async {
        let answer = ask(&mut consultant, "q1").await;
        assert!(answer.reply.is_some());
        assert_eq!(answer.failures[0].outcome, Outcome::Crash);
        assert!(consultant.lost().await.contains("code 3"), "it is said");
        consultant.close().await;
        let counts = office.counts();
        assert_eq!((counts.sessions, counts.sessions_lost), (2, 1));
    });
}

#[test]
fn a_command_that_fails_in_every_try_is_ended() {
    let long = "x".repeat(1000);
    for (script, outcome, is_its_end) in [
        ("while :; do hear; echo; done", Outcome::Empty, false),
        (
            "while :; do hear; echo no idea; done",
            Outcome::Garbage,
            false,
        ),
        (
            "while :; do hear; echo '{}'; done",
            Outcome::WrongSchema,
            false,
        ),
        ("while :; do say nobodys HOLD; done", Outcome::WrongId, true),
        (
            &format!("while :; do printf {long}; done"),
            Outcome::TooLarge,
            true,
        ),
    ] {
        let office = office(script);
        let mut consultant = office.consultant();
        run(async {
            let answer = ask(&mut consultant, "q1").await;
            assert_eq!(
                (answer.outcome(), answer.failures.len()),
                (outcome, 3),
                "{script}"
            );
            let lost = timeout(Duration::ZERO, consultant.lost()).await;
            assert_eq!(lost.is_ok(), is_its_end, "{script}: {lost:?}");
            assert_eq!(office.count(outcome), 3);
            consultant.close().await;
            let counts = office.counts();
            assert_eq!(counts.sessions, counts.sessions_lost, "{script}");
        });
    }
}

#[test]
fn a_command_that_hangs_is_ended() {
    let mut office = office("echo $$ > pid; exec sleep 600");
    office.settings.patience.attempts = 1;
    office.settings.patience.per_try = Duration::from_secs(1);
    let mut consultant = office.consultant();
    run(async {
        let answer = ask(&mut consultant, "q1").await;
        assert_eq!(answer.outcome(), Outcome::Timeout);
        assert_eq!(office.counts().sessions_lost, 1);
        consultant.close().await;
    });
    assert!(office.lines("pid").iter().all(|pid| !alive(pid)));
}

#[test]
fn an_end_between_questions_is_noticed_and_the_next_question_starts_it_again() {
    let office = office("hear; reply; exit 3");
    let mut consultant = office.consultant();
    run(async {
        assert!(ask(&mut consultant, "q1").await.reply.is_some());
        assert!(consultant.lost().await.contains("code 3"));
        assert!(ask(&mut consultant, "q2").await.reply.is_some());
        consultant.close().await;
        let counts = office.counts();
        assert_eq!((counts.sessions, counts.sessions_lost), (2, 1));
    });
}

#[test]
fn a_command_that_writes_unasked_without_end_is_ended() {
    let office = office("hear; reply; while :; do say nobodys HOLD; done");
    let mut consultant = office.consultant();
    run(async {
        assert!(ask(&mut consultant, "q1").await.reply.is_some());
        assert!(consultant.lost().await.contains("answer no question"));
        consultant.close().await;
        assert_eq!(office.counts().foreign, 17);
    });
}

#[test]
fn a_command_outlives_a_question_that_is_given_up_and_its_reply_to_it_is_late() {
    let office = office(
        ": > started; hear; while [ ! -e go ]; do sleep 0.01; done; reply; while :; do hear; reply; done",
    );
    let mut consultant = office.consultant();
    run(async {
        tokio::select! {
            answer = ask(&mut consultant, "q1") => panic!("it waits, and yet: {answer:?}"),
            () = appears(office.file("started")) => {}
        }
        std::fs::write(office.file("go"), "").expect("a file");
        assert!(ask(&mut consultant, "q2").await.reply.is_some());
        consultant.close().await;
        let counts = office.counts();
        assert_eq!(
            (counts.late, counts.sessions, counts.sessions_lost),
            (1, 1, 0)
        );
        assert_eq!(
            (counts.questions, counts.answered, counts.unanswered),
            (2, 1, 0)
        );
    });
}

#[test]
fn a_command_that_owes_an_answer_for_too_long_is_ended_even_if_each_question_was_given_up() {
    let mut office = office("exec sleep 600");
    office.settings.patience.overall = Duration::from_millis(300);
    let mut consultant = office.consultant();
    run(async {
        while office.counts().sessions_lost == 0 {
            // Far fewer than what it does not read could add up to.
            assert!(office.counts().questions < 1000, "it is still waited for");
            tokio::select! {
                _ = ask(&mut consultant, "q1") => {}
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
        consultant.close().await;
    });
}

#[test]
fn a_command_that_is_left_alone_is_not_ended() {
    let mut office = office("while :; do hear; echo no idea; : > answered; done");
    office.breaker.calls = 1;
    (office.breaker.pause, office.breaker.pause_most) = (LONG, LONG);
    (
        office.settings.patience.pause,
        office.settings.patience.pause_most,
    ) = (LONG, LONG);
    office.settings.patience.overall = LONG * 10;
    let mut consultant = office.consultant();
    run(async {
        // The question is given up in the pause after its first try.
        tokio::select! {
            answer = ask(&mut consultant, "q1") => panic!("it pauses, and yet: {answer:?}"),
            () = async {
                while office.health().breaker != BreakerState::Open {
                    sleep(Duration::from_millis(5)).await;
                }
            } => {}
        }
        let answer = ask(&mut consultant, "q2").await;
        assert_eq!(answer.outcome(), Outcome::BreakerOpen);
        assert_eq!(
            (office.counts().sessions, office.counts().sessions_lost),
            (1, 0)
        );
        consultant.close().await;
    });
}
