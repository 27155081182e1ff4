//! The HTTP server: reads only, for probes and for people.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the supervisor keeps the tree up, else 503 |
//! | `/readyz` | 200 while the node is on its tip and the pipeline works on it, else 503; `?verbose` lists the components |
//! | `/api/v1/status` | the status document |
//! | `/api/v1/health` | the health document; always 200, the verdict is in it |
//!
//! It runs on the child's own thread: connections are accepted and served by the child's tasks, so that
//! none of it outlives the child. The listener does, see [`Http`].

mod guard;
mod pages;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{Service as _, ServiceFactory as _, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use supervise::{BoxError, Incarnation};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::desk::Desk;
use super::seats::Seats;
use super::{MAX_CLIENTS, RECOVERY};
use crate::resources::is_room_for_clients;

/// How long a client may take for its request's head.
const REQUEST: Duration = Duration::from_secs(2);
/// How long a connection is kept for another request.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long an answer may take to be taken, once all else is done.
const DISCONNECT: Duration = Duration::from_secs(1);

/// The listening end of the HTTP server, or why there is none. Owned outside the child.
#[derive(Debug, Clone, Default)]
pub struct Http {
    socket: Option<Arc<TcpListener>>,
    trouble: Option<String>,
}

impl Http {
    /// Listens at `address`, port 0 taking a free one, and logs where. An address that cannot be had is a
    /// warning: the work does not depend on it. None: off.
    pub fn open(address: Option<SocketAddr>) -> Self {
        let Some(address) = address else {
            return Self::default();
        };
        match listen(address) {
            Ok((socket, address)) => {
                info!("HTTP on http://{address}/");
                Self {
                    socket: Some(Arc::new(socket)),
                    trouble: None,
                }
            }
            Err(error) => {
                let trouble = format!(
                    "cannot listen on {address}: {error}; stop what uses it, or configure another api.listen, and \
                     reload or restart"
                );
                warn!("no HTTP server: {trouble}");
                Self {
                    socket: None,
                    trouble: Some(trouble),
                }
            }
        }
    }

    /// The address it listens on; none if it does not.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.as_ref()?.local_addr().ok()
    }

    /// Why it does not listen although it should.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn socket(&self) -> Option<Arc<TcpListener>> {
        self.socket.clone()
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// A handle to the listener for one incarnation, and its address.
fn own(socket: &TcpListener) -> io::Result<(tokio::net::TcpListener, SocketAddr)> {
    let listener = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves HTTP until the child ends.
pub(super) async fn serve(
    socket: Arc<TcpListener>,
    desk: Desk,
    incarnation: Incarnation,
) -> Result<(), BoxError> {
    // HTTP is not worth an escalation: where descriptors are short, it waits.
    let (listener, address) = loop {
        match own(&socket) {
            Ok(own) => break own,
            Err(error) => {
                warn!("HTTP cannot be served yet: {error}");
                sleep(RECOVERY).await;
            }
        }
    };
    let desk = web::Data::new(desk);
    let app = App::new()
        .app_data(desk)
        .wrap(from_fn(guard::check))
        .route("/livez", web::route().to(pages::livez))
        .route("/readyz", web::route().to(pages::readyz))
        .route("/api/v1/status", web::route().to(pages::status))
        .route("/api/v1/health", web::route().to(pages::health))
        .default_service(web::route().to(pages::nothing));
    let config = AppConfig::default();
    let server = HttpService::build()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(REQUEST)
        .client_disconnect_timeout(DISCONNECT)
        .local_addr(address)
        .h1(map_config(app, move |()| config.clone()))
        .new_service(())
        .await
        .map_err(|()| "the HTTP service cannot be made")?;
    let seats = Seats::new(MAX_CLIENTS);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("no HTTP client could be let in: {error}");
                sleep(RECOVERY).await;
                continue;
            }
        };
        if !seats.is_empty() && !is_room_for_clients() {
            debug!("an HTTP client was turned away: too few file descriptors are left");
            continue;
        }
        let connection = server.call((stream, Some(peer)));
        seats.take(|_seat| {
            incarnation.spawn("http client", async move {
                if let Err(error) = connection.await {
                    debug!("an HTTP client was dropped: {error}");
                }
                Ok(())
            })
        });
    }
}
