//! The publisher's stream, frame by frame: what may pass the guard and what may not.

use super::zmtp::{FrameHeader, MAX_COMMAND, ZmtpError};

/// Core sends three parts. A few more are let through, to be counted as garbage; an endless message is not.
pub(super) const MAX_PARTS: u32 = 16;

/// Bytes of the complete frames at the start of what our own socket sent: subscriptions, a few bytes each.
pub(super) fn whole_frames(bytes: &[u8]) -> Result<usize, ZmtpError> {
    let mut end = 0;
    while let Some(header) = FrameHeader::parse(&bytes[end..])? {
        if header.length > MAX_COMMAND {
            return Err(ZmtpError::FrameSize(header.length));
        }
        let next = end + FrameHeader::len(bytes[end]) + header.length as usize;
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    Ok(end)
}

/// Where in the publisher's stream of frames we are.
#[derive(Debug)]
pub(super) struct Frames {
    max_message: u64,
    state: State,
    /// Parts and bytes of the message under way.
    parts: u32,
    bytes: u64,
    /// Messages whose last byte was passed on.
    complete: u64,
    /// Which part of its message the frame under way is, from 0 on, and whether it is the last.
    part: u32,
    last: bool,
}

#[derive(Debug)]
enum State {
    Header,
    /// So many bytes of a body still to pass on.
    Body(u64),
    /// So many bytes of a command.
    Command(usize),
}

/// What to do with the next bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// The header of a part's frame, to be passed on as it is: which part of its message, from 0 on, and how long.
    Head {
        bytes: &'a [u8],
        part: u32,
        length: u64,
    },
    /// Bytes of that part, to be passed on as they are, and how many are still to come.
    Body { bytes: &'a [u8], left: u64 },
    /// A whole command; not for the socket.
    Command(Vec<u8>),
}

impl Frames {
    pub(super) fn new(max_message: u64) -> Self {
        Self {
            max_message,
            state: State::Header,
            parts: 0,
            bytes: 0,
            complete: 0,
            part: 0,
            last: false,
        }
    }

    /// Messages passed on in full.
    pub(super) fn complete(&self) -> u64 {
        self.complete
    }

    /// Takes the next step's bytes off the front of `rest`; `None`: more bytes are needed.
    pub(super) fn step<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Option<Step<'a>>, ZmtpError> {
        match self.state {
            State::Header => {
                let Some(header) = FrameHeader::parse(rest)? else {
                    return Ok(None);
                };
                let (head, after) = rest.split_at(FrameHeader::len(rest[0]));
                self.check(header)?;
                *rest = after;
                if header.command {
                    self.state = State::Command(header.length as usize);
                    return self.step(rest);
                }
                self.state = State::Body(header.length);
                self.end_of_body(0);
                Ok(Some(Step::Head {
                    bytes: head,
                    part: self.part,
                    length: header.length,
                }))
            }
            State::Body(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                if count == 0 {
                    return Ok(None);
                }
                let (body, after) = rest.split_at(count);
                *rest = after;
                self.end_of_body(count as u64);
                Ok(Some(Step::Body {
                    bytes: body,
                    left: left - count as u64,
                }))
            }
            State::Command(length) => {
                let Some((body, after)) = rest.split_at_checked(length) else {
                    return Ok(None);
                };
                *rest = after;
                self.state = State::Header;
                Ok(Some(Step::Command(body.to_vec())))
            }
        }
    }

    /// Refuses what cannot be part of a message that Core publishes.
    fn check(&mut self, header: FrameHeader) -> Result<(), ZmtpError> {
        if header.command {
            return if header.length > MAX_COMMAND {
                Err(ZmtpError::CommandSize(header.length))
            } else {
                Ok(())
            };
        }
        if header.length > self.max_message {
            return Err(ZmtpError::FrameSize(header.length));
        }
        self.part = self.parts;
        self.parts += 1;
        self.bytes += header.length;
        if self.parts > MAX_PARTS {
            return Err(ZmtpError::PartCount(MAX_PARTS));
        }
        if self.bytes > self.max_message {
            return Err(ZmtpError::MessageSize(self.max_message));
        }
        self.last = !header.more;
        if self.last {
            self.parts = 0;
            self.bytes = 0;
        }
        Ok(())
    }

    fn end_of_body(&mut self, passed: u64) {
        if let State::Body(left) = &mut self.state {
            *left -= passed;
            if *left == 0 {
                self.state = State::Header;
                self.complete += u64::from(self.last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::properties::{self, feed};

    fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
        if let (Ok(length), 0) = (u8::try_from(body.len()), flags & 2) {
            [&[flags, length], body].concat()
        } else {
            [&[flags | 2][..], &(body.len() as u64).to_be_bytes(), body].concat()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn valid_messages_pass_unchanged_and_commands_do_not(
            messages in prop::collection::vec((prop::collection::vec(0_usize..300, 1..4), any::<bool>()), 0..8),
            pieces in prop::collection::vec(1_usize..100, 1..8),
        ) {
            let (mut wire, mut expected, mut commands) = (Vec::new(), Vec::new(), 0);
            for (parts, command) in messages {
                for (index, length) in parts.iter().enumerate() {
                    let more = u8::from(index + 1 < parts.len());
                    let bytes = frame(more | if length % 2 == 0 { 2 } else { 0 }, &vec![7; *length]);
                    wire.extend_from_slice(&bytes);
                    expected.extend_from_slice(&bytes);
                }
                if command {
                    wire.extend_from_slice(&frame(4, b"\x05HELLO"));
                    commands += 1;
                }
            }
            let (passed, seen, well) = feed(&wire, &pieces);
            prop_assert!(well);
            prop_assert_eq!(passed, expected);
            prop_assert_eq!(seen.len(), commands);
        }

        #[test]
        fn no_bytes_pass_a_header_that_announces_too_much(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), Just(3), Just(4), any::<u8>()], 0..400),
            pieces in prop::collection::vec(1_usize..100, 1..8),
        ) {
            properties::frames(&bytes, &pieces);
        }
    }
}
