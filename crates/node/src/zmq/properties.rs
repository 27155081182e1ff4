//! What must hold of any bytes in the parts of the guard that touch no socket. The tests of this crate try some; the
//! fuzz targets search for more.
#![allow(clippy::missing_panics_doc, missing_docs, reason = "not for users")]

use std::time::Instant;

use bytes::Bytes;
use chain::NAMES_HEIGHT_WITHIN;

use super::frames::{Frames, MAX_PARTS, Step};
use super::notification::{HEADER, Topic, parse};
use super::start::Starts;
use super::zmtp::{FrameHeader, MAX_COMMAND, answer_to, handshake, property};

/// Bound on a message here.
pub const LIMIT: u64 = 1000;

/// Feeds `bytes` to the guard in pieces of the given sizes; whether it ended well. It never holds more than one header
/// and one command.
fn steps(bytes: &[u8], pieces: &[usize], mut take: impl FnMut(Step<'_>)) -> bool {
    let mut frames = Frames::new(LIMIT);
    let mut held: Vec<u8> = Vec::new();
    let mut sizes = pieces.iter().copied().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
        rest = after;
        held.extend_from_slice(piece);
        let mut unread = &held[..];
        loop {
            match frames.step(&mut unread) {
                Ok(Some(step)) => take(step),
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        let kept = unread.len();
        assert!(kept <= 9 + MAX_COMMAND as usize, "{kept} bytes held");
        held.drain(..held.len() - kept);
    }
    true
}

/// What of `bytes` in pieces of the given sizes was passed on, the commands in it, and whether it ended well.
pub fn feed(bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, Vec<Vec<u8>>, bool) {
    let (mut passed, mut commands) = (Vec::new(), Vec::new());
    let well = steps(bytes, pieces, |step| match step {
        Step::Head { bytes, .. } | Step::Body { bytes, .. } => passed.extend_from_slice(bytes),
        Step::Command(body) => commands.push(body),
    });
    (passed, commands, well)
}

/// What the guard passes on of any bytes is itself a stream of frames within the bounds, and its answers to commands
/// are short.
pub fn frames(bytes: &[u8], pieces: &[usize]) {
    let (passed, commands, _) = feed(bytes, pieces);
    let (mut rest, mut parts, mut size) = (&passed[..], 0, 0);
    while let Some(header) = FrameHeader::parse(rest).expect("a valid header") {
        assert!(!header.command && header.length <= LIMIT);
        parts += 1;
        size += header.length;
        assert!(parts <= MAX_PARTS && size <= LIMIT);
        if !header.more {
            (parts, size) = (0, 0);
        }
        let end = FrameHeader::len(rest[0]) + header.length as usize;
        rest = rest.get(end..).unwrap_or_default();
    }
    for command in commands {
        if let Some(answer) = answer_to(&command) {
            assert!(answer.len() <= 23, "{answer:?}");
        }
    }
}

/// Whatever pieces a stream comes in, the starts of blocks in it are those that its frames show.
pub fn starts(bytes: &[u8], pieces: &[usize]) {
    let now = Instant::now();
    let (mut found, mut told) = (Starts::default(), Vec::new());
    steps(bytes, pieces, |step| told.extend(found.note(&step, now)));
    let (passed, ..) = feed(bytes, &[usize::MAX]);
    let (mut rest, mut part, mut topic, mut expected) = (&passed[..], 0, &[][..], Vec::new());
    while let Some(header) = FrameHeader::parse(rest).expect("a valid header") {
        let (length, head) = (header.length as usize, FrameHeader::len(rest[0]));
        let body = &rest[head..rest.len().min(head + length)];
        let enough = length.min(NAMES_HEIGHT_WITHIN);
        if part == 1 && topic == b"rawblock" && length > HEADER && body.len() >= enough {
            expected.push(&body[..enough]);
        }
        if part == 0 {
            topic = body;
        }
        part = if header.more { part + 1 } else { 0 };
        rest = rest.get(head + length..).unwrap_or_default();
    }
    let told: Vec<&[u8]> = told.iter().map(|start| &start.bytes[..]).collect();
    assert_eq!(told, expected);
}

/// A peer that greets with any bytes is refused or understood, and no more of it is held than a READY may have.
pub fn greeting(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let mut stream = tokio::io::join(bytes, tokio::io::sink());
    let shaken = runtime
        .expect("a runtime")
        .block_on(handshake(&mut stream, "SUB"));
    if let Ok((version, ready)) = shaken {
        assert!(version.0 >= 3 && ready.len() as u64 <= MAX_COMMAND);
        let _ = property(&ready, "Socket-Type");
    }
}

/// Any parts are a notification of their topic or garbage.
pub fn message(parts: &[Vec<u8>]) {
    let parts: Vec<Bytes> = parts.iter().cloned().map(Bytes::from).collect();
    if let Ok((topic, _, _)) = parse(&parts, &Topic::ALL) {
        assert_eq!(parts[0], topic.as_str());
    }
}
