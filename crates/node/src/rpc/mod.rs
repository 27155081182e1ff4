//! Blocking JSON-RPC calls, one method for each purpose.

mod chain_queries;
mod headers;
mod mining;
pub(crate) mod types;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoincore_rpc::RpcApi;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::auth::Credentials;
use crate::config::{NodeConfig, Timeouts};
use crate::error::NodeError;
use crate::http::Stopper;
use crate::metrics::{Call, Metrics};
use crate::transport::{Link, Transport};

pub use mining::{BlockHex, Submission};

/// Most requests in one JSON-RPC batch.
pub const MAX_BATCH: usize = 2000;

/// A blocking client of one node, with one connection of its own; one call at a time.
///
/// Each call has a total deadline (see [`Timeouts`](crate::Timeouts)) and is sent at most once, except
/// after a 401 with a cookie that has changed since. Async code uses [`Node`](crate::Node).
pub struct Rpc {
    client: bitcoincore_rpc::Client,
    /// The client's, for requests that it would copy too often.
    transport: Transport,
    link: Arc<Link>,
    metrics: Arc<Metrics>,
    timeouts: Timeouts,
    stopper: Stopper,
    /// No call lasts longer than this, whatever its own deadline.
    not_after: Option<Instant>,
}

impl Rpc {
    /// A client; contacts nobody yet.
    pub fn new(config: &NodeConfig) -> Self {
        let credentials = Arc::new(Credentials::new(config.auth.clone()));
        Self::with(config, credentials, Arc::default())
    }

    pub(crate) fn with(
        config: &NodeConfig,
        credentials: Arc<Credentials>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let transport = Transport::new(config, credentials);
        let link = transport.link();
        let stopper = transport.stopper();
        let client = jsonrpc::Client::with_transport(transport.clone());
        Self {
            transport,
            client: bitcoincore_rpc::Client::from_jsonrpc(client),
            link,
            metrics,
            timeouts: config.timeouts,
            stopper,
            not_after: None,
        }
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Bounds every following call by `deadline` as well; `None` lifts the bound.
    pub fn set_not_after(&mut self, deadline: Option<Instant>) {
        self.not_after = deadline;
    }

    /// Any method, with positional parameters and a total deadline; for what has no method here.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &[Value],
        timeout: Duration,
    ) -> Result<T, NodeError> {
        let begun = self.begin(timeout);
        let result = self.client.call(method, params);
        self.end(
            method,
            begun,
            result.map_err(|error| explain(method, error)),
        )
    }

    /// As [`call`](Self::call), with the parameter list already written as JSON: spares copies of a
    /// large one.
    fn call_raw<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &RawValue,
        timeout: Duration,
    ) -> Result<T, NodeError> {
        let begun = self.begin(timeout);
        let client = self.client.get_jsonrpc_client();
        let request = client.build_request(method, Some(params));
        let result = client
            .send_request(request)
            .and_then(|response| response.result());
        self.end(
            method,
            begun,
            result.map_err(|error| explain(method, error.into())),
        )
    }

    /// One method with many parameter lists in one HTTP request; answers in the order of the lists.
    fn batch<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &[Box<RawValue>],
        timeout: Duration,
    ) -> Result<Vec<Result<T, NodeError>>, NodeError> {
        if params.is_empty() {
            return Ok(Vec::new());
        }
        let begun = self.begin(timeout);
        let client = self.client.get_jsonrpc_client();
        let requests: Vec<_> = params
            .iter()
            .map(|list| client.build_request(method, Some(list)))
            .collect();
        let answers = client.send_batch(&requests);
        let answers = self.end(
            method,
            begun,
            answers.map_err(|error| explain(method, error.into())),
        )?;
        Ok(answers
            .into_iter()
            .map(|answer| {
                let answer = answer.ok_or_else(|| {
                    NodeError::malformed(method, "an answer is missing in the batch")
                })?;
                answer
                    .result()
                    .map_err(|error| explain(method, error.into()))
            })
            .collect())
    }

    /// When the last call's request had been handed to the system in full; none where it was not.
    pub(crate) fn written_at(&self) -> Option<Instant> {
        self.link.written_at()
    }

    /// Sets the deadline; answers the time.
    fn begin(&self, timeout: Duration) -> Instant {
        let now = Instant::now();
        let deadline = now + timeout;
        self.link
            .set_deadline(self.not_after.map_or(deadline, |bound| bound.min(deadline)));
        now
    }

    /// Counts the call.
    fn end<T>(
        &self,
        method: &str,
        begun: Instant,
        result: Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let (sent, received) = self.link.bytes();
        self.metrics.record(
            method,
            &Call {
                failed: result.is_err(),
                latency: begun.elapsed(),
                sent,
                received,
            },
        );
        result
    }
}

/// Our own error back out of the client's.
fn explain(method: &str, error: bitcoincore_rpc::Error) -> NodeError {
    use jsonrpc::Error as Json;
    match error {
        bitcoincore_rpc::Error::JsonRpc(Json::Transport(cause)) => {
            match cause.downcast::<NodeError>() {
                Ok(error) => *error,
                Err(other) => NodeError::malformed(method, other.to_string()),
            }
        }
        bitcoincore_rpc::Error::JsonRpc(Json::Rpc(error)) => {
            NodeError::from_rpc(method, error.code, &error.message)
        }
        other => NodeError::malformed(method, other.to_string()),
    }
}
