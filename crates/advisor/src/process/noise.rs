//! What commands write to their standard error: some of it for the log, all of it counted.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::plain::plain;

/// Lines that go to the log at once, after a silence.
const BURST: u32 = 10;

/// After which another one may.
const PACE: Duration = Duration::from_secs(6);

/// The most of a line that goes to the log, in characters.
const LONGEST: usize = 400;

/// What was written to standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Noise {
    /// Bytes.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// Lines of these that did not go to the log, because there were too many.
    pub unlogged: u64,
}

/// Lets so many lines through, of all commands of one kind together.
#[derive(Debug)]
pub struct Gate {
    noise: Noise,
    allowed: u32,
    since: Instant,
}

impl Gate {
    /// Open from `now` on.
    pub fn new(now: Instant) -> Self {
        Self {
            noise: Noise::default(),
            allowed: BURST,
            since: now,
        }
    }

    /// What was written so far.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Counts a line; as the log may have it, if it may.
    fn pass(&mut self, line: &[u8], now: Instant) -> Option<String> {
        self.noise.lines += 1;
        while self.allowed < BURST && now.saturating_duration_since(self.since) >= PACE {
            self.allowed += 1;
            self.since += PACE;
        }
        if self.allowed == 0 {
            self.noise.unlogged += 1;
            return None;
        }
        if self.allowed == BURST {
            self.since = now;
        }
        self.allowed -= 1;
        Some(plain(&String::from_utf8_lossy(line), LONGEST))
    }
}

/// One command's standard error.
#[derive(Debug, Default)]
pub struct Ear {
    /// The beginning of a line; no more of it than the log may have.
    begun: Vec<u8>,
    /// Whether there is one.
    any: bool,
}

impl Ear {
    /// Takes what has come, and gives what goes to the log.
    pub fn hear(&mut self, bytes: &[u8], gate: &mut Gate, now: Instant) -> Vec<String> {
        gate.noise.bytes += bytes.len() as u64;
        let mut passed = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = (LONGEST + 1).saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            self.any = true;
            if text.len() < piece.len() {
                passed.extend(self.end(gate, now));
            }
        }
        passed
    }

    /// Nothing more comes: what was begun is a line.
    pub fn end(&mut self, gate: &mut Gate, now: Instant) -> Option<String> {
        let line = std::mem::take(&mut self.begun);
        std::mem::take(&mut self.any)
            .then(|| gate.pass(&line, now))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_broken_text_do_not_reach_the_log() {
        let now = Instant::now();
        let (mut gate, mut ear) = (Gate::new(now), Ear::default());
        let heard = ear.hear(b"\x1b[2J\x07red\xff\n", &mut gate, now);
        assert_eq!(heard, ["[2J red\u{fffd}"]);
    }

    #[test]
    fn a_line_in_pieces_is_one_and_a_line_without_an_end_comes_last() {
        let now = Instant::now();
        let (mut gate, mut ear) = (Gate::new(now), Ear::default());
        assert!(ear.hear(b"ab", &mut gate, now).is_empty());
        assert_eq!(ear.hear(b"c\nd", &mut gate, now), ["abc"]);
        assert_eq!(ear.end(&mut gate, now).as_deref(), Some("d"));
        assert_eq!(ear.end(&mut gate, now), None);
        assert_eq!(
            gate.noise(),
            Noise {
                bytes: 5,
                lines: 2,
                unlogged: 0
            }
        );
    }

    #[test]
    fn a_long_line_is_cut_and_takes_no_memory() {
        let now = Instant::now();
        let (mut gate, mut ear) = (Gate::new(now), Ear::default());
        for _ in 0..100 {
            assert!(ear.hear(&[b'x'; 1000], &mut gate, now).is_empty());
            assert!(ear.begun.len() <= LONGEST + 1);
        }
        let line = ear.end(&mut gate, now).expect("it is a line");
        assert_eq!(line, "x".repeat(LONGEST - 1) + "…");
        assert_eq!(gate.noise().bytes, 100_000);
    }

    #[test]
    fn a_flood_is_counted_and_a_silence_opens_the_log_again() {
        let now = Instant::now();
        let (mut gate, mut ear) = (Gate::new(now), Ear::default());
        let flood = "x\n".repeat(1000);
        assert_eq!(
            ear.hear(flood.as_bytes(), &mut gate, now).len(),
            BURST as usize
        );
        assert_eq!(gate.noise().unlogged, 1000 - u64::from(BURST));
        assert_eq!(ear.hear(b"x\nx\n", &mut gate, now + PACE).len(), 1);
        let later = now + PACE * (BURST + 5);
        assert_eq!(
            ear.hear(flood.as_bytes(), &mut gate, later).len(),
            BURST as usize
        );
    }
}
