//! Memory that can still be had: under the limits of the control groups of this process, and of the machine.

use std::path::{Path, PathBuf};

use procfs::{FromRead as _, Meminfo, ProcessCGroups};

use super::machine::{Roots, text};
use super::samples::Memory;

/// Version 1 shows "no limit" as a number beyond any memory.
const NO_LIMIT: u64 = 1 << 60;

/// Of the limits that bind, the one with the least share left; none where nothing can be read.
pub(super) fn read(roots: &Roots) -> Option<Memory> {
    let groups = ProcessCGroups::from_file(roots.proc.join("self/cgroup"))
        .map(|groups| groups.0)
        .unwrap_or_default();
    let mut all: Vec<Memory> = machine(&roots.proc).into_iter().collect();
    for group in groups {
        if group.hierarchy == 0 && group.controllers.is_empty() {
            // Beside version 1 the hierarchy of version 2 is mounted below.
            for mount in [roots.cgroup.clone(), roots.cgroup.join("unified")] {
                all.extend(upwards(&mount, &group.pathname).filter_map(|dir| version_2(&dir)));
            }
        } else if group.controllers.iter().any(|name| name == "memory") {
            let mount = roots.cgroup.join("memory");
            all.extend(upwards(&mount, &group.pathname).filter_map(|dir| version_1(&dir)));
        }
    }
    all.into_iter()
        .min_by(|one, other| one.share().total_cmp(&other.share()))
}

fn machine(proc: &Path) -> Option<Memory> {
    let info = Meminfo::from_file(proc.join("meminfo")).ok()?;
    Some(Memory {
        available: info.mem_available.unwrap_or(info.mem_free),
        limit: info.mem_total,
        of: "the machine".to_owned(),
    })
}

/// The group's directory and those above it: a limit of any of them binds.
///
/// In a container the path may be one of the host; then only the mount's own root is there.
fn upwards(mount: &Path, group: &str) -> impl Iterator<Item = PathBuf> {
    let mount = mount.to_owned();
    let own = mount.join(group.trim_start_matches('/'));
    let dirs: Vec<PathBuf> = own
        .ancestors()
        .take_while(|dir| dir.starts_with(&mount))
        .map(Path::to_owned)
        .collect();
    dirs.into_iter()
}

fn version_2(dir: &Path) -> Option<Memory> {
    let limit = [dir.join("memory.max"), dir.join("memory.high")]
        .iter()
        .filter_map(|file| text(file)?.parse::<u64>().ok())
        .min()?;
    group(dir, limit, "memory.current", "inactive_file")
}

fn version_1(dir: &Path) -> Option<Memory> {
    let limit = text(&dir.join("memory.limit_in_bytes"))?.parse().ok()?;
    group(dir, limit, "memory.usage_in_bytes", "total_inactive_file")
}

/// What the kernel would give back first, pages of files not used lately, is not counted as used.
fn group(dir: &Path, limit: u64, usage: &str, cache: &str) -> Option<Memory> {
    if limit >= NO_LIMIT {
        return None;
    }
    let used: u64 = text(&dir.join(usage))?.parse().ok()?;
    let cached = text(&dir.join("memory.stat"))
        .and_then(|stat| {
            let line = stat.lines().find_map(|line| line.strip_prefix(cache))?;
            line.trim().parse::<u64>().ok()
        })
        .unwrap_or(0);
    Some(Memory {
        available: limit.saturating_sub(used.saturating_sub(cached)),
        limit,
        of: format!("the control group {}", dir.display()),
    })
}
