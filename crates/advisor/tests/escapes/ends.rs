//! However a command ends, and whoever ends it: nothing of it is left.

use std::fs;
use std::time::{Duration, Instant};

use advisor::outcome::Outcome;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::common::{LONG, Prison, run, working_in};
use super::{SHORT, again};

#[test]
fn who_detaches_itself_is_ended_all_the_same() {
    let prison = Prison::new();
    let answer = prison.answers(
        "(setsid sh -c 'trap \"\" HUP TERM; setsid sleep 600 & sleep 600' >/dev/null 2>&1 </dev/null &); echo gone",
    );
    assert_eq!(answer, "gone");
    // Its output is still open: the end of the command alone is what counts.
    let (outcome, detail) = prison.fails("(setsid sleep 600 &); exit 4", LONG);
    assert_eq!(outcome, Outcome::Crash, "{detail}");
}

#[test]
fn a_command_that_closes_its_output_and_stays_is_ended() {
    let prison = Prison::new();
    let (outcome, detail) = prison.fails("exec >&- 2>&-; sleep 600", SHORT);
    assert!(
        matches!(outcome, Outcome::Empty | Outcome::Timeout),
        "{detail}"
    );
}

#[test]
fn signals_that_ask_are_not_relied_on() {
    let prison = Prison::new();
    let (outcome, detail) = prison.fails(
        "trap '' TERM INT HUP QUIT; while :; do sleep 600; done",
        SHORT,
    );
    assert_eq!(outcome, Outcome::Timeout, "{detail}");
    let (outcome, detail) = prison.fails("kill -STOP $$", SHORT);
    assert_eq!(outcome, Outcome::Timeout, "{detail}");
}

#[test]
fn children_that_nobody_waited_for_are_reaped() {
    let prison = Prison::new();
    // `sleep` takes the shell's place and knows nothing of its children.
    let script = "i=0; while [ $i -lt 50 ]; do sh -c : & i=$((i+1)); done; echo $$; exec sleep 600";
    let session = prison.answers(script);
    let left: Vec<String> = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
        .filter(|stat| {
            let after_name = stat.rsplit(") ").next().unwrap_or_default();
            after_name.split(' ').nth(3) == Some(session.trim())
        })
        .collect();
    assert_eq!(left, [""; 0], "not even a zombie");
}

#[test]
fn what_is_said_after_the_deadline_is_not_heard() {
    let prison = Prison::new();
    let late = prison.shell("sleep 3; echo late");
    let failure = run(prison.ask_cell(&late, Duration::from_millis(300))).expect_err("it is late");
    prison.is_empty();
    assert_eq!(failure.outcome, Outcome::Timeout);
    assert_eq!(prison.answers("echo in time"), "in time");
}

#[test]
fn the_jail_ends_everything_at_its_deadline_where_who_asks_stands_still() {
    let prison = Prison::new();
    let cell = prison.shell("(setsid sleep 600 &); : > up; sleep 600");
    run(async {
        let limit = Duration::from_secs(4);
        let mut asked = Box::pin(prison.jail.ask_once(&cell, b"", limit));
        tokio::select! {
            biased;
            _ = &mut asked => panic!("it sleeps"),
            () = std::future::ready(()) => {}
        }
        // Nobody looks after it any more, and nobody has let go.
        wait_until("the command starts", || {
            prison.dir.path().join("work/up").exists()
        });
        wait_until("it ends by itself", || {
            working_in(prison.dir.path()).is_empty()
        });
        asked.await.expect_err("it was ended");
    });
}

#[test]
fn a_question_that_is_dropped_and_a_session_that_is_dropped_leave_nothing() {
    let prison = Prison::new();
    let cell = prison.shell("setsid sleep 600 & sleep 600");
    run(async {
        let asked = prison.jail.ask_once(&cell, b"", LONG);
        let given_up = tokio::time::timeout(Duration::from_millis(200), asked).await;
        given_up.expect_err("it sleeps");
        drop(prison.jail.open(&cell).expect("a session"));
        prison.jail.settled().await;
    });
    prison.is_empty();
}

#[test]
fn nothing_survives_the_asker() {
    let prison = Prison::new();
    let name = "ends::nothing_survives_the_asker";
    if let Some(dir) = std::env::var_os("TEST_ASKER_DIR") {
        let mut cell = prison.shell("(setsid sleep 600 &); echo here > up; sleep 600");
        cell.dir = dir.into();
        let answer = run(prison.jail.ask_once(&cell, b"", LONG));
        panic!("it sleeps, and who asks is killed: {answer:?}");
    }
    let mut asker = again(name)
        .env("TEST_ASKER_DIR", prison.dir.path())
        .spawn()
        .expect("this test's own program");
    wait_until("the command starts", || {
        prison.dir.path().join("up").exists()
    });
    asker.kill().expect("it is ours");
    asker.wait().expect("it was killed");
    // The asker is a process of this test as well, whose environment named the directory.
    wait_until("everything ends with who asked", || {
        working_in(prison.dir.path()).is_empty()
    });
}

#[test]
fn the_command_ends_with_its_jail_where_that_is_killed() {
    let prison = Prison::new();
    let cell = prison.shell("echo $PPID; exec sleep 600");
    run(async {
        let mut session = prison.jail.open(&cell).expect("a session");
        kill_jail(
            &session.receive().await.expect("its parent's number"),
            Signal::SIGKILL,
        );
        let failure = session.receive().await.expect_err("it was ended");
        assert_eq!(failure.detail, "its jail was killed");
        session.end().await;
    });
    wait_until("the command ends too", || {
        working_in(prison.dir.path()).is_empty()
    });
}

#[test]
fn the_jail_ends_everything_when_it_is_told_by_a_signal() {
    let prison = Prison::new();
    let cell = prison.shell("(setsid sleep 600 &); echo $PPID; sleep 600");
    run(async {
        let mut session = prison.jail.open(&cell).expect("a session");
        kill_jail(
            &session.receive().await.expect("its parent's number"),
            Signal::SIGTERM,
        );
        session.receive().await.expect_err("it was ended");
        session.end().await;
    });
    prison.is_empty();
}

/// Signals the jail whose number its command has said.
fn kill_jail(number: &[u8], signal: Signal) {
    let number = std::str::from_utf8(number)
        .ok()
        .and_then(|number| number.parse().ok());
    kill(Pid::from_raw(number.expect("a number")), signal).expect("it is ours");
}

#[test]
fn nothing_stays_open_however_often_and_however_it_ends() {
    if std::env::var_os("TEST_ALONE").is_none() {
        let alone = again("ends::nothing_stays_open_however_often_and_however_it_ends")
            .env("TEST_ALONE", "1")
            .status();
        assert!(alone.expect("this test's own program").success());
        return;
    }
    let prison = Prison::new();
    let open = || fs::read_dir("/proc/self/fd").expect("/proc").count();
    run(async {
        let mut before = None;
        for _ in 0..20 {
            for script in [
                "echo answer",
                "exit 1",
                "kill -9 $$",
                "head -c 100000 /dev/zero",
                "exec >&-",
            ] {
                let _ = prison.ask(script).await;
            }
            let _ = prison
                .ask_cell(&prison.shell("sleep 600"), Duration::from_millis(20))
                .await;
            let _ = tokio::time::timeout(Duration::from_millis(5), prison.ask("sleep 600")).await;
            drop(
                prison
                    .jail
                    .open(&prison.shell("sleep 600"))
                    .expect("a session"),
            );
            prison.jail.settled().await;
            assert_eq!(open(), *before.get_or_insert_with(open));
        }
    });
    prison.is_empty();
    let none = nix::sys::wait::waitpid(None, None);
    assert_eq!(
        none,
        Err(nix::errno::Errno::ECHILD),
        "every jail was reaped"
    );
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
