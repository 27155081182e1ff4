//! What commands print on stdout: one JSON document to a line, or text for people.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use serde::Serialize;
use tracing::warn;

use crate::logging;

/// How long the last word of a run waits for somebody to take it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where results go. A reader that went away (EPIPE) is no error: nobody is left to tell.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// `json`: documents instead of text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `document` as compact JSON under `--json`, and `text` otherwise.
    pub fn result(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = self.shape(document, text)?;
        Ok(write(&text)?)
    }

    /// The same for a program that must end whether anybody reads its result or not: a terminal that was
    /// stopped, or a pipe that is full, is waited for a few seconds.
    #[allow(
        clippy::disallowed_methods,
        reason = "a thread that may hang for ever, at the very end of the process"
    )]
    pub fn last_word(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = self.shape(document, text)?;
        let (done, written) = mpsc::channel();
        thread::Builder::new()
            .name("stdout".into())
            .spawn(move || done.send(write(&text)))?;
        if let Ok(result) = written.recv_timeout(PATIENCE) {
            return Ok(result?);
        }
        warn!("nobody takes the result from stdout; ending without");
        Ok(())
    }

    fn shape(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> serde_json::Result<String> {
        if self.json {
            serde_json::to_string(document)
        } else {
            Ok(text())
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    // What was logged before it stands before it.
    logging::flush();
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        // A terminal that is gone; of a file it is a disk that fails.
        Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) && !is_file(&stdout) => {
            Ok(())
        }
        other => other,
    }
}

fn is_file(stdout: impl AsFd) -> bool {
    fstat(stdout)
        .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

/// Says on stderr, and in the log file, why a command failed: one line, with causes that the message does
/// not already tell.
pub fn complain(error: &anyhow::Error) {
    let mut message = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !message.contains(&cause) {
            message.push_str(": ");
            message.push_str(&cause);
        }
    }
    logging::complain(&message);
}
