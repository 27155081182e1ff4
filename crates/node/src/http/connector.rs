//! TCP connections for `ureq` with keepalive, whose writes are accounted for.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

use super::progress::Progress;

/// A peer that is gone without a word (power cut, cable) is noticed after about this and
/// [`KEEPALIVE_INTERVAL`] times [`KEEPALIVE_PROBES`]: 35 s.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
pub(crate) const KEEPALIVE_PROBES: u32 = 4;

/// The keepalive parameters for every connection to a node.
pub(crate) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES)
}

/// Opens connections.
#[derive(Debug)]
pub(super) struct Connect {
    progress: Arc<Progress>,
}

impl Connect {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self { progress }
    }
}

impl Connector<()> for Connect {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let stream = connect_any(&details.addrs, details.timeout)?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&keepalive())?;
        let stream = Arc::new(stream);
        let weak: Weak<TcpStream> = Arc::downgrade(&stream);
        (details.register_shutdown)(weak)?;
        Ok(Some(Connection {
            stream,
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            progress: Arc::clone(&self.progress),
        }))
    }
}

/// Tries the addresses in turn; `localhost` may be ::1 first where the node listens on 127.0.0.1 only.
fn connect_any(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let each = timeout
        .not_zero()
        .map(|left| *left / u32::try_from(addresses.len().max(1)).unwrap_or(1))
        .map(|share| share.max(Duration::from_millis(10)));
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let attempt = each.map_or_else(
            || TcpStream::connect(address),
            |share| TcpStream::connect_timeout(address, share),
        );
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Io(last))
}

/// One connection. `ureq`'s own allows each partial write the whole remaining time anew; here the
/// deadline is one.
pub(super) struct Connection {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    progress: Arc<Progress>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({:?})", self.stream.peer_addr().ok())
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let budget = Budget::from(timeout);
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            self.stream.set_write_timeout(budget.left()?)?;
            match (&*self.stream).write(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => rest = &rest[count..],
                Err(error) => budget.judge(error)?,
            }
        }
        self.progress.written();
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let budget = Budget::from(timeout);
        loop {
            self.stream.set_read_timeout(budget.left()?)?;
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(count) => {
                    self.buffers.input_appended(count);
                    return Ok(count > 0);
                }
                Err(error) => budget.judge(error)?,
            }
        }
    }

    /// An idle connection is open if there is nothing to read: neither an end nor bytes nobody asked for.
    fn is_open(&mut self) -> bool {
        let probe = || {
            self.stream.set_nonblocking(true)?;
            let open = matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            self.stream.set_nonblocking(false)?;
            io::Result::Ok(open)
        };
        probe().unwrap_or(false)
    }
}

/// The time one read or write may take.
struct Budget {
    deadline: Option<Instant>,
    reason: Timeout,
}

impl From<NextTimeout> for Budget {
    fn from(timeout: NextTimeout) -> Self {
        Self {
            deadline: Instant::now().checked_add(*timeout.after),
            reason: timeout.reason,
        }
    }
}

impl Budget {
    /// What is left, for the socket; an error once it is used up.
    fn left(&self) -> Result<Option<Duration>, Error> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout(self.reason));
        }
        Ok(Some(left))
    }

    /// Passes over interruptions and time-outs of the socket: `left` decides whether time is up.
    fn judge(&self, error: io::Error) -> Result<(), Error> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if self.deadline.is_some() => {
                Ok(())
            }
            _ => Err(Error::Io(error)),
        }
    }
}

/// Resolves IP addresses by itself and leaves names to another resolver, which starts a thread for
/// each look-up, and is asked for every call.
#[derive(Debug)]
pub(super) struct Literal<R>(R);

impl<R> Literal<R> {
    pub(super) fn new(names: R) -> Self {
        Self(names)
    }
}

impl<R: Resolver> Resolver for Literal<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        match (host.parse::<IpAddr>(), uri.port_u16()) {
            (Ok(address), Some(port)) => {
                let mut addresses = self.empty();
                addresses.push(SocketAddr::new(address, port));
                Ok(addresses)
            }
            _ => self.0.resolve(uri, config, timeout),
        }
    }
}
