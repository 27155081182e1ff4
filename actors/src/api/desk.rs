//! The answers to what is asked on the control socket.

use std::sync::Arc;
use std::time::Duration;

use supervise::{BoxError, Fault, Supervisor};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ApiSettings;
use super::protocol::{FaultKind, Reply, Request};
use super::seats::Seat;
use crate::board::Board;
use crate::health::Examiner;
use crate::stats::{Identity, Misdeed, Status, ThreadCounter};
use crate::submitter::Resubmitter;

/// Longest request line.
const MAX_REQUEST: u64 = 64 * 1024;
/// How long a client may take for one request, and for taking its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A child that has not begun with its fault after this long is stuck already.
const FAULT_BEGUN: Duration = Duration::from_secs(1);
/// How long a hang lasts unless it is said otherwise, and at most.
const HANG: Duration = Duration::from_mins(1);
const LONGEST_HANG: Duration = Duration::from_hours(1);

/// What a connection needs in order to answer.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) identity: Identity,
    pub(super) board: Board,
    pub(super) examiner: Arc<Examiner>,
    resubmitter: Resubmitter,
    faults: Option<Supervisor>,
    own_id: Arc<str>,
}

/// What is done, and what is still to do once that is said.
struct Answered {
    reply: Reply,
    then: Option<Fault>,
}

impl Desk {
    pub(super) fn new(settings: &ApiSettings, board: Board, own_id: &str) -> Self {
        Self {
            identity: settings.identity.clone(),
            board,
            examiner: Arc::clone(&settings.examiner),
            resubmitter: settings.resubmitter.clone(),
            faults: settings.faults.clone(),
            own_id: own_id.into(),
        }
    }

    /// The status document of this moment.
    pub(super) fn status(&self) -> Status {
        let rates = *self.board.rates.borrow();
        Status::of(&self.identity, &self.board, &rates)
    }

    /// Serves one client until it leaves.
    pub(super) async fn answer(&self, stream: UnixStream, seat: &Seat) -> Result<(), BoxError> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = String::new();
            let mut bounded = (&mut reader).take(MAX_REQUEST);
            if timeout(PATIENCE, bounded.read_line(&mut line)).await?? == 0 {
                return Ok(());
            }
            seat.heard();
            let Answered { reply, then } = match serde_json::from_str(&line) {
                Ok(request) => self.carry_out(request).await,
                Err(error) => Reply::Error(format!("not a request: {error}")).into(),
            };
            let mut text = serde_json::to_vec(&reply)?;
            text.push(b'\n');
            timeout(PATIENCE, writer.write_all(&text)).await??;
            if let (Some(fault), Some(tree)) = (then, &self.faults) {
                tree.inject(&self.own_id, fault).await?;
            }
        }
    }

    async fn carry_out(&self, request: Request) -> Answered {
        match request {
            Request::Status => Reply::Status(Box::new(self.status())).into(),
            Request::Health => Reply::Health(Box::new(self.examiner.report().await)).into(),
            Request::Resubmit { hash, node } => {
                let given = self.resubmitter.resubmit(hash, node.as_deref()).await;
                given
                    .map_or_else(|error| Reply::Error(error.to_string()), Reply::Resubmitted)
                    .into()
            }
            Request::Fault {
                child,
                kind,
                seconds,
            } => self.fault(&child, kind, seconds).await,
        }
    }

    /// Breaks a child on purpose.
    async fn fault(&self, child: &str, kind: FaultKind, seconds: Option<f64>) -> Answered {
        let Some(tree) = &self.faults else {
            return Reply::Error(
                "faults cannot be injected into this instance; start it with debug.fault_injection = true".into(),
            )
            .into();
        };
        let lasting = match seconds.map(Duration::try_from_secs_f64) {
            None => HANG,
            Some(Ok(time)) if time <= LONGEST_HANG => time,
            Some(_) => {
                return Reply::Error(format!(
                    "a hang lasts 0 to {} seconds",
                    LONGEST_HANG.as_secs()
                ))
                .into();
            }
        };
        let (fault, word) = match kind {
            FaultKind::Panic => (Fault::Panic, "panics".to_owned()),
            FaultKind::Hang => (
                Fault::Hang(lasting),
                format!("hangs for {} s", lasting.as_secs_f64()),
            ),
            FaultKind::Exit => (Fault::Exit, "exits".to_owned()),
        };
        let done = Reply::Done(format!("{child} {word}"));
        tracing::warn!("a fault is injected: {child} {word}");
        if let Some(thread) = self.hashing_thread(child) {
            thread.order(match kind {
                FaultKind::Panic => Misdeed::Panic,
                FaultKind::Hang => Misdeed::Hang(lasting),
                FaultKind::Exit => Misdeed::Exit,
            });
            return done.into();
        }
        if child == &*self.own_id {
            // Nobody would be left to say so.
            return Answered {
                reply: done,
                then: Some(fault),
            };
        }
        match timeout(FAULT_BEGUN, tree.inject(child, fault)).await {
            Ok(Ok(())) => done.into(),
            Ok(Err(error)) => Reply::Error(error.to_string()).into(),
            Err(_) => Reply::Error(format!(
                "{child} did not take the fault within {FAULT_BEGUN:?}: it is stuck already"
            ))
            .into(),
        }
    }

    /// The hashing thread of that name, of those in use: `hash-0`, `hash-1`, ...
    fn hashing_thread(&self, name: &str) -> Option<&ThreadCounter> {
        let index: usize = name.strip_prefix("hash-")?.parse().ok()?;
        let in_use = self.board.mining.borrow().threads;
        self.board.registry.threads.get(..in_use)?.get(index)
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self { reply, then: None }
    }
}
