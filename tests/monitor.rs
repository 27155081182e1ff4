//! What is shown to whom: terminals that come, change and go, pipes that nobody reads, the journal, and
//! the log file that always has everything.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use common::node::Node;
use common::program::{Home, Running};
use common::scenarios::paced;
use common::terminal::{Screen, Terminal, plain, status_lines};
use common::until;
use nix::sys::stat::fstat;
use serde_json::Value;

/// A program that mines a block each fifth of a second.
fn home(node: &Node) -> Home {
    Home::new(node, &paced(0.2), true)
}

/// Starts it with this stderr.
fn start(command: &mut Command, stderr: impl Into<OwnedFd>) -> Running {
    let child = command.stderr(stderr.into()).spawn().unwrap();
    // The command would hold the terminal open.
    command.stderr(Stdio::null());
    Running::from(child)
}

fn on_terminal(home: &Home, args: &[&str], terminal: &mut Terminal) -> Running {
    let mut command = home.on(args);
    command.env("TERM", "xterm").env("LANG", "C.UTF-8");
    start(&mut command, terminal.slave())
}

fn accepted(home: &Home) -> u64 {
    home.until_status("its blocks", |status| status["blocks"]["accepted"].as_u64())
}

/// Waits until three more blocks are accepted.
fn goes_on(home: &Home) {
    let before = accepted(home);
    until("more blocks", || {
        (accepted(home) >= before + 3).then_some(())
    });
}

/// Waits until the log file says something.
fn logs(home: &Home, text: &str) -> String {
    let read = || fs::read_to_string(home.log_file()).unwrap_or_default();
    let found =
        std::panic::catch_unwind(|| until(text, || Some(read()).filter(|log| log.contains(text))));
    found.unwrap_or_else(|_| panic!("{text} is not in the log:\n{}", end_of(&home.log())))
}

fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn ends_well(home: &Home, running: Running) {
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0), "{}", end_of(&home.log()));
}

#[test]
fn a_terminal_shows_a_spinner_and_a_coloured_line_below_the_log() {
    let node = Node::devnode();
    let home = home(&node);
    let mut terminal = Terminal::new(110);
    let screen = terminal.watched();
    let running = on_terminal(&home, &["run", "--json"], &mut terminal);
    let text = screen.until("spinner, colours and a log line", |text| {
        text.contains('⠹') && text.contains('⠼') && plain(text).contains("block accepted")
    });
    let drawn = status_lines(&text);
    assert!(
        drawn
            .iter()
            .any(|line| line.contains("H/s") && line.contains("tip ")),
        "{drawn:?}"
    );
    assert!(
        text.contains("\x1b[32mpaced\x1b[0m") || text.contains("\x1b[33mno_job"),
        "{text:?}"
    );
    let line = plain(&text);
    let line = line
        .split(['\r', '\n'])
        .find(|line| line.contains("block accepted"))
        .unwrap();
    assert!(
        line.contains("...") && line.len() < 110,
        "short hashes: {line:?}"
    );
    logs(&home, "line: ");
    assert!(
        !plain(&text).contains(" INFO 0.0 vps"),
        "the line is not logged on the terminal a second time"
    );
    ends_well(&home, running);
    let text = screen.until("the line is taken away at the end", |text| {
        text.rfind("\x1b[J") > text.rfind("\x1b[?7l")
    });
    let end = plain(&text);
    assert!(
        end.trim_end().ends_with("everything has stopped, in 0.0 s")
            || end.contains("everything has stopped")
    );
}

#[test]
fn a_terminal_that_is_made_narrower_is_redrawn_within_its_width() {
    let node = Node::devnode();
    let home = home(&node);
    let mut terminal = Terminal::new(120);
    let screen = terminal.watched();
    let running = on_terminal(&home, &["run", "--json"], &mut terminal);
    let wide = |text: &str| {
        status_lines(text)
            .iter()
            .any(|line| line.contains("memory"))
    };
    screen.until("the whole line", wide);
    for columns in [44_u16, 12] {
        let before = screen.text().len();
        terminal.resize(columns);
        let text = screen.until("a line as wide as the terminal", |text| {
            let last = status_lines(&text[before..]).pop();
            last.is_some_and(|line| line.trim_matches('\r').chars().count() < usize::from(columns))
        });
        let rest = &text[before..];
        let drawn = rest.rfind("\x1b[?7l").unwrap();
        assert!(
            rest[..drawn].contains("\r\x1b[J"),
            "from a clean row: {rest:?}"
        );
    }
    let before = screen.text().len();
    terminal.resize(120);
    screen.until("the whole line again", |text| wide(&text[before..]));
    ends_well(&home, running);
}

#[test]
fn a_terminal_without_colours_gets_plain_lines() {
    let node = Node::devnode();
    let plainly: [(&[&str], (&str, &str)); 3] = [
        (&["run", "--json"], ("NO_COLOR", "1")),
        (&["run", "--json"], ("TERM", "dumb")),
        (&["run", "--json", "--color", "never"], ("X", "")),
    ];
    let runs = plainly.map(|(args, variable)| {
        let home = home(&node);
        let mut terminal = Terminal::new(100);
        let screen = terminal.watched();
        let mut command = home.on(args);
        command.env("TERM", "xterm").envs([variable]);
        let running = start(&mut command, terminal.slave());
        (variable, home, terminal, screen, running)
    });
    for (variable, home, _terminal, screen, running) in runs {
        let text = screen.until("two status lines", |text| {
            text.matches(" vps  ").count() >= 2
        });
        assert!(!text.contains('\x1b'), "{variable:?}: {text:?}");
        assert!(text.contains("tip verified"), "{variable:?}: {text:?}");
        ends_well(&home, running);
    }
}

#[test]
fn a_terminal_that_goes_away_does_not_stop_the_work() {
    let node = Node::devnode();
    let home = home(&node);
    let mut terminal = Terminal::new(100);
    let screen = terminal.watched();
    // With a controlling terminal of its own, whose end also sends it a SIGHUP.
    let slave = terminal.slave();
    let mut command = Command::new("setsid");
    command
        .arg("--ctty")
        .arg(home.on(&[]).get_program())
        .args(home.on(&["run", "--json"]).get_args())
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(slave.try_clone().unwrap())
        .stdout(slave.try_clone().unwrap());
    let running = start(&mut command, slave);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    screen.until("a status line", |text| !status_lines(text).is_empty());
    terminal.hang_up();
    logs(&home, "stderr shows");
    goes_on(&home);
    let status = home.until_status("why it is silent", |status| {
        Some(status.clone()).filter(|status| status["log"]["silent"]["reason"].is_string())
    });
    let reason = status["log"]["silent"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("SIGHUP") || reason.contains("gone"),
        "{status}"
    );
    let log = logs(&home, "stderr shows");
    assert_eq!(log.matches("stderr shows").count(), 1, "said once: {log}");
    ends_well(&home, running);
}

#[test]
fn a_pipe_whose_reader_left_does_not_stop_the_work() {
    let node = Node::devnode();
    let home = home(&node);
    let (reader, writer) = pipe().unwrap();
    let running = start(&mut home.on(&["run", "--json", "-v"]), writer);
    drop(reader);
    let log = logs(&home, "stderr is gone");
    assert!(log.contains("Broken pipe"), "{log}");
    goes_on(&home);
    let log = logs(&home, "stderr is gone");
    assert_eq!(log.matches("stderr shows nothing").count(), 1, "{log}");
    ends_well(&home, running);
}

#[test]
fn a_pipe_or_a_terminal_that_nobody_reads_holds_nothing_up() {
    let node = Node::devnode();
    let (_reader, writer) = pipe().unwrap();
    // The smallest there is.
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut terminal = Terminal::new(100);
    for stderr in [OwnedFd::from(writer), terminal.slave()] {
        let home = home(&node);
        let mut command = home.on(&["run", "--json", "-vv"]);
        command
            .env("TERM", "xterm")
            .stdout(stderr.try_clone().unwrap());
        let running = start(&mut command, stderr);
        command.stdout(Stdio::null());
        // Far more was logged than either holds.
        until("a long log", || {
            let length = fs::metadata(home.log_file()).map_or(0, |file| file.len());
            (length > 256 * 1024).then_some(())
        });
        goes_on(&home);
        ends_well(&home, running);
    }
}

#[test]
fn what_could_not_be_shown_in_time_is_counted_and_said() {
    let node = Node::devnode();
    let home = home(&node);
    let (mut reader, writer) = pipe().unwrap();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut command = home.on(&["run", "--json", "-vv"]);
    command.env("SIGNALCORE_LOG", "trace");
    let running = start(&mut command, writer);
    // More lines than the queue and the pipe have room for.
    until("more than ten thousand lines", || {
        let log = fs::read_to_string(home.log_file()).unwrap_or_default();
        (log.lines().count() > 10_000).then_some(())
    });
    let screen = Screen::of(reader.try_clone().unwrap());
    screen.until("the gap", |text| {
        text.contains("lines could not be shown in time")
    });
    home.until_status("the count", |status| {
        status["log"]["lines_unshown"]
            .as_u64()
            .filter(|count| *count > 0)
    });
    ends_well(&home, running);
    let mut rest = String::new();
    drop(reader.read_to_string(&mut rest));
}

#[test]
fn the_journal_gets_priorities_and_what_is_grave() {
    let mut node = Node::devnode();
    let home = home(&node);
    let journal = |args: &[&str], inode: u64| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let socket = fstat(&theirs).unwrap();
        let mut command = home.on(args);
        let stream = format!("{}:{}", socket.st_dev, socket.st_ino + inode);
        command.env("JOURNAL_STREAM", stream);
        (start(&mut command, theirs), Screen::of(ours))
    };
    let (running, entries) = journal(&["run", "--json", "--color", "always"], 0);
    home.until_status("blocks", |status| {
        status["blocks"]["accepted"]
            .as_u64()
            .filter(|count| *count > 0)
    });
    node.stop();
    let text = entries.until("a warning", |text| text.contains("<4>"));
    for line in text.lines() {
        assert!(
            line.starts_with("<4>") || line.starts_with("<3>"),
            "{line:?}"
        );
        assert!(
            !line.contains('\x1b') && !line.contains("Z  WARN"),
            "{line:?}"
        );
    }
    ends_well(&home, running);

    node.start();
    let (running, entries) = journal(&["run", "--json", "-v"], 0);
    let text = entries.until("what was asked for", |text| {
        text.contains("<6>") && text.contains("<7>")
    });
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");
    ends_well(&home, running);

    // The variable is inherited by whoever redirects stderr.
    let (running, entries) = journal(&["run", "--json", "-v"], 1);
    let text = entries.until("plain lines", |text| text.contains("tip verified"));
    assert!(!text.contains("<6>"), "{text}");
    ends_well(&home, running);
}

#[test]
fn the_file_has_everything_from_the_first_step_to_the_last_count() {
    let mut node = Node::devnode();
    let home = home(&node);
    let running = start(
        &mut home.on(&["run", "--json"]),
        File::create("/dev/null").unwrap(),
    );
    logs(&home, " vps  ");
    logs(&home, "block accepted");
    node.stop();
    logs(&home, " WARN ");
    let status = home.until_status("the warning is counted", |status| {
        (status["log"]["warnings"].as_u64() > Some(0)).then(|| status.clone())
    });
    assert!(
        status["log"]["last_warning"]["message"].is_string(),
        "{status}"
    );
    assert_eq!(status["log"]["lines_lost"], 0, "{status}");
    assert_eq!(status["log"]["silent"]["reason"], "stderr is no terminal");
    ends_well(&home, running);
    let log = logs(&home, "the log ends: ");
    let steps = [
        concat!("signalcore ", env!("CARGO_PKG_VERSION"), " starts"),
        "configuration: ",
        "on regtest",
        "journal of found blocks: ",
        "node local: http://127.0.0.1:",
        "hashing threads: 1, kernel ",
        "machine: ",
        "stats: up supervisor=signalcore child=stats",
    ];
    let mut rest = log.as_str();
    for step in steps {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("{step} comes next in:\n{rest}"));
        rest = &rest[at..];
    }
    let end = log.lines().last().unwrap();
    assert!(
        log.contains("the log ends: ") && log.contains("warning"),
        "{end}"
    );
    assert!(!log.contains('\x1b'));
}

#[test]
fn a_log_file_that_was_moved_or_deleted_is_begun_anew() {
    let node = Node::devnode();
    let home = home(&node);
    let running = start(
        &mut home.on(&["run", "--json"]),
        File::create("/dev/null").unwrap(),
    );
    logs(&home, "block accepted");
    let moved = home.data_dir().join("log/moved");
    fs::rename(home.log_file(), &moved).unwrap();
    let log = logs(&home, "block accepted");
    assert!(!log.contains("starts, process"), "another file: {log}");
    assert!(
        fs::read_to_string(moved)
            .unwrap()
            .contains("starts, process")
    );
    fs::remove_file(home.log_file()).unwrap();
    logs(&home, "block accepted");
    ends_well(&home, running);
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else_and_is_said_once() {
    let node = Node::devnode();
    let home = home(&node);
    fs::create_dir_all(home.data_dir().join("log")).unwrap();
    std::os::unix::fs::symlink("/dev/full", home.log_file()).unwrap();
    let (reader, writer) = pipe().unwrap();
    let screen = Screen::of(reader);
    let running = start(&mut home.on(&["run", "--json"]), writer);
    screen.until("the complaint", |text| {
        text.contains("No space left on device")
    });
    goes_on(&home);
    let status = home.until_status("lost lines", |status| {
        (status["log"]["lines_lost"].as_u64() > Some(3)).then(|| status.clone())
    });
    assert_eq!(
        status["log"]["by_source"]["logging"]["errors"], 1,
        "{status}"
    );
    fs::remove_file(home.log_file()).unwrap();
    let text = screen.until("relief", |text| {
        text.contains("lines before this one were lost")
    });
    assert_eq!(text.lines().count(), 2, "nothing else: {text}");
    let log = logs(&home, "lines before this one were lost");
    assert!(log.contains("block accepted") || logs(&home, "block accepted").len() > log.len());
    ends_well(&home, running);
}

#[test]
fn two_instances_do_not_share_a_log_file() {
    let node = Node::devnode();
    let (first, second) = (home(&node), home(&node));
    let shared = first.data_dir().join("log");
    second.prepend(&format!("log_dir = \"{}\"", shared.display()));
    let running = start(
        &mut first.on(&["run", "--json"]),
        File::create("/dev/null").unwrap(),
    );
    logs(&first, "block accepted");
    let output = second.command(&["run", "--json"]);
    assert_eq!(output.status.code(), Some(75));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("log_dir") && stderr.contains("another instance"),
        "{stderr}"
    );
    ends_well(&first, running);
}

#[test]
fn the_monitors_state_outlives_its_crash() {
    let node = Node::devnode();
    let home = home(&node);
    let text = fs::read_to_string(home.config()).unwrap();
    fs::write(
        home.config(),
        format!("{text}[debug]\nfault_injection = true\n"),
    )
    .unwrap();
    let mut command = home.on(&["run", "--json"]);
    // After its second line, and before many more.
    command.env("SIGNALCORE_FAULT", "monitor:panic@8");
    let running = start(&mut command, File::create("/dev/null").unwrap());
    let log_of = |status: &Value| status["log"].clone();
    let lines = |status: &Value| status["log"]["status_lines"].as_u64().unwrap();
    let before = home.until_status("two lines", |status| {
        (lines(status) >= 2).then(|| log_of(status))
    });
    let after = home.until_status("a monitor that is up again and speaks", |status| {
        let children = status["children"].as_array()?;
        let monitor = children.iter().find(|child| child["id"] == "monitor")?;
        let spoke = lines(status) > before["status_lines"].as_u64()?;
        (monitor["restarts"] == 1 && spoke).then(|| log_of(status))
    });
    assert_eq!(after["since"], before["since"]);
    assert_eq!(
        after["silent"], before["silent"],
        "it is as silent as before"
    );
    assert!(
        after["by_source"]["monitor"]["errors"].as_u64() >= Some(1),
        "{after}"
    );
    assert!(
        after["last_error"]["message"]
            .as_str()
            .unwrap()
            .contains("panic"),
        "{after}"
    );
    let text = logs(&home, "error");
    assert!(text.contains(" error"), "the line tells of it");
    ends_well(&home, running);
}
