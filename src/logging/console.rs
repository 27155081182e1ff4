//! The thread that writes to stderr. Nobody else does, so that a terminal that was stopped, or a pipe
//! that nobody reads, stops nothing but this thread.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

use super::Shared;
use super::manner::Manner;
use super::record::Record;
use super::screen::Screen;

/// Time between two turns of the spinner.
const TURN: Duration = Duration::from_millis(125);
/// Time between two looks while there is no terminal.
const IDLE: Duration = Duration::from_hours(1);
/// Most messages written at once.
const BATCH: usize = 256;
/// How long a stderr that refuses to block is waited for.
const WAIT_MS: u16 = 1_000;
/// The width of a terminal that does not tell.
const COLUMNS: usize = 80;

/// What the thread is told.
#[derive(Debug)]
pub enum Order {
    /// Show it.
    Show(Arc<Record>),
    /// Say it, whatever the manner.
    Say(String),
    /// Look at the manner.
    Look,
    /// Take the status line away, and say when everything before this is written.
    Flush(SyncSender<()>),
}

/// The thread's state.
pub struct Console {
    shared: &'static Shared,
    stderr: File,
    screen: Screen,
}

impl Console {
    /// A console on this process's stderr.
    ///
    /// # Errors
    /// There is no stderr.
    pub fn new(shared: &'static Shared) -> io::Result<Self> {
        // A descriptor of its own: Rust's stderr has a lock, which must not be held while a write blocks.
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let utf8 = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .is_some_and(|value| value.to_ascii_lowercase().replace('-', "").contains("utf8"));
        Ok(Self {
            shared,
            stderr: File::from(stderr),
            screen: Screen::new(utf8),
        })
    }

    /// Works until nobody can give orders any more.
    pub fn run(&mut self, orders: &Receiver<Order>) {
        // A terminal may be set to stop background jobs that write to it (tostop): not the miner.
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTTOU);
        // If it fails, it stays as everywhere else.
        let _ = stop.thread_block();
        loop {
            let patience = match self.shared.manner() {
                Manner::Live => TURN,
                _ => IDLE,
            };
            let first = match orders.recv_timeout(patience) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.work(first.into_iter().chain(orders.try_iter()));
        }
    }

    fn work(&mut self, orders: impl Iterator<Item = Order>) {
        let manner = self.shared.manner();
        let mut lines = String::new();
        let mut count = 0;
        let mut flushed = None;
        for order in orders.take(BATCH) {
            match order {
                Order::Show(record) => lines.push_str(&self.line(&record, manner)),
                Order::Say(text) => lines.push_str(&said(&text, manner)),
                Order::Look => continue,
                Order::Flush(done) => {
                    flushed = Some(done);
                    break;
                }
            }
            count += 1;
        }
        if manner != Manner::Gone {
            let dropped = self.shared.console.take_dropped();
            if dropped > 0 {
                self.shared.book.unshown.add(dropped);
                let text = format!("{dropped} lines could not be shown in time");
                lines.push_str(&said(&text, manner));
            }
            let bytes = self.compose(&lines, manner, flushed.is_some());
            if let Err(error) = self.write(bytes.as_bytes()) {
                self.shared.book.unshown.add(count);
                if is_gone(&error) {
                    self.shared.stderr_is_gone(&error);
                }
            }
        }
        if let Some(done) = flushed {
            // Whoever asked may have given up.
            let _ = done.send(());
        }
    }

    /// The bytes for these lines, and for the status line below them.
    fn compose(&mut self, lines: &str, manner: Manner, last: bool) -> String {
        let mut bytes = String::new();
        let shown = match manner {
            Manner::Live if !last && self.in_foreground() => self.shared.book.shown(),
            _ => None,
        };
        if !lines.is_empty() || shown.is_none() {
            bytes.push_str(self.screen.erase());
        }
        bytes.push_str(lines);
        if let Some((line, since)) = shown {
            let silent_for = Instant::now().saturating_duration_since(since);
            bytes.push_str(&self.screen.draw(&line, silent_for, self.columns()));
        }
        bytes
    }

    fn line(&self, record: &Record, manner: Manner) -> String {
        match manner {
            Manner::Gone => String::new(),
            Manner::Journal { .. } => record.for_journal(),
            Manner::Live => record.for_eyes(true, self.shared.verbose()),
            Manner::Plain { color } => record.for_eyes(color, self.shared.verbose()),
            Manner::Silent => record.for_eyes(false, true),
        }
    }

    /// Whether the terminal is this process's to draw on: not while it is a background job.
    fn in_foreground(&self) -> bool {
        // Not our controlling terminal: nobody else's job either.
        tcgetpgrp(&self.stderr).is_ok_and(|group| group == getpgrp())
            || tcgetpgrp(&self.stderr).is_err()
    }

    fn columns(&self) -> usize {
        match tcgetwinsize(&self.stderr) {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            _ => COLUMNS,
        }
    }

    /// Writes everything, or fails. Blocks for as long as whoever reads it pleases.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stderr.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process made it non-blocking, for all who share it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut stderr = [PollFd::new(self.stderr.as_fd(), PollFlags::POLLOUT)];
                    if poll(&mut stderr, PollTimeout::from(WAIT_MS)) == Ok(0) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A line that is said whatever the manner.
fn said(text: &str, manner: Manner) -> String {
    let mut said = String::new();
    let prefix = match manner {
        Manner::Gone => return said,
        Manner::Journal { .. } => "<3>",
        _ => "",
    };
    for line in text.lines() {
        let _ = writeln!(said, "{prefix}{line}");
    }
    said
}

/// Whether nothing written after this error will ever arrive.
fn is_gone(error: &io::Error) -> bool {
    use Errno::{EBADF, ECONNRESET, EDESTADDRREQ, EIO, ENODEV, ENOTCONN, ENXIO, EPIPE, ESHUTDOWN};
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            EPIPE | EIO | EBADF | ENXIO | ENODEV | ECONNRESET | ENOTCONN | ESHUTDOWN | EDESTADDRREQ
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_told_apart_from_a_full_disk() {
        for errno in [Errno::EPIPE, Errno::EIO] {
            assert!(is_gone(&io::Error::from(errno)), "{errno}");
        }
        for errno in [Errno::ENOSPC, Errno::EAGAIN, Errno::EINTR] {
            assert!(!is_gone(&io::Error::from(errno)), "{errno}");
        }
    }

    #[test]
    fn each_line_of_what_is_said_has_a_priority_under_the_journal() {
        let journal = Manner::Journal { verbose: false };
        assert_eq!(said("a\nb", journal), "<3>a\n<3>b\n");
        assert_eq!(said("a", Manner::Silent), "a\n");
        assert_eq!(said("a", Manner::Gone), "");
    }
}
