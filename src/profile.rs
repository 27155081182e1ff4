//! Profiles: what the process asks of the system, and refuses, before it opens anything.

use std::path::Path;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tracing::{debug, warn};

use crate::config::{ConfigError, Layer, Profile, Settings};

/// As many descriptors as this program could ever want: connections, journal files, clients.
const DESCRIPTORS: u64 = 65_536;

/// Checks what a profile demands of a configuration. `file`: where that came from.
///
/// # Errors
/// Faults may be injected in production.
pub fn check(
    profile: Profile,
    settings: &Settings,
    file: Option<&Path>,
) -> Result<(), ConfigError> {
    if profile == Profile::Production && settings.fault_injection {
        return Err(ConfigError::key(
            Layer::Merged(file.map(Path::to_owned)),
            "debug.fault_injection",
            "the production profile refuses it",
            "remove it, or set profile = \"development\" where nothing is at stake",
        ));
    }
    Ok(())
}

/// Applies a profile to this process, for the rest of its life. What the system refuses is said and
/// ends nothing: a service manager may have set it already, and stricter.
pub fn apply(profile: Profile) {
    raise_descriptors();
    if profile == Profile::Development {
        return;
    }
    // Whatever is to be readable by others says so where it is made.
    umask(Mode::from_bits_truncate(0o077));
    // Memory holds credentials; a core file would write them to disk.
    let cores = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    if let Err(error) = cores.and_then(|()| prctl::set_dumpable(false)) {
        warn!("core dumps could not be switched off: {error}");
    }
    if nix::unistd::geteuid().is_root() {
        warn!("running as root: give signalcore a user of its own (see systemd/README.md)");
    }
}

fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(DESCRIPTORS);
        if soft >= wanted {
            return Ok(soft);
        }
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map(|()| wanted)
    });
    match raised {
        Ok(limit) => debug!("up to {limit} file descriptors"),
        Err(error) => warn!("the limit of file descriptors could not be raised: {error}"),
    }
}
