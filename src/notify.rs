//! What the service manager is told: readiness, state, watchdog, reload, stop.
//!
//! The protocol is sd_notify(3): datagrams of `NAME=value` lines to the socket in `NOTIFY_SOCKET`. The
//! words are the `sd-notify` crate's. The sending is ours, because the crate takes an abstract socket
//! (`@name`) for a file, and blocks while the service manager does not read.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actors::messages::NodeState;
use actors::monitor::hashrate;
use actors::stats::Status;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

/// Longest state line; the service manager shows it on one.
const STATE_LENGTH: usize = 400;
/// Time between two tries to tell what must be told.
const AGAIN: Duration = Duration::from_millis(100);
/// Tries before what must be told is given up.
const TRIES: u32 = 50;

/// The way to the service manager; none where the process was not started by one.
#[derive(Debug)]
pub struct Notify {
    socket: Option<SocketAddr>,
    /// The service manager kills the process when it hears nothing for this long.
    watchdog: Option<Duration>,
    /// Whether it was said that the service manager does not listen.
    complained: AtomicBool,
}

impl Notify {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        Self::new(
            env::var_os("NOTIFY_SOCKET").as_deref(),
            sd_notify::watchdog_enabled(),
        )
    }

    /// `socket`: a path, or `@name` for an abstract socket. `watchdog`: the longest silence allowed.
    pub fn new(socket: Option<&OsStr>, watchdog: Option<Duration>) -> Self {
        let socket = socket.filter(|name| !name.is_empty()).and_then(|name| {
            address(name)
                .inspect_err(|error| {
                    warn!("NOTIFY_SOCKET={} is of no use: {error}", name.display());
                })
                .ok()
        });
        Self {
            watchdog: watchdog.filter(|limit| socket.is_some() && !limit.is_zero()),
            socket,
            complained: AtomicBool::new(false),
        }
    }

    /// The program does what it is there for; it is in this state.
    pub async fn ready(&self, state: &str) {
        self.insist(&[NotifyState::Ready, NotifyState::Status(&line(state))])
            .await;
    }

    /// The configuration is being read again; [`Notify::ready`] ends it.
    pub async fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => {
                self.insist(&[
                    NotifyState::Reloading,
                    now,
                    NotifyState::Status("reading the configuration again"),
                ])
                .await;
            }
            Err(error) => warn!("the service manager is not told of the reload: {error}"),
        }
    }

    /// The program stops, and may take `longest` for it.
    pub async fn stopping(&self, state: &str, longest: Duration) {
        let longest = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        self.insist(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(longest),
            NotifyState::Status(&line(state)),
        ])
        .await;
    }

    /// The state the program is in, as `systemctl status` shows it.
    pub fn state(&self, state: &str) {
        self.tell(&[NotifyState::Status(&line(state))]);
    }

    /// Tells the service manager that all is well, at half of the time it allows, for as long as
    /// `is_live` answers true and no longer. Never resolves.
    pub async fn watch<F: Future<Output = bool>>(&self, is_live: impl Fn(Duration) -> F) {
        let Some(limit) = self.watchdog else {
            return std::future::pending().await;
        };
        let mut ticks = interval(limit / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut live = true;
        loop {
            ticks.tick().await;
            let was = std::mem::replace(&mut live, is_live(limit / 4).await);
            if live {
                self.tell(&[NotifyState::Watchdog]);
            }
            match (was, live) {
                (true, false) => error!(
                    "the supervisor does not answer, or has given up: the service manager's watchdog is no longer \
                     told that all is well, and ends this process {limit:?} after it last was"
                ),
                (false, true) => info!("the supervisor answers again"),
                _ => {}
            }
        }
    }

    /// Tells what must not be lost: a queue that is full is waited for.
    async fn insist(&self, states: &[NotifyState<'_>]) {
        for _ in 0..TRIES {
            match self.send(states) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(AGAIN).await,
                result => return self.remark(result),
            }
        }
        self.remark(Err(io::ErrorKind::WouldBlock.into()));
    }

    /// Tells what the next time tells again.
    fn tell(&self, states: &[NotifyState<'_>]) {
        self.remark(self.send(states));
    }

    /// Says once that the service manager does not listen, and again only after it did.
    fn remark(&self, result: io::Result<()>) {
        let said = self.complained.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !said => warn!("the service manager does not listen: {error}"),
            _ => {}
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        let mut text = String::new();
        for state in states {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{state}");
        }
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        sender.send_to_addr(text.as_bytes(), socket).map(drop)
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "neither a path nor an abstract socket",
        )),
    }
}

/// One line of bounded length.
fn line(state: &str) -> String {
    let mut line: String = state
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(STATE_LENGTH)
        .collect();
    if state.chars().count() > STATE_LENGTH {
        line.push_str("...");
    }
    line
}

/// How the program is doing, in words: the node's state, then what the hashing threads do.
pub fn state(node: &NodeState, status: &Status) -> String {
    let name = &status.node.name;
    let mut text = match (node, &status.tip) {
        (NodeState::Unknown, _) => format!("node {name} not asked yet"),
        (NodeState::Absent { reason }, _) => format!("node {name} absent: {reason}"),
        (NodeState::Refused { reason }, _) => format!("node {name} refused: {reason}"),
        (
            NodeState::Syncing {
                blocks, headers, ..
            },
            _,
        ) => format!("node {name} syncing, {blocks} of {headers}"),
        (NodeState::Ready, Some(tip)) => format!("node {name} on the tip, {}", tip.height),
        (NodeState::Ready, None) => format!("node {name} on the tip, which is being verified"),
    };
    let doing = match &status.idle_reason {
        // The node's state says it already.
        Some(_) if !node.is_up() => status.state.clone(),
        Some(reason) => format!("{}: {reason}", status.state),
        None => status.state.clone(),
    };
    let rate = hashrate(status.mining.hashrate_hs);
    let _ = write!(text, "; {doing}, {rate}");
    let blocks = &status.blocks;
    if blocks.found > 0 {
        let _ = write!(
            text,
            "; blocks {}/{} accepted",
            blocks.accepted, blocks.found
        );
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// A service manager's end: a datagram socket, read without waiting.
    fn manager(name: &str) -> (UnixDatagram, Notify, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let (socket, name) = if name.is_empty() {
            let socket = UnixDatagram::bind(&path).unwrap();
            (socket, path.into_os_string())
        } else {
            let address = SocketAddr::from_abstract_name(name).unwrap();
            let socket = UnixDatagram::bind_addr(&address).unwrap();
            (socket, format!("@{name}").into())
        };
        socket.set_nonblocking(true).unwrap();
        let notify = Notify::new(Some(&name), Some(Duration::from_secs(10)));
        (socket, notify, dir)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    }

    #[tokio::test]
    async fn each_message_is_one_datagram_of_lines() {
        let (socket, notify, _dir) = manager("");
        notify.ready("node local absent:\nno answer").await;
        notify.reloading().await;
        notify.stopping("stopping", Duration::from_secs(12)).await;
        let heard = heard(&socket);
        assert_eq!(heard[0], "READY=1\nSTATUS=node local absent: no answer\n");
        assert!(
            heard[1].starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{heard:?}"
        );
        assert_eq!(
            heard[2],
            "STOPPING=1\nEXTEND_TIMEOUT_USEC=12000000\nSTATUS=stopping\n"
        );
    }

    #[tokio::test]
    async fn an_abstract_socket_is_reached() {
        let name = format!("signalcore-test-{}", std::process::id());
        let (socket, notify, _dir) = manager(&name);
        notify.ready("x").await;
        assert_eq!(heard(&socket), ["READY=1\nSTATUS=x\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_manager_that_does_not_read_blocks_nothing() {
        let (_socket, notify, _dir) = manager("");
        // Far more than its queue takes.
        for _ in 0..5_000 {
            notify.state("x");
        }
        notify.ready("x").await;
    }

    #[tokio::test]
    async fn without_a_manager_nothing_is_sent() {
        for name in [None, Some(""), Some("vsock:2:1234")] {
            let notify = Notify::new(name.map(OsStr::new), Some(Duration::from_secs(1)));
            notify.ready("x").await;
            assert!(notify.socket.is_none() && notify.watchdog.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_at_half_its_time_while_the_tree_is_live_and_no_longer() {
        let (socket, notify, _dir) = manager("");
        let live = AtomicBool::new(true);
        let asked = AtomicU32::new(0);
        let watch = notify.watch(|deadline| {
            assert_eq!(deadline, Duration::from_millis(2_500));
            asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(live.load(Ordering::Relaxed))
        });
        tokio::pin!(watch);
        let mut pass = async |seconds| {
            tokio::select! {
                () = &mut watch => {}
                () = sleep(Duration::from_secs(seconds)) => {}
            }
        };
        pass(16).await;
        assert_eq!(heard(&socket), ["WATCHDOG=1\n"; 4]);
        live.store(false, Ordering::Relaxed);
        pass(100).await;
        assert!(heard(&socket).is_empty());
        assert_eq!(
            asked.load(Ordering::Relaxed),
            24,
            "it is asked all the same"
        );
        live.store(true, Ordering::Relaxed);
        pass(5).await;
        assert_eq!(heard(&socket), ["WATCHDOG=1\n"]);
    }

    #[test]
    fn a_long_state_is_cut_between_characters() {
        let long = "ü".repeat(1_000);
        let cut = line(&long);
        assert_eq!(cut.chars().count(), STATE_LENGTH + 3);
        assert!(cut.ends_with("ü..."));
    }
}
