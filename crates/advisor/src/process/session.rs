//! A command for many questions.

use super::running::{Event, Running};
use super::{Failure, is_blank, too_large};
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
        // Nobody listens to it any more; how it ended, where it did by itself, is still to be told.
        self.running.let_go();
        while !self.gone && self.end.is_none() {
            match self.running.next().await {
                Event::Report(report) => self.note(report)?,
                Event::Gone => self.gone = true,
                _ => {}
            }
        }
        Err(match self.end {
            Some(End::Told) => Failure::new(Outcome::Empty, "it closed its output"),
            end => Failure::ended(end),
        })
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
