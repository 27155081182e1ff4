//! HTTP/1.x as Bitcoin Core's RPC server speaks it: one request read, one answer written.
//!
//! Written by hand over `httparse` rather than on a server framework because the peers under test
//! care about what frameworks decide for themselves: the order of headers, `Content too large`,
//! HTTP/1.0 answers without a length, no `100 Continue` ever.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

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

/// What the head says about the rest.
struct Head {
    request: Request,
    length: usize,
    chunked: bool,
    /// Its own size.
    bytes: usize,
}

/// Reads one request. `buffer` holds what was read beyond the previous one, and afterwards what was
/// read beyond this one (pipelining).
pub(crate) async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    timeout: Duration,
) -> Result<Request, ReadFailure> {
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
    let mut request = head.request;
    request.body = if head.chunked {
        read_chunks(stream, buffer, timeout).await?
    } else {
        if head.length > MAX_BODY {
            return Err(ReadFailure::TooLarge);
        }
        take(stream, buffer, head.length, timeout).await?
    };
    Ok(request)
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

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content: Content,
}

/// The kinds of body the server sends.
#[derive(Debug)]
pub(crate) enum Content {
    /// `application/json`.
    Json(Vec<u8>),
    /// `text/html`, though it is plain text, as Bitcoin Core labels it.
    Text(&'static str),
    /// An empty body with the header that asks for credentials.
    Challenge,
    /// No body and no length (204).
    None,
}

impl Response {
    pub(crate) fn text(status: u16, text: &'static str) -> Self {
        Self {
            status,
            content: Content::Text(text),
        }
    }

    /// The bytes on the wire.
    fn encode(&self, framing: Framing, now: SystemTime) -> Vec<u8> {
        use std::fmt::Write as _;
        let old = matches!(framing, Framing::OldKeep | Framing::OldClose);
        let mut head = format!(
            "HTTP/1.{} {} {}\r\n",
            i32::from(!old),
            self.status,
            reason_phrase(self.status)
        );
        let (body, kind): (&[u8], &str) = match &self.content {
            Content::Json(body) => (body, "application/json"),
            Content::Text(text) => (text.as_bytes(), "text/html; charset=ISO-8859-1"),
            Content::Challenge => (b"", "text/html; charset=ISO-8859-1"),
            Content::None => (b"", ""),
        };
        let json = matches!(self.content, Content::Json(_));
        if matches!(self.content, Content::Challenge) {
            head.push_str("WWW-Authenticate: Basic realm=\"jsonrpc\"\r\n");
        }
        if json {
            let _ = write!(head, "Content-Type: {kind}\r\n");
        }
        match framing {
            Framing::OldKeep => head.push_str("Connection: keep-alive\r\n"),
            Framing::OldClose => {}
            Framing::Keep | Framing::Close => {
                let _ = write!(head, "Date: {}\r\n", http_date(now));
            }
        }
        if framing != Framing::OldClose && !kind.is_empty() {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        if !json && !kind.is_empty() {
            let _ = write!(head, "Content-Type: {kind}\r\n");
        }
        if framing == Framing::Close {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    /// Writes the answer whole.
    pub(crate) async fn send<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        framing: Framing,
    ) -> std::io::Result<()> {
        let bytes = self.encode(framing, SystemTime::now());
        stream.write_all(&bytes).await?;
        stream.flush().await
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content too large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// `Sat, 21 Nov 2026 02:25:44 GMT` (RFC 9110, IMF-fixdate).
fn http_date(now: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date, with years that begin in March so that the leap day comes last.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(response: &Response, framing: Framing) -> String {
        let at = UNIX_EPOCH + Duration::from_secs(1_795_227_944);
        String::from_utf8(response.encode(framing, at)).expect("ASCII")
    }

    #[test]
    fn answers_have_bitcoin_cores_headers_in_its_order() {
        let json = Response {
            status: 200,
            content: Content::Json(b"{}\n".to_vec()),
        };
        assert_eq!(
            encoded(&json, Framing::Keep),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 02:25:44 GMT\r\n\
             Content-Length: 3\r\n\r\n{}\n"
        );
        assert_eq!(
            encoded(&json, Framing::OldClose),
            "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{}\n"
        );
        assert_eq!(
            encoded(&json, Framing::OldKeep),
            "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n{}\n"
        );
        let challenge = Response {
            status: 401,
            content: Content::Challenge,
        };
        assert_eq!(
            encoded(&challenge, Framing::Close),
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"jsonrpc\"\r\n\
             Date: Sat, 21 Nov 2026 02:25:44 GMT\r\nContent-Length: 0\r\n\
             Content-Type: text/html; charset=ISO-8859-1\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn dates_are_right_around_leap_days_and_the_epoch() {
        let at = |s| http_date(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(at(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(at(1_735_689_599), "Tue, 31 Dec 2024 23:59:59 GMT");
    }

    async fn read(bytes: &[u8]) -> Result<(Request, Vec<u8>), ReadFailure> {
        let mut buffer = Vec::new();
        let mut stream = bytes;
        read_request(&mut stream, &mut buffer, Duration::from_secs(30))
            .await
            .map(|request| {
                buffer.extend_from_slice(stream);
                (request, buffer)
            })
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
