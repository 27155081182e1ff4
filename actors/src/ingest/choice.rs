//! Which of several nodes gives tips and templates.
//!
//! The order of the configuration is the order of preference. The node in use stays in use until
//! another one is better by what both can do now: that is a failover, and it is made at once. A
//! preferred node that is as good as the one in use again is returned to only after it has proved
//! steady, and the proof takes longer each time that it fails soon after.
//!
//! More proof of work counts only where the validator has verified it. What a node claims counts
//! for nothing. Equal work is no reason to change.

use std::cmp::Reverse;
use std::fmt;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use pow::Work;

/// How long the node in use may leave a question unanswered, be behind or refuse a template, while
/// another one is better. A node that connects a block is silent for less.
pub const PATIENCE: Duration = Duration::from_millis(1500);
/// No node has to be good for longer than this.
pub const STEADY_MOST: Duration = Duration::from_mins(10);
/// A node that fails sooner than this after it was returned to has to prove itself twice as long.
const SOON: Duration = Duration::from_mins(10);
/// That a node gave no template is forgotten after this, where it is not asked for one.
const FORGET: Duration = Duration::from_mins(1);

/// What a node says of itself, as far as the choice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It was not asked yet.
    Nothing,
    /// It does not answer, or is of no use.
    Down,
    /// It is missing blocks.
    Syncing,
    /// It is on its best tip.
    Ready,
}

/// What is known of the tip that a node names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nothing yet.
    Unproven,
    /// Its headers were verified, and sum up to this much work.
    Proven(Work),
    /// It must not be mined on.
    Refused,
}

/// Templates that a node was asked for in vain, or that are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTemplate {
    /// Since when it gives none.
    pub since: Instant,
    /// When it last failed to.
    pub last: Instant,
}

/// What is known of a node at one instant.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// What it says of itself.
    pub says: Says,
    /// When it was asked what it has not answered yet.
    pub asked_at: Option<Instant>,
    /// Its best block.
    pub tip: Option<BlockHash>,
    /// What that is worth.
    pub claim: Claim,
    /// Whether it gives templates of use, as far as it was asked.
    pub no_template: Option<NoTemplate>,
}

/// What a node is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// Everything.
    Good,
    /// It answers, and another node has a tip with more verified work.
    Behind,
    /// It answers, and gives no template, or none of use.
    NoTemplate,
    /// It is missing blocks.
    Syncing,
    /// Its tip does not pass.
    TipRefused,
    /// It has left a question unanswered for too long.
    Silent,
    /// It does not answer, or is of no use.
    Down,
    /// It has not answered yet, and has not had the time to.
    Unknown,
}

impl Fitness {
    /// Orders by use. Nodes of no use are all alike: to change between them would help nobody.
    fn rank(self) -> u8 {
        match self {
            Self::Good => 3,
            Self::Behind => 2,
            Self::NoTemplate => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "is as it should be",
            Self::Behind => "is behind: another node's tip has more verified work",
            Self::NoTemplate => "gives no templates of use",
            Self::Syncing => "is missing blocks",
            Self::TipRefused => "names a tip that does not pass",
            Self::Silent => "leaves questions unanswered",
            Self::Down => "does not answer, or is of no use",
            Self::Unknown => "has not answered yet",
        })
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The node to use.
    pub active: usize,
    /// What each node is good for.
    pub fitness: Vec<Fitness>,
    /// When the passing of time alone may decide otherwise.
    pub due: Option<Instant>,
}

/// The memory of the choice.
#[derive(Debug)]
pub struct Choice {
    active: usize,
    /// How long a node must be good before it is preferred again.
    steady: Duration,
    /// When the active one was chosen; none where it has been since the start.
    chosen_at: Option<Instant>,
    nodes: Vec<Past>,
}

#[derive(Debug, Clone, Copy)]
struct Past {
    behind_since: Option<Instant>,
    good_since: Option<Instant>,
    proof: Duration,
}

impl Choice {
    /// Begins with node number `active` of `count`; a preferred one has to be good for as long as `steady`.
    pub fn new(count: usize, active: usize, steady: Duration) -> Self {
        let past = Past {
            behind_since: None,
            good_since: None,
            proof: steady,
        };
        Self {
            active,
            steady,
            chosen_at: None,
            nodes: vec![past; count],
        }
    }

    /// Decides which node to use `now`. `nodes` are as many as at the start, in order of preference.
    pub fn decide(&mut self, nodes: &[Standing], now: Instant) -> Decision {
        let mut due = Due::new(now);
        let most = most_work(nodes, now);
        let fitness: Vec<Fitness> = (0..nodes.len())
            .map(|index| self.judge(index, &nodes[index], most, &mut due))
            .collect();
        for (past, fitness) in self.nodes.iter_mut().zip(&fitness) {
            // Every block reaches one node before another: that is no unsteadiness.
            let soon_there = past
                .behind_since
                .is_some_and(|since| now < since + PATIENCE);
            if *fitness == Fitness::Good || (*fitness == Fitness::Behind && soon_there) {
                past.good_since.get_or_insert(now);
            } else {
                past.good_since = None;
            }
        }
        let worth = |index: usize| {
            (
                fitness[index].rank(),
                is_proven(&nodes[index]),
                Reverse(index),
            )
        };
        let best = (0..nodes.len()).max_by_key(|index| worth(*index));
        match best {
            // What the node in use will say is waited for.
            _ if fitness[self.active] == Fitness::Unknown => {}
            Some(best) if fitness[best].rank() > fitness[self.active].rank() => {
                self.fail(now);
                self.choose(best, now);
            }
            _ => {
                if let Some(back) = self.steady_again(nodes, &fitness, &mut due) {
                    self.choose(back, now);
                }
            }
        }
        Decision {
            active: self.active,
            fitness,
            due: due.at,
        }
    }

    fn judge(
        &mut self,
        index: usize,
        node: &Standing,
        most: Option<Work>,
        due: &mut Due,
    ) -> Fitness {
        let active = index == self.active;
        let past = &mut self.nodes[index];
        let silent = node
            .asked_at
            .is_some_and(|asked| due.is_over(asked + PATIENCE));
        match node.says {
            Says::Nothing if !silent => return Fitness::Unknown,
            Says::Nothing => return Fitness::Silent,
            Says::Down => return Fitness::Down,
            Says::Syncing => return Fitness::Syncing,
            Says::Ready => {}
        }
        if silent {
            return Fitness::Silent;
        }
        if node.claim == Claim::Refused {
            return Fitness::TipRefused;
        }
        match (node.claim, most) {
            (Claim::Proven(work), Some(most)) if work < most => {
                past.behind_since.get_or_insert(due.now);
            }
            // Whether a tip that was just named makes up for it is not known yet: a chain that is behind
            // goes on, too.
            (Claim::Unproven, Some(_)) => {}
            _ => past.behind_since = None,
        }
        if let Some(since) = past.behind_since
            && (due.is_over(since + PATIENCE) || !active)
        {
            return Fitness::Behind;
        }
        let lasts = |trouble: &NoTemplate| {
            if active {
                due.is_over(trouble.since + PATIENCE)
            } else {
                !due.is_over(trouble.last + FORGET)
            }
        };
        if node.no_template.as_ref().is_some_and(lasts) {
            return Fitness::NoTemplate;
        }
        Fitness::Good
    }

    /// The most preferred node that has earned it to be used again.
    fn steady_again(
        &self,
        nodes: &[Standing],
        fitness: &[Fitness],
        due: &mut Due,
    ) -> Option<usize> {
        let active = self.active;
        (0..active).find(|index| {
            let past = &self.nodes[*index];
            fitness[*index].rank() >= fitness[active].rank()
                && past.good_since.is_some_and(|since| due.is_over(since + past.proof))
                // Another tip is a matter of work, not of preference.
                && nodes[*index].tip == nodes[active].tip
        })
    }

    /// The active node is left because it failed.
    fn fail(&mut self, now: Instant) {
        let soon = self.chosen_at.is_some_and(|at| now < at + SOON);
        let past = &mut self.nodes[self.active];
        past.proof = if soon {
            (past.proof * 2).min(STEADY_MOST)
        } else {
            self.steady
        };
    }

    fn choose(&mut self, index: usize, now: Instant) {
        self.active = index;
        self.chosen_at = Some(now);
    }
}

/// The earliest time at which something will be over that is not over now.
struct Due {
    now: Instant,
    at: Option<Instant>,
}

impl Due {
    fn new(now: Instant) -> Self {
        Self { now, at: None }
    }

    /// Whether `at` has come; if not, it is a time to look again.
    fn is_over(&mut self, at: Instant) -> bool {
        let over = at <= self.now;
        if !over {
            self.at = Some(self.at.map_or(at, |known| known.min(at)));
        }
        over
    }
}

/// The most work that a node at hand has, as far as it was verified.
fn most_work(nodes: &[Standing], now: Instant) -> Option<Work> {
    let answers = |node: &&Standing| {
        node.says == Says::Ready && node.asked_at.is_none_or(|asked| now < asked + PATIENCE)
    };
    let work = |node: &Standing| match node.claim {
        Claim::Proven(work) => Some(work),
        Claim::Unproven | Claim::Refused => None,
    };
    nodes.iter().filter(answers).filter_map(work).max()
}

fn is_proven(node: &Standing) -> bool {
    matches!(node.claim, Claim::Proven(_))
}

#[cfg(test)]
mod tests;
