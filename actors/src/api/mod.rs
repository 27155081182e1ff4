//! api: answers questions on the control socket.
//!
//! Messages in: [`Shutdown`], and [`Request`]s as JSON lines on the socket. Out: one [`Reply`] a line.
//! The listener is made and owned outside ([`ControlSocket`]), so that it survives this child.

mod protocol;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, Context, Handler};
use supervise::{BoxError, Incarnation, Shutdown};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

pub use protocol::{FaultKind, Reply, Request};
pub use socket::{ControlSocket, SocketError, ask};

use crate::board::Board;
use crate::resources::is_room_for_clients;
use crate::stats::{Identity, Status};

/// Longest request line.
const MAX_REQUEST: u64 = 64 * 1024;
/// How long a client may take for one request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when a client could not be let in.
const RECOVERY: Duration = Duration::from_secs(1);
/// Clients served at the same time; more wait in the listener's queue.
const MAX_CLIENTS: usize = 32;

/// The actor.
#[derive(Debug)]
pub struct Api {
    socket: Arc<ControlSocket>,
    desk: Desk,
    incarnation: Incarnation,
}

/// What a connection needs in order to answer.
#[derive(Debug, Clone)]
struct Desk {
    identity: Identity,
    board: Board,
}

impl Api {
    /// A fresh incarnation that listens on `socket`.
    pub fn new(
        identity: Identity,
        board: Board,
        socket: Arc<ControlSocket>,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            socket,
            desk: Desk { identity, board },
            incarnation,
        }
    }
}

impl Actor for Api {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        let socket = Arc::clone(&self.socket);
        let desk = self.desk.clone();
        let incarnation = self.incarnation.clone();
        self.incarnation
            .spawn_essential("control socket", async move {
                serve(
                    UnixListener::from_std(socket.listener()?)?,
                    desk,
                    &incarnation,
                )
                .await
            });
    }
}

async fn serve(
    listener: UnixListener,
    desk: Desk,
    incarnation: &Incarnation,
) -> Result<(), BoxError> {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of file descriptors, or a client that left: no reason to end what else runs.
            Err(error) => {
                warn!("no control client could be let in: {error}");
                sleep(RECOVERY).await;
                continue;
            }
        };
        if places.available_permits() + 1 < MAX_CLIENTS && !is_room_for_clients() {
            turn_away(&stream);
            continue;
        }
        let desk = desk.clone();
        incarnation.spawn("control client", async move {
            // A client that breaks off or babbles harms nobody but itself.
            if let Err(error) = desk.answer(stream).await {
                debug!("a control client was dropped: {error}");
            }
            drop(place);
            Ok(())
        });
    }
}

/// Says why, as far as the socket takes it at once, and closes.
fn turn_away(stream: &UnixStream) {
    let reason =
        "too few file descriptors are left for another client; raise the limit (LimitNOFILE)";
    let reply = Reply::Error(reason.into());
    let said = serde_json::to_vec(&reply)
        .map_err(std::io::Error::other)
        .and_then(|text| stream.try_write(&[&text[..], b"\n"].concat()));
    debug!("a control client was turned away ({said:?}): {reason}");
}

impl Desk {
    async fn answer(&self, stream: UnixStream) -> Result<(), BoxError> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = String::new();
            let mut bounded = (&mut reader).take(MAX_REQUEST);
            if timeout(PATIENCE, bounded.read_line(&mut line)).await?? == 0 {
                return Ok(());
            }
            let reply = match serde_json::from_str(&line) {
                Ok(Request::Status) => {
                    let rates = *self.board.rates.borrow();
                    Reply::Status(Box::new(Status::of(&self.identity, &self.board, &rates)))
                }
                Ok(Request::Health | Request::Fault { .. }) => {
                    Reply::Error("not answered yet".into())
                }
                Err(error) => Reply::Error(format!("not a request: {error}")),
            };
            let mut text = serde_json::to_vec(&reply)?;
            text.push(b'\n');
            timeout(PATIENCE, writer.write_all(&text)).await??;
        }
    }
}

impl Handler<Shutdown> for Api {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
