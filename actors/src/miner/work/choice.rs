//! What the choice of a job depends on, and what comes of it.

use std::sync::Arc;
use std::time::Instant;

use super::super::clock::Reading;
use super::super::settings::MinerSettings;
use super::Work;
use crate::messages::{NodeName, TemplateSeen, TipValidated};

/// Why a job is not mined while there is another one.
#[derive(Debug)]
pub struct Bar {
    /// In words.
    pub reason: String,
    /// Whether it is not mined where there is none, either: every block like it would be refused.
    pub is_final: bool,
}

/// What the job of the moment depends on.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// How jobs are made.
    pub settings: &'a MinerSettings,
    /// The tip to build on.
    pub tip: &'a TipValidated,
    /// The newest template, whatever its parent.
    pub template: Option<&'a TemplateSeen>,
    /// The node's clock, where it is known.
    pub reading: Option<Reading>,
    /// Why the node refuses the blocks of a job, if it does.
    pub bar: &'a dyn Fn(&Work) -> Option<Bar>,
    /// The moment itself.
    pub now: Instant,
}

/// The job of the moment.
#[derive(Debug)]
pub struct Chosen {
    /// The job.
    pub work: Arc<Work>,
    /// Set where it is not of the newest template on the tip, although there is one.
    pub fallback: Option<Fallback>,
}

/// Why the job is not of the newest template on its tip.
#[derive(Debug)]
pub struct Fallback {
    /// What is wrong with that template, and what is hashed instead, in words.
    pub reason: String,
    /// When that template arrived.
    pub since: Instant,
    /// The node that it came from.
    pub node: NodeName,
    /// Its job, where it gives one that the node refuses.
    pub barred: Option<Arc<Work>>,
}

/// Why there is no job.
#[derive(Debug)]
pub struct Problem {
    /// In words.
    pub reason: String,
    /// Since when it has been waited for.
    pub since: Instant,
    /// Whether to ask for a template at once.
    pub urgent: bool,
    /// The job there would be, did the node not refuse every block like it.
    pub barred: Option<Arc<Work>>,
    /// The node whose template is of no use, where that is why.
    pub node: Option<NodeName>,
}

/// What is hashed where the newest template is of no use.
pub(super) const EARLIER: &str = "an earlier template of this tip";
pub(super) const EMPTY: &str = "a block that has nothing but the coinbase";

pub(super) fn may_pass(bar: Option<&Bar>) -> bool {
    bar.is_some_and(|bar| !bar.is_final)
}

/// The job, and what it is `instead` where it takes the place of a template's that is of no use.
pub(super) fn chosen(work: Arc<Work>, trouble: Option<Fallback>, instead: &str) -> Chosen {
    let fallback = trouble.map(|trouble| Fallback {
        reason: format!("{}; hashing goes on with {instead}", trouble.reason),
        ..trouble
    });
    Chosen { work, fallback }
}
