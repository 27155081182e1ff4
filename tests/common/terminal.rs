//! Who sits at stderr: a terminal with somebody who reads it, and somebody who stops reading.

#![allow(
    clippy::disallowed_methods,
    reason = "a thread that only reads needs no supervisor"
)]

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use rustix::termios::{tcgetwinsize, tcsetwinsize};

use super::until;

/// A pseudo-terminal.
pub struct Terminal {
    master: Arc<File>,
    slave: Option<OwnedFd>,
    closed: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Terminal {
    /// One of this width.
    pub fn new(columns: u16) -> Self {
        // Closed in every program that some other test may be starting right now: a terminal is gone
        // only when nobody holds it.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(ptsname_r(&master).unwrap())
            .unwrap();
        let terminal = Self {
            master: Arc::new(File::from(OwnedFd::from(master))),
            slave: Some(slave.into()),
            closed: Arc::default(),
            watcher: None,
        };
        terminal.resize(columns);
        terminal
    }

    /// The side of the program. Taken once: afterwards the program alone holds it.
    pub fn slave(&mut self) -> OwnedFd {
        self.slave.take().expect("it was not taken yet")
    }

    /// Somebody drags its edge.
    pub fn resize(&self, columns: u16) {
        let mut size = tcgetwinsize(&self.master).unwrap();
        (size.ws_row, size.ws_col) = (24, columns);
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// Reads from now on.
    pub fn watched(&mut self) -> Screen {
        let screen = Screen(Arc::default());
        let (master, closed) = (Arc::clone(&self.master), Arc::clone(&self.closed));
        let seen = screen.clone();
        self.watcher = Some(thread::spawn(move || {
            while !closed.load(Ordering::Relaxed) {
                let mut ready = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
                if poll(&mut ready, PollTimeout::from(20_u8)) == Ok(0) {
                    continue;
                }
                let mut bytes = [0; 4096];
                // A terminal whose program has ended gives EIO.
                let Ok(count @ 1..) = (&*master).read(&mut bytes) else {
                    return;
                };
                seen.0.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        }));
        screen
    }

    /// Closes it, as whoever closes its window does.
    pub fn hang_up(mut self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.join().unwrap();
        }
        assert!(
            Arc::into_inner(self.master).is_some(),
            "nobody else holds it"
        );
    }
}

/// Everything that was read so far.
#[derive(Clone)]
pub struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    /// Reads `from` until there is nothing any more.
    pub fn of(mut from: impl std::io::Read + Send + 'static) -> Self {
        let screen = Self(Arc::default());
        let seen = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                seen.0.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        screen
    }

    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until it shows something.
    pub fn until(&self, what: &str, look: impl Fn(&str) -> bool) -> String {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || Some(self.text()).filter(|text| look(text)))
        }));
        found.unwrap_or_else(|_| panic!("{what}; on the screen: {:?}", self.text()))
    }
}

/// The status lines that were drawn in full, in order, without what colours them.
pub fn status_lines(text: &str) -> Vec<String> {
    text.split("\x1b[?7l")
        .skip(1)
        .filter_map(|rest| rest.split_once("\x1b[K\x1b[?7h"))
        .map(|(line, _)| plain(line))
        .collect()
}

/// The text without its escape sequences.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            rest.find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}
