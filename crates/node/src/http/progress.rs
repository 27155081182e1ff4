//! How far a request got: the difference between "not sent" and "may have been executed".

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// State of the request under way. A server acts on a request once it has all of it, so all that
/// counts is whether the last byte was handed to the kernel.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The HTTP client has taken the last byte of the body.
    taken: AtomicBool,
    /// When a write that ended after that had succeeded.
    complete: Mutex<Option<Instant>>,
}

impl Progress {
    pub(super) fn begin(&self) {
        self.taken.store(false, Ordering::Relaxed);
        *self.complete() = None;
    }

    /// The last byte of the body was taken.
    fn body_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Everything that the client wanted written so far has been written.
    pub(super) fn written(&self) {
        if self.taken.load(Ordering::Relaxed) {
            self.complete().get_or_insert_with(Instant::now);
        }
    }

    /// When the request was written in full, if it was.
    pub(super) fn completed_at(&self) -> Option<Instant> {
        *self.complete()
    }

    fn complete(&self) -> MutexGuard<'_, Option<Instant>> {
        self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request body in pieces that notes when its last byte is taken.
pub(super) struct Tracked<'a> {
    /// None of them is empty.
    rest: Vec<&'a [u8]>,
    progress: &'a Progress,
}

impl<'a> Tracked<'a> {
    pub(super) fn new(body: &[&'a [u8]], progress: &'a Progress) -> Self {
        let pieces = body.iter().rev().copied();
        Self {
            rest: pieces.filter(|piece| !piece.is_empty()).collect(),
            progress,
        }
    }
}

impl Read for Tracked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while let Some(piece) = self.rest.last_mut()
            && count < buffer.len()
        {
            count += piece.read(&mut buffer[count..])?;
            if piece.is_empty() {
                self.rest.pop();
            }
        }
        if self.rest.is_empty() {
            self.progress.body_taken();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one_and_the_end_is_noted_with_the_last_byte() {
        let progress = Progress::default();
        let mut body = Tracked::new(&[b"ab", b"", b"cdefg", b"h"], &progress);
        let mut read = Vec::new();
        for end in [false, false, true] {
            progress.written();
            assert!(progress.completed_at().is_none(), "{read:?}");
            let mut chunk = [0; 3];
            let count = body.read(&mut chunk).unwrap_or_default();
            read.extend_from_slice(&chunk[..count]);
            assert_eq!(body.rest.is_empty(), end, "{read:?}");
        }
        assert_eq!(read, b"abcdefgh");
        progress.written();
        assert!(progress.completed_at().is_some());
    }
}
