//! The thread that writes the log file. A disk that is full, slow or gone is its problem alone: lines
//! that it cannot write are counted, which is said once, and again when it is over.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use tracing::{Level, debug, error, info};

use super::Shared;
use super::file::{Limits, LogFile};
use super::record::Record;

/// Time between two looks whether the file is still the one at its path.
const LOOK: Duration = Duration::from_secs(1);

/// What the thread is told.
#[derive(Debug)]
pub enum Order {
    /// Write it down.
    Keep(Arc<Record>),
    /// Write to this file from now on.
    Open(Box<LogFile>),
    /// Other limits from now on.
    Limit(Limits),
    /// Look at the file now.
    Look,
    /// Say when everything before this is written.
    Flush(SyncSender<()>),
}

/// The thread's state.
pub struct Writer {
    shared: &'static Shared,
    log: Option<Box<LogFile>>,
    looked: Instant,
    /// Set while lines are lost: how many so far.
    losing: Option<u64>,
}

impl Writer {
    /// One that has no file yet.
    pub fn new(shared: &'static Shared) -> Self {
        Self {
            shared,
            log: None,
            looked: Instant::now(),
            losing: None,
        }
    }

    /// Works until nobody can give orders any more.
    pub fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(LOOK) {
                Ok(Order::Keep(record)) => self.keep(&record),
                Ok(Order::Open(log)) => {
                    self.log = Some(log);
                    self.losing = None;
                }
                Ok(Order::Limit(limits)) => {
                    if let Some(log) = &mut self.log {
                        log.limit(limits);
                    }
                }
                Ok(Order::Flush(done)) => {
                    self.own_up();
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
                Ok(Order::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
        }
    }

    /// Opens the file again where it was asked for, or where it is another than the one at its path.
    fn look(&mut self) {
        let asked = self.shared.take_reopen();
        if !asked && self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let Some(log) = &mut self.log else { return };
        if self.shared.has_let_go() || !log.moved() {
            return;
        }
        match log.reopen() {
            Ok(()) => info!("writing to a new log file {}", log.path().display()),
            // It is tried again in a second.
            Err(error) => debug!("{error}"),
        }
    }

    fn keep(&mut self, record: &Record) {
        self.own_up();
        let Some(log) = &mut self.log else { return };
        match log.write(&record.for_file()) {
            Ok(()) => {
                if let Some(lost) = self.losing.take() {
                    self.recovered(lost);
                }
            }
            Err(error) => self.lost(&error),
        }
    }

    fn lost(&mut self, error: &io::Error) {
        self.shared.book.lost.increment();
        if let Some(lost) = &mut self.losing {
            *lost += 1;
            return;
        }
        self.losing = Some(1);
        let path = self
            .log
            .as_ref()
            .map(|log| log.path().display().to_string());
        error!(
            "cannot write the log file {}: {error}; lines are lost until it can be written again, the work goes on",
            path.unwrap_or_default()
        );
    }

    fn recovered(&mut self, lost: u64) {
        let Some(log) = &mut self.log else { return };
        let text = format!(
            "the log file {} can be written again; {lost} lines before this one were lost",
            log.path().display()
        );
        let record = Record::new(Level::WARN, module_path!(), &text, SystemTime::now());
        // If it fails again already, the next line finds out.
        drop(log.write(&record.for_file()));
        self.shared.announce(Arc::new(record));
    }

    /// Says how many lines did not find room while the disk was slow.
    fn own_up(&mut self) {
        let dropped = self.shared.file.take_dropped();
        if dropped == 0 {
            return;
        }
        self.shared.book.lost.add(dropped);
        let text = format!("the disk of the log file was too slow: {dropped} lines were lost here");
        let record = Record::new(Level::WARN, module_path!(), &text, SystemTime::now());
        if let Some(log) = &mut self.log {
            drop(log.write(&record.for_file()));
        }
        self.shared.announce(Arc::new(record));
    }
}
