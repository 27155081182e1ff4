//! The log: into a file once the configuration is read, onto stderr for whoever watches, and counted.
//!
//! Nobody who logs ever waits. Two threads write, one the file and one stderr; each has a queue with a
//! bound, and what does not fit is counted and said. [`init`] comes first, [`attach`] when the
//! configuration has been read; what is logged between them is kept and gets into the file too.
//!
//! tracing-appender has such a queue, but says nothing of what it drops, swallows the writer's errors,
//! and can be flushed only by ending it.

mod console;
mod file;
mod lane;
mod layers;
mod manner;
mod record;
mod screen;
mod startup;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use actors::monitor::{LINE_TARGET, LogBook};
use tracing::{Level, error, info};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::{Command, Global};
use crate::config::Settings;
use crate::exit::{Exit, ExitError};
use console::Console;
use file::{Limits, LogFile};
use lane::Lane;
use manner::{Manner, Surroundings};
use record::Record;
use writer::Writer;

/// Name of the log file in its directory.
const FILE_NAME: &str = "signalcore.log";
/// Where supervisors speak.
const SUPERVISION: &str = "signalcore_supervise";
/// Most records kept until there is a file.
const EARLY: usize = 1_000;
/// How long each of the two threads may take to write what it has, at the end.
const FLUSH: Duration = Duration::from_secs(1);

static SHARED: OnceLock<&'static Shared> = OnceLock::new();

/// What everybody who logs and both threads share.
#[derive(Debug)]
struct Shared {
    book: Arc<LogBook>,
    console: Lane<console::Order>,
    file: Lane<writer::Order>,
    /// Whether there is a file to write to.
    attached: AtomicBool,
    /// Whether the file is to be opened again.
    reopen: AtomicBool,
    /// Whether the file's path is given up: it is not begun anew when it goes.
    let_go: AtomicBool,
    verbose: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    /// Whether the result has been printed.
    concluded: bool,
    surroundings: Option<Surroundings>,
    /// What was logged before there was a file; none where there will be none.
    early: Option<Vec<Arc<Record>>>,
    path: Option<PathBuf>,
    /// The configuration file, where one was given.
    config: Option<PathBuf>,
}

/// Sets the log up. A command that stays and works will [`attach`] a file.
///
/// A second call in a process (a test that starts the program twice) begins a second run.
/// `SIGNALCORE_LOG` takes a filter such as `signalcore=debug`.
pub fn init(global: &Global, command: &Command) {
    let service = command.is_service();
    let surroundings = Surroundings::look(global, command);
    let shared = *SHARED.get_or_init(|| start(global));
    shared
        .verbose
        .store(surroundings.verbose, Ordering::Relaxed);
    let mut state = shared.state();
    state.manner = surroundings.manner();
    state.concluded = false;
    state.surroundings = Some(surroundings);
    state.config.clone_from(&global.config);
    state.early = service.then(Vec::new);
    drop(state);
    shared.look();
    if service {
        layers::log_panics();
    }
}

fn start(global: &Global) -> &'static Shared {
    let (console, console_orders) = Lane::new();
    let (file, file_orders) = Lane::new();
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        book: Arc::default(),
        console,
        file,
        attached: AtomicBool::new(false),
        reopen: AtomicBool::new(false),
        let_go: AtomicBool::new(false),
        verbose: AtomicBool::new(false),
        state: Mutex::new(State {
            manner: Manner::Silent,
            concluded: false,
            surroundings: None,
            early: None,
            path: None,
            config: None,
        }),
    }));
    // Without stderr, or without threads, there is nobody to tell that nothing can be told.
    if let Ok(mut console) = Console::new(shared) {
        spawn("stderr", move || console.run(&console_orders));
    }
    let mut writer = Writer::new(shared);
    spawn("log file", move || writer.run(&file_orders));
    layers::install(shared, global.verbose);
    shared
}

/// Starts a thread that lives as long as the process; [`finish`] waits for what it has, not for it. A
/// panic, which is logged, costs it the record that it was at.
#[allow(
    clippy::disallowed_methods,
    reason = "the log belongs to no child, and must outlive them all"
)]
fn spawn(name: &str, mut body: impl FnMut() + Send + 'static) {
    let forever = move || while catch_unwind(AssertUnwindSafe(&mut body)).is_err() {};
    drop(std::thread::Builder::new().name(name.into()).spawn(forever));
}

/// Opens the log file of these settings and logs to it, first what was logged so far; then tells, step
/// by step, what the program starts with. Later calls, with other settings, only change the log.
///
/// # Errors
/// Another instance writes to the same file (exit 75), or it cannot be opened (78). A full disk is no
/// error: lines are lost until there is room.
pub fn attach(settings: &Settings) -> anyhow::Result<()> {
    let Some(shared) = SHARED.get() else {
        return Ok(());
    };
    let path = settings.log_dir.join(FILE_NAME);
    let limits = Limits {
        max_size: settings.log_max_size,
        keep: settings.log_keep,
    };
    let known = shared.state().path.as_ref() == Some(&path);
    let first = !shared.attached.load(Ordering::Relaxed);
    let order = if known {
        writer::Order::Limit(limits)
    } else {
        let log = match LogFile::open(&path, limits) {
            Ok(log) => log,
            Err(error) if error.passes() => {
                error!("{error}");
                LogFile::closed(&path, limits)
            }
            Err(error) => {
                let exit = match error {
                    file::OpenError::Busy(_) => Exit::TryLater,
                    file::OpenError::Io { .. } => Exit::Config,
                };
                return Err(ExitError::new(exit, error.to_string()).into());
            }
        };
        writer::Order::Open(Box::new(log))
    };
    shared.let_go.store(false, Ordering::Relaxed);
    shared.file.order(order, Instant::now() + FLUSH);
    shared.attached(settings, path);
    if first {
        let (config, manner) = {
            let state = shared.state();
            (state.config.clone(), state.manner)
        };
        startup::tell(settings, config.as_deref(), manner);
    }
    Ok(())
}

/// The book of errors and warnings, for the board.
pub fn book() -> Arc<LogBook> {
    SHARED
        .get()
        .map(|shared| Arc::clone(&shared.book))
        .unwrap_or_default()
}

/// Opens the log file again: it was moved away (logrotate).
pub fn reopen() {
    if let Some(shared) = SHARED.get() {
        shared.reopen.store(true, Ordering::Relaxed);
        // A full queue is looked at without being told to.
        shared.file.offer(writer::Order::Look);
    }
}

/// The directory of the log file is about to be removed on purpose: nothing is made there any more.
pub fn let_go() {
    if let Some(shared) = SHARED.get() {
        shared.let_go.store(true, Ordering::Relaxed);
        // Afterwards the thread has seen it.
        flush();
    }
}

/// From now on stderr shows errors only: nobody is there any more. Said once, in the log file.
pub fn go_silent(reason: &str) {
    if let Some(shared) = SHARED.get() {
        shared.fall_silent(Manner::Silent, reason);
    }
}

/// Says why the program failed: on stderr whatever its manner, and in the log file.
pub fn complain(message: &str) {
    let Some(shared) = SHARED.get() else { return };
    shared.own_up();
    let record = Record::new(Level::ERROR, "signalcore", message, SystemTime::now());
    if shared.attached.load(Ordering::Relaxed) {
        shared.file.offer(writer::Order::Keep(Arc::new(record)));
    }
    let text = format!("signalcore: {message}");
    shared.console.offer(console::Order::Say(text));
    flush();
}

/// Writes out what was logged so far and takes the status line away, for as long as that takes but no
/// longer than two seconds: a stalled disk or a stopped terminal holds nothing up.
pub fn flush() {
    let Some(shared) = SHARED.get() else { return };
    let deadline = Instant::now() + FLUSH;
    let (done, written) = sync_channel(1);
    if shared.console.order(console::Order::Flush(done), deadline) {
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
    let deadline = Instant::now() + FLUSH;
    let (done, written) = sync_channel(1);
    if shared.attached.load(Ordering::Relaxed)
        && shared.file.order(writer::Order::Flush(done), deadline)
    {
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// The result has been printed, and is to stay the last line for whoever watches: from now on stderr shows
/// warnings and errors only.
pub fn conclude() {
    if let Some(shared) = SHARED.get() {
        shared.state().concluded = true;
    }
}

/// Ends the log: the totals, and then everything out. The last thing before the process ends.
pub fn finish() {
    if let Some(shared) = SHARED.get() {
        shared.own_up();
        conclude();
        if shared.attached.load(Ordering::Relaxed) {
            startup::tell_the_end(&shared.book.status());
        }
        shared.book.take_down();
    }
    flush();
}

/// Ends the process at once, but not without its log.
pub fn exit(code: i32) -> ! {
    finish();
    std::process::exit(code)
}

/// Calls [`finish`] when it goes, also while a panic unwinds.
#[derive(Debug)]
pub struct Finish;

impl Drop for Finish {
    fn drop(&mut self) {
        finish();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manner(&self) -> Manner {
        self.state().manner
    }

    fn verbose(&self) -> bool {
        self.verbose.load(Ordering::Relaxed)
    }

    fn take_reopen(&self) -> bool {
        self.reopen.swap(false, Ordering::Relaxed)
    }

    fn has_let_go(&self) -> bool {
        self.let_go.load(Ordering::Relaxed)
    }

    fn look(&self) {
        self.console.offer(console::Order::Look);
    }

    /// Whether anybody wants a record of this level at all.
    fn wanted(&self, level: Level) -> bool {
        if self.attached.load(Ordering::Relaxed) {
            return true;
        }
        let state = self.state();
        state.early.is_some() || state.manner.threshold() >= LevelFilter::from_level(level)
    }

    /// Takes a record in.
    fn log(&self, record: Record) {
        let record = Arc::new(record);
        let (manner, concluded) = {
            let mut state = self.state();
            if let Some(early) = &mut state.early {
                if early.len() < EARLY {
                    early.push(Arc::clone(&record));
                }
            } else if self.attached.load(Ordering::Relaxed) {
                self.file.offer(writer::Order::Keep(Arc::clone(&record)));
            }
            (state.manner, state.concluded)
        };
        if shows(manner, self.verbose(), &record) && !(concluded && record.level > Level::WARN) {
            self.console.offer(console::Order::Show(record));
        }
    }

    /// Tells whoever is at stderr, whatever the manner.
    fn announce(&self, record: Arc<Record>) {
        self.console.offer(console::Order::Show(record));
    }

    /// There is a file now: what was logged so far goes into it, and onto stderr where the profile wants
    /// it there after all.
    fn attached(&self, settings: &Settings, path: PathBuf) {
        let mut state = self.state();
        state.path = Some(path);
        let before = state.manner;
        if let Some(surroundings) = &mut state.surroundings {
            surroundings.profile = settings.profile;
            let now = surroundings.manner();
            // Who has fallen silent on the way stays so.
            if before != Manner::Gone && self.book.silence().is_none() {
                state.manner = now;
            }
        }
        let now = state.manner;
        for record in state.early.take().unwrap_or_default() {
            if shows(now, self.verbose(), &record) && !shows(before, self.verbose(), &record) {
                self.console
                    .offer(console::Order::Show(Arc::clone(&record)));
            }
            self.file.offer(writer::Order::Keep(record));
        }
        self.attached.store(true, Ordering::Relaxed);
        drop(state);
        if now == Manner::Silent {
            self.book
                .fall_silent("stderr is no terminal", SystemTime::now());
        }
        self.look();
    }

    /// The program ends before it has a file: what it had to say goes to stderr after all.
    fn own_up(&self) {
        let mut state = self.state();
        let manner = state.manner;
        for record in state.early.take().unwrap_or_default() {
            if !shows(manner, self.verbose(), &record) {
                self.announce(record);
            }
        }
    }

    fn fall_silent(&self, manner: Manner, reason: &str) {
        let mut state = self.state();
        if state.manner == Manner::Gone {
            return;
        }
        state.manner = manner;
        drop(state);
        if self.book.fall_silent(reason, SystemTime::now()) {
            let what = match manner {
                Manner::Gone => "nothing",
                _ => "errors only",
            };
            info!(
                "{reason}: stderr shows {what} from now on; the work goes on, and this log has everything"
            );
        }
        self.look();
    }

    fn stderr_is_gone(&self, error: &std::io::Error) {
        self.fall_silent(Manner::Gone, &format!("stderr is gone ({error})"));
    }
}

/// Whether stderr shows a record in this manner.
fn shows(manner: Manner, verbose: bool, record: &Record) -> bool {
    manner.threshold() >= LevelFilter::from_level(record.level)
        // A terminal has the line in place, and no use for every part that starts and stops as it should.
        && !(manner == Manner::Live && record.target == LINE_TARGET)
        && !(manner == Manner::Live && !verbose && record.target.starts_with(SUPERVISION) && record.level > Level::WARN)
}
