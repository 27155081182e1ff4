//! The thread that puts the transactions of jobs on disk before anybody solves them.

use std::io;
use std::sync::Arc;

use super::block::Body;
use super::files::{Appender, Files};
use super::frame::Stream;
use super::record::Record;
use super::recover::Place;
use super::shared::Shared;

pub(super) struct JobWriter {
    pub(super) files: Files,
    pub(super) shared: Arc<Shared>,
    pub(super) next: u64,
    pub(super) open: Option<Appender>,
}

impl JobWriter {
    /// Runs until the journal is closed. A body that cannot be written is left out: a solution of
    /// its job then brings it along.
    pub(super) fn run(mut self) {
        let mut failing = false;
        while let Some(body) = self.shared.wait_for_body() {
            match self.write(&body) {
                Ok(()) => failing = false,
                Err(fault) if !failing => {
                    failing = true;
                    tracing::warn!(
                        dir = %self.files.dir.display(),
                        "cannot write a job's transactions to the journal: {fault}; a block found \
                         now is written whole, which takes longer"
                    );
                }
                Err(_) => {}
            }
        }
    }

    fn write(&mut self, body: &Arc<Body>) -> io::Result<()> {
        let mut appender = match self.open.take() {
            Some(appender) => appender,
            None => self.start()?,
        };
        appender.append([&Record::Body(Arc::clone(body))])?;
        appender.sync()?;
        let number = appender.header.number;
        if appender.length < self.files.limit {
            self.open = Some(appender);
        }
        let place = Place {
            stream: Stream::Jobs,
            number,
        };
        self.shared.lock().bodies.insert(body.id(), place);
        self.shared.free_job_files(&self.files, number);
        Ok(())
    }

    fn start(&mut self) -> io::Result<Appender> {
        let appender = self.files.start(Stream::Jobs, self.next)?;
        self.shared.lock().jobs.insert(self.next);
        self.next += 1;
        Ok(appender)
    }
}
