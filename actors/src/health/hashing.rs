//! Miner and performance: whether the hashing threads do what they are there for.

use std::time::Duration;

use supervise::ChildState;

use super::HealthThresholds;
use super::children::seconds;
use super::look::Look;
use super::memory::Memory;
use super::report::Component;
use crate::messages::MiningState;
use crate::monitor::hashrate;
use crate::resources::Degradation;

/// Between two blocks there may be no job for so long.
const GRACE: Duration = Duration::from_secs(5);
/// A thread goes round many times a second; after a panic it pauses for at most five seconds.
const STANDSTILL: Duration = Duration::from_secs(15);
/// A thread that scans counts its hashes many times a second.
const IN_VAIN: Duration = Duration::from_secs(10);
/// A start takes at most this long.
const START: Duration = Duration::from_secs(30);

/// Whether the miner has a job, or is parked where that is meant.
pub(super) fn miner(look: &Look, memory: &Memory) -> Component {
    let Some(child) = look.child("miner") else {
        return Component::ok(match &look.mining {
            MiningState::SwitchedOff { by } => format!("off by {by}: this instance verifies only"),
            _ => "off: this instance verifies only".to_owned(),
        });
    };
    let up = look.now.saturating_duration_since(child.since);
    if child.state == ChildState::Up && up > STANDSTILL {
        let still = memory.standing_still(STANDSTILL, look.now);
        if !still.is_empty() {
            let who: Vec<String> = still
                .iter()
                .map(|(thread, held)| format!("hash-{thread} for {}", seconds(*held)))
                .collect();
            return Component::critical(format!("hashing threads stand still: {}", who.join(", ")));
        }
    }
    if look.degradation == Degradation::Parked {
        return Component::warning(format!("{}, since resources are short", look.degradation));
    }
    match &look.mining {
        MiningState::Scanning => {
            let in_vain = memory.scanning_in_vain(look.now);
            if in_vain > IN_VAIN {
                return Component::critical(format!(
                    "scanning, and not a hash in {}",
                    seconds(in_vain)
                ));
            }
            at_work(look)
        }
        MiningState::NoJob { reason } => {
            let jobless = memory.jobless(look.now);
            let message = format!("no job: {reason}");
            if jobless > GRACE && look.uptime() > START {
                Component::critical(message)
            } else if look.uptime() < START {
                Component::unknown(message)
            } else {
                Component::warning(message)
            }
        }
        MiningState::Ibd => Component::warning(look.mining.to_string()),
        MiningState::Paced => at_work(look),
        MiningState::Held { .. } | MiningState::SwitchedOff { .. } => {
            Component::ok(look.mining.to_string())
        }
    }
}

/// Whether what is scanned is of the node's newest template, and would be accepted, as far as the node has said.
fn at_work(look: &Look) -> Component {
    if let Some(reason) = &look.fallback {
        return Component::warning(format!("{}, but {reason}", look.mining));
    }
    match &look.refusal {
        Some(reason) => Component::warning(format!(
            "{}, and the node would refuse the block: {reason}; each new template is tried, and mining goes on",
            look.mining
        )),
        None => Component::ok(look.mining.to_string()),
    }
}

/// Each thread's rate while scanning against the tuned one; where there is none, against the best it has shown.
pub(super) fn performance(look: &Look, memory: &Memory, thresholds: HealthThresholds) -> Component {
    if look.child("miner").is_none()
        || look.degradation == Degradation::Parked
        || !matches!(look.mining, MiningState::Scanning | MiningState::Paced)
    {
        return Component::ok("not scanning");
    }
    if look.mining == MiningState::Scanning && memory.scanning_in_vain(look.now) > IN_VAIN {
        return Component::critical("0 H/s while scanning");
    }
    let Some(slowest) = memory.slowest(look.tuned_hs) else {
        return Component::ok("not scanning enough to say");
    };
    let message = format!(
        "hash-{}, the slowest thread, at {:.0} % of {}: {} of {}",
        slowest.thread,
        slowest.share() * 100.0,
        if look.tuned_hs.is_some() {
            "the tuned rate"
        } else {
            "its best"
        },
        hashrate(slowest.rate_hs),
        hashrate(slowest.able_hs),
    );
    if slowest.share() < thresholds.performance_min {
        Component::warning(format!(
            "{message}; what else uses the CPU, and is it hot? Else lower health.performance_min"
        ))
    } else {
        Component::ok(message)
    }
}
