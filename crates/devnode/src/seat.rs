//! A port that stays ours while nobody listens on it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

/// How often and after what pause a port is asked for that was ours a moment ago.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);
const BACKLOG: u32 = 1_024;

/// A bound socket without a listener: connections are refused, and who asks for any free port does not get this one.
pub(crate) struct Seat(TcpSocket);

impl Seat {
    /// Takes a port again that was listened on until now.
    pub(crate) async fn take(addr: SocketAddr) -> io::Result<Self> {
        let mut tries = 1;
        loop {
            let socket = match addr {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            socket.set_reuseaddr(true)?;
            match socket.bind(addr) {
                Ok(()) => return Ok(Self(socket)),
                // The task that listened may have yet to end.
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Listens from now on.
    pub(crate) fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)
    }
}
