//! The second process of a jail: takes the limits upon itself and becomes the command.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::setsid;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::orders::{Cell, Limits, Orders, Report, Shelter};
use super::{calls, channel, files};

/// Where programs are looked for, unless the environment says otherwise.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Tasks that the same user may start elsewhere, without taking any from the command.
const OTHERS: u64 = 64;

/// Becomes the command; returns only when that fails.
pub fn run() -> io::Result<()> {
    let keeper = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let (orders, stdin) = channel::receive(&keeper)?;
    let result = enter(&orders, stdin).and_then(|shelter| {
        channel::tell(&keeper, &Report::Started(shelter))
            .map_err(|error| format!("nobody waits for it: {error}"))?;
        let error = command(&orders.cell).exec();
        Err(format!("{} cannot be run: {error}", orders.cell.command[0]))
    });
    match result {
        Ok(()) => Ok(()),
        Err(why) => channel::tell(&keeper, &Report::Failed(why)),
    }
}

/// The command, with nothing of this process's environment.
fn command(cell: &Cell) -> Command {
    let mut command = Command::new(&cell.command[0]);
    command
        .args(&cell.command[1..])
        .env_clear()
        .env("PATH", PATH)
        .envs(&cell.env)
        .env("HOME", &cell.dir)
        .env("TMPDIR", &cell.dir);
    command
}

/// Takes everything upon this process that the command is to have.
fn enter(orders: &Orders, stdin: OwnedFd) -> Result<Shelter, String> {
    let cell = &orders.cell;
    let of = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    if cell.command.is_empty() {
        return Err("there is no command".to_owned());
    }
    // Whatever the signals of a terminal or of a shell are for, they are not for the command.
    setsid().map_err(|error| of("a session of its own")(error.into()))?;
    // A backstop: whoever kills the keeper kills the command.
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|error| of("its end with the jail's")(error.into()))?;
    SigSet::empty()
        .thread_set_mask()
        .map_err(|error| of("signals")(error.into()))?;
    umask(Mode::from_bits_truncate(0o077));
    std::env::set_current_dir(&cell.dir)
        .map_err(|error| format!("its directory {}: {error}", cell.dir.display()))?;
    rustix::stdio::dup2_stdin(&stdin).map_err(|error| of("standard input")(error.into()))?;
    drop(stdin);
    stand_back(cell.limits.niceness).map_err(of("its niceness"))?;
    limit(&cell.limits).map_err(of("its limits"))?;
    if cell.limits.tasks > 0 {
        limit_tasks(cell.limits.tasks + orders.asker_tasks)
            .map_err(of("its limit of processes"))?;
    }
    drop_capabilities();
    prctl::set_no_new_privs().map_err(|error| of("no new privileges")(error.into()))?;
    Ok(Shelter {
        landlock: files::restrict(cell),
        seccomp: calls::restrict(),
    })
}

/// Mining comes first where processors or memory are scarce.
fn stand_back(niceness: u8) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", "1000")?;
    let least = rustix::process::getpriority_process(None)?;
    rustix::process::setpriority_process(None, least.max(niceness.min(19).into()))?;
    Ok(())
}

/// Whoever runs as root is root without its powers from the next program on. Other users have none to drop.
fn drop_capabilities() {
    for capability in CapabilitySet::all().iter() {
        // Refused to those who have none, and where the kernel does not know it.
        let _ = remove_capability_from_bounding_set(capability);
    }
}

fn limit(limits: &Limits) -> io::Result<()> {
    let each = [
        (Resource::RLIMIT_AS, limits.memory_bytes),
        (Resource::RLIMIT_CPU, limits.cpu_s),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
    ];
    for (resource, limit) in each.into_iter().filter(|(_, limit)| *limit > 0) {
        lower(resource, limit)?;
    }
    lower(Resource::RLIMIT_CORE, 0)
}

/// A limit that a bomb of processes meets before anybody has counted it. The kernel counts all tasks of this user,
/// and root's not at all.
fn limit_tasks(more: u32) -> io::Result<()> {
    let user = nix::unistd::geteuid().as_raw();
    let tasks: u64 = std::fs::read_dir("/proc")?
        .flatten()
        .filter(|process| process.metadata().is_ok_and(|about| about.uid() == user))
        // A directory has a link for itself, one in its parent, and one for each directory in it.
        .filter_map(|process| process.path().join("task").metadata().ok())
        .map(|about| about.nlink().saturating_sub(2))
        .sum();
    lower(Resource::RLIMIT_NPROC, tasks + u64::from(more) + OTHERS)
}

/// Lowers a limit for good; one that is lower already stays.
fn lower(resource: Resource, limit: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let limit = limit.min(hard);
    Ok(setrlimit(resource, limit, limit)?)
}
