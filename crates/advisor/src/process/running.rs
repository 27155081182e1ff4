//! One jail that runs, with the command's standard streams.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::lines::Lines;
use super::noise::Ear;
use super::{EMPTYING, REPLY_MAX, Shared, is_alive, lock};
use crate::jail;
use crate::jail::orders::{Cell, Orders, Report};

/// The most that is read at a time.
const CHUNK: usize = 16 * 1024;

/// Between two reads of the same stream: a flood costs its writer, and nobody else.
const PAUSE: Duration = Duration::from_millis(2);

/// The most that a jail tells in a line.
const REPORT_MAX: usize = 64 * 1024;

/// Between two looks at whether a jail that has let go has ended.
const ENDING: Duration = Duration::from_millis(1);

/// The jail's own deadline comes so much later than the asker's, which says more.
const BACKSTOP: Duration = Duration::from_secs(1);

/// What happened in a jail.
#[derive(Debug)]
pub(super) enum Event {
    /// The command wrote a line.
    Line(Vec<u8>),
    /// The command wrote too long a line. Nothing more is read.
    TooLarge,
    /// The command closed its output, with this after the last line.
    OutputEnd(Vec<u8>),
    /// The jail told something.
    Report(Report),
    /// Nothing is left of the command, nor of its jail.
    Gone,
}

/// One jail that runs. Dropping it ends the command and all that it started.
#[derive(Debug)]
pub(super) struct Running {
    shared: Arc<Shared>,
    child: Option<Child>,
    control: Option<UnixStream>,
    reports: Lines,
    stdin: Option<Sender>,
    /// What the command has not been given yet.
    unread: Vec<u8>,
    /// Whether the command's input ends there.
    last: bool,
    stdout: Option<Receiver>,
    again_stdout: Instant,
    lines: Lines,
    stderr: Option<Receiver>,
    again_stderr: Instant,
    ear: Ear,
}

impl Running {
    /// Starts a command. `limit`: after which the jail ends it by itself, should nobody else have.
    pub fn start(shared: &Arc<Shared>, cell: &Cell, limit: Option<Duration>) -> io::Result<Self> {
        shared.reap();
        make_dir(cell)?;
        let orders = Orders {
            cell: cell.clone(),
            deadline_ms: limit.map(|limit| (limit + BACKSTOP).as_millis() as u64),
            asker_tasks: std::fs::read_dir("/proc/self/task")?.count() as u32,
        };
        let (control, theirs) = StdStream::pair()?;
        let (their_stdin, stdin) = io::pipe()?;
        let (stdout, their_stdout) = io::pipe()?;
        let (stderr, their_stderr) = io::pipe()?;
        jail::send(&control, &orders, their_stdin.as_fd())?;
        control.set_nonblocking(true)?;
        let control = UnixStream::from_std(control)?;
        let stdin = Sender::from_owned_fd(OwnedFd::from(stdin))?;
        let stdout = Receiver::from_owned_fd(OwnedFd::from(stdout))?;
        let stderr = Receiver::from_owned_fd(OwnedFd::from(stderr))?;
        // Last, so that nothing can fail between here and what ends it.
        let child = Command::new(&shared.program)
            .args(&shared.arguments)
            .env_clear()
            .current_dir("/")
            // A terminal's signals are for the asker, which ends its commands itself.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(their_stdout)
            .stderr(their_stderr)
            .spawn()?;
        Ok(Self {
            shared: Arc::clone(shared),
            child: Some(child),
            control: Some(control),
            reports: Lines::new(REPORT_MAX),
            stdin: Some(stdin),
            unread: Vec::new(),
            last: false,
            stdout: Some(stdout),
            again_stdout: Instant::now(),
            lines: Lines::new(REPLY_MAX),
            stderr: Some(stderr),
            again_stderr: Instant::now(),
            ear: Ear::default(),
        })
    }

    /// Gives the command a line, as far as it reads; the rest is written in [`Self::next`].
    pub fn give(&mut self, line: &[u8]) {
        self.unread.extend_from_slice(line);
        self.unread.push(b'\n');
    }

    /// Bytes that the command has not been given yet.
    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Ends the command's input after what it was given.
    pub fn close_input(&mut self) {
        self.last = true;
    }

    /// What happens next. Cancelling loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.lines.next() {
                Ok(Some(line)) => return Event::Line(line),
                Ok(None) => {}
                Err(_) => {
                    self.stdout = None;
                    self.lines.rest();
                    return Event::TooLarge;
                }
            }
            if let Ok(Some(line)) = self.reports.next() {
                if let Some(report) = self.understand(&line) {
                    return Event::Report(report);
                }
                continue;
            }
            if self.last && self.unread.is_empty() {
                self.stdin = None;
            }
            tokio::select! {
                () = writable(self.stdin.as_ref()), if !self.unread.is_empty() => self.write(),
                () = readable(self.stdout.as_ref(), self.again_stdout) => {
                    self.again_stdout = Instant::now() + PAUSE;
                    if read(&mut self.stdout, |bytes| self.lines.push(bytes)) {
                        return Event::OutputEnd(self.lines.rest());
                    }
                }
                () = readable(self.stderr.as_ref(), self.again_stderr) => {
                    self.again_stderr = Instant::now() + PAUSE;
                    self.listen();
                }
                () = told(self.control.as_ref()) => {
                    if self.is_gone() {
                        self.control = None;
                        return Event::Gone;
                    }
                }
            }
        }
    }

    /// Lets the jail end the command; what happens then is still told.
    pub fn let_go(&mut self) {
        self.stdin = None;
        self.unread.clear();
        if let Some(control) = &self.control {
            // It may have ended by itself.
            let _ = rustix::net::shutdown(control, rustix::net::Shutdown::Write);
        }
    }

    /// Ends the command; resolves when nothing of it is left.
    pub async fn end(&mut self) {
        self.let_go();
        let emptied = timeout(EMPTYING, async {
            while self.control.is_some() {
                self.next().await;
            }
            // Its last words may come after its jail's end.
            while self.stderr.is_some() {
                readable(self.stderr.as_ref(), self.again_stderr).await;
                self.listen();
            }
            // Its end of the socket is closed: it has ended, or does in this moment. Nothing tells when.
            while self.child.as_mut().is_some_and(is_alive) {
                sleep(ENDING).await;
            }
        });
        if emptied.await.is_err() {
            // It is reaped some time later.
            warn!("an advisor's command resists its end; its jail goes on trying");
            return;
        }
        self.child = None;
    }

    fn understand(&mut self, line: &[u8]) -> Option<Report> {
        let report = serde_json::from_slice(line)
            .inspect_err(|error| warn!("the jail said what is no report: {error}"))
            .ok()?;
        if let Report::Started(shelter) = &report {
            *lock(&self.shared.shelter) = Some(shelter.clone());
        }
        Some(report)
    }

    /// Reads from the jail. Whether it is gone.
    fn is_gone(&mut self) -> bool {
        let Some(control) = &self.control else {
            return true;
        };
        let mut bytes = [0; 1024];
        match control.try_read(&mut bytes) {
            Ok(0) => true,
            Ok(filled) => {
                self.reports.push(&bytes[..filled]);
                false
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    fn write(&mut self) {
        let Some(stdin) = &self.stdin else {
            return;
        };
        match stdin.try_write(&self.unread) {
            Ok(written) => {
                self.unread.drain(..written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It reads no more, which need not keep it from answering.
            Err(_) => {
                self.stdin = None;
                self.unread.clear();
            }
        }
    }

    /// Reads from standard error.
    fn listen(&mut self) {
        let now = std::time::Instant::now();
        let gate = &mut *lock(&self.shared.gate);
        let ear = &mut self.ear;
        let mut heard = Vec::new();
        if read(&mut self.stderr, |bytes| heard = ear.hear(bytes, gate, now)) {
            heard.extend(ear.end(gate, now));
        }
        for line in heard {
            info!("the advisor says: {line}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The socket closes with this, and that ends the jail.
        if let Some(child) = self.child.take() {
            lock(&self.shared.leaving).push(child);
        }
    }
}

fn make_dir(cell: &Cell) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&cell.dir)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("its directory {}: {error}", cell.dir.display()),
            )
        })
}

async fn writable(pipe: Option<&Sender>) {
    match pipe {
        // An error shows when it is written to.
        Some(pipe) => drop(pipe.writable().await),
        None => pending().await,
    }
}

async fn readable(pipe: Option<&Receiver>, from: Instant) {
    match pipe {
        // An error shows when it is read from.
        Some(pipe) => {
            sleep_until(from).await;
            drop(pipe.readable().await);
        }
        None => pending().await,
    }
}

async fn told(control: Option<&UnixStream>) {
    match control {
        // An error shows when it is read from.
        Some(control) => drop(control.readable().await),
        None => pending().await,
    }
}

/// Reads what there is. Whether the pipe ended; it is closed then.
fn read(pipe: &mut Option<Receiver>, take: impl FnOnce(&[u8])) -> bool {
    let Some(open) = pipe else {
        return false;
    };
    let mut bytes = [0; CHUNK];
    match open.try_read(&mut bytes) {
        Ok(filled) if filled > 0 => take(&bytes[..filled]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        _ => {
            *pipe = None;
            return true;
        }
    }
    false
}
