//! How a command answers, or does not.

mod common;

use std::time::Duration;

use advisor::outcome::Outcome;
use advisor::process::Jail;
use common::{LONG, Prison, assert_empty, run};

#[test]
fn a_command_is_given_the_question_and_its_end_and_its_line_is_the_answer() {
    let prison = Prison::new();
    let answer =
        run(prison.ask("read -r one; read -r two && exit 1; echo \"heard $one\"; echo more"));
    assert_eq!(answer.as_deref(), Ok("heard question"));
}

#[test]
fn what_comes_before_an_end_without_a_newline_is_an_answer() {
    let prison = Prison::new();
    assert_eq!(run(prison.ask("echo; printf bare")).as_deref(), Ok("bare"));
}

#[test]
fn each_way_to_give_no_answer_has_its_own_name() {
    let prison = Prison::new();
    for (script, outcome) in [
        ("echo ' '", Outcome::Empty),
        ("exit 3", Outcome::Crash),
        ("kill -SEGV $$", Outcome::Signal),
        ("exec >&-; sleep 600", Outcome::Empty),
        ("head -c 100000 /dev/zero", Outcome::TooLarge),
        ("while :; do echo; done", Outcome::TooLarge),
    ] {
        let failure = run(prison.ask(script)).expect_err(script);
        assert_eq!(failure.outcome, outcome, "{script}: {failure}");
        assert_empty(prison.dir.path());
    }
    let missing = prison.command(&["/no/such/program"]);
    let failure = run(prison.ask_cell(&missing, LONG)).expect_err("there is no such program");
    assert_eq!(failure.outcome, Outcome::SpawnFailure, "{failure}");
    assert!(failure.detail.contains("/no/such/program"), "{failure}");
}

#[test]
fn a_command_that_says_nothing_is_ended_at_its_limit() {
    let prison = Prison::new();
    let cell = prison.shell("sleep 600");
    let failure = run(prison.ask_cell(&cell, Duration::from_millis(300))).expect_err("it sleeps");
    assert_eq!(failure.outcome, Outcome::Timeout, "{failure}");
}

#[test]
fn a_command_that_reads_nothing_can_answer() {
    let prison = Prison::new();
    let cell = prison.shell("exec <&-; echo blind");
    let long = vec![b'x'; 300_000];
    let answer = run(prison.jail.ask_once(&cell, &long, LONG));
    assert_eq!(answer.as_deref(), Ok(&b"blind"[..]));
}

#[test]
fn a_session_answers_line_by_line_and_its_end_says_how_it_came() {
    let prison = Prison::new();
    let cell = prison
        .shell("while read -r line; do [ \"$line\" = stop ] && exit 7; echo \"heard $line\"; done");
    run(async {
        let mut session = prison.jail.open(&cell).expect("a session");
        for line in ["one", "two"] {
            session.send(line.as_bytes()).expect("it reads");
            let heard = session.receive().await.expect("an answer");
            assert_eq!(heard, format!("heard {line}").into_bytes());
        }
        session.send(b"stop").expect("it reads");
        let failure = session.receive().await.expect_err("it stopped");
        assert_eq!(failure.outcome, Outcome::Crash, "{failure}");
        session.end().await;
    });
}

#[test]
fn a_session_that_does_not_read_takes_no_more_memory_than_it_may() {
    let prison = Prison::new();
    let cell = prison.shell("sleep 600");
    run(async {
        let mut session = prison.jail.open(&cell).expect("a session");
        let line = vec![b'x'; 100_000];
        let failure = (0..100).find_map(|_| session.send(&line).err());
        assert_eq!(failure.expect("it reads nothing").outcome, Outcome::Timeout);
        session.end().await;
    });
}

#[test]
fn what_a_command_writes_to_standard_error_is_counted_and_does_not_hold_it_up() {
    let prison = Prison::new();
    let answer = run(prison.ask(
        "i=0; while [ $i -lt 5000 ]; do echo a line of a log >&2; i=$((i+1)); done; echo done",
    ));
    assert_eq!(answer.as_deref(), Ok("done"));
    let noise = prison.jail.noise();
    assert_eq!((noise.lines, noise.bytes), (5000, 5000 * 16));
    assert!(noise.unlogged > 4000, "{noise:?}");
}

#[test]
fn a_jail_that_is_slow_to_die_does_not_hold_up_the_thread() {
    let prison = Prison::new();
    let killed = prison.dir.path().join("killed");
    // It lets go of everything and lives on, until what runs beside it says so; or for a minute, where nothing does.
    let script = format!(
        "exec <&- >&- 2>&-; n=0; while [ ! -e {} ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done",
        killed.display()
    );
    let jail = Jail::new("/bin/sh", ["-c", &script]);
    let cell = prison.shell("");
    run(async {
        let beside = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            std::fs::write(&killed, "").expect("a file");
        };
        let asked = async {
            let failure = jail.ask_once(&cell, b"question", LONG).await;
            assert_eq!(failure.expect_err("it is none").outcome, Outcome::Signal);
            assert!(killed.exists(), "it was waited for, and the rest went on");
        };
        tokio::join!(asked, beside);
        jail.settled().await;
    });
}

#[test]
fn what_is_still_to_be_read_after_a_jails_end_is_waited_for_without_holding_up_the_thread() {
    let prison = Prison::new();
    // A jail that lets go of all but standard error.
    let jail = Jail::new("/bin/sh", ["-c", "exec <&- >&-; sleep 0.5; echo done >&2"]);
    let failure = run(jail.ask_once(&prison.shell(""), b"question", LONG));
    assert_eq!(failure.expect_err("it is none").outcome, Outcome::Signal);
    assert_eq!(jail.noise().lines, 1);
}
