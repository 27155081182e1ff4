//! The one place where the program counts. Console, files and commands are views of it.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use crate::miner::{Placement, first_extranonce};

/// A counter that only grows. Updates are relaxed: a reader may be a moment behind, never wrong.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds one; the number is nobody else's.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counter of one hashing thread, alone on its cache lines so that threads never contend.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ThreadCounter {
    /// Hashes computed.
    pub hashes: Counter,
    /// Nanoseconds spent scanning: hashes over this is the thread's own rate, parked time left out.
    pub busy_ns: Counter,
    /// Rounds of the thread's loop, scanning or parked: it stands still only if the thread hangs.
    pub rounds: Counter,
    /// Panics caught in the thread.
    pub panics: Counter,
    /// How often another thread of the system took its place.
    pub restarts: Counter,
    /// Where it runs: the CPU plus one, or zero, and in the lower half the niceness.
    placement: AtomicU64,
    /// What it builds on, as a [`ParentMark`]; zero while it scans nothing.
    parent: AtomicU64,
    /// What the thread is to do wrong next: nothing, to panic, to end, or from there on to hang for so many
    /// milliseconds.
    fault: AtomicU64,
}

/// A block that is built on, in so few bits that a thread can show it at every order: two blocks have the
/// same mark once in 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentMark(NonZeroU64);

impl ParentMark {
    /// That of a block.
    pub fn of(block: &BlockHash) -> Self {
        let bytes = block.to_byte_array();
        // The other end of a hash is zeros, for that is what work is.
        let (low, _) = bytes.split_at(size_of::<u64>());
        let mark = low
            .iter()
            .fold(0, |mark, byte| mark << 8 | u64::from(*byte));
        Self(NonZeroU64::new(mark).unwrap_or(NonZeroU64::MIN))
    }
}

/// What a hashing thread can be ordered to do wrong, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdeed {
    /// To panic.
    Panic,
    /// To end.
    Exit,
    /// To give no sign of life for so long, to the millisecond.
    Hang(Duration),
}

/// The first orders in [`ThreadCounter`]'s `fault`.
const NO_FAULT: u64 = 0;
const PANIC: u64 = 1;
const EXIT: u64 = 2;

impl ThreadCounter {
    /// Orders the thread to do something wrong, within a slice of its work.
    pub fn order(&self, misdeed: Misdeed) {
        let order = match misdeed {
            Misdeed::Panic => PANIC,
            Misdeed::Exit => EXIT,
            Misdeed::Hang(time) => {
                let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                time.saturating_add(EXIT + 1)
            }
        };
        self.fault.store(order, Ordering::Relaxed);
    }

    /// Whether it was ordered to do something wrong. As cheap as looking at a counter.
    pub fn is_to_fail(&self) -> bool {
        self.fault.load(Ordering::Relaxed) != NO_FAULT
    }

    /// What it was ordered to do wrong; it is told once.
    pub fn take_order(&self) -> Option<Misdeed> {
        match self.fault.swap(NO_FAULT, Ordering::Relaxed) {
            NO_FAULT => None,
            PANIC => Some(Misdeed::Panic),
            EXIT => Some(Misdeed::Exit),
            hang => Some(Misdeed::Hang(Duration::from_millis(hang - EXIT - 1))),
        }
    }

    /// Takes note of what the thread builds on from now on; none: it scans nothing.
    pub fn set_parent(&self, parent: Option<BlockHash>) {
        let mark = parent.map_or(0, |parent| ParentMark::of(&parent).0.get());
        self.parent.store(mark, Ordering::Relaxed);
    }

    /// What the thread builds on at the moment; none while it scans nothing.
    pub fn parent(&self) -> Option<ParentMark> {
        NonZeroU64::new(self.parent.load(Ordering::Relaxed)).map(ParentMark)
    }

    /// Takes note of where the thread runs.
    pub fn set_placement(&self, placement: Placement) {
        let cpu = placement.cpu.map_or(0, |cpu| cpu as u64 + 1);
        let nice = u64::from(placement.nice.cast_unsigned());
        self.placement.store(cpu << 32 | nice, Ordering::Relaxed);
    }

    /// Where the thread ran when it last took note of it.
    pub fn placement(&self) -> Placement {
        let packed = self.placement.load(Ordering::Relaxed);
        Placement {
            cpu: (packed >> 32).checked_sub(1).map(|cpu| cpu as usize),
            nice: (packed as u32).cast_signed(),
        }
    }
}

/// Every counter of the program, for the life of the process.
#[derive(Debug)]
pub struct Registry {
    /// When counting began.
    pub started_at: Instant,
    /// One per hashing thread there may be; those in use come first, and how many those are stands in
    /// [`MiningView::threads`](crate::messages::MiningView). A later configuration may use more or fewer.
    pub threads: Box<[ThreadCounter]>,
    /// Blocks found in this run; counted where they are put into the outbox, by the hashing thread.
    pub blocks_found: Counter,
    /// Of those, accepted by a node.
    pub blocks_accepted: Counter,
    /// Of those, refused.
    pub blocks_rejected: Counter,
    /// Of those, valid and beaten by another block.
    pub blocks_stale: Counter,
    /// Blocks of earlier runs that a node accepted in this one.
    pub earlier_accepted: Counter,
    /// Blocks of earlier runs that were refused in this one.
    pub earlier_rejected: Counter,
    /// Blocks of earlier runs that turned out stale in this one.
    pub earlier_stale: Counter,
    /// Proof-of-work checks that passed: headers of the window, blocks, templates, solutions.
    pub verifications_passed: Counter,
    /// Proof-of-work checks that failed.
    pub verifications_failed: Counter,
    /// Tips published by ingest.
    pub tips_seen: Counter,
    /// Reorganisations followed.
    pub reorgs: Counter,
    /// Tips mined on before the node had confirmed them.
    pub provisional_tips: Counter,
    /// Of those, given up since the node did not confirm them.
    pub provisional_cancelled: Counter,
    /// Times that hashing was found to be on a block that had not been the node's best one for too long.
    pub stale_alarms: Counter,
    /// Jobs handed to the hashing threads.
    pub jobs: Counter,
    /// Extranonces taken by hashing threads, each by one, counted from a start by chance.
    pub extranonces: Counter,
    /// Questions to the advisor, each known by its number.
    pub counsels: Counter,
    /// Templates received.
    pub templates: Counter,
    /// RPC calls that failed, of all lanes.
    pub rpc_errors: Counter,
    /// ZMQ messages received and valid.
    pub zmq_messages: Counter,
    /// ZMQ messages refused as garbage.
    pub zmq_garbage: Counter,
    /// ZMQ messages known to be lost (sequence gaps).
    pub zmq_lost: Counter,
    /// Times the ZMQ sockets were made anew because the tip moved and they were silent.
    pub zmq_resets: Counter,
}

impl Registry {
    /// Zeroed counters for `threads` hashing threads.
    pub fn new(threads: usize) -> Self {
        Self {
            started_at: Instant::now(),
            threads: (0..threads).map(|_| ThreadCounter::default()).collect(),
            blocks_found: Counter::default(),
            blocks_accepted: Counter::default(),
            blocks_rejected: Counter::default(),
            blocks_stale: Counter::default(),
            earlier_accepted: Counter::default(),
            earlier_rejected: Counter::default(),
            earlier_stale: Counter::default(),
            verifications_passed: Counter::default(),
            verifications_failed: Counter::default(),
            tips_seen: Counter::default(),
            reorgs: Counter::default(),
            provisional_tips: Counter::default(),
            provisional_cancelled: Counter::default(),
            stale_alarms: Counter::default(),
            jobs: Counter::default(),
            extranonces: Counter(AtomicU64::new(first_extranonce())),
            counsels: Counter::default(),
            templates: Counter::default(),
            rpc_errors: Counter::default(),
            zmq_messages: Counter::default(),
            zmq_garbage: Counter::default(),
            zmq_lost: Counter::default(),
            zmq_resets: Counter::default(),
        }
    }

    /// Hashes of all threads.
    pub fn hashes(&self) -> u64 {
        self.threads.iter().map(|t| t.hashes.get()).sum()
    }

    /// Scanning time of all threads together.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.threads.iter().map(|t| t.busy_ns.get()).sum())
    }
}
