//! Answers of HTTP/1.x with Bitcoin Core's headers, in its order.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::http::Framing;

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

    /// Head and body as they go over the wire.
    pub(crate) fn encode(&self, framing: Framing, now: SystemTime) -> (Vec<u8>, &[u8]) {
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
        (head.into_bytes(), body)
    }

    /// Writes the answer whole.
    pub(crate) async fn send<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        framing: Framing,
    ) -> std::io::Result<()> {
        let (mut bytes, body) = self.encode(framing, SystemTime::now());
        bytes.extend_from_slice(body);
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
    use std::time::Duration;

    use super::*;

    fn encoded(response: &Response, framing: Framing) -> String {
        let at = UNIX_EPOCH + Duration::from_secs(1_795_227_944);
        let (head, body) = response.encode(framing, at);
        String::from_utf8([&head[..], body].concat()).expect("ASCII")
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
}
