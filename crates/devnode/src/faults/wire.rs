//! Answers on their way to the client, harmed where a rule says so.

use std::io;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::rpc::{Drop, Garbage, Half, OtherFraming, RpcFault};
use crate::http::Framing;
use crate::response::{Content, Response};

/// Bytes that no HTTP client understands.
const NOT_HTTP: &[u8] = b"\x00\x01\xff\xfeSSH-2.0-nothing\r\n\r\n\x00";
const HTML: &str = "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>\n";
/// Into so many pieces an answer is cut that drips.
const PIECES: usize = 64;
/// Written at a time of a huge body.
const BLOCK: usize = 64 * 1024;

/// What is to become of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// As the client asked for.
    AsAsked,
    /// It is closed at once.
    Close,
    /// It stays open, and nothing more comes.
    Wait,
}

impl RpcFault {
    /// The answer in place of JSON.
    pub(crate) fn response(&self) -> Option<Response> {
        match self {
            Self::Status(status) => Some(match status.0 {
                401 => Response {
                    status: 401,
                    content: Content::Challenge,
                },
                503 => Response::text(503, "Work queue depth exceeded"),
                status => Response::text(status, ""),
            }),
            Self::Garbage(Garbage::NotJson) => Some(Response::text(200, HTML)),
            Self::Garbage(Garbage::Empty) => Some(Response::text(200, "")),
            _ => None,
        }
    }
}

/// Sends an answer as the fault has it.
pub(crate) async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    response: &Response,
    framing: Framing,
    fault: &RpcFault,
) -> io::Result<After> {
    let now = SystemTime::now();
    let (head, body) = response.encode(framing, now);
    match fault {
        RpcFault::Drop(Drop::Unread | Drop::Read) => return Ok(After::Close),
        RpcFault::Garbage(Garbage::NotHttp) => {
            stream.write_all(NOT_HTTP).await?;
            stream.flush().await?;
            return Ok(After::Close);
        }
        RpcFault::Half(Half::Head) => {
            stream.write_all(&head[..head.len() / 2]).await?;
            stream.flush().await?;
            return Ok(After::Close);
        }
        RpcFault::Half(Half::Body) => {
            stream.write_all(&head).await?;
            stream.write_all(&body[..body.len() / 2]).await?;
            stream.flush().await?;
            return Ok(After::Close);
        }
        RpcFault::Half(Half::LengthTooLong) => {
            let head = with_length(&head, body.len() as u64 + 1_000);
            stream.write_all(&[&head[..], body].concat()).await?;
            stream.flush().await?;
            return Ok(After::Wait);
        }
        RpcFault::Half(Half::LengthTooShort) => {
            let head = with_length(&head, body.len() as u64 / 2);
            stream.write_all(&[&head[..], body].concat()).await?;
        }
        RpcFault::DripS(time) => drip(stream, &[&head[..], body].concat(), time.0).await?,
        RpcFault::HugeBytes(bytes) => {
            stream.write_all(&with_length(&head, *bytes)).await?;
            huge(stream, *bytes).await?;
        }
        RpcFault::Framing(OtherFraming::Chunked) => {
            stream.write_all(&chunked(&head, body)).await?;
        }
        RpcFault::Framing(OtherFraming::Http10) => {
            let (head, body) = response.encode(Framing::OldClose, now);
            stream.write_all(&[&head[..], body].concat()).await?;
            stream.flush().await?;
            return Ok(After::Close);
        }
        RpcFault::Error(_)
        | RpcFault::Status(_)
        | RpcFault::Garbage(_)
        | RpcFault::Result(_)
        | RpcFault::Patch(_)
        | RpcFault::Behind(_) => stream.write_all(&[&head[..], body].concat()).await?,
    }
    stream.flush().await?;
    Ok(After::AsAsked)
}

async fn drip<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &[u8],
    time: Duration,
) -> io::Result<()> {
    let pieces = bytes.chunks(bytes.len().div_ceil(PIECES).max(1));
    let pause = time / pieces.len().max(1) as u32;
    for piece in pieces {
        tokio::time::sleep(pause).await;
        stream.write_all(piece).await?;
        stream.flush().await?;
    }
    Ok(())
}

/// A string of JSON that is as long as announced.
async fn huge<S: AsyncWrite + Unpin>(stream: &mut S, bytes: u64) -> io::Result<()> {
    const BEGIN: &[u8] = b"{\"result\":\"";
    const END: &[u8] = b"\",\"error\":null,\"id\":1}";
    stream.write_all(BEGIN).await?;
    let block = vec![b'0'; BLOCK];
    let mut left = bytes.saturating_sub((BEGIN.len() + END.len()) as u64);
    while left > 0 {
        let piece = left.min(BLOCK as u64);
        stream.write_all(&block[..piece as usize]).await?;
        left -= piece;
    }
    stream.write_all(END).await
}

/// The lines of a head, the empty one at the end left out.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|byte| *byte == b'\n')
        .filter(|line| *line != b"\r\n")
}

fn with_length(head: &[u8], length: u64) -> Vec<u8> {
    let mut changed: Vec<u8> = lines(head)
        .filter(|line| !line.starts_with(b"Content-Length:"))
        .flatten()
        .copied()
        .collect();
    changed.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
    changed
}

fn chunked(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = lines(head)
        .filter(|line| !line.starts_with(b"Content-Length:"))
        .flatten()
        .copied()
        .collect();
    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(body.len().div_ceil(3).max(1)) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
