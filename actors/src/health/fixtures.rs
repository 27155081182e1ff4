//! A program that is well, for tests to make ill.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use chain::Network;
use supervise::ChildState;

use super::{
    Answer, ChildLook, Component, HealthReport, HealthThresholds, Look, Memory, Pinged, RollCall,
    ThreadLook, examine,
};
use crate::advisor::AdvisorView;
use crate::messages::{MiningState, NodeState};
use crate::resources::Degradation;

pub const THRESHOLDS: HealthThresholds = HealthThresholds {
    performance_min: 0.5,
};

/// Hashes per second of each thread.
pub const RATE: u64 = 1_000_000;

pub fn block(n: u8) -> BlockHash {
    BlockHash::from_byte_array([n; 32])
}

pub fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A program whose clock the test drives.
pub struct Case {
    pub look: Look,
    pub memory: Memory,
}

impl Case {
    /// Up for an hour, mining on block 7 with two threads.
    pub fn well() -> Self {
        let started_at = Instant::now();
        let now = started_at + Duration::from_hours(1);
        let children = [
            "stats",
            "submitter",
            "validator",
            "miner",
            "ingest",
            "resources",
            "api",
            "monitor",
        ];
        let look = Look {
            now,
            started_at,
            network: Network::Main,
            node: NodeState::Ready,
            nodes: Vec::new(),
            tip_seen: Some(block(7)),
            tip_validated: Some((block(7), 7)),
            tip_doubt: None,
            template_at: Some(now),
            refusal: None,
            mining: MiningState::Scanning,
            fallback: None,
            tuned_hs: None,
            job_parent: Some(block(7)),
            stale: None,
            threads: vec![ThreadLook::default(); 2],
            verifications: 16_000,
            outbox: 0,
            undelivered: None,
            journal_trouble: None,
            http_trouble: None,
            alerts: Vec::new(),
            degradation: Degradation::None,
            advisor: AdvisorView::default(),
            children: children
                .iter()
                .map(|id| ChildLook {
                    id: Arc::from(*id),
                    state: ChildState::Up,
                    since: started_at,
                    restarts: 0,
                    abandoned: 0,
                    last_exit: None,
                })
                .collect(),
            roll_call: Some(RollCall {
                supervisor: Some(Duration::from_millis(1)),
                pinged: children
                    .iter()
                    .map(|id| Pinged {
                        child: Arc::from(*id),
                        answer: Answer::Came(Duration::from_millis(1)),
                    })
                    .collect(),
            }),
        };
        let mut case = Self {
            look,
            memory: Memory::default(),
        };
        case.memory.observe(&case.look);
        case
    }

    /// A second passes, in which every thread goes round and hashes at `share` of its rate.
    pub fn second_at(&mut self, share: f64) {
        self.look.now += Duration::from_secs(1);
        for thread in &mut self.look.threads {
            thread.rounds += 5_000;
            thread.hashes += (RATE as f64 * share) as u64;
            thread.busy_ns += 1_000_000_000;
        }
        self.memory.observe(&self.look);
    }

    /// Seconds pass, in which the threads do what they should, and templates arrive.
    pub fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.look.template_at = Some(self.look.now);
            self.second_at(1.0);
        }
    }

    pub fn child(&mut self, id: &str) -> &mut ChildLook {
        let found = self.look.children.iter_mut().find(|child| &*child.id == id);
        found.expect("there is such a child")
    }

    pub fn answers(&mut self, id: &str, answer: Answer) {
        let call = self.look.roll_call.as_mut().expect("everybody was asked");
        let pinged = call.pinged.iter_mut().find(|pinged| &*pinged.child == id);
        pinged.expect("it was asked").answer = answer;
    }

    /// Without a miner.
    pub fn verify_only(&mut self) {
        self.look.children.retain(|child| &*child.id != "miner");
        self.look.threads.clear();
        self.look.job_parent = None;
        self.look.mining = MiningState::SwitchedOff {
            by: "mining.enabled = false".to_owned(),
        };
        self.memory = Memory::default();
        self.memory.observe(&self.look);
    }

    pub fn report(&self) -> HealthReport {
        examine(&self.look, &self.memory, THRESHOLDS)
    }

    pub fn component(&self, name: &str) -> Component {
        let report = self.report();
        let found = report.components.get(name).cloned();
        found.unwrap_or_else(|| panic!("no {name} in {report:?}"))
    }
}
