//! The second process of a jail: takes the limits upon itself and becomes the command.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::setsid;

use super::channel;
use super::orders::{Cell, Force, Limits, Report, Shelter};

/// Where programs are looked for, unless the environment says otherwise.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Becomes the command; returns only when that fails.
pub fn run() -> io::Result<()> {
    let keeper = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let (orders, stdin) = channel::receive(&keeper)?;
    let result = enter(&orders.cell, stdin, &keeper).and_then(|shelter| {
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
fn enter(cell: &Cell, stdin: OwnedFd, keeper: &UnixStream) -> Result<Shelter, String> {
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
    close_others(keeper.as_raw_fd()).map_err(of("open files"))?;
    stand_back(cell.limits.niceness).map_err(of("its niceness"))?;
    limit(&cell.limits).map_err(of("its limits"))?;
    prctl::set_no_new_privs().map_err(|error| of("no new privileges")(error.into()))?;
    Ok(Shelter {
        landlock: Force::None("not built in".to_owned()),
        seccomp: Force::None("not built in".to_owned()),
    })
}

/// Closes whatever is open beside standard input, output, error, and `kept`, which closes by itself.
fn close_others(kept: RawFd) -> io::Result<()> {
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open {
        if descriptor > 2 && descriptor != kept {
            // The one that the list was read through is closed already.
            let _ = nix::unistd::close(descriptor);
        }
    }
    Ok(())
}

/// Mining comes first where processors or memory are scarce.
fn stand_back(niceness: u8) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", "1000")?;
    let least = rustix::process::getpriority_process(None)?;
    rustix::process::setpriority_process(None, least.max(niceness.min(19).into()))?;
    Ok(())
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

/// Lowers a limit for good; one that is lower already stays.
fn lower(resource: Resource, limit: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let limit = limit.min(hard);
    Ok(setrlimit(resource, limit, limit)?)
}
