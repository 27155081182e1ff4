//! What a command can open, write, signal and look into; and what it is given.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use advisor::outcome::Outcome;

use super::as_ordinary_user;
use super::common::{LONG, Prison, run};

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
        "setpriority(0, os.getpid(), 19)",
        "setpriority(2, 0, 19)",
        "unshare(0x10000000)",
        "prctl(4, 0, 0, 0, 0)",
        "kill(-1, 0)",
        "shmget(0, 4096, 0o1600)",
        "shmat(0, None, 0)",
        "msgget(0, 0o1600)",
        "semget(0, 1, 0o1600)",
        "mq_open(b'/queue', 0o102, 0o600, None)",
    ] {
        assert_eq!(attempt(call), refused, "{call}");
    }
    // What cannot be judged by its arguments is not there: clone3, io_uring_setup.
    let missing = format!("-1 {}", nix::errno::Errno::ENOSYS as i32);
    for call in ["syscall(435, 0, 0)", "syscall(425, 1, 0)"] {
        assert_eq!(attempt(call), missing, "{call}");
    }
    if cfg!(target_arch = "x86_64") {
        // clone with CLONE_NEWUSER and SIGCHLD; getppid by its other number.
        let clone = "syscall(56, 0x10000000 + 17, 0, 0, 0, 0)";
        assert_eq!(attempt(clone), refused, "{clone}");
        assert_eq!(attempt("syscall(0x40000000 + 110)"), missing);
    }
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
    let session = prison.answers("echo $$ $(cut -d ' ' -f 6 /proc/$$/stat)");
    let (process, session) = session.split_once(' ').expect("two numbers");
    assert_eq!(process, session, "it leads a session of its own");
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

#[test]
fn the_jail_itself_has_nothing_to_tell() {
    let prison = Prison::new();
    // Whoever may look into it finds no variable of who asks.
    run(async {
        let mut session = prison
            .jail
            .open(&prison.shell("echo $PPID; sleep 600"))
            .expect("a session");
        let number = session.receive().await.expect("its parent's number");
        let jail = PathBuf::from(format!("/proc/{}", String::from_utf8_lossy(&number)));
        if let Ok(environment) = fs::read(jail.join("environ")) {
            assert_eq!(String::from_utf8_lossy(&environment), "");
        }
        session.end().await;
    });
    as_ordinary_user("reach::the_jail_itself_has_nothing_to_tell", || {
        // Its files belong to root: no process of its own user may look into it.
        let prison = Prison::new();
        assert_eq!(prison.answers("stat -c %u /proc/$PPID/environ"), "0");
    });
}

fn has_python() -> bool {
    let found = Command::new("python3").arg("-V").output().is_ok();
    if !found {
        eprintln!("left out, for want of python3");
    }
    found
}
