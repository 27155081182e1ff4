//! What commands print on stdout: one JSON document to a line, or text for people.

use std::io::{self, Write};

use serde::Serialize;

use crate::logging;

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
        if self.json {
            write(&serde_json::to_string(document)?)
        } else {
            write(&text())
        }
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    // What was logged before it stands before it.
    logging::flush();
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
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
