//! The jail: a small program of one thread around an advisor's command.
//!
//! It is this program's own binary, started twice. The `keeper` is child subreaper of everything below it: whatever
//! the command starts, however it detaches itself, stays the keeper's descendant. It ends all of them when its asker
//! lets go of the socket between them, when the deadline passes, when the command ends, and when there are too many
//! of them or they take too much memory. The second process, `inside`, takes the limits upon itself in ordinary
//! code and becomes the command.
//!
//! Asker and keeper speak through the keeper's standard input, a socket: orders with the command's own standard input
//! go down (`channel`), [`orders::Report`]s come up, and its end, from either side, is the end of everything.

mod calls;
mod channel;
mod files;
mod inside;
mod keeper;
mod kin;
pub mod orders;

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::process::ExitCode;

pub(crate) use channel::send;

/// The last argument of the second process.
const INSIDE: &str = "inside";

/// Runs the jail to its end. It takes its orders from standard input, so there is nothing to say on the command line.
pub fn main() -> ExitCode {
    close_inherited();
    let result = if std::env::args_os().next_back().as_deref() == Some(OsStr::new(INSIDE)) {
        inside::run()
    } else {
        keeper::run()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Who would read it has been told, or is gone.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Closes whatever the asker left open by mistake: it is not the jail's, and the command's least of all.
fn close_inherited() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let open: Vec<RawFd> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The one that the list was read through is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}
