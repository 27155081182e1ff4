//! The threads of the system that hash: each in its place, and replaced one by one.
//!
//! A thread whose work panics ends. Another one takes its place, with a stack and registers of its own, and goes
//! on where it was in the search space; the others notice nothing of it. Only a thread that fails again
//! and again is the failure of the miner's incarnation.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use supervise::{BoxError, Incarnation, StopSignal};

use super::affinity::{Affinity, Machine, Placement, Wish};
use super::threads::{Shared, Turn, Worker};

/// The place of one hashing thread. It outlives the threads that take it.
struct Seat {
    index: usize,
    name: String,
    /// What it scans, and where it is. Only the thread that has the seat asks for it.
    worker: Mutex<Worker>,
    cpu: Option<usize>,
    nice: i32,
    incarnation: Incarnation,
    shared: Arc<Shared>,
    refused: Arc<Refused>,
}

/// What the system has refused to a thread: the others hear the same, and it is said once.
#[derive(Default)]
struct Refused {
    cpu: AtomicBool,
    nice: AtomicBool,
}

/// Starts the threads `hash-0`, `hash-1`, ..., one for each worker. They belong to the incarnation: they end
/// when it ends, and it is not released before they have.
///
/// # Errors
/// If the system gives no thread.
pub fn start(
    workers: Vec<Worker>,
    shared: &Arc<Shared>,
    incarnation: &Incarnation,
    affinity: &Affinity,
    nice: i32,
) -> io::Result<()> {
    let cpus = affinity.seats(workers.len(), &Machine::here());
    let refused = Arc::<Refused>::default();
    for (index, (worker, cpu)) in workers.into_iter().zip(cpus).enumerate() {
        let seat = Seat {
            index,
            name: format!("hash-{index}"),
            worker: Mutex::new(worker),
            cpu,
            nice,
            incarnation: incarnation.clone(),
            shared: Arc::clone(shared),
            refused: Arc::clone(&refused),
        };
        Arc::new(seat).man()?;
    }
    Ok(())
}

impl Seat {
    /// Gives the seat to a new thread.
    fn man(self: Arc<Self>) -> io::Result<()> {
        let incarnation = self.incarnation.clone();
        let name = self.name.clone();
        incarnation.thread(&name, move |stop| self.work(&stop))
    }

    /// Works until asked to stop, or to the first failure.
    fn work(self: Arc<Self>, stop: &StopSignal) -> Result<(), BoxError> {
        self.settle();
        loop {
            let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = worker.run(&|| stop.is_set())?;
            drop(worker);
            if matches!(turn, Turn::Over) || stop.is_set() {
                return Ok(());
            }
            match Arc::clone(&self).man() {
                Ok(()) => {
                    self.shared.counter(self.index).restarts.increment();
                    return Ok(());
                }
                Err(error) => tracing::warn!(
                    "{} goes on in the thread that failed, since there is no other: {error}",
                    self.name
                ),
            }
        }
    }

    /// Takes its CPU and its niceness. Failing to is no reason not to hash.
    fn settle(&self) {
        for refusal in Placement::take(self.cpu, self.nice) {
            let said = match refusal.what {
                Wish::Cpu(_) => &self.refused.cpu,
                Wish::Nice(_) => &self.refused.nice,
            };
            if !said.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "{} hashes without what it was to have: {refusal}",
                    self.name
                );
            }
        }
        let placement = Placement::of_this_thread();
        self.shared.counter(self.index).set_placement(placement);
        tracing::debug!("{} on {placement}", self.name);
    }
}
