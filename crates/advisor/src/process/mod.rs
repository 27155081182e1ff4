//! Commands in the [`jail`](crate::jail), as the asker sees them.
//!
//! [`Jail::ask_once`] starts a command for one question; a [`Session`] keeps one for many. Nothing here needs a thread
//! or a task of its own: what a command writes is read while somebody waits for it.

mod lines;
mod noise;
mod running;
mod session;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::jail::orders::{Cell, End, Report, Shelter};
use crate::outcome::Outcome;
use noise::Gate;
use running::{Event, Running};

pub use noise::Noise;
pub use session::Session;

/// The hidden command of the program that is the jail.
pub const COMMAND: &str = "advisor-jail";

/// The most that a command may answer, in bytes.
pub const REPLY_MAX: usize = 64 * 1024;

/// How long a command that has closed its output may take to end, before its answer counts as empty.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a jail may take to end everything in it, before that is left to later.
const EMPTYING: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// In one word.
    pub outcome: Outcome,
    /// In many.
    pub detail: String,
}

impl Failure {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            detail: detail.into(),
        }
    }

    /// Of a command that ended without an answer.
    fn ended(end: Option<End>) -> Self {
        match end {
            Some(End::Exit(0)) => Self::new(Outcome::Empty, "it ended without a word"),
            Some(End::Exit(code)) => {
                Self::new(Outcome::Crash, format!("it ended with code {code}"))
            }
            Some(End::Signal(signal)) => {
                let name = nix::sys::signal::Signal::try_from(signal)
                    .map_or("unknown", |signal| signal.as_str());
                Self::new(
                    Outcome::Signal,
                    format!("it was ended by signal {signal} ({name})"),
                )
            }
            Some(End::Deadline) => Self::new(Outcome::Timeout, "it was ended at its deadline"),
            Some(End::Tasks(tasks)) => Self::new(
                Outcome::Signal,
                format!("it was ended for its {tasks} processes and threads"),
            ),
            Some(End::Memory(bytes)) => Self::new(
                Outcome::Signal,
                format!("it was ended for its {} MiB of memory", bytes >> 20),
            ),
            Some(End::Told) => Self::new(Outcome::Signal, "its jail was told to end it"),
            None => Self::new(Outcome::Signal, "its jail was killed"),
        }
    }
}

/// Starts commands, and knows which of them are still ending. Clones are the same.
#[derive(Debug, Clone)]
pub struct Jail {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// Jails that were let go of and have not been reaped.
    leaving: Mutex<Vec<Child>>,
    shelter: Mutex<Option<Shelter>>,
    gate: Mutex<Gate>,
}

/// Nothing under these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jail {
    /// The one that is this program's own [`COMMAND`].
    pub fn of_this_program() -> Self {
        // Not by its name on disk, which may be another version's by now.
        Self::new("/proc/self/exe", [COMMAND])
    }

    /// One that is started by this program with these arguments.
    pub fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                program: program.into(),
                arguments: arguments.into_iter().map(Into::into).collect(),
                leaving: Mutex::default(),
                shelter: Mutex::default(),
                gate: Mutex::new(Gate::new(Instant::now())),
            }),
        }
    }

    /// What of the protection that depends on the kernel was in force when a command was last started.
    pub fn shelter(&self) -> Option<Shelter> {
        lock(&self.shared.shelter).clone()
    }

    /// What all commands together wrote to their standard error.
    pub fn noise(&self) -> Noise {
        lock(&self.shared.gate).noise()
    }

    /// Starts a command, gives it one line, and waits at most `limit` for one line, or for less than a line and the
    /// end. When this returns nothing of the command is left; where it is cancelled, that is so soon after.
    ///
    /// # Errors
    /// There is no such line, and why: `Empty`, `Timeout`, `Crash`, `Signal`, `TooLarge` or `SpawnFailure`.
    pub async fn ask_once(
        &self,
        cell: &Cell,
        request: &[u8],
        limit: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let mut running = Running::start(&self.shared, cell, Some(limit)).map_err(|error| {
            Failure::new(
                Outcome::SpawnFailure,
                format!("the jail did not start: {error}"),
            )
        })?;
        running.give(request);
        running.close_input();
        let answer = timeout(limit, answer(&mut running)).await;
        running.end().await;
        answer.unwrap_or_else(|_| {
            let seconds = limit.as_secs_f64();
            Err(Failure::new(
                Outcome::Timeout,
                format!("no whole reply within {seconds} s"),
            ))
        })
    }

    /// Starts a command for many questions.
    ///
    /// # Errors
    /// The jail cannot be started. Whether the command can is known when the session is first waited for.
    pub fn open(&self, cell: &Cell) -> Result<Session, Failure> {
        Running::start(&self.shared, cell, None)
            .map(Session::new)
            .map_err(|error| {
                Failure::new(
                    Outcome::SpawnFailure,
                    format!("the jail did not start: {error}"),
                )
            })
    }

    /// Resolves once nothing is left of any command that was let go of.
    pub async fn settled(&self) {
        while !self.shared.reap() {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Shared {
    /// Whether all jails that were let go of have ended.
    fn reap(&self) -> bool {
        let mut leaving = lock(&self.leaving);
        leaving.retain_mut(is_alive);
        leaving.is_empty()
    }
}

/// Whether a jail has not ended yet; reaped if it has.
fn is_alive(jail: &mut Child) -> bool {
    matches!(jail.try_wait(), Ok(None))
}

/// The answer of a command that was asked once.
async fn answer(running: &mut Running) -> Result<Vec<u8>, Failure> {
    let mut room = REPLY_MAX;
    let mut silent = false;
    let mut end = None;
    let mut gone = false;
    while !(silent && (gone || end.is_some())) {
        let event = if silent {
            let Ok(event) = timeout(LAST_WORDS, running.next()).await else {
                return Err(Failure::new(
                    Outcome::Empty,
                    "it closed its output without a word",
                ));
            };
            event
        } else {
            running.next().await
        };
        match event {
            Event::Line(line) if is_blank(&line) => {
                room = room.checked_sub(line.len() + 1).ok_or_else(too_large)?;
            }
            Event::Line(line) => return Ok(line),
            Event::TooLarge => return Err(too_large()),
            Event::OutputEnd(rest) if is_blank(&rest) => silent = true,
            Event::OutputEnd(rest) => return Ok(rest),
            Event::Report(Report::Failed(why)) => {
                return Err(Failure::new(Outcome::SpawnFailure, why));
            }
            Event::Report(Report::Started(_)) => {}
            Event::Report(Report::Ended(how)) => end = Some(how),
            Event::Gone => gone = true,
        }
    }
    Err(Failure::ended(end))
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

fn too_large() -> Failure {
    Failure::new(
        Outcome::TooLarge,
        format!("more than {REPLY_MAX} bytes came"),
    )
}
