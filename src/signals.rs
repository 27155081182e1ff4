//! SIGINT, SIGTERM and SIGHUP as futures.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Signals closer to one another are one request: timeout(1), for one, signals a process and then its
/// whole group.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// The signals that ask a foreground run to stop.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    last: Option<Instant>,
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
        })
    }

    /// Resolves at the next SIGINT or SIGTERM, with its name. A SIGHUP says that the terminal went
    /// away; the work goes on.
    pub async fn stop(&mut self) -> &'static str {
        loop {
            let name = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.hangup.recv() => {
                    info!("SIGHUP: the terminal went away, the work goes on");
                    continue;
                }
            };
            let now = Instant::now();
            if self
                .last
                .replace(now)
                .is_none_or(|last| now - last > SAME_REQUEST)
            {
                return name;
            }
        }
    }
}
