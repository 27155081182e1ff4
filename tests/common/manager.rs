//! A service manager's end of the notification protocol: a real datagram socket.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::PATIENCE;

/// What a started program tells its service manager.
pub struct Manager {
    socket: UnixDatagram,
    dir: TempDir,
    /// Every line so far, in order.
    heard: Vec<String>,
    /// How many of them came before what was waited for last, that included.
    seen: usize,
}

impl Manager {
    /// Listens.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        Self {
            socket,
            dir,
            heard: Vec::new(),
            seen: 0,
        }
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("notify")
    }

    /// Every line so far, in order.
    pub fn heard(&self) -> &[String] {
        &self.heard
    }

    /// How often a line came so far.
    pub fn count(&self, line: &str) -> usize {
        self.heard.iter().filter(|heard| *heard == line).count()
    }

    /// Listens until a line comes, after the one waited for last, for which `is_it` says so.
    pub fn until(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(line) = self.heard.get(self.seen) {
                self.seen += 1;
                if is_it(line) {
                    return line.clone();
                }
            }
            assert!(
                Instant::now() < deadline,
                "{what} was not heard; heard: {:#?}",
                self.heard
            );
            let lines = self.next(Duration::from_millis(200));
            self.heard.extend(lines);
        }
    }

    /// Listens until a line has this beginning.
    pub fn until_line(&mut self, beginning: &str) -> String {
        self.until(beginning, |line| line.starts_with(beginning))
    }

    /// Takes in what has come, until there is silence for `silence`.
    pub fn drain(&mut self, silence: Duration) {
        loop {
            let lines = self.next(silence);
            if lines.is_empty() {
                return;
            }
            self.heard.extend(lines);
        }
    }

    /// The lines of the next datagram; none after `wait`.
    fn next(&self, wait: Duration) -> Vec<String> {
        self.socket.set_read_timeout(Some(wait)).unwrap();
        let mut buffer = [0; 8192];
        let Ok(length) = self.socket.recv(&mut buffer) else {
            return Vec::new();
        };
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}
