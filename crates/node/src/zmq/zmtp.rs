//! As much of ZMTP 3.x (rfc.zeromq.org/spec/23 and 37) as the guard has to speak itself: greeting, READY,
//! PING and PONG, frame headers.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(super) const GREETING_LEN: usize = 64;
/// Commands of a NULL-mechanism session are tiny; READY may carry a few properties.
pub(super) const MAX_COMMAND: u64 = 4096;
/// A PING's context is echoed; the specification allows 16 bytes.
const MAX_PING_CONTEXT: usize = 16;

const MORE: u8 = 0b001;
const LONG: u8 = 0b010;
const COMMAND: u8 = 0b100;

/// What a peer sent that ZMTP or our bounds do not allow.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZmtpError {
    #[error("it closed the connection during the handshake")]
    Closed,
    #[error("its greeting is not ZMTP's; is this a ZMQ port?")]
    Greeting,
    #[error("it speaks ZMTP {0}, not 3 or later")]
    Version(u8),
    #[error("it demands a security mechanism; only NULL is supported")]
    Mechanism,
    #[error("it sent something else than a proper READY")]
    NotReady,
    #[error("it is a {0} socket, not a publisher")]
    SocketType(String),
    #[error("a command of {0} bytes")]
    CommandSize(u64),
    #[error("a frame of {0} bytes")]
    FrameSize(u64),
    #[error("a message of more than {0} parts")]
    PartCount(u32),
    #[error("a message of more than {0} bytes")]
    MessageSize(u64),
    #[error("a frame header with unknown flags {0:#04x}")]
    Flags(u8),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The greeting both sides of the guard send: version 3.0 like the socket behind it, mechanism NULL.
pub(super) fn greeting() -> [u8; GREETING_LEN] {
    let mut greeting = [0; GREETING_LEN];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// Checks a greeting; answers the peer's version.
pub(super) fn check_greeting(greeting: &[u8; GREETING_LEN]) -> Result<(u8, u8), ZmtpError> {
    if greeting[0] != 0xff || greeting[9] & 1 != 1 {
        return Err(ZmtpError::Greeting);
    }
    if greeting[10] < 3 {
        return Err(ZmtpError::Version(greeting[10]));
    }
    let (name, rest) = greeting[12..32].split_at(4);
    if name != b"NULL" || rest.iter().any(|byte| *byte != 0) {
        return Err(ZmtpError::Mechanism);
    }
    Ok((greeting[10], greeting[11]))
}

/// A READY command with this socket type.
pub(super) fn ready(socket_type: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    body.extend_from_slice(&(socket_type.len() as u32).to_be_bytes());
    body.extend_from_slice(socket_type.as_bytes());
    command(&body)
}

/// A PING that asks for an answer and sets no time limit for our own silence.
pub(super) fn ping() -> Vec<u8> {
    command(b"\x04PING\0\0")
}

/// The answer to a command, where it wants one: a PING gets its context back.
pub(super) fn answer_to(body: &[u8]) -> Option<Vec<u8>> {
    let context = body.strip_prefix(b"\x04PING")?.get(2..)?;
    let context = &context[..context.len().min(MAX_PING_CONTEXT)];
    Some(command(&[b"\x04PONG", context].concat()))
}

/// A short command frame.
fn command(body: &[u8]) -> Vec<u8> {
    debug_assert!(body.len() < 256, "only short commands are sent");
    [&[COMMAND, body.len() as u8], body].concat()
}

/// A property of a READY command.
pub(super) fn property<'a>(
    mut body: &'a [u8],
    wanted: &str,
) -> Result<Option<&'a [u8]>, ZmtpError> {
    fn take<'a>(body: &mut &'a [u8], count: usize) -> Result<&'a [u8], ZmtpError> {
        let (head, rest) = body.split_at_checked(count).ok_or(ZmtpError::NotReady)?;
        *body = rest;
        Ok(head)
    }
    body = body.strip_prefix(b"\x05READY").ok_or(ZmtpError::NotReady)?;
    while !body.is_empty() {
        let name_len = take(&mut body, 1)?[0];
        let name = take(&mut body, usize::from(name_len))?;
        let value_len = take(&mut body, 4)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let value = take(&mut body, value_len)?;
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Exchanges greetings and READY; answers the peer's version and the body of its READY.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own_type: &str,
) -> Result<((u8, u8), Vec<u8>), ZmtpError> {
    stream.write_all(&greeting()).await?;
    let mut theirs = [0; GREETING_LEN];
    // What cannot be a greeting is refused at its first byte, not when 64 have come.
    exactly(stream, &mut theirs[..1]).await?;
    if theirs[0] != 0xff {
        return Err(ZmtpError::Greeting);
    }
    exactly(stream, &mut theirs[1..]).await?;
    let version = check_greeting(&theirs)?;
    stream.write_all(&ready(own_type)).await?;
    let mut first = [0; 1];
    exactly(stream, &mut first).await?;
    let header_len = FrameHeader::len(first[0]);
    let mut bytes = [0; 9];
    bytes[0] = first[0];
    exactly(stream, &mut bytes[1..header_len]).await?;
    let header = FrameHeader::parse(&bytes[..header_len])?.ok_or(ZmtpError::NotReady)?;
    if !header.command {
        return Err(ZmtpError::NotReady);
    }
    if header.length > MAX_COMMAND {
        return Err(ZmtpError::CommandSize(header.length));
    }
    let mut body = vec![0; header.length as usize];
    exactly(stream, &mut body).await?;
    if !body.starts_with(b"\x05READY") {
        return Err(ZmtpError::NotReady);
    }
    Ok((version, body))
}

async fn exactly<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut [u8]) -> Result<(), ZmtpError> {
    match stream.read_exact(buffer).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(ZmtpError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// The one to nine bytes before a frame's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) command: bool,
    pub(super) more: bool,
    pub(super) length: u64,
}

impl FrameHeader {
    /// Bytes of the header that begins with these flags.
    pub(super) const fn len(flags: u8) -> usize {
        if flags & LONG == 0 { 2 } else { 9 }
    }

    /// The header at the start of `bytes`, or `None` if it is not complete yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, ZmtpError> {
        let Some(&flags) = bytes.first() else {
            return Ok(None);
        };
        if flags & !(MORE | LONG | COMMAND) != 0 || flags & COMMAND != 0 && flags & MORE != 0 {
            return Err(ZmtpError::Flags(flags));
        }
        let Some(length) = bytes.get(1..Self::len(flags)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            command: flags & COMMAND != 0,
            more: flags & MORE != 0,
            length: length
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::properties;
    use super::greeting;

    proptest! {
        #[test]
        fn no_greeting_can_cause_a_panic(
            greets: bool, bytes in prop::collection::vec(prop_oneof![Just(4_u8), Just(6), Just(0), any::<u8>()], 0..200)
        ) {
            let hello = if greets { &greeting()[..] } else { &[] };
            properties::greeting(&[hello, &bytes].concat());
            properties::greeting(&[hello, b"\x04\x19\x05READY", &bytes].concat());
        }
    }
}
