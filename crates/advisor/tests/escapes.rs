//! Ways out of the jail, and none of them works.
#![allow(clippy::print_stderr)] // a test that is left out says so

mod common;

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use advisor::jail::orders::Force;
use advisor::outcome::Outcome;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{LONG, Prison, assert_empty, jail, run, working_in};

/// Long enough for a script of a few commands, and waited out by those that hang.
const SHORT: Duration = Duration::from_secs(2);

impl Prison {
    /// Asks a script that gives no answer, and sees to it that nothing of it is left.
    fn fails(&self, script: &str, limit: Duration) -> (Outcome, String) {
        let failure = run(self.ask_cell(&self.shell(script), limit)).expect_err(script);
        self.is_empty();
        (failure.outcome, failure.detail)
    }

    fn answers(&self, script: &str) -> String {
        let answer = run(self.ask(script)).unwrap_or_else(|failure| panic!("{script}: {failure}"));
        self.is_empty();
        answer
    }

    fn is_empty(&self) {
        assert_empty(self.dir.path());
    }

    /// Whether the kernel holds the command to what it may open.
    fn has_landlock(&self) -> bool {
        self.answers("echo ready");
        let landlock = self.jail.shelter().expect("a command was started").landlock;
        match landlock {
            Force::Full => true,
            Force::Partial(why) => {
                eprintln!("left out: {why}");
                false
            }
            Force::None(why) => {
                // Anything else is a mistake of ours.
                assert!(
                    why.contains("no Landlock") || why.contains("not switched on"),
                    "{why}"
                );
                eprintln!("left out: {why}");
                false
            }
        }
    }

    /// Every kernel that this program runs on has seccomp.
    fn has_seccomp(&self) {
        self.answers("echo ready");
        let seccomp = self.jail.shelter().expect("a command was started").seccomp;
        assert_eq!(seccomp, Force::Full);
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

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
        "a_fork_bomb_of_an_ordinary_user_ends_at_the_kernels_limit_too",
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
    let one = "{ head -c 40000000 /dev/zero; sleep 600; } | tail &";
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
    let name = "nothing_survives_the_asker";
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
        let alone = again("nothing_stays_open_however_often_and_however_it_ends")
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

#[test]
fn the_cookie_cannot_be_read_nor_anything_else_of_the_daemon() {
    let prison = Prison::new();
    if !prison.has_landlock() {
        return;
    }
    let cookie = prison.dir.path().join(".cookie");
    fs::write(&cookie, "__cookie__:secret").expect("a cookie");
    let cookie = cookie.display();
    let asker = std::process::id();
    for script in [
        format!("cat {cookie}"),
        format!("ln -s {cookie} link && cat link"),
        format!("ln {cookie} hard && cat hard"),
        format!("cp {cookie} copy && cat copy"),
        "cat ../.cookie".to_owned(),
        "ls ..".to_owned(),
        format!("cat /proc/{asker}/cwd/Cargo.toml"),
        format!("cat /proc/{asker}/environ"),
        format!("head -c 1 /proc/{asker}/mem"),
        "cat /etc/shadow".to_owned(),
        "ls /root /home /var/lib /run /tmp".to_owned(),
    ] {
        let (outcome, detail) = prison.fails(&script, LONG);
        assert!(
            matches!(outcome, Outcome::Crash | Outcome::Empty),
            "{script}: {detail}"
        );
    }
}

#[test]
fn a_command_writes_in_its_own_directory_and_nowhere_else() {
    let prison = Prison::new();
    assert_eq!(
        prison.answers("echo kept > state; mkdir d; mv state d/; cat d/state"),
        "kept"
    );
    assert_eq!(
        prison.answers("cat d/state; pwd >&2"),
        "kept",
        "what it wrote is there the next time"
    );
    if !prison.has_landlock() {
        return;
    }
    for script in [
        "echo no > ../outside",
        "mv d ..",
        "echo no > /tmp/signalcore-escape",
        "echo 0 > /proc/sys/kernel/panic",
    ] {
        prison.fails(script, LONG);
    }
    assert!(!prison.dir.path().join("outside").exists());
    assert_eq!(
        prison.answers(
            "printf '#!/bin/sh\\n' > own; chmod +x own; ./own 2>/dev/null || echo refused"
        ),
        "refused"
    );
}

#[test]
fn a_command_can_neither_kill_nor_stop_who_asks() {
    let prison = Prison::new();
    if !prison.has_landlock() {
        return;
    }
    let asker = std::process::id();
    for target in [
        format!("-9 {asker}"),
        format!("-STOP {asker}"),
        "-9 $PPID".to_owned(),
        "-9 -1".to_owned(),
    ] {
        let answer = prison.answers(&format!("kill {target} 2>&1"));
        assert!(answer.contains("not permitted"), "{target}: {answer}");
    }
}

#[test]
fn sockets_that_are_files_are_closed_and_the_loopback_is_open() {
    let prison = Prison::new();
    prison.has_seccomp();
    if !has_python() {
        return;
    }
    let path = prison.dir.path().join("control.sock");
    let _orders = UnixListener::bind(&path).expect("a socket");
    let model = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = model.local_addr().expect("an address").port();
    let script = format!(
        "import socket\n\
         socket.create_connection(('localhost', {port}))\n\
         try:\n  socket.socket(socket.AF_UNIX).connect('{}')\n  print('given orders')\n\
         except OSError as error:\n  print('refused', error.errno)\n",
        path.display()
    );
    let cell = prison.command(&["python3", "-c", &script]);
    let answer = run(prison.ask_cell(&cell, LONG));
    assert_eq!(
        answer,
        Ok(format!(
            "refused {}",
            nix::errno::Errno::EAFNOSUPPORT as i32
        ))
    );
}

#[test]
fn other_processes_memory_and_namespaces_are_out_of_reach() {
    let prison = Prison::new();
    prison.has_seccomp();
    if !has_python() {
        return;
    }
    let attempt = |call: &str| {
        let script = format!(
            "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n\
             done = c.{call}\nprint(done, ctypes.get_errno())"
        );
        run(prison.ask_cell(&prison.command(&["python3", "-c", &script]), LONG)).expect("an answer")
    };
    let refused = format!("-1 {}", nix::errno::Errno::EPERM as i32);
    // PTRACE_SEIZE, RLIMIT_NOFILE, PRIO_PROCESS, PRIO_USER, CLONE_NEWUSER, PR_SET_DUMPABLE.
    for call in [
        "ptrace(0x4206, os.getppid(), 0, 0)",
        "prlimit(os.getppid(), 7, 0, 0)",
        "sched_setaffinity(os.getppid(), 8, b'\\1' + 7 * b'\\0')",
        "setpriority(0, os.getppid(), 19)",
        "setpriority(2, 0, 19)",
        "unshare(0x10000000)",
        "prctl(4, 0, 0, 0, 0)",
        "kill(-1, 0)",
    ] {
        assert_eq!(attempt(call), refused, "{call}");
    }
    if cfg!(target_arch = "x86_64") {
        // getppid by its other number.
        let missing = format!("-1 {}", nix::errno::Errno::ENOSYS as i32);
        assert_eq!(attempt("syscall(0x40000000 + 110)"), missing);
    }
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
    assert_eq!(prison.answers("cat /proc/self/oom_score_adj"), "1000");
}

#[test]
fn a_command_inherits_nothing_but_what_it_was_given() {
    let prison = Prison::new();
    // As a library in C would open it, to be inherited by everybody.
    let open = tempfile::tempfile().expect("a file");
    let _inherited = nix::unistd::dup(&open).expect("a copy");
    assert_eq!(
        prison.answers("ls /proc/self/fd | tr '\\n' ' '"),
        "0 1 2 3 ",
        "and the one that is listed"
    );
    let mut cell = prison.shell("env | sort | tr '\\n' ' '");
    cell.env.insert("GIVEN".to_owned(), "yes".to_owned());
    let dir = cell.dir.display().to_string();
    let answer = run(prison.ask_cell(&cell, LONG)).expect("an answer");
    let expected =
        format!("GIVEN=yes HOME={dir} PATH=/usr/local/bin:/usr/bin:/bin PWD={dir} TMPDIR={dir}");
    assert_eq!(answer.replace(" _=/usr/bin/env", "").trim(), expected);
    for (field, value) in [
        ("NoNewPrivs", "1"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("SigBlk", "0000000000000000"),
    ] {
        if field == "CapBnd" && !nix::unistd::geteuid().is_root() {
            continue;
        }
        // Not through a shell, which unblocks signals itself.
        let cell = prison.command(&["grep", &format!("^{field}:"), "/proc/self/status"]);
        let answer = run(prison.ask_cell(&cell, LONG)).expect("an answer");
        assert_eq!(answer, format!("{field}:\t{value}"));
    }
}

fn has_python() -> bool {
    let found = Command::new("python3").arg("-V").output().is_ok();
    if !found {
        eprintln!("left out, for want of python3");
    }
    found
}

/// This test's program, for one of its tests alone.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture"]);
    command
}

/// Runs a test as it is, or for root in a copy of this program that belongs to nobody.
fn as_ordinary_user(test: &str, body: impl FnOnce()) {
    const NOBODY: u32 = 65534;
    if !nix::unistd::geteuid().is_root() {
        return body();
    }
    let copies = tempfile::tempdir().expect("a temporary directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(copies.path(), open).expect("it is ours");
    let (tests, jailer) = (copies.path().join("tests"), copies.path().join("jail"));
    fs::copy(std::env::current_exe().expect("this program"), &tests).expect("room for a copy");
    fs::copy(jail(), &jailer).expect("room for a copy");
    let mut child: Child = Command::new(tests)
        .args(["--exact", test, "--nocapture"])
        .env("TEST_ADVISOR_JAIL", jailer)
        .env("TMPDIR", copies.path())
        .current_dir(copies.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .spawn()
        .expect("a copy of this program");
    let status = child.wait().expect("it is ours");
    assert!(status.success(), "as an ordinary user: {status}");
}
