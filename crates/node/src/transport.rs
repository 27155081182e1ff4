//! JSON-RPC over [`HttpClient`], as `jsonrpc`'s (and so `bitcoincore_rpc`'s) transport.
//!
//! The clients of those crates build the requests and keep the ids; this side decides what an answer
//! is. Requests say `"jsonrpc":"2.0"`: Core 28 and later then answer errors with HTTP 200 and leave the
//! absent key out; Core 27 ignores the field and answers in the old manner (both keys, errors with HTTP
//! 500 or 404). Either is understood, and the body decides, not the status.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonrpc::error::RpcError;
use jsonrpc::{Request, Response};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::auth::Credentials;
use crate::config::{NodeConfig, RpcUrl};
use crate::error::{NodeError, one_line};
use crate::http::{HttpAnswer, HttpClient, HttpError, Stopper, length};

/// Bound on an answer's body. A full block is 8 MB of hex, a full template about 12 MB.
pub(crate) const BODY_LIMIT: usize = 32 << 20;

/// The transport of one [`Rpc`](crate::Rpc): one connection, one call at a time. Clones share it.
#[derive(Clone)]
pub(crate) struct Transport {
    http: Arc<Mutex<HttpClient>>,
    link: Arc<Link>,
}

/// What a transport shares with the `Rpc` that uses it.
pub(crate) struct Link {
    url: RpcUrl,
    credentials: Arc<Credentials>,
    epoch: Instant,
    /// Deadline of the call under way, in ns since `epoch`.
    deadline: AtomicU64,
    /// Bytes of the last call's bodies.
    sent: AtomicUsize,
    received: AtomicUsize,
    /// When the last call's request had been written in full.
    written_at: Mutex<Option<Instant>>,
}

impl Link {
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        let since = deadline.saturating_duration_since(self.epoch).as_nanos();
        self.deadline
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes of the last call's request and answer.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        (
            self.sent.load(Ordering::Relaxed),
            self.received.load(Ordering::Relaxed),
        )
    }

    /// When the last call's request had been handed to the system in full; none where it was not.
    pub(crate) fn written_at(&self) -> Option<Instant> {
        *self.written()
    }

    fn written(&self) -> MutexGuard<'_, Option<Instant>> {
        self.written_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn deadline(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.deadline.load(Ordering::Relaxed))
    }
}

impl Transport {
    pub(crate) fn new(config: &NodeConfig, credentials: Arc<Credentials>) -> Self {
        let http = HttpClient::new(config.rpc_url.as_str(), config.timeouts.connect, BODY_LIMIT);
        Self {
            http: Arc::new(Mutex::new(http)),
            link: Arc::new(Link {
                url: config.rpc_url.clone(),
                credentials,
                epoch: Instant::now(),
                deadline: AtomicU64::new(0),
                sent: AtomicUsize::new(0),
                received: AtomicUsize::new(0),
                written_at: Mutex::default(),
            }),
        }
    }

    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.http
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopper()
    }

    /// Sends a request that is written out already, in pieces.
    pub(crate) fn send_written(
        &self,
        method: &str,
        id: &Value,
        request: &[&[u8]],
    ) -> Result<Response, jsonrpc::Error> {
        self.exchange(method, request, |bytes| {
            let envelope = Envelope::parse(method, bytes)?;
            envelope.expect_id(method, id)?;
            envelope.into_response(method)
        })
    }

    /// One exchange: log in, send, judge the status, read.
    fn exchange<T>(
        &self,
        method: &str,
        request: &[&[u8]],
        read: impl FnOnce(&[u8]) -> Result<T, NodeError>,
    ) -> Result<T, jsonrpc::Error> {
        self.link.sent.store(length(request), Ordering::Relaxed);
        self.link.received.store(0, Ordering::Relaxed);
        *self.link.written() = None;
        self.post(method, request, Instant::now())
            .and_then(|answer| {
                self.link
                    .received
                    .store(answer.body.len(), Ordering::Relaxed);
                read(&answer.body)
                    .map_err(|unreadable| self.explain_status(method, &answer, unreadable))
            })
            .map_err(|error| jsonrpc::Error::Transport(Box::new(error)))
    }

    /// Sends the request; a second time only after a 401, which is never executed, and only with
    /// credentials that are newer than the refused ones.
    fn post(
        &self,
        method: &str,
        request: &[&[u8]],
        started: Instant,
    ) -> Result<HttpAnswer, NodeError> {
        let link = &*self.link;
        let mut http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let mut send = |authorization: &str| {
            let answer = http.post(authorization, request, link.deadline());
            *link.written() = http.written_at();
            answer.map_err(|error| match error {
                HttpError::NotSent(cause) => NodeError::Unreachable {
                    url: link.url.to_string(),
                    method: method.to_owned(),
                    cause,
                },
                HttpError::Sent(cause) => NodeError::Unanswered {
                    url: link.url.to_string(),
                    method: method.to_owned(),
                    waited: started.elapsed(),
                    cause,
                },
                HttpError::TooLarge => NodeError::TooLarge {
                    method: method.to_owned(),
                    limit: BODY_LIMIT,
                },
            })
        };
        let authorization = link.credentials.get()?;
        let mut answer = send(authorization.header())?;
        if answer.status == 401
            && let Some(newer) = link.credentials.newer_than(&authorization)
        {
            tracing::info!(url = %link.url, "the node has a new cookie; logging in again");
            answer = send(newer.header())?;
        }
        let url = || link.url.to_string();
        match answer.status {
            401 => Err(NodeError::Unauthorized {
                url: url(),
                credentials: link.credentials.hint(),
            }),
            403 => Err(NodeError::Forbidden {
                url: url(),
                method: method.to_owned(),
            }),
            503 => Err(NodeError::Busy {
                url: url(),
                method: method.to_owned(),
                text: excerpt(&answer.body),
            }),
            _ => Ok(answer),
        }
    }

    /// An answer that is no JSON-RPC: where the status tells more than the body, say the status.
    fn explain_status(
        &self,
        method: &str,
        answer: &HttpAnswer,
        unreadable: NodeError,
    ) -> NodeError {
        if answer.status == 200 || !matches!(unreadable, NodeError::Malformed { .. }) {
            return unreadable;
        }
        let text = excerpt(&answer.body);
        NodeError::Http {
            url: self.link.url.to_string(),
            method: method.to_owned(),
            status: answer.status,
            excerpt: if text.is_empty() {
                text
            } else {
                format!(": {text}")
            },
        }
    }
}

impl jsonrpc::Transport for Transport {
    fn send_request(&self, request: Request) -> Result<Response, jsonrpc::Error> {
        let body = serde_json::to_vec(&request)?;
        self.send_written(request.method, &request.id, &[&body])
    }

    fn send_batch(&self, requests: &[Request]) -> Result<Vec<Response>, jsonrpc::Error> {
        let body = serde_json::to_vec(requests)?;
        let method = requests.first().map_or("batch", |request| request.method);
        self.exchange(method, &[&body], |bytes| {
            // A batch refused as a whole is answered with a single object.
            if bytes.trim_ascii_start().first() == Some(&b'{') {
                let refusal = Envelope::parse(method, bytes)?.into_response(method)?;
                return Err(match refusal.error {
                    Some(RpcError { code, message, .. }) => {
                        NodeError::from_rpc(method, code, &message)
                    }
                    None => NodeError::malformed(method, "one object instead of a list of answers"),
                });
            }
            let envelopes: Vec<Envelope> = parse(method, bytes)?;
            envelopes
                .into_iter()
                .map(|envelope| envelope.into_response(method))
                .collect()
        })
    }

    fn fmt_target(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.link.url)
    }
}

/// A JSON-RPC answer of either version. `null` and absent are told apart: `{}` must not pass for the
/// `null` with which `submitblock` accepts a block.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
    #[serde(default)]
    id: Value,
}

impl<'a> Envelope<'a> {
    fn parse(method: &str, bytes: &'a [u8]) -> Result<Self, NodeError> {
        parse(method, bytes)
    }

    /// The answer must carry the request's id; only an error about a request that could not be read
    /// carries `null`.
    fn expect_id(&self, method: &str, id: &Value) -> Result<(), NodeError> {
        if self.id == *id || (self.id.is_null() && self.error.is_some()) {
            return Ok(());
        }
        Err(NodeError::malformed(
            method,
            "it carries another request's id",
        ))
    }

    fn into_response(self, method: &str) -> Result<Response, NodeError> {
        if self.result.is_none() && self.error.is_none() {
            return Err(NodeError::malformed(
                method,
                "it holds neither a result nor an error",
            ));
        }
        Ok(Response {
            result: self.result.map(ToOwned::to_owned),
            error: self.error,
            id: self.id,
            jsonrpc: None,
        })
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn parse<'a, T: Deserialize<'a>>(method: &str, bytes: &'a [u8]) -> Result<T, NodeError> {
    if bytes.is_empty() {
        return Err(NodeError::malformed(method, "it is empty"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        NodeError::malformed(
            method,
            format!("{error}; it begins with `{}`", excerpt(bytes)),
        )
    })
}

/// The start of a body, fit for one line of log.
fn excerpt(body: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(&body[..body.len().min(400)]), 80)
}
