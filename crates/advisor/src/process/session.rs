//! A command for many questions.

use tokio::time::timeout;

use super::running::{Event, Running};
use super::{Failure, LAST_WORDS, is_blank, too_large};
use crate::jail::orders::{End, Report};
use crate::outcome::Outcome;

/// The most that may wait to be read by a command, in bytes.
const UNREAD_MAX: usize = 1024 * 1024;

/// A command that is asked line by line, until it ends or this is dropped.
#[derive(Debug)]
pub struct Session {
    running: Running,
    end: Option<End>,
    gone: bool,
    silent: bool,
}

impl Session {
    pub(super) fn new(running: Running) -> Self {
        Self {
            running,
            end: None,
            gone: false,
            silent: false,
        }
    }

    /// Gives it a line. It is written while [`Self::receive`] is waited for.
    ///
    /// # Errors
    /// It has not read what it was given before.
    pub fn send(&mut self, line: &[u8]) -> Result<(), Failure> {
        if self.running.unread() + line.len() > UNREAD_MAX {
            return Err(Failure::new(
                Outcome::Timeout,
                "it does not read what it is asked",
            ));
        }
        self.running.give(line);
        Ok(())
    }

    /// Its next line, which may be blank. Cancelling loses nothing.
    ///
    /// # Errors
    /// It ended, closed its output or wrote too long a line; there is nothing more to come.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        while !self.silent {
            match self.running.next().await {
                Event::Line(line) => return Ok(line),
                Event::TooLarge => return Err(too_large()),
                Event::OutputEnd(rest) => {
                    self.silent = true;
                    if !is_blank(&rest) {
                        return Ok(rest);
                    }
                }
                Event::Report(report) => self.note(report)?,
                Event::Gone => self.gone = true,
            }
        }
        // How it ended is told soon after, unless it goes on where nobody can hear it.
        let told = async {
            while !self.gone && self.end.is_none() {
                match self.running.next().await {
                    Event::Report(report) => self.note(report)?,
                    Event::Gone => self.gone = true,
                    _ => {}
                }
            }
            Ok(())
        };
        match timeout(LAST_WORDS, told).await {
            Ok(Ok(())) => Err(Failure::ended(self.end)),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::new(Outcome::Empty, "it closed its output")),
        }
    }

    /// Ends it, and resolves when nothing of it is left.
    pub async fn end(mut self) {
        self.running.end().await;
    }

    fn note(&mut self, report: Report) -> Result<(), Failure> {
        match report {
            Report::Failed(why) => return Err(Failure::new(Outcome::SpawnFailure, why)),
            Report::Ended(end) => self.end = Some(end),
            Report::Started(_) => {}
        }
        Ok(())
    }
}
