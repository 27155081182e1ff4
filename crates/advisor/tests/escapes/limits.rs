//! What a command may take is limited, for each process and for all together.

use advisor::outcome::Outcome;

use super::common::{LONG, Prison, run};
use super::{SHORT, as_ordinary_user};

/// A bomb that stops by itself at 255 processes.
const BOMB: &str =
    "bomb() { if [ $1 -gt 0 ]; then bomb $(($1-1)) & bomb $(($1-1)) & fi; sleep 600; }; bomb 7";

#[test]
fn a_fork_bomb_is_ended_when_it_is_counted() {
    let prison = Prison::new();
    let mut cell = prison.shell(BOMB);
    cell.limits.tasks = 20;
    let failure = run(prison.ask_cell(&cell, LONG)).expect_err("a bomb");
    prison.is_empty();
    assert_eq!(failure.outcome, Outcome::Signal);
    assert!(
        failure.detail.contains("processes and threads"),
        "{failure}"
    );
}

#[test]
fn a_fork_bomb_of_an_ordinary_user_ends_at_the_kernels_limit_too() {
    as_ordinary_user(
        "limits::a_fork_bomb_of_an_ordinary_user_ends_at_the_kernels_limit_too",
        || {
            let prison = Prison::new();
            // Whether or not it is counted in time.
            let limit = |tasks| {
                let mut cell = prison.shell("grep 'Max processes' /proc/self/limits");
                cell.limits.tasks = tasks;
                let line = run(prison.ask_cell(&cell, LONG)).expect("an answer");
                let number = line.split_ascii_whitespace().nth(2);
                number
                    .and_then(|number| number.parse::<u32>().ok())
                    .expect("a limit in force")
            };
            let (few, many) = (limit(20), limit(1020));
            // Others of this user's processes come and go.
            assert!((many - few).abs_diff(1000) < 100, "{few} and {many}");

            let mut cell = prison.shell(BOMB);
            cell.limits.tasks = 20;
            let failure = run(prison.ask_cell(&cell, LONG)).expect_err("a bomb");
            prison.is_empty();
            assert!(
                matches!(failure.outcome, Outcome::Signal | Outcome::Crash),
                "{failure}"
            );
        },
    );
}

#[test]
fn a_process_that_takes_too_much_memory_gets_none() {
    let prison = Prison::new();
    // `tail` holds all of a line in memory.
    let mut cell = prison.shell("head -c 200000000 /dev/zero | tail | wc -c");
    cell.limits.memory_bytes = 64 << 20;
    match run(prison.ask_cell(&cell, LONG)) {
        Ok(answer) => assert_eq!(answer, "0"),
        // All of them were counted just before it got to its own limit.
        Err(failure) => assert!(failure.detail.contains("MiB of memory"), "{failure}"),
    }
    let mut limit = prison.shell("ulimit -v");
    limit.limits.memory_bytes = 64 << 20;
    assert_eq!(run(prison.ask_cell(&limit, LONG)).as_deref(), Ok("65536"));
    cell.limits.memory_bytes = 0;
    let answer = run(prison.ask_cell(&cell, LONG));
    assert_eq!(answer.as_deref(), Ok("200000000"), "without a limit it may");
}

#[test]
fn processes_that_take_too_much_memory_together_are_ended() {
    let prison = Prison::new();
    // Who is ended last may not pass for an answer.
    let one = "{ head -c 40000000 /dev/zero; sleep 600; } | tail >/dev/null &";
    let mut cell = prison.shell(&format!("{one} {one} {one} sleep 600"));
    cell.limits.memory_bytes = 80 << 20;
    let failure = run(prison.ask_cell(&cell, LONG)).expect_err("hogs");
    prison.is_empty();
    assert!(failure.detail.contains("MiB of memory"), "{failure}");
}

#[test]
fn a_gigabyte_is_not_read() {
    let prison = Prison::new();
    let (outcome, detail) = prison.fails("head -c 1000000000 /dev/zero", LONG);
    assert_eq!(outcome, Outcome::TooLarge, "{detail}");
    let (outcome, detail) = prison.fails("head -c 1000000000 /dev/zero >&2", SHORT);
    assert_eq!(outcome, Outcome::Timeout, "{detail}");
    assert!(prison.jail.noise().bytes < 1_000_000_000);
}

#[test]
fn limits_of_each_process_are_in_force() {
    let prison = Prison::new();
    let mut cell = prison.shell("while :; do :; done");
    cell.limits.cpu_s = 1;
    let failure = run(prison.ask_cell(&cell, LONG)).expect_err("its time is over");
    assert_eq!(failure.outcome, Outcome::Signal, "{failure}");

    let mut cell = prison.shell("ulimit -n; ulimit -c >&2; head -c 100000 /dev/zero > big");
    cell.limits.file_bytes = 50_000;
    cell.limits.open_files = 20;
    assert_eq!(run(prison.ask_cell(&cell, LONG)).as_deref(), Ok("20"));
    let mut cell =
        prison.shell("head -c 100000 /dev/zero > big; [ $(stat -c %s big) = 50000 ] && echo cut");
    cell.limits.file_bytes = 50_000;
    assert_eq!(run(prison.ask_cell(&cell, LONG)).as_deref(), Ok("cut"));
    assert_eq!(prison.answers("ulimit -c"), "0");
    assert_eq!(prison.answers("nice"), "10");
    assert_eq!(prison.answers("umask"), "0077");
    assert_eq!(prison.answers("cat /proc/self/oom_score_adj"), "1000");
}
