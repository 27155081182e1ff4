//! HTTP POST with a total deadline, a bound on the answer, keep-alive, and the truth about whether
//! a failed request had been sent.
//!
//! Over `ureq`, whose source was read for what matters here (3.5.1): `run.rs` makes one attempt per
//! call and never repeats a request, on a stale pooled connection either (the pool probes a
//! connection before use and opens a new one if the peer has closed it, before a byte is written);
//! the global timeout spans look-up, connecting, writing and reading to the end of the body;
//! `Expect: 100-continue` is sent only when asked for. Redirects, proxies (it would read HTTP_PROXY) and
//! statuses as errors are switched off below. The connector and the resolver are ours, to set TCP keepalive, to spare
//! a thread per call for an address that needs no look-up, and to know which bytes were written.

mod connector;
mod progress;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, SendBody};

pub(crate) use self::connector::keepalive;
use self::connector::{Connect, Literal};
use self::progress::{Progress, Tracked};
use crate::error::Cause;

/// Core closes a connection that was idle for 30 s (`-rpcservertimeout`). Ours are dropped before,
/// so that a request is never written into a connection that is about to be closed.
const MAX_IDLE: Duration = Duration::from_secs(20);

/// After an answer, Core leaves a request that comes at once on the same connection lying for up to
/// 50 ms (one in seven; none was seen after 0.5 ms).
const QUIET: Duration = Duration::from_millis(1);

/// One HTTP client with connections of its own.
pub(crate) struct HttpClient {
    agent: Agent,
    url: String,
    body_limit: usize,
    progress: Arc<Progress>,
    last_answer: Option<Instant>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A request without an answer.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// Not written in full: the server cannot have acted on it.
    NotSent(Cause),
    /// Written in full: the server may have acted on it.
    Sent(Cause),
    /// The answer exceeds the bound.
    TooLarge,
}

impl HttpClient {
    pub(crate) fn new(url: &str, connect_timeout: Duration, body_limit: usize) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .no_delay(true)
            .timeout_connect(Some(connect_timeout))
            .timeout_await_100(None)
            .max_idle_age(MAX_IDLE)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .user_agent("signalcore")
            .accept("application/json")
            .accept_encoding("")
            .build();
        let progress = Arc::new(Progress::default());
        let connector = Connect::new(Arc::clone(&progress));
        Self {
            agent: Agent::with_parts(config, connector, Literal::new(DefaultResolver::default())),
            url: url.to_owned(),
            body_limit,
            progress,
            last_answer: None,
        }
    }

    /// What interrupts calls of this client from another thread.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(self.agent.clone())
    }

    /// Sends one POST, its body in pieces, and reads the answer to the end, all before `deadline`.
    pub(crate) fn post(
        &mut self,
        authorization: &str,
        body: &[&[u8]],
        deadline: Instant,
    ) -> Result<HttpAnswer, HttpError> {
        if let Some(pause) = self
            .last_answer
            .and_then(|at| QUIET.checked_sub(at.elapsed()))
        {
            std::thread::sleep(pause);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(HttpError::NotSent("the deadline had passed".into()));
        }
        self.progress.begin();
        let result = self.exchange(authorization, body, left);
        self.last_answer = result.is_ok().then(Instant::now);
        result
    }

    /// When the last request had been handed to the system in full; none where it was not.
    pub(crate) fn written_at(&self) -> Option<Instant> {
        self.progress.completed_at()
    }

    fn exchange(
        &self,
        authorization: &str,
        body: &[&[u8]],
        left: Duration,
    ) -> Result<HttpAnswer, HttpError> {
        let mut tracked = Tracked::new(body, &self.progress);
        let response = self
            .agent
            .post(&self.url)
            .header("Authorization", authorization)
            .header("Content-Type", "application/json")
            .header("Content-Length", length(body))
            .config()
            .timeout_global(Some(left))
            .build()
            .send(SendBody::from_reader(&mut tracked));
        let response = match response {
            Ok(response) => response,
            Err(error) if self.written_at().is_some() => {
                return Err(HttpError::Sent(Box::new(error)));
            }
            Err(error) => return Err(HttpError::NotSent(Box::new(error))),
        };
        let status = response.status().as_u16();
        let answer = response.into_body();
        let announced = answer.content_length().unwrap_or(0);
        if announced > self.body_limit as u64 {
            return Err(HttpError::TooLarge);
        }
        let mut bytes = Vec::with_capacity(announced as usize);
        // One byte more than allowed tells "too large" from "just fits".
        match answer
            .into_reader()
            .take(self.body_limit as u64 + 1)
            .read_to_end(&mut bytes)
        {
            Ok(_) if bytes.len() > self.body_limit => Err(HttpError::TooLarge),
            Ok(_) => Ok(HttpAnswer {
                status,
                body: bytes,
            }),
            Err(error) => Err(HttpError::Sent(Box::new(error))),
        }
    }
}

/// Bytes of a body in pieces.
pub(crate) fn length(body: &[&[u8]]) -> usize {
    body.iter().map(|piece| piece.len()).sum()
}

/// Interrupts an [`HttpClient`] for good: calls under way fail at once, later ones at the start.
#[derive(Clone)]
pub(crate) struct Stopper(Agent);

impl Stopper {
    pub(crate) fn stop(&self) {
        self.0.clone().shutdown();
    }
}
