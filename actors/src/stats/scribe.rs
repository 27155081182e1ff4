//! A file that is replaced again and again, on a thread that may stall.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use supervise::GenerationGuard;

use super::file::replace_file;
use crate::errand::Errand;

/// A write that takes longer is said to stall.
const STALL: Duration = Duration::from_secs(5);
/// The same trouble is said again after this.
const SAY_AGAIN: Duration = Duration::from_mins(10);

/// Replaces one file, whole, at most one write at a time. It belongs to whoever builds the tree.
#[derive(Debug)]
pub struct Scribe {
    path: PathBuf,
    errand: Errand<Order, io::Result<()>>,
    trouble: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Order {
    content: Vec<u8>,
    guard: GenerationGuard,
}

impl Scribe {
    /// Starts the thread that writes `path`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(path: PathBuf) -> io::Result<Self> {
        let file = path.clone();
        Ok(Self {
            path,
            errand: Errand::start("statistics", move |order: Order| {
                order.guard.check().map_err(io::Error::other)?;
                replace_file(&file, &order.content)
            })?,
            trouble: Mutex::default(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the file replaced, unless the last write is still under way: the next one brings newer
    /// figures anyway; false then. Never blocks. A trouble is said once, and again while it lasts.
    pub fn write(&self, guard: GenerationGuard, content: Vec<u8>, now: Instant) -> bool {
        self.outcome(now);
        self.errand.ask(Order { content, guard })
    }

    /// Whether the last write that has ended failed. It is said as [`write`](Self::write) says it.
    pub fn has_failed(&self, now: Instant) -> bool {
        self.outcome(now);
        self.said().is_some()
    }

    /// For how long a write has been under way; none while none is.
    pub fn busy_for(&self, now: Instant) -> Option<Duration> {
        self.errand.busy_for(now)
    }

    /// The last write of all: awaited, at most for `limit`.
    ///
    /// # Errors
    /// Why it is not on disk, in words.
    pub async fn finish(
        &self,
        guard: GenerationGuard,
        content: Vec<u8>,
        limit: Duration,
    ) -> Result<(), String> {
        let written = async {
            self.errand.idle().await;
            drop(self.errand.take());
            self.errand.ask(Order { content, guard });
            self.errand.idle().await;
        };
        if tokio::time::timeout(limit, written).await.is_err() {
            let limit = limit.as_secs();
            return Err(format!(
                "{} could not be written within {limit} s: the disk does not answer",
                self.path.display()
            ));
        }
        match self.errand.take() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the thread that writes it panicked".to_owned()),
        }
    }

    fn outcome(&self, now: Instant) {
        let path = self.path.display();
        match (self.errand.take(), self.errand.busy_for(now)) {
            (Some(Ok(())), _) => {
                if self.said().take().is_some() {
                    tracing::info!("{path} can be written again");
                }
            }
            (Some(Err(error)), _) => self.complain(now, &format!("cannot write {error}")),
            (None, Some(time)) if time > STALL => self.complain(
                now,
                &format!("writing {path} takes {} s so far", time.as_secs()),
            ),
            (None, _) => {}
        }
    }

    fn complain(&self, now: Instant, what: &str) {
        let mut said = self.said();
        if said.is_none_or(|said| now.saturating_duration_since(said) >= SAY_AGAIN) {
            *said = Some(now);
            tracing::warn!("{what}; the work goes on without it");
        }
    }

    fn said(&self) -> MutexGuard<'_, Option<Instant>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
