//! The states of a found block, from found to settled, over several nodes: a pure machine.
//!
//! A block is held until it is on disk or the journal's deadline has passed, then given to every
//! node. For each node it is being sent, looked up, or waiting for either, until that node's fate is
//! final; the first acceptance settles the block, otherwise the last final fate does, or a stale one
//! where the other nodes are out of reach.

use std::time::Duration;

use super::answer::{Absent, Answer, Meaning};
use super::journal::NodeFate;

/// A refusal that may be an accident is final at this many.
pub(super) const REFUSALS: u32 = 4;
/// Tries, over a quarter of a minute, after which a stale block waits no longer for a node that
/// does not take it: one that is gone for good must not keep the block open for good.
pub(super) const MANY: u32 = 8;
/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// No pause is longer.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A node, by its place in the configuration.
pub(super) type NodeIndex = usize;

/// What a node knows of a block when it is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Known {
    /// In the active chain.
    Active,
    /// Stored, in no active chain, whose tip has this height.
    Side {
        /// Height of the active tip.
        tip: u32,
    },
    /// Stored, and found invalid or on top of an invalid block.
    Invalid,
    /// Its header only.
    HeaderOnly,
    /// Nothing.
    Nothing,
    /// No answer; the error.
    NoAnswer(String),
}

/// What happens to a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// It is on disk.
    Journalled,
    /// It is not on disk, and cannot wait for it.
    JournalLate,
    /// `submitblock` came back.
    Answered(NodeIndex, Answer),
    /// A look-up came back.
    LookedUp(NodeIndex, Known),
    /// A pause is over.
    Due(NodeIndex, u32),
    /// The node is back, or has just accepted another block, perhaps this one's parent: now is a good
    /// moment.
    Nudge(NodeIndex),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Effect {
    /// Give the node the block.
    Send(NodeIndex),
    /// Ask the node what it knows of the block.
    LookUp(NodeIndex),
    /// Report [`Event::Due`] with this number after a pause.
    Pause(NodeIndex, u32, Duration),
    /// Write down what the node made of it.
    Note(NodeIndex, NodeFate, String),
    /// The block's end.
    Settle(End),
}

/// How a block ended, as far as the nodes say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum End {
    Accepted,
    Stale,
    /// With the first node's reason.
    Rejected(String),
}

/// What a pause is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Next {
    Send,
    LookUp(Absent),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Not before the journal.
    Held,
    Sending,
    LookingUp(Absent),
    Pausing(Next),
    Done(NodeFate, String),
}

/// A block's way with one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OneNode {
    pub(super) phase: Phase,
    /// Pauses so far: the number of the current one.
    pub(super) pauses: u32,
    pub(super) refusals: u32,
    /// A good moment came while it was asked about the block: what follows from the answer is not put
    /// off for long.
    pub(super) nudged: bool,
    /// Since when it is known to be a side block with nothing on top of its rival.
    pub(super) racing_since: Option<Duration>,
    /// The node's last word on it.
    pub(super) word: String,
}

/// A found block's state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fate {
    height: u32,
    /// How long a side block may hope for the next block to decide.
    race_limit: Duration,
    pub(super) nodes: Vec<OneNode>,
    pub(super) end: Option<End>,
}

impl Fate {
    /// A block just found, for `nodes` nodes.
    pub(super) fn new(height: u32, nodes: usize, race_limit: Duration) -> Self {
        Self::resume(height, vec![None; nodes], race_limit)
    }

    /// A block from the journal, with the final fates that were written down.
    pub(super) fn resume(
        height: u32,
        fates: Vec<Option<(NodeFate, String)>>,
        race_limit: Duration,
    ) -> Self {
        let nodes = fates.into_iter().map(|fate| OneNode {
            phase: match fate {
                Some((fate, reason)) if fate.is_final() => Phase::Done(fate, reason),
                _ => Phase::Held,
            },
            pauses: 0,
            refusals: 0,
            nudged: false,
            racing_since: None,
            word: String::new(),
        });
        Self {
            height,
            race_limit,
            nodes: nodes.collect(),
            end: None,
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
            && self
                .nodes
                .iter()
                .all(|n| matches!(n.phase, Phase::Done(..)))
    }

    /// Why no node is known to have the block, although some have been asked to take it: the last word of the first of
    /// them. A race with another block is none.
    pub(super) fn nobody_has_it(&self) -> Option<&str> {
        let is_done = |node: &OneNode| matches!(node.phase, Phase::Done(..));
        let has_it = |node: &OneNode| match &node.phase {
            Phase::Done(fate, _) => matches!(fate, NodeFate::Accepted | NodeFate::Stale),
            _ => node.racing_since.is_some(),
        };
        if self.end.is_some() || self.nodes.iter().any(has_it) {
            return None;
        }
        let mut asked = self.nodes.iter().filter(|node| node.pauses > 0);
        Some(&asked.find(|node| !is_done(node))?.word)
    }

    /// Whether a node holds the answer to its first `submitblock`.
    pub(super) fn awaits_first_answer(&self) -> bool {
        self.nodes
            .iter()
            .any(|n| n.pauses == 0 && matches!(n.phase, Phase::Held | Phase::Sending))
    }

    /// The one transition. `now` is any monotonic clock. Events that come too late change nothing.
    pub(super) fn step(mut self, event: Event, now: Duration) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        match event {
            Event::Journalled | Event::JournalLate => self.release(&mut effects),
            Event::Answered(index, answer) => {
                if matches!(self.nodes[index].phase, Phase::Sending) {
                    self.answered(index, answer, &mut effects);
                }
            }
            Event::LookedUp(index, known) => {
                if let Phase::LookingUp(absent) = self.nodes[index].phase {
                    self.looked_up(index, absent, known, now, &mut effects);
                }
            }
            Event::Due(index, pause) => {
                if self.nodes[index].pauses == pause {
                    self.go_on(index, &mut effects);
                }
            }
            Event::Nudge(index) => {
                self.go_on(index, &mut effects);
                let node = &mut self.nodes[index];
                node.nudged = matches!(node.phase, Phase::LookingUp(_) | Phase::Sending);
            }
        }
        self.settle(&mut effects);
        (self, effects)
    }

    fn release(&mut self, effects: &mut Vec<Effect>) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if node.phase == Phase::Held {
                node.phase = Phase::Sending;
                effects.push(Effect::Send(index));
            }
        }
    }

    fn answered(&mut self, index: NodeIndex, answer: Answer, effects: &mut Vec<Effect>) {
        let node = &mut self.nodes[index];
        node.word = answer.reason;
        match answer.meaning {
            Meaning::Accepted => node.done(index, NodeFate::Accepted, effects),
            Meaning::Rejected => node.done(index, NodeFate::Rejected, effects),
            Meaning::Doubt(absent) => node.look_up(index, absent, effects),
            Meaning::NotYet => node.pause(index, Next::Send, effects),
            Meaning::Refused => node.refused(index, effects),
        }
    }

    fn looked_up(
        &mut self,
        index: NodeIndex,
        absent: Absent,
        known: Known,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let node = &mut self.nodes[index];
        match known {
            Known::Active => node.done(index, NodeFate::Accepted, effects),
            Known::NoAnswer(error) => {
                if node.word.is_empty() {
                    node.word = error;
                }
                node.pause(index, Next::LookUp(absent), effects);
            }
            _ if absent == Absent::Invalid => node.done(index, NodeFate::Rejected, effects),
            Known::Side { tip } => {
                let since = *node.racing_since.get_or_insert(now);
                if tip > self.height || now.saturating_sub(since) >= self.race_limit {
                    node.done(index, NodeFate::Stale, effects);
                } else {
                    node.pause(index, Next::LookUp(absent), effects);
                }
            }
            Known::Invalid => node.done(index, NodeFate::Rejected, effects),
            Known::HeaderOnly => node.pause(index, Next::Send, effects),
            Known::Nothing => match absent {
                Absent::Resend => node.pause(index, Next::Send, effects),
                Absent::Stale => node.done(index, NodeFate::Stale, effects),
                Absent::Refused => node.refused(index, effects),
                Absent::Invalid => node.done(index, NodeFate::Rejected, effects),
            },
        }
    }

    fn go_on(&mut self, index: NodeIndex, effects: &mut Vec<Effect>) {
        let node = &mut self.nodes[index];
        match node.phase {
            Phase::Pausing(Next::Send) => {
                node.phase = Phase::Sending;
                effects.push(Effect::Send(index));
            }
            Phase::Pausing(Next::LookUp(absent)) => node.look_up(index, absent, effects),
            _ => {}
        }
    }

    fn settle(&mut self, effects: &mut Vec<Effect>) {
        if self.end.is_some() || self.nodes.is_empty() {
            return;
        }
        let fates = || {
            self.nodes.iter().map(|node| match &node.phase {
                Phase::Done(fate, reason) => Some((*fate, reason)),
                _ => None,
            })
        };
        let is = |wanted| {
            move |fate: Option<(NodeFate, &String)>| fate.is_some_and(|(fate, _)| fate == wanted)
        };
        let stale = fates().any(is(NodeFate::Stale));
        let end = if fates().any(is(NodeFate::Accepted)) {
            End::Accepted
        } else if stale && self.nodes.iter().all(OneNode::is_done_or_out_of_reach) {
            End::Stale
        } else if fates().any(|fate| fate.is_none()) {
            return;
        } else {
            let reason = fates().flatten().map(|(_, reason)| reason.clone()).next();
            End::Rejected(reason.unwrap_or_default())
        };
        self.end = Some(end.clone());
        effects.push(Effect::Settle(end));
    }
}

impl OneNode {
    /// Whether a block that is stale elsewhere need not wait for this node: it has decided, or has
    /// not even taken the block after many tries.
    fn is_done_or_out_of_reach(&self) -> bool {
        match self.phase {
            Phase::Done(..) => true,
            Phase::Pausing(Next::Send) => self.pauses >= MANY,
            _ => false,
        }
    }

    fn done(&mut self, index: NodeIndex, fate: NodeFate, effects: &mut Vec<Effect>) {
        self.nudged = false;
        let reason = std::mem::take(&mut self.word);
        self.phase = Phase::Done(fate, reason.clone());
        effects.push(Effect::Note(index, fate, reason));
    }

    fn look_up(&mut self, index: NodeIndex, absent: Absent, effects: &mut Vec<Effect>) {
        self.phase = Phase::LookingUp(absent);
        effects.push(Effect::LookUp(index));
    }

    fn refused(&mut self, index: NodeIndex, effects: &mut Vec<Effect>) {
        self.refusals += 1;
        if self.refusals >= REFUSALS {
            self.done(index, NodeFate::Rejected, effects);
        } else {
            self.pause(index, Next::Send, effects);
        }
    }

    fn pause(&mut self, index: NodeIndex, next: Next, effects: &mut Vec<Effect>) {
        let time = if std::mem::take(&mut self.nudged) {
            FIRST_PAUSE
        } else {
            FIRST_PAUSE
                .saturating_mul(1_u32.checked_shl(self.pauses).unwrap_or(u32::MAX))
                .min(LONGEST_PAUSE)
        };
        self.pauses += 1;
        self.phase = Phase::Pausing(next);
        effects.push(Effect::Note(index, NodeFate::Unknown, self.word.clone()));
        effects.push(Effect::Pause(index, self.pauses, time));
    }
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
