//! Node, ingest, validator, pipeline: whether the work is on the node's current tip.

use std::time::Duration;

use chain::{Network, Verdict};

use super::children::seconds;
use super::look::Look;
use super::memory::Memory;
use super::report::{Component, Condition};
use crate::messages::{MiningState, NodeState};
use crate::stale::LASTS;

/// So long after a change the parts may disagree.
const GRACE: Duration = Duration::from_secs(10);
/// A start takes at most this long before something is wrong.
const START: Duration = Duration::from_secs(30);
/// A validator with something to do brings a result in this time: a whole window is verified in
/// batches, and each counts.
const WORKING: Duration = Duration::from_secs(10);
/// Nothing to verify for this long is worth a word: the average time between two blocks.
const QUIET: Duration = Duration::from_mins(10);
/// Templates are fetched again after half a minute, tip or no tip.
const TEMPLATE_OLD: Duration = Duration::from_secs(90);
/// No templates for so long: the job's time, fees and transactions are not the network's any more.
const TEMPLATE_DEAD: Duration = Duration::from_mins(5);
/// A node this far behind its headers is connecting blocks, not syncing.
const CONNECTING: u32 = 2;

/// What is not known yet is unknown for as long as a start may take, and wrong after that.
fn not_yet(look: &Look, message: &str) -> Component {
    if look.uptime() < START {
        Component::unknown(message)
    } else {
        Component::critical(format!(
            "{message}, {} after the start",
            seconds(look.uptime())
        ))
    }
}

/// The node in use.
pub(super) fn node(look: &Look) -> Component {
    match &look.node {
        NodeState::Ready => Component::ok("on its best tip"),
        NodeState::Unknown => not_yet(look, "not asked yet"),
        NodeState::Absent { reason } => Component::critical(format!("absent: {reason}")),
        NodeState::Refused { reason } => Component::critical(format!("refused: {reason}")),
        NodeState::Syncing {
            blocks,
            headers,
            ibd,
        } => {
            let behind = headers.saturating_sub(*blocks);
            if *ibd && behind == 0 && look.network == Network::Regtest {
                // A regtest whose tip is a day old calls it initial block download; nothing is missing.
                return Component::ok("on its best tip, which is old");
            }
            if !ibd && behind <= CONNECTING {
                return Component::ok(format!("connecting block {headers}"));
            }
            let what = if *ibd {
                "in initial block download"
            } else {
                "syncing"
            };
            Component::warning(format!("{what}: block {blocks} of {headers} known headers"))
        }
    }
}

/// Whether ingest has the node's tip and its templates.
pub(super) fn ingest(look: &Look) -> Component {
    let node = node(look);
    if node.status > Condition::Ok {
        return Component::new(
            node.status,
            format!("no news: the node is {}", node.message),
        );
    }
    if look.tip_seen.is_none() {
        return not_yet(look, "no tip read yet");
    }
    if !look.mines() {
        return Component::ok("the node's tip is read");
    }
    let Some(at) = look.template_at else {
        return not_yet(look, "no template yet");
    };
    let age = look.now.saturating_duration_since(at);
    let message = format!("the last template came {} ago", seconds(age));
    if age > TEMPLATE_DEAD {
        Component::critical(message)
    } else if age > TEMPLATE_OLD {
        Component::warning(message)
    } else {
        Component::ok(message)
    }
}

/// Whether what ingest saw is verified. An idle validator is fine; one with work and no result is not.
pub(super) fn validator(look: &Look, memory: &Memory) -> Component {
    let quiet = memory.no_verification(look.now);
    if let Some(doubt) = look
        .tip_doubt
        .as_ref()
        .filter(|doubt| Some(doubt.hash) == look.tip_seen)
    {
        let message = format!(
            "the node's tip {} does not pass: {}",
            doubt.hash, doubt.reason
        );
        return if doubt.verdict == Verdict::Rejected {
            Component::critical(message)
        } else {
            Component::warning(message)
        };
    }
    let waiting =
        look.tip_seen.is_some() && look.tip_validated.map(|(hash, _)| hash) != look.tip_seen;
    if waiting {
        let behind = memory.tip_behind(look.now);
        return if behind <= GRACE {
            Component::ok("verifying a new tip")
        } else if quiet <= WORKING {
            Component::warning(format!(
                "still verifying after {}: {} results so far",
                seconds(behind),
                look.verifications
            ))
        } else {
            Component::critical(format!(
                "a tip has waited for {}, and nothing was verified for {}",
                seconds(behind),
                seconds(quiet)
            ))
        };
    }
    if look.tip_validated.is_none() {
        return Component::ok("idle: the node has shown no tip yet");
    }
    Component::ok(if quiet < WORKING {
        "verified the node's tip".to_owned()
    } else if quiet < QUIET {
        format!("idle: nothing to verify for {}", seconds(quiet))
    } else {
        format!(
            "idle: nothing to verify for {}, the chain is quiet",
            seconds(quiet)
        )
    })
}

/// Whether what the threads work on is what the node would still take for its next block.
pub(super) fn stale(look: &Look) -> Component {
    let Some(stale) = &look.stale else {
        return Component::default();
    };
    let message = format!("stale work: {}", stale.in_words(look.now));
    if stale.age(look.now) > LASTS {
        Component::critical(message)
    } else {
        Component::warning(message)
    }
}

/// Whether the tip that the node has is the one that is verified and worked on.
pub(super) fn pipeline(look: &Look, memory: &Memory) -> Component {
    let node = node(look);
    if node.status > Condition::Ok {
        return Component::new(node.status, format!("stands: the node is {}", node.message));
    }
    let Some(seen) = look.tip_seen else {
        return not_yet(look, "no tip read yet");
    };
    let Some((validated, height)) = look.tip_validated else {
        let checking = validator(look, memory);
        let status = match checking.status {
            Condition::Ok => Condition::Unknown,
            other => other,
        };
        return Component::new(status, format!("no tip verified yet: {}", checking.message));
    };
    if validated != seen {
        let behind = memory.tip_behind(look.now);
        if behind > GRACE {
            return Component::critical(format!(
                "the node's tip {seen} is not verified after {}; the last verified is block {height}",
                seconds(behind)
            ));
        }
        return Component::ok(format!("following the node from block {height}"));
    }
    if !look.mines() {
        return Component::ok(format!("block {height}: seen and verified; mining is off"));
    }
    match &look.mining {
        MiningState::Scanning | MiningState::Paced => {}
        MiningState::SwitchedOff { .. } | MiningState::Held { .. } => {
            return Component::ok(format!(
                "block {height}: seen and verified; {}",
                look.mining
            ));
        }
        MiningState::Ibd => {
            return Component::warning(format!(
                "block {height}: seen and verified; {}",
                look.mining
            ));
        }
        MiningState::NoJob { reason } => {
            let jobless = memory.jobless(look.now);
            let message = format!("block {height}: seen and verified, but no job: {reason}");
            return if jobless > GRACE {
                Component::critical(message)
            } else if look.uptime() < START {
                Component::unknown(message)
            } else {
                Component::ok(message)
            };
        }
    }
    match look.job_parent {
        Some(parent) if parent == validated => {
            Component::ok(format!("block {height}: seen, verified, and mined on"))
        }
        // Waiting for the next block's turn (regtest).
        None if look.mining == MiningState::Paced => Component::ok(format!(
            "block {height}: seen and verified; the next one waits for its time"
        )),
        _ => {
            let behind = memory.job_behind(look.now);
            if behind > GRACE {
                Component::critical(format!(
                    "block {height} was verified, and {} later the job is still on another one",
                    seconds(behind)
                ))
            } else {
                Component::ok(format!(
                    "block {height}: seen and verified; the job follows"
                ))
            }
        }
    }
}
