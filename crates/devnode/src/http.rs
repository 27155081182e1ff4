//! Requests of HTTP/1.x, read as Bitcoin Core's RPC server reads them; `response` writes the answers.
//!
//! Both are written by hand over `httparse` rather than on a server framework because the peers under test
//! care about what frameworks decide for themselves: the order of headers, `Content too large`,
//! HTTP/1.0 answers without a length, no `100 Continue` ever.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bitcoin Core's limit for the request line and headers.
const MAX_HEAD: usize = 8192;
/// Bitcoin Core's limit for a body (`MAX_SIZE`), beyond which the answer is 413.
pub(crate) const MAX_BODY: usize = 0x0200_0000;
const MAX_HEADERS: usize = 128;
const READ_CHUNK: usize = 16 * 1024;

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Vec<u8>,
    /// What the client's version and `Connection` header ask for.
    pub(crate) framing: Framing,
}

/// How the answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// HTTP/1.1, connection kept.
    Keep,
    /// HTTP/1.1, `Connection: close`.
    Close,
    /// HTTP/1.0 with `Connection: keep-alive`.
    OldKeep,
    /// HTTP/1.0: no length, the end of the connection ends the answer.
    OldClose,
}

impl Framing {
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Self::Keep | Self::OldKeep)
    }
}

/// Why no request could be read.
#[derive(Debug)]
pub(crate) enum ReadFailure {
    /// The client is gone, was silent too long, or the node stops: close without a word.
    Hangup,
    /// Answer 400 and close.
    Bad,
    /// Answer 413 and close.
    TooLarge,
}

/// A request whose body has yet to be read.
#[derive(Debug)]
pub(crate) struct Head {
    request: Request,
    length: usize,
    chunked: bool,
    /// Its own size.
    bytes: usize,
}

/// Reads the head of a request. `buffer` holds what was read beyond the previous request, and
/// afterwards what was read beyond this head.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    timeout: Duration,
) -> Result<Head, ReadFailure> {
    let head = loop {
        if let Some(head) = parse_head(buffer)? {
            break head;
        }
        if buffer.len() > MAX_HEAD {
            return Err(ReadFailure::Bad);
        }
        more(stream, buffer, timeout).await?;
    };
    buffer.drain(..head.bytes);
    Ok(head)
}

impl Head {
    /// Reads the rest of the request and leaves in `buffer` what was read beyond it (pipelining).
    pub(crate) async fn read_body<S: AsyncRead + Unpin>(
        self,
        stream: &mut S,
        buffer: &mut Vec<u8>,
        timeout: Duration,
    ) -> Result<Request, ReadFailure> {
        let mut request = self.request;
        request.body = if self.chunked {
            read_chunks(stream, buffer, timeout).await?
        } else {
            if self.length > MAX_BODY {
                return Err(ReadFailure::TooLarge);
            }
            take(stream, buffer, self.length, timeout).await?
        };
        Ok(request)
    }
}

async fn more<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    timeout: Duration,
) -> Result<(), ReadFailure> {
    buffer.reserve(READ_CHUNK);
    match tokio::time::timeout(timeout, stream.read_buf(buffer)).await {
        Ok(Ok(n)) if n > 0 => Ok(()),
        _ => Err(ReadFailure::Hangup),
    }
}

/// The first `length` bytes of the stream; grows with what arrives, not with what was announced.
async fn take<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    length: usize,
    timeout: Duration,
) -> Result<Vec<u8>, ReadFailure> {
    while buffer.len() < length {
        more(stream, buffer, timeout).await?;
    }
    let rest = buffer.split_off(length);
    Ok(std::mem::replace(buffer, rest))
}

async fn read_chunks<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    timeout: Duration,
) -> Result<Vec<u8>, ReadFailure> {
    let mut body = Vec::new();
    loop {
        let (used, size) = loop {
            match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) if buffer.len() <= MAX_HEAD => {
                    more(stream, buffer, timeout).await?;
                }
                _ => return Err(ReadFailure::Bad),
            }
        };
        buffer.drain(..used);
        let size = usize::try_from(size).map_err(|_| ReadFailure::TooLarge)?;
        if size > MAX_BODY - body.len() {
            return Err(ReadFailure::TooLarge);
        }
        if size == 0 {
            return skip_trailers(stream, buffer, timeout).await.map(|()| body);
        }
        body.extend(take(stream, buffer, size, timeout).await?);
        if take(stream, buffer, 2, timeout).await? != b"\r\n" {
            return Err(ReadFailure::Bad);
        }
    }
}

async fn skip_trailers<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    timeout: Duration,
) -> Result<(), ReadFailure> {
    let mut skipped = 0;
    loop {
        let Some(end) = buffer.windows(2).position(|w| w == b"\r\n") else {
            if buffer.len() > MAX_HEAD {
                return Err(ReadFailure::Bad);
            }
            more(stream, buffer, timeout).await?;
            continue;
        };
        buffer.drain(..end + 2);
        skipped += end;
        if end == 0 {
            return Ok(());
        }
        if skipped > MAX_HEAD {
            return Err(ReadFailure::Bad);
        }
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<Head>, ReadFailure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_bytes = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ReadFailure::Bad),
    };
    if head_bytes > MAX_HEAD {
        return Err(ReadFailure::Bad);
    }
    let mut length = None;
    let mut chunked = false;
    let mut authorization = None;
    let mut connection = String::new();
    for header in parsed.headers.iter() {
        let Ok(value) = std::str::from_utf8(header.value) else {
            continue;
        };
        if header.name.eq_ignore_ascii_case("content-length") {
            let announced: usize = value.trim().parse().map_err(|_| ReadFailure::Bad)?;
            if length.is_some_and(|before| before != announced) {
                return Err(ReadFailure::Bad);
            }
            length = Some(announced);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        } else if header.name.eq_ignore_ascii_case("authorization") {
            authorization = Some(value.to_owned());
        } else if header.name.eq_ignore_ascii_case("connection") {
            connection = value.trim().to_ascii_lowercase();
        }
    }
    let framing = match (parsed.version, connection.as_str()) {
        (Some(0), "keep-alive") => Framing::OldKeep,
        (Some(0), _) => Framing::OldClose,
        (_, "close") => Framing::Close,
        _ => Framing::Keep,
    };
    Ok(Some(Head {
        request: Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            authorization,
            body: Vec::new(),
            framing,
        },
        length: length.unwrap_or(0),
        chunked,
        bytes: head_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<(Request, Vec<u8>), ReadFailure> {
        let mut buffer = Vec::new();
        let mut stream = bytes;
        let timeout = Duration::from_secs(30);
        let head = read_head(&mut stream, &mut buffer, timeout).await?;
        let request = head.read_body(&mut stream, &mut buffer, timeout).await?;
        buffer.extend_from_slice(stream);
        Ok((request, buffer))
    }

    #[tokio::test]
    async fn a_chunked_body_is_joined_and_the_next_request_is_left_alone() {
        let (request, rest) = read(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\nPOST",
        )
        .await
        .expect("well formed");
        assert_eq!(request.body, b"abc");
        assert_eq!(rest, b"POST");
    }

    #[tokio::test]
    async fn malformed_heads_and_lengths_are_refused() {
        for bad in [
            &b"hello world\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"POST / HTTP/1.1\r\nBad Name: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ] {
            assert!(matches!(read(bad).await, Err(ReadFailure::Bad)), "{bad:?}");
        }
        let huge = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
            MAX_BODY + 1
        );
        assert!(matches!(
            read(huge.as_bytes()).await,
            Err(ReadFailure::TooLarge)
        ));
        let long = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(9_000));
        assert!(matches!(read(long.as_bytes()).await, Err(ReadFailure::Bad)));
    }
}
