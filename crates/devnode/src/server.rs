//! The HTTP server: connections, credentials, and what is answered before JSON-RPC begins.
//!
//! Faults strike here: before a body is read, before a call and after it, and on its answer's way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::envelope::{self, Call, Envelope, RpcError, RpcResult, Version};
use crate::faults::stage::Absence;
use crate::faults::wire::{self, After};
use crate::faults::{Mode, RpcFault, RpcRule};
use crate::http::{self, ReadFailure, Request};
use crate::methods;
use crate::node::Node;
use crate::response::{Content, Response};
use crate::seat::Seat;

/// How long answers under way may take to leave when the node stops.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a refused client may go on sending before its connection is reset.
const LINGER: Duration = Duration::from_secs(1);

/// Serves until the node stops; afterwards the port is free and no connection is left. While the
/// node is away, as an event may have it, the port is kept, closed.
pub(crate) async fn run(mut listener: TcpListener, node: Arc<Node>) -> std::io::Result<()> {
    let addr = listener.local_addr()?;
    while let Some(absence) = serve(listener, &node).await {
        let seat = Seat::take(addr).await?;
        if absence.clean {
            node.credentials.remove_cookie();
        }
        node.pause_until(absence.until).await;
        if let Err(error) = node.start_again() {
            tracing::error!(%error, "the cookie stays as it was");
        }
        let warm = Instant::now() + absence.warm_up;
        node.stage.warm_until.send_replace(Some(warm));
        listener = seat.listen()?;
    }
    Ok(())
}

/// Serves until the node stops (None) or is away.
async fn serve(listener: TcpListener, node: &Arc<Node>) -> Option<Absence> {
    let mut stop = node.stopping();
    let mut away = node.stage.absence.subscribe();
    let mut connections = JoinSet::new();
    loop {
        node.thaw().await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            absence = away.wait_for(|absence| is_on(absence.as_ref())) => {
                let absence = absence.ok().and_then(|absence| *absence);
                // No call survives its node.
                drop(listener);
                connections.shutdown().await;
                return absence;
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(node)));
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
    None
}

fn is_on(absence: Option<&Absence>) -> bool {
    absence.is_some_and(|absence| Instant::now() < absence.until)
}

async fn serve_connection(mut stream: TcpStream, node: Arc<Node>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut stop = node.stopping();
    let mut buffer = Vec::new();
    loop {
        let read = tokio::select! {
            biased;
            read = read_request(&mut stream, &mut buffer, &node) => read,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let request = match read {
            Ok(Some(request)) => request,
            Ok(None) | Err(ReadFailure::Hangup) => return,
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
        node.thaw().await;
        let (response, rule) = answer(&node, &request).await;
        node.thaw().await;
        let fault = rule.and_then(|rule| rule.fault);
        let framing = request.framing;
        let sent = match &fault {
            None => {
                let sent = response.send(&mut stream, framing).await;
                sent.map(|()| After::AsAsked)
            }
            Some(fault) => wire::send(&mut stream, &response, framing, fault).await,
        };
        match sent {
            Ok(After::AsAsked) if framing.keeps() => {}
            Ok(After::AsAsked) => return linger(stream, stop).await,
            Ok(After::Wait) => return wait_for_hangup(stream, &node).await,
            Ok(After::Close) | Err(_) => return,
        }
    }
}

/// Reads a request; none where a fault has it left unread.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    node: &Node,
) -> Result<Option<Request>, ReadFailure> {
    let timeout = node.settings.http_timeout;
    let head = http::read_head(stream, buffer, timeout).await?;
    if node.faults.strike_calls() && node.faults.drops_unread(node.height()) {
        return Ok(None);
    }
    head.read_body(stream, buffer, timeout).await.map(Some)
}

/// Says nothing more until the client gives up, or has been idle for too long.
async fn wait_for_hangup(mut stream: TcpStream, node: &Node) {
    let mut stop = node.stopping();
    let mut scrap = [0_u8; 4096];
    let silence = async { while matches!(stream.read(&mut scrap).await, Ok(n) if n > 0) {} };
    tokio::select! {
        _ = tokio::time::timeout(node.settings.http_timeout, silence) => {}
        _ = stop.wait_for(|stop| *stop) => {}
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

/// The answer, and the rule that has struck it.
async fn answer(node: &Arc<Node>, request: &Request) -> (Response, Option<RpcRule>) {
    if let Some(refusal) = refuse(node, request).await {
        return (refusal, None);
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return (unreadable(RpcError::parse_error()), None);
    };
    let Some(rule) = fault_of(node, &body) else {
        return (answer_body(node, body, None).await, None);
    };
    if let Some(delay) = rule.delay_s {
        node.pause_until(Instant::now() + delay.0).await;
    }
    let mut response = answer_body(node, body, Some(&rule)).await;
    if let Some(hold) = rule.hold_s {
        node.pause_until(Instant::now() + hold.0).await;
    }
    if let Some(other) = rule.fault.as_ref().and_then(RpcFault::response) {
        response = other;
    } else if let Content::Json(text) = &mut response.content
        && let Some(garbled) = rule.garble(text)
    {
        *text = garbled;
    }
    (response, Some(rule))
}

/// What goes wrong with this call, or with this batch.
fn fault_of(node: &Node, body: &Value) -> Option<RpcRule> {
    if !node.faults.strike_calls() {
        return None;
    }
    let call = body["method"].as_str().map(|method| {
        let request = match &body["params"] {
            Value::Array(params) => params.first().unwrap_or(&Value::Null),
            named => &named["template_request"],
        };
        (
            method,
            (method == methods::TEMPLATE).then(|| Mode::of(request)),
        )
    });
    node.faults.call(call, node.height())
}

async fn answer_body(node: &Arc<Node>, body: Value, rule: Option<&RpcRule>) -> Response {
    match body {
        Value::Array(batch) => answer_batch(node, batch, rule).await,
        single @ Value::Object(_) => answer_single(node, single, rule).await,
        _ => unreadable(RpcError::top_level()),
    }
}

/// Carries a call out, and changes its outcome where a fault has it so.
async fn perform(node: &Arc<Node>, call: Call, rule: Option<&RpcRule>) -> RpcResult {
    let Some(rule) = rule else {
        return methods::call(node, call).await;
    };
    let outcome = if rule.carries_out() {
        methods::call(node, call).await
    } else {
        methods::result(&Value::Null)
    };
    rule.answer(outcome, |blocks| {
        let world = node.world();
        let height = world.index().height().checked_sub(blocks)?;
        let hash = world.index().active_hash(height)?;
        Some((hash.to_string(), height))
    })
}

/// The answer to what is no call by somebody who may call.
async fn refuse(node: &Node, request: &Request) -> Option<Response> {
    let path_known = request.target == "/" || request.target.starts_with("/wallet/");
    match request.method.as_str() {
        "POST" | "GET" | "HEAD" | "PUT" if !path_known => return Some(Response::text(404, "")),
        "POST" => {}
        "GET" | "PUT" => {
            let words = "JSONRPC server handles only POST requests";
            return Some(Response::text(405, words));
        }
        _ => return Some(Response::text(405, "")),
    }
    let Some(authorization) = &request.authorization else {
        return Some(challenge());
    };
    if !node.credentials.accept(authorization) {
        tokio::time::sleep(node.settings.auth_delay).await;
        return Some(challenge());
    }
    None
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

async fn answer_single(node: &Arc<Node>, request: Value, rule: Option<&RpcRule>) -> Response {
    let (envelope, call) = envelope::read_call(request);
    let (outcome, understood) = match call {
        Ok(call) => (perform(node, call, rule).await, true),
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

async fn answer_batch(node: &Arc<Node>, batch: Vec<Value>, rule: Option<&RpcRule>) -> Response {
    let asked = batch.len();
    let mut answers = Vec::with_capacity(asked);
    for request in batch {
        let (envelope, call) = envelope::read_call(request);
        let outcome: RpcResult = match call {
            Ok(call) => perform(node, call, rule).await,
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
