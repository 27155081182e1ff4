//! Tips, templates and solutions of a real chain, for tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use chain::{CoinbaseTag, HeaderWindow, Job, Network, PayoutScript, Solved, Template};

use super::clock::{JobTime, Reading, TimeRule, job_time};
use super::settings::MinerSettings;
use crate::messages::{BodyState, Outcome, Settled, Solution, TemplateSeen, TipValidated};

/// What the node's clock shows when a test begins.
pub const NODE_TIME: u32 = 1_800_000_000;

/// A regtest address.
pub const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

pub fn payout() -> PayoutScript {
    PayoutScript::parse(ADDRESS, Network::Regtest).unwrap()
}

/// One thread, portable kernel, regtest, no pacing.
pub fn settings() -> MinerSettings {
    let tag = CoinbaseTag::new("/test/").unwrap();
    MinerSettings::new(payout(), tag, 1, pow::kernel("scalar").unwrap())
}

/// A chain with its node's clock, which starts at [`NODE_TIME`] and follows `start`.
pub struct Chain {
    pub window: HeaderWindow,
    pub start: Instant,
}

impl Chain {
    pub fn new(network: Network) -> Self {
        Self {
            window: HeaderWindow::from_genesis(network, 100),
            start: Instant::now(),
        }
    }

    pub fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn clock(&self, at: Instant) -> u32 {
        NODE_TIME + u32::try_from(at.saturating_duration_since(self.start).as_secs()).unwrap()
    }

    pub fn tip(&self) -> TipValidated {
        let tip = self.window.tip();
        let now = self.start;
        TipValidated {
            hash: tip.hash,
            height: tip.height,
            header: tip.header,
            median_time_past: self.window.median_time_past().unwrap(),
            min_time: self.window.min_time().unwrap(),
            next_bits: self.window.next_bits(tip.header.time),
            times: Arc::default(),
            report: Arc::new(self.window.report(0.7)),
            body: BodyState::Pending,
            seen_at: now,
            validated_at: now,
        }
    }

    /// What the node answers to getblocktemplate at a moment.
    pub fn template(&self, at: Instant) -> TemplateSeen {
        let template = Template::coinbase_only_on(&self.window, self.clock(at)).unwrap();
        TemplateSeen {
            template: Arc::new(template),
            node: "test".into(),
            received_at: at,
        }
    }

    /// A block on the tip, found by trying nonces.
    pub fn solve(&self, at: Instant) -> Solution {
        let template = self.template(at).template;
        solve(
            Job::new(&template, &payout(), &CoinbaseTag::default(), 1).unwrap(),
            at,
        )
    }

    /// Makes a found block the tip.
    pub fn connect(&mut self, found: &Solution) {
        let raw = found.job.header_of(&found.solved);
        let header: Header = bitcoin::consensus::deserialize(&raw).unwrap();
        self.window.connect(&[header], None).unwrap();
        assert_eq!(self.window.tip().hash, found.hash);
    }
}

fn solve(job: Job, at: Instant) -> Solution {
    // No two blocks of a test are the same.
    static EXTRANONCE: AtomicU64 = AtomicU64::new(0);
    let extranonce = EXTRANONCE.fetch_add(1, Ordering::Relaxed);
    let ntime = job.start_time();
    let solved = (0..1_000_000)
        .map(|nonce| Solved {
            extranonce,
            ntime,
            version: job.versions()[0],
            nonce,
        })
        .find(|solved| job.is_solved_by(solved))
        .unwrap();
    Solution {
        hash: job.hash_of(&solved),
        job: Arc::new(job),
        solved,
        found_at: at,
        found_time: SystemTime::UNIX_EPOCH,
    }
}

pub fn settled(found: &Solution, outcome: Outcome) -> Settled {
    Settled {
        hash: found.hash,
        prev: found.job.prev(),
        height: found.job.height(),
        outcome,
        took: Duration::ZERO,
    }
}

/// Any timestamps from [`NODE_TIME`] on.
pub fn time(now: Instant) -> TimeRule {
    let reading = Reading {
        now: None,
        latest: u32::MAX,
    };
    match job_time(reading, now, NODE_TIME, None) {
        JobTime::Roll(rule) => rule,
        JobTime::Wait(wait) => panic!("waits {wait:?}"),
    }
}

/// A block hash that no chain has.
pub fn elsewhere() -> BlockHash {
    BlockHash::from_byte_array([0xee; 32])
}
