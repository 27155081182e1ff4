//! The first process of a jail: watches over the command, ends it and reaps all that it leaves.

use std::io::{self, BufRead as _, BufReader};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::kin::census;
use super::orders::{End, Limits, Orders, Report};
use super::{INSIDE, channel};

/// How often descendants are counted.
const TICK: Duration = Duration::from_millis(50);

/// How long the process inside may take to become the command.
const START: Duration = Duration::from_secs(10);

/// Keeps one command, from its start until nothing is left of it.
pub fn run() -> io::Result<()> {
    let began = Instant::now();
    // First of all: from here on nothing below this process can outlive it unseen.
    prctl::set_child_subreaper(true)?;
    // The command runs as the same user, and is to know nothing of what this process holds.
    prctl::set_dumpable(false)?;
    let signals = signals()?;
    let asker = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let (orders, stdin) = channel::receive(&asker)?;
    let started = start(&orders, stdin);
    // Its output is the command's alone now: who reads it learns when the command has closed it.
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // Who asked may be gone; that is seen below. What matters is that nothing stays behind.
    match started {
        Ok((command, shelter)) => {
            let _ = channel::tell(&asker, &shelter);
            let deadline = orders
                .deadline_ms
                .map(|ms| began + Duration::from_millis(ms));
            let end = watch(
                command,
                &orders.cell.limits,
                deadline,
                asker.as_fd(),
                &signals,
            );
            let _ = channel::tell(&asker, &Report::Ended(end));
        }
        Err(why) => {
            let _ = channel::tell(&asker, &Report::Failed(why));
        }
    }
    end_all();
    Ok(())
}

/// The signals that this process hears of in its own time: a child's end, and requests to end.
fn signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    Ok(SignalFd::with_flags(
        &mask,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Starts the command, by way of this binary. Returns when it runs, with the report that says so.
fn start(orders: &Orders, stdin: OwnedFd) -> Result<(Pid, Report), String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| format!("no socket: {error}"))?;
    channel::send(&ours, orders, stdin.as_fd()).map_err(|error| format!("no orders: {error}"))?;
    // The last copy in this process: its end is to be seen.
    drop(stdin);
    let arguments = std::env::args_os().skip(1);
    // Not by its name on disk, which may be another version's by now.
    let child = Command::new("/proc/self/exe")
        .args(arguments)
        .arg(INSIDE)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(|error| format!("the jail did not start: {error}"))?;
    let command = Pid::from_raw(child.id().cast_signed());
    ours.set_read_timeout(Some(START))
        .map_err(|error| format!("no time limit: {error}"))?;
    let mut told = None;
    // Its end of the socket closes when it becomes the command.
    for line in BufReader::new(ours).lines() {
        let line = line.map_err(|error| format!("the jail says nothing: {error}"))?;
        told = serde_json::from_str(&line).ok();
        if let Some(Report::Failed(why)) = told {
            return Err(why);
        }
    }
    told.map(|report| (command, report))
        .ok_or_else(|| "the jail ended before its command started".to_owned())
}

/// Waits until the command has ended, or has to.
fn watch(
    command: Pid,
    limits: &Limits,
    deadline: Option<Instant>,
    asker: BorrowedFd<'_>,
    signals: &SignalFd,
) -> End {
    let mut counted = Instant::now();
    loop {
        if let Some(end) = reap(command) {
            return end;
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return End::Deadline;
        }
        if now >= counted + TICK {
            counted = now;
            let census = census();
            if limits.tasks > 0 && census.tasks > limits.tasks {
                return End::Tasks(census.tasks);
            }
            if limits.memory_bytes > 0 && census.memory > limits.memory_bytes {
                return End::Memory(census.memory);
            }
        }
        let wait = deadline.map_or(TICK, |deadline| {
            TICK.min(deadline.saturating_duration_since(now))
        });
        // Rounded up: never a wait of nothing just before the deadline.
        let wait = PollTimeout::try_from(wait.as_millis() as u32 + 1).unwrap_or(PollTimeout::ZERO);
        // Nothing comes through the socket any more but its end.
        let mut watched = [
            PollFd::new(asker, PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        // An interrupted wait is a short one.
        let _ = poll(&mut watched, wait);
        if watched[0].any() == Some(true) {
            return End::Told;
        }
        while let Ok(Some(signal)) = signals.read_signal() {
            if signal.ssi_signo != Signal::SIGCHLD as u32 {
                return End::Told;
            }
        }
    }
}

/// Reaps whoever has ended; how the command did, if it is among them.
fn reap(command: Pid) -> Option<End> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == command => return Some(End::Exit(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == command => {
                return Some(End::Signal(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Ends every descendant and reaps it, until there is none. Those that a dying parent leaves become children of this
/// process, so that nothing is missed, and each round finds fewer.
fn end_all() {
    loop {
        for process in census().processes {
            // It may have ended by itself.
            let _ = kill(process, Signal::SIGKILL);
        }
        match waitpid(None, None) {
            Err(Errno::ECHILD) => return,
            // Whoever else has ended needs no other round.
            _ => {
                while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    if status == WaitStatus::StillAlive {
                        break;
                    }
                }
            }
        }
    }
}
