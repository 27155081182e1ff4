//! What a command may open, and whom it may send signals: Landlock, where the kernel has it.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, LandlockStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::orders::{Cell, Force};

/// Programs and libraries of the system.
const PROGRAMS: [&str; 7] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
];

/// What libraries read: names, addresses, certificates, time zones. Not all of /etc, which holds configurations with
/// credentials.
const SETTINGS: [&str; 30] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/python3",
    "/etc/python3.11",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/etc/xdg",
];

/// What the kernel tells of itself. Another process's memory and environment stay closed: Landlock sees to that.
const KERNEL: [&str; 2] = ["/proc", "/sys"];

/// Devices that are no hardware.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// The version that restricts files and directories, devices included.
const FILES: ABI = ABI::V5;

/// The version that restricts signals, and sockets without a file, as well: with it everything is in force.
const ALL: ABI = ABI::V6;

/// Restricts this process and all that it becomes and starts, as far as the kernel can.
pub fn restrict(cell: &Cell) -> Force {
    match ruleset(cell) {
        Ok((RulesetStatus::FullyEnforced, _)) => Force::Full,
        Ok((RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. })) => {
            Force::Partial(format!(
                "the kernel has version {} of {}: signals to other processes, or more, are not restricted",
                effective_abi as i32, ALL as i32
            ))
        }
        Ok((_, LandlockStatus::NotEnabled)) => Force::None(
            "Landlock is not switched on (lsm= on the kernel's command line)".to_owned(),
        ),
        Ok(_) => Force::None("the kernel has no Landlock".to_owned()),
        Err(error) => Force::None(format!("Landlock: {error}")),
    }
}

fn ruleset(cell: &Cell) -> Result<(RulesetStatus, LandlockStatus), RulesetError> {
    let all = AccessFs::from_all(FILES);
    let run = AccessFs::from_read(FILES);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Nobody runs what it wrote.
    let work = all
        & !BitFlags::from(AccessFs::Execute)
        & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let status = Ruleset::default()
        .handle_access(all)?
        .scope(Scope::from_all(ALL))?
        .create()?
        .add_rules(path_beneath_rules(PROGRAMS, run))?
        .add_rules(path_beneath_rules(own(cell), run))?
        .add_rules(path_beneath_rules(&cell.readable, run))?
        .add_rules(path_beneath_rules(SETTINGS, read))?
        .add_rules(path_beneath_rules(KERNEL, read))?
        .add_rules(path_beneath_rules(DEVICES, read | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules([&cell.dir], work))?
        .restrict_self()?;
    Ok((status.ruleset, status.landlock))
}

/// The command's own program, and files among its arguments: a script and what it works with.
fn own(cell: &Cell) -> impl Iterator<Item = PathBuf> {
    cell.command
        .iter()
        .map(Path::new)
        .filter(|path| path.is_absolute() && path.is_file())
        .map(Path::to_path_buf)
}
