//! `advisor`: the built-in advisor on standard input and output, for one question or for as many as come.

use std::io::{self, BufRead, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actors::stats::{replace_file, set_aside};
use advisor::model::{Limits, Model};
use advisor::protocol::{REQUEST_MOST, Request, schema};
use anyhow::Context as _;
use time::OffsetDateTime;
use tracing::warn;

use crate::cli::Advisor;
use crate::exit::Exit;
use crate::output::Output;

/// What was learnt is written no more often than this, but for the first time.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// A file of what was learnt has about 1 kB.
const STATE_MOST: u64 = 64 * 1024;

/// Runs the command. 1 if any question was none.
///
/// # Errors
/// Standard input cannot be read, or standard output cannot be written.
pub fn run(options: &Advisor, output: Output) -> anyhow::Result<Exit> {
    if options.schema {
        let schema = schema();
        output.result(&schema, || format!("{schema:#}"))?;
        return Ok(Exit::Ok);
    }
    let limits = Limits {
        temperature_max_c: options.temperature_max_c,
        memory_min_mb: options.memory_min_mb,
    };
    let mut memory = Memory::open(options.state.as_deref(), limits)?;
    let exit = serve(io::stdin().lock(), io::stdout().lock(), &mut memory)?;
    memory.save();
    Ok(exit)
}

/// Answers line by line, until the questions end or nobody takes the answers.
fn serve(
    mut questions: impl BufRead,
    mut answers: impl Write,
    memory: &mut Memory,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Ok;
    loop {
        let mut line = Vec::new();
        let most = REQUEST_MOST as u64 + 1;
        let length = questions
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut line)
            .context("cannot read a question from standard input")?;
        if length == 0 {
            return Ok(exit);
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let request = match Request::parse(&line) {
            Ok(request) => request,
            Err(error) if length as u64 == most => return Err(error.into()),
            Err(error) => {
                warn!("not answered: {error}");
                exit = Exit::Failed;
                continue;
            }
        };
        let answer = memory.answer(&request)?;
        let written = answers
            .write_all(answer.as_bytes())
            .and_then(|()| answers.flush());
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(exit),
            Err(error) => return Err(error).context("cannot write an answer to standard output"),
        }
    }
}

/// The model, and the file that it comes from and goes to, where there is one.
struct Memory {
    limits: Limits,
    model: Option<Model>,
    path: Option<PathBuf>,
    saved: Option<Instant>,
    /// Something was learnt since.
    unsaved: bool,
}

impl Memory {
    /// What is in the file; a fresh start where there is none, or where it cannot be used and is set aside.
    fn open(path: Option<&Path>, limits: Limits) -> anyhow::Result<Self> {
        let path = path
            .map(|path| std::path::absolute(path).context("cannot tell where --state is"))
            .transpose()?;
        let model = path.as_deref().and_then(|path| {
            read(path).unwrap_or_else(|why| {
                put_away(path, &why);
                None
            })
        });
        Ok(Self {
            limits,
            model,
            path,
            saved: None,
            unsaved: false,
        })
    }

    /// Learns from the question and answers it. What was learnt is saved first: whoever has the answer may end us.
    fn answer(&mut self, request: &Request) -> anyhow::Result<String> {
        let model = self
            .model
            .get_or_insert_with(|| Model::new(&request.network));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.unsaved |= model.learn(request, now.unwrap_or_default().as_secs_f64());
        let answer = model.advise(request, &self.limits).to_line()?;
        if self.saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            self.save();
        }
        Ok(answer)
    }

    /// Writes what was learnt since the last time. Advice does not depend on it, so that a failure is said and no more.
    fn save(&mut self) {
        if let (true, Some(model), Some(path)) = (self.unsaved, &self.model, &self.path) {
            let written = serde_json::to_vec(model)
                .map_err(io::Error::from)
                .and_then(|bytes| replace_file(path, &bytes));
            if let Err(error) = written {
                warn!("what was learnt is not saved: {error}");
            }
            self.saved = Some(Instant::now());
            self.unsaved = false;
        }
    }
}

/// The model in a file; none where there is no file.
fn read(path: &Path) -> Result<Option<Model>, String> {
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(STATE_MOST).read_to_end(&mut bytes));
    match read {
        Ok(_) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("it is damaged: {error}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

fn put_away(path: &Path, why: &str) {
    let what = path.display();
    match set_aside(path, OffsetDateTime::now_utc()) {
        Ok(aside) => warn!(
            "{what} cannot be used: {why}. It is set aside as {}; learning begins anew",
            aside.display()
        ),
        Err(error) => warn!(
            "{what} cannot be used: {why}. It cannot be set aside either: {error}. Learning begins anew"
        ),
    }
}
