//! SIGINT, SIGTERM and SIGHUP as futures.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal as Source, SignalKind, signal};
use tracing::{error, info};

use crate::logging;

/// Signals closer to one another are one request: timeout(1), for one, signals a process and then its
/// whole group.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// What SIGHUP means to a command in the foreground.
pub const HANGUP: &str = "SIGHUP: the terminal went away";

/// The exit code of a stop that had to be forced: try again later.
const FORCED: i32 = 75;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT or SIGTERM: stop. Its name.
    Stop(&'static str),
    /// SIGHUP.
    Hangup,
}

/// The signals of a supervised tree.
#[derive(Debug)]
pub struct Signals {
    interrupt: Source,
    terminate: Source,
    hangup: Source,
    last: Option<Instant>,
    /// The first request to stop.
    asked: Option<&'static str>,
}

impl Signals {
    /// Takes the signals over from their default actions, for the rest of the process's life.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            last: None,
            asked: None,
        })
    }

    /// The request to stop, once there was one.
    pub fn asked(&self) -> Option<&'static str> {
        self.asked
    }

    /// Resolves at the next signal; the first that asks to stop is remembered. Cancelling loses none.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            name = Self::request(&mut self.interrupt, &mut self.terminate, &mut self.last) => {
                self.asked.get_or_insert(name);
                Signal::Stop(name)
            }
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }

    /// Resolves at the next request to stop. A SIGHUP says that the terminal went away; the work goes on.
    pub async fn stop(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Signal::Stop(name) => return name,
                Signal::Hangup => logging::go_silent(HANGUP),
            }
        }
    }

    /// Waits for work that must not be interrupted. A request to stop is remembered meanwhile; where
    /// there was one before, the process exits at once. A SIGHUP waits its turn.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let name = tokio::select! {
                done = &mut work => return done,
                name = Self::request(&mut self.interrupt, &mut self.terminate, &mut self.last) => name,
            };
            if self.asked.is_some() {
                error!("a second {name}: exiting at once");
                logging::exit(FORCED);
            }
            self.asked = Some(name);
            info!(
                "{name}: stopping as soon as what is under way is done; a second one exits at once"
            );
        }
    }

    async fn request(
        interrupt: &mut Source,
        terminate: &mut Source,
        last: &mut Option<Instant>,
    ) -> &'static str {
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            let now = Instant::now();
            if last
                .replace(now)
                .is_none_or(|last| now - last > SAME_REQUEST)
            {
                return name;
            }
        }
    }
}
