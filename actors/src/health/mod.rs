//! health: whether the program does what it is there for, per component and as a whole.
//!
//! Healthy means *working on the node's current tip*, not merely alive. The evaluation is pure: a
//! [`Look`] says what is the case at one instant, a [`Memory`] what has to be remembered between two
//! looks (since when something stands still, the best rate so far), and [`examine`] turns both into a
//! [`HealthReport`]. The [`Examiner`] looks, asks the children and remembers.
//!
//! | file | what it decides |
//! |---|---|
//! | `report` | the document: conditions, components, the worst decides |
//! | `look` | what is looked at |
//! | `memory` | what is remembered |
//! | `examiner` | who is asked, and how long an answer may take |
//! | `advisor` | whether the advisor answers |
//! | `children` | supervisor, recovery, and every child: up, answering, recovered |
//! | `chain` | node, ingest, validator, pipeline: on the node's tip, and no stale work |
//! | `hashing` | miner, performance: busy where they should be |
//! | `means` | resources, store: what the work needs |

mod advisor;
mod chain;
mod children;
mod examiner;
mod hashing;
mod look;
mod means;
mod memory;
mod nodes;
mod report;

#[cfg(test)]
mod fixtures;

pub use examiner::{Examiner, Glance, Premises};
pub use look::{Answer, ChildLook, Look, Pinged, RollCall, ThreadLook};
pub use memory::Memory;
pub use report::{COMPONENTS, Component, Condition, HealthReport};

/// When a component counts as unhealthy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealthThresholds {
    /// Least hash rate of a scanning thread as a share of the best it has shown, 0 to 1.
    pub performance_min: f64,
}

/// Examines every component. `memory` has observed `look`.
pub fn examine(look: &Look, memory: &Memory, thresholds: HealthThresholds) -> HealthReport {
    let mut report = HealthReport::default();
    report.set("supervisor", children::supervisor(look));
    let children = look.children.iter();
    for child in children.filter(|child| !advisor::is_part(&child.id)) {
        report.set(&child.id, children::child(look, child));
    }
    report.set("recovery", children::recovery(look, memory));
    report.set("node", nodes::nodes(look));
    report.set("ingest", chain::ingest(look));
    report.set("validator", chain::validator(look, memory));
    report.set("pipeline", chain::stale(look));
    report.set("pipeline", chain::pipeline(look, memory));
    report.set("miner", hashing::miner(look, memory));
    report.set(
        "performance",
        hashing::performance(look, memory, thresholds),
    );
    report.set("submitter", means::submitter(look, memory));
    report.set("store", means::store(look));
    report.set("resources", means::resources(look));
    report.set("api", means::http(look));
    report.set("advisor", advisor::advisor(look));
    report.conclude();
    report
}

#[cfg(test)]
mod tests;
