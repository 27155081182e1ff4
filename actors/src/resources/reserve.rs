//! Descriptors that no client gets.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::machine::is_exhausted;

/// So many descriptors are kept free of clients, for connections to nodes, for files, and for children
/// that start again.
pub const RESERVE: u64 = 32;

/// Whether a client may be let in that holds a descriptor already: whether [`RESERVE`] are left beside it.
///
/// It looks at the process as it is at this moment, at the cost of reading a directory of `/proc`. Where
/// there is no limit, or no `/proc`, there is always room.
pub fn is_room_for_clients() -> bool {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return true;
    };
    match fs::read_dir("/proc/self/fd") {
        Ok(entries) => limit.saturating_sub(entries.count() as u64) >= RESERVE,
        Err(error) => !is_exhausted(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_far_from_its_limit_has_room() {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        // A test runner's own limit may be tiny; nothing is to be said then.
        assert!(limit < 512 || is_room_for_clients());
    }
}
