//! The HTTP server: connections, credentials, and what is answered before JSON-RPC begins.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::envelope::{self, Envelope, RpcError, RpcResult, Version};
use crate::http::{self, ReadFailure, Request};
use crate::methods;
use crate::node::Node;
use crate::response::{Content, Response};

/// How long answers under way may take to leave when the node stops.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a refused client may go on sending before its connection is reset.
const LINGER: Duration = Duration::from_secs(1);

/// Serves until the node stops; afterwards the port is free and no connection is left.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>) {
    let mut stop = node.stopping();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&node)));
                }
                Err(error) => {
                    tracing::warn!(%error, "devnode cannot accept an RPC connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve_connection(mut stream: TcpStream, node: Arc<Node>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut stop = node.stopping();
    let mut buffer = Vec::new();
    loop {
        let read = http::read_request(&mut stream, &mut buffer, node.settings.http_timeout);
        let read = tokio::select! {
            biased;
            read = read => read,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let request = match read {
            Ok(request) => request,
            Err(ReadFailure::Hangup) => return,
            Err(refusal) => {
                let status = match refusal {
                    ReadFailure::TooLarge => 413,
                    _ => 400,
                };
                let response = Response::text(status, "");
                if response
                    .send(&mut stream, http::Framing::Keep)
                    .await
                    .is_ok()
                {
                    linger(stream, stop).await;
                }
                return;
            }
        };
        let response = answer(&node, &request).await;
        if response.send(&mut stream, request.framing).await.is_err() {
            return;
        }
        if !request.framing.keeps() {
            linger(stream, stop).await;
            return;
        }
    }
}

/// Ends our side and reads what the client still sends, because closing with unread bytes would
/// reset the connection and could destroy the answer on its way.
async fn linger(mut stream: TcpStream, mut stop: watch::Receiver<bool>) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scrap = [0_u8; 4096];
    let drain = async { while matches!(stream.read(&mut scrap).await, Ok(n) if n > 0) {} };
    tokio::select! {
        _ = tokio::time::timeout(LINGER, drain) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn answer(node: &Arc<Node>, request: &Request) -> Response {
    let path_known = request.target == "/" || request.target.starts_with("/wallet/");
    match request.method.as_str() {
        "POST" | "GET" | "HEAD" | "PUT" if !path_known => return Response::text(404, ""),
        "POST" => {}
        "GET" | "PUT" => return Response::text(405, "JSONRPC server handles only POST requests"),
        _ => return Response::text(405, ""),
    }
    let Some(authorization) = &request.authorization else {
        return challenge();
    };
    if !node.credentials.accept(authorization) {
        tokio::time::sleep(node.settings.auth_delay).await;
        return challenge();
    }
    match serde_json::from_slice::<Value>(&request.body) {
        Ok(Value::Array(batch)) => answer_batch(node, batch).await,
        Ok(single @ Value::Object(_)) => answer_single(node, single).await,
        Ok(_) => unreadable(RpcError::top_level()),
        Err(_) => unreadable(RpcError::parse_error()),
    }
}

fn challenge() -> Response {
    Response {
        status: 401,
        content: Content::Challenge,
    }
}

fn unreadable(error: RpcError) -> Response {
    let status = error.http_status();
    json(status, Envelope::unreadable().wrap(&Err(error)))
}

fn json(status: u16, mut text: String) -> Response {
    text.push('\n');
    Response {
        status,
        content: Content::Json(text.into_bytes()),
    }
}

async fn answer_single(node: &Arc<Node>, request: Value) -> Response {
    let (envelope, call) = envelope::read_call(request);
    let (outcome, understood) = match call {
        Ok(call) => (methods::call(node, call).await, true),
        Err(error) => (Err(error), false),
    };
    if understood && envelope.is_notification() {
        return Response {
            status: 204,
            content: Content::None,
        };
    }
    let status = match &outcome {
        // JSON-RPC 2.0 keeps its errors out of HTTP, except for requests that are none.
        Err(error) if envelope.version == Version::Legacy || !understood => error.http_status(),
        _ => 200,
    };
    json(status, envelope.wrap(&outcome))
}

async fn answer_batch(node: &Arc<Node>, batch: Vec<Value>) -> Response {
    let asked = batch.len();
    let mut answers = Vec::with_capacity(asked);
    for request in batch {
        let (envelope, call) = envelope::read_call(request);
        let outcome: RpcResult = match call {
            Ok(call) => methods::call(node, call).await,
            Err(error) => Err(error),
        };
        if !envelope.is_notification() {
            answers.push(envelope.wrap(&outcome));
        }
    }
    if answers.is_empty() && asked > 0 {
        return Response {
            status: 204,
            content: Content::None,
        };
    }
    json(200, format!("[{}]", answers.join(",")))
}
