//! api: answers questions, on the control socket and over HTTP.
//!
//! Messages in: [`Shutdown`]; [`Request`]s as JSON lines on the control socket, and HTTP requests. Out:
//! one [`Reply`] a line; on the board, once a second a [`Glance`](crate::health::Glance), and a few times a
//! second any [stale work](crate::stale).
//! The listeners are made and owned outside ([`ControlSocket`], [`Http`]), so that they survive this
//! child.
//!
//! | file | what it decides |
//! |---|---|
//! | `protocol` | what is said on the control socket |
//! | `socket` | the control socket's two ends |
//! | `desk` | the answers |
//! | `seats` | who is let in, and who has to leave for it |
//! | `http` | the same answers over HTTP |

mod desk;
mod http;
mod protocol;
mod seats;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler};
use supervise::{BoxError, Incarnation, Shutdown, Supervisor};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;
use tracing::{debug, warn};

pub use http::Http;
pub use protocol::{FaultKind, Reply, Request};
pub use socket::{ControlSocket, SocketError, ask, ask_patiently};

use crate::board::Board;
use crate::health::Examiner;
use crate::publish::Publish as _;
use crate::resources::is_room_for_clients;
use crate::stats::Identity;
use crate::submitter::Resubmitter;
use desk::Desk;
use seats::Seats;

/// How long to wait when a client could not be let in.
const RECOVERY: Duration = Duration::from_secs(1);
/// Clients of each listener served at the same time.
const MAX_CLIENTS: usize = 32;
/// How often health is looked at when nobody asks: it has to be seen changing.
const GLANCE: Duration = Duration::from_secs(1);

/// What the api is configured with.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// What never changes in a run.
    pub identity: Identity,
    /// Where commands are answered.
    pub socket: Arc<ControlSocket>,
    /// Where HTTP is answered, if anywhere.
    pub http: Http,
    /// Who knows how the program is.
    pub examiner: Arc<Examiner>,
    /// Who gives blocks of the journal to nodes again.
    pub resubmitter: Resubmitter,
    /// The tree, to break children on purpose; none: that is refused.
    pub faults: Option<Supervisor>,
}

/// The actor.
#[derive(Debug)]
pub struct Api {
    settings: ApiSettings,
    board: Board,
    incarnation: Incarnation,
}

impl Api {
    /// A fresh incarnation.
    pub fn new(settings: ApiSettings, board: Board, incarnation: Incarnation) -> Self {
        Self {
            settings,
            board,
            incarnation,
        }
    }

    fn glance(&self) {
        let glance = self.settings.examiner.glance();
        self.board
            .health
            .publish(&self.incarnation.guard(), Some(glance));
    }
}

impl Actor for Api {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(GLANCE, |api, _| api.glance());
        let (examiner, guard) = (
            Arc::clone(&self.settings.examiner),
            self.incarnation.guard(),
        );
        self.incarnation
            .spawn_essential("stale work", async move { examiner.look_out(guard).await });
        let desk = Desk::new(&self.settings, self.board.clone(), self.incarnation.id());
        let incarnation = self.incarnation.clone();
        if let Some(socket) = self.settings.http.socket() {
            self.incarnation.spawn_essential(
                "http",
                http::serve(socket, desk.clone(), incarnation.clone()),
            );
        }
        let socket = Arc::clone(&self.settings.socket);
        self.incarnation
            .spawn_essential("control socket", async move {
                serve(
                    UnixListener::from_std(socket.listener()?)?,
                    desk,
                    incarnation,
                )
                .await
            });
    }
}

/// Lets clients of the control socket in.
async fn serve(
    listener: UnixListener,
    desk: Desk,
    incarnation: Incarnation,
) -> Result<(), BoxError> {
    let seats = Seats::new(MAX_CLIENTS);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of file descriptors, or a client that left: no reason to end what else runs.
            Err(error) => {
                warn!("no control client could be let in: {error}");
                sleep(RECOVERY).await;
                continue;
            }
        };
        if !seats.is_empty() && !is_room_for_clients() {
            turn_away(&stream);
            continue;
        }
        let desk = desk.clone();
        seats.take(|seat| {
            incarnation.spawn("control client", async move {
                // A client that breaks off or babbles harms nobody but itself.
                if let Err(error) = desk.answer(stream, &seat).await {
                    debug!("a control client was dropped: {error}");
                }
                Ok(())
            })
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

impl Handler<Shutdown> for Api {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
