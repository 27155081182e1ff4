//! One command that is asked many questions, and what it says that answers none.

use std::time::{Duration, Instant};

use crate::dossier::Dossier;
use crate::jail::orders::Cell;
use crate::outcome::Outcome;
use crate::process::{Failure, Jail, Session};
use crate::protocol::{Misreply, Reply};

/// Lines that answer no question which are passed over from one good reply to the next.
const STRAYS_MOST: u32 = 16;
/// No question has this name.
const NOBODY: &str = "";

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Unheard {
    /// What came is none. It may be asked again.
    Misreply(Misreply),
    /// Nothing more is to be expected of this command.
    Over(Failure),
}

/// A running command that is asked line by line.
#[derive(Debug)]
pub(crate) struct Conversation {
    session: Session,
    /// Since when it owes an answer without having written a line.
    silent_since: Option<Instant>,
    /// Lines since its last good reply that answered no question.
    strays: u32,
}

impl Conversation {
    pub fn open(jail: &Jail, cell: &Cell) -> Result<Self, Failure> {
        Ok(Self {
            session: jail.open(cell)?,
            silent_since: None,
            strays: 0,
        })
    }

    /// Whether it has owed an answer for at least `longest` and not written a line.
    pub fn is_hung(&self, now: Instant, longest: Duration) -> bool {
        self.silent_since
            .is_some_and(|since| now.saturating_duration_since(since) >= longest)
    }

    /// Gives it the line of a question. An error is the end of it.
    pub fn send(&mut self, line: &str, now: Instant) -> Result<(), Failure> {
        self.session.send(line.as_bytes())?;
        self.silent_since.get_or_insert(now);
        Ok(())
    }

    /// Its reply to question `id`. Replies to other questions are counted and passed over. Cancelling loses nothing.
    pub async fn reply(&mut self, id: &str, dossier: &Dossier) -> Result<Reply, Unheard> {
        loop {
            let line = self.line().await.map_err(Unheard::Over)?;
            match Reply::parse(&line, id) {
                Ok(reply) => {
                    self.strays = 0;
                    return Ok(reply);
                }
                Err(misreply @ Misreply::WrongId(_)) => {
                    dossier.strayed(&misreply);
                    self.stray().map_err(Unheard::Over)?;
                }
                Err(misreply) => return Err(Unheard::Misreply(misreply)),
            }
        }
    }

    /// Counts what it writes without being asked, and resolves when it ends or has written too much. Cancelling loses
    /// nothing.
    pub async fn unasked(&mut self, dossier: &Dossier) -> Failure {
        loop {
            let heard = match self.line().await {
                Ok(line) => {
                    if let Err(misreply) = Reply::parse(&line, NOBODY) {
                        dossier.strayed(&misreply);
                    }
                    self.stray()
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = heard {
                return failure;
            }
        }
    }

    /// Resolves when nothing of it is left.
    pub async fn end(self) {
        self.session.end().await;
    }

    async fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let line = self.session.receive().await?;
        self.silent_since = None;
        Ok(line)
    }

    fn stray(&mut self) -> Result<(), Failure> {
        self.strays += 1;
        if self.strays <= STRAYS_MOST {
            return Ok(());
        }
        Err(Failure {
            outcome: Outcome::WrongId,
            detail: format!("more than {STRAYS_MOST} lines in a row answer no question"),
        })
    }
}
