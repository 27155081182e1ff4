//! How far a request got: the difference between "not sent" and "may have been executed".

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

/// State of the request under way. A server acts on a request once it has all of it, so all that
/// counts is whether the last byte was handed to the kernel.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The HTTP client has taken the last byte of the body.
    taken: AtomicBool,
    /// A write that ended after that has succeeded.
    complete: AtomicBool,
}

impl Progress {
    pub(super) fn begin(&self) {
        self.taken.store(false, Ordering::Relaxed);
        self.complete.store(false, Ordering::Relaxed);
    }

    /// The last byte of the body was taken.
    fn body_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Everything that the client wanted written so far has been written.
    pub(super) fn written(&self) {
        if self.taken.load(Ordering::Relaxed) {
            self.complete.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the request was written in full.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }
}

/// A request body that notes when its last byte is taken.
pub(super) struct Tracked<'a> {
    rest: &'a [u8],
    progress: &'a Progress,
}

impl<'a> Tracked<'a> {
    pub(super) fn new(body: &'a [u8], progress: &'a Progress) -> Self {
        Self {
            rest: body,
            progress,
        }
    }
}

impl Read for Tracked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buffer)?;
        if self.rest.is_empty() {
            self.progress.body_taken();
        }
        Ok(count)
    }
}
