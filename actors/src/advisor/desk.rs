//! What outlives every life of the advisor: its jail, what is known of it, and its track record.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use advisor::dossier::Dossier;
use advisor::process::Jail;
use advisor::record::Totals;
use serde::{Deserialize, Serialize};
use supervise::GenerationGuard;

use super::hindsight::Hindsight;
use super::settings::AdvisorSettings;
use crate::stats::{Scribe, set_aside};

/// Version of the file's form.
const VERSION: u32 = 1;

/// What outlives every life of the advisor. It belongs to whoever builds the tree.
#[derive(Debug)]
pub struct Desk {
    /// Where its commands run.
    pub jail: Jail,
    state: Mutex<State>,
    file: Option<Scribe>,
}

/// What is kept of an advisor.
#[derive(Debug, Default)]
pub struct State {
    /// Whose it is.
    command: Vec<String>,
    /// What is known of it.
    dossier: Option<Dossier>,
    /// Questions that were given up since the tip had changed.
    pub overtaken: u64,
    /// Its track record.
    pub hindsight: Hindsight,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    command: Vec<String>,
    record: Totals,
}

impl Desk {
    /// Nothing is known of anybody, and nothing is kept.
    pub fn new(jail: Jail) -> Self {
        Self {
            jail,
            state: Mutex::default(),
            file: None,
        }
    }

    /// Goes on with the track record in `path`, and keeps it there. A file that cannot be used is said and set aside.
    ///
    /// # Errors
    /// The system gives no thread to write with.
    pub fn open(jail: Jail, path: &Path, now: SystemTime) -> io::Result<Self> {
        let state = read(path).unwrap_or_else(|why| {
            let fate = match set_aside(path, now.into()) {
                Ok(aside) => format!("it is set aside as {}", aside.display()),
                Err(error) => format!("it could not be set aside ({error}) and will be replaced"),
            };
            tracing::warn!(
                "the advisor's track record, {}, cannot be used: {why}; {fate}, and a new one begins",
                path.display()
            );
            State::default()
        });
        Ok(Self {
            jail,
            state: Mutex::new(state),
            file: Some(Scribe::start(path.to_owned())?),
        })
    }

    /// From now on this advisor is asked. Another one begins with nothing; the same goes on with its counts and its
    /// track record, and has another chance where it was left alone. What is known of it is for each who asks.
    pub fn take_up(&self, settings: &AdvisorSettings) -> Dossier {
        let mut state = self.state();
        if state.command != settings.command {
            *state = State {
                command: settings.command.clone(),
                ..State::default()
            };
        }
        let counts = state.dossier.as_ref().map(Dossier::counts);
        let dossier = settings.dossier(counts.unwrap_or_default());
        state.dossier = Some(dossier.clone());
        dossier
    }

    /// What is kept. Nothing that can panic runs under the lock.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the track record written. Never blocks.
    pub fn keep(&self, guard: GenerationGuard, now: Instant) {
        let Some(file) = &self.file else { return };
        let state = self.state();
        let document = Document {
            version: VERSION,
            command: state.command.clone(),
            record: state.hindsight.totals().clone(),
        };
        drop(state);
        // Numbers and words: nothing in it can fail to be written.
        file.write(
            guard,
            serde_json::to_vec(&document).unwrap_or_default(),
            now,
        );
    }
}

fn read(path: &Path) -> Result<State, String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let document: Document =
        serde_json::from_slice(&text).map_err(|error| format!("it is damaged: {error}"))?;
    if document.version != VERSION {
        return Err(format!(
            "it has version {}, and this program knows version {VERSION}",
            document.version
        ));
    }
    Ok(State {
        command: document.command,
        hindsight: Hindsight::resume(document.record),
        ..State::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::settings::fixtures;
    use super::*;

    fn jail() -> Jail {
        Jail::new("/nonexistent", [""; 0])
    }

    #[test]
    fn a_track_record_belongs_to_a_command_and_goes_on_in_the_next_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("advisor.json");
        let open = || Desk::open(jail(), &path, SystemTime::now()).unwrap();
        let ours = fixtures::settings(&["builtin"]);
        let record = Totals {
            proceed: advisor::record::Tally {
                given: 3,
                right: 2,
                wrong: 1,
            },
            worthwhile: 2,
            confidence: 2.0,
            squares: 0.5,
            ..Totals::default()
        };
        let document = Document {
            version: VERSION,
            command: ours.command.clone(),
            record,
        };
        fs::write(&path, serde_json::to_vec(&document).unwrap()).unwrap();
        let desk = open();
        desk.take_up(&ours);
        assert_eq!(desk.state().hindsight.score().given, 3);
        desk.take_up(&fixtures::settings(&["another"]));
        assert_eq!(desk.state().hindsight.score().given, 0);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("advisor.json");
        for text in ["", "{}", "{\"version\":2,\"command\":[],\"record\":{}}"] {
            fs::write(&path, text).unwrap();
            let desk = Desk::open(jail(), &path, SystemTime::now()).unwrap();
            assert_eq!(desk.state().hindsight.score().given, 0, "{text}");
            assert!(!path.exists(), "{text}");
        }
    }
}
