//! What the threads shall do next: a function of what the board shows and of what was before.
//!
//! The [`Planner`] knows no thread, no channel and no clock of its own. It is asked again whenever
//! something changed, and after [`Plan::look_again`] at the latest; asked twice with the same sight
//! it answers the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::{Job, Network};
use pow::Target;

use super::clock::{JobTime, NodeClock, TimeRule, job_time};
use super::decide::{Course, Refresh, Switches};
use super::pace::Pacer;
use super::plan::{Parked, Plan, Task};
use super::rate::RateMeter;
use super::settings::MinerSettings;
use super::sight::{Counts, Sight};
use super::work::{Chosen, Fallback, Moment, OnTip, Work};
use crate::messages::{MiningState, NodeState, Outcome, TipValidated};
use crate::resources::Degradation;

/// With a job, look again after this long: rates and ages change slowly.
const CALM: Duration = Duration::from_millis(500);
/// While the hash rate is measured, after this long.
const MEASURING: Duration = Duration::from_millis(50);
/// Between two requests for the same template.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// So long a template may take by itself before it is asked for.
const PATIENCE: Duration = Duration::from_millis(250);
/// A node that is so many blocks behind its headers is not syncing but connecting them.
const CONNECTING: u32 = 2;
/// The hash rate must be off by this factor before a running job gets another paced target.
const RATE_SLACK: f64 = 1.25;
/// A target that nobody meets: for measuring the hash rate before the first paced job.
const CALIBRATION_HASHES: f64 = 1e75;

/// Decides what the threads do. One per life of the miner.
#[derive(Debug)]
pub struct Planner {
    settings: MinerSettings,
    clock: NodeClock,
    pacer: Pacer,
    meter: RateMeter,
    /// Since when the node is absent.
    absent_since: Option<Instant>,
    /// Arrival of the template that the clock has learnt from last.
    clock_from: Option<Instant>,
    on_tip: Option<OnTip>,
    /// The block found last, as the pacer knows it.
    found: Option<BlockHash>,
    /// Whether the pacer waits to hear when scanning on that block begins.
    turning: bool,
    /// Found blocks for which nothing more is waited, newest first.
    over: VecDeque<BlockHash>,
    /// The hash rate and target that the job of the moment was paced with.
    paced: Option<(Arc<Job>, f64, Target)>,
    asked_at: Option<Instant>,
    /// A new tip begins a round, and so does the end of waiting for a block that came to nothing.
    round: u64,
}

impl Planner {
    /// A planner that has seen nothing yet; `counts` are the counters at this moment.
    pub fn new(settings: MinerSettings, rng: fastrand::Rng, counts: &Counts) -> Self {
        let pacing = settings
            .pacing
            .filter(|_| settings.network == Network::Regtest);
        Self {
            clock: NodeClock::default(),
            pacer: Pacer::new(pacing, rng),
            meter: RateMeter::new(settings.threads, counts.hashes, counts.busy),
            absent_since: None,
            clock_from: None,
            on_tip: None,
            found: None,
            turning: false,
            over: VecDeque::new(),
            paced: None,
            asked_at: None,
            round: 0,
            settings,
        }
    }

    /// Plans.
    pub fn plan(&mut self, sight: &Sight<'_>) -> Plan {
        self.learn(sight);
        let mut plan = self.choose(sight).unwrap_or_else(Plan::from);
        if let Some(until) = sight.until {
            let left = until.saturating_duration_since(sight.now);
            plan.look_again = plan.look_again.min(left);
        }
        plan
    }

    /// Takes note of what is new.
    fn learn(&mut self, sight: &Sight<'_>) {
        self.meter.scan_on(self.threads(sight));
        self.meter.observe(sight.counts.hashes, sight.counts.busy);
        match sight.node {
            NodeState::Absent { .. } => _ = self.absent_since.get_or_insert(sight.now),
            _ => self.absent_since = None,
        }
        if let Some(seen) = sight.template
            && self.clock_from != Some(seen.received_at)
        {
            self.clock_from = Some(seen.received_at);
            self.clock.observe(
                seen.template.curtime,
                seen.template.mintime,
                seen.received_at,
            );
        }
        if let Some(found) = sight.found
            && self.found != Some(found.hash)
        {
            self.found = Some(found.hash);
            self.turning = true;
            self.pacer.found(found.found_at);
        }
        if let Some(tip) = sight.tip
            && self
                .on_tip
                .as_ref()
                .is_none_or(|on_tip| on_tip.hash != tip.hash)
        {
            self.on_tip = Some(OnTip::new(tip.hash, sight.now));
            self.asked_at = None;
            self.round += 1;
            // A new tip is the end of a block found on another one, should that come back.
            if let Some(found) = sight.found
                && found.job.prev() != tip.hash
            {
                self.is_over(found.hash);
            }
        }
    }

    /// Nothing more is waited for because of this found block.
    fn is_over(&mut self, found: BlockHash) {
        const REMEMBERED: usize = 16;
        self.over.truncate(REMEMBERED - 1);
        self.over.push_front(found);
    }

    /// The order of the questions: may we at all; on what; is it our turn; with which job; is it
    /// worth it; at what time; how hard.
    fn choose(&mut self, sight: &Sight<'_>) -> Result<Plan, Parked> {
        let switches = self.switches(sight);
        if let Some(by) = &switches.mining_off {
            return Err(Parked::new(
                MiningState::SwitchedOff { by: by.clone() },
                CALM,
            ));
        }
        self.node_allows(sight)?;
        let Some(tip) = sight.tip else {
            return Err(Parked::no_job(match sight.doubt {
                Some(doubt) => format!("the node's tip does not pass: {}", doubt.reason),
                None => "no tip is validated yet".to_owned(),
            }));
        };
        self.found_block_is_over(sight, tip)?;
        if let Some(until) = self.pacer.waits_until(sight.now) {
            return Err(Parked::new(MiningState::Paced, until - sight.now));
        }
        let Chosen { work, fallback } = self.work(sight, tip)?;
        let candidate = self.candidate(sight, &work, fallback.as_ref());
        let decision = self.decide(sight, tip, &work, &switches)?;
        let time = self.job_time(sight, &work)?;
        let (target, look_again) = self.target(&work.job);
        if self.turning && self.found == Some(tip.hash) {
            self.turning = false;
            self.pacer.resumed(sight.now);
        }
        let paced = target < work.job.target();
        let stale = decision.course == Course::Retry(Refresh::Template);
        let lacking = self.lacks_template(&work, fallback.as_ref(), sight.now);
        Ok(Plan {
            decision: Some(decision),
            state: if paced {
                MiningState::Paced
            } else {
                MiningState::Scanning
            },
            task: Some(Task {
                job: Arc::clone(&work.job),
                coinbase_only: work.is_our_own(),
                target,
                time,
                round: self.round,
                threads: self.threads(sight),
            }),
            candidate,
            no_use: fallback.as_ref().map(|fallback| Arc::clone(&fallback.node)),
            fallback: fallback.map(|fallback| fallback.reason),
            look_again,
            want_template: (stale || lacking) && self.ask(sight.now),
            want_look: false,
        })
    }

    fn switches(&self, sight: &Sight<'_>) -> Switches {
        let limit = self.settings.block_limit;
        let mining_off = if !self.settings.enabled {
            Some("the configuration (mining.enabled = false)".to_owned())
        } else if limit.is_some_and(|limit| sight.counts.open() >= limit) {
            Some("the block limit".to_owned())
        } else if sight.degradation == Degradation::Parked {
            Some(format!("scarce resources ({})", sight.scarce))
        } else {
            None
        };
        Switches { mining_off }
    }

    /// On how many threads there may be scanning.
    fn threads(&self, sight: &Sight<'_>) -> usize {
        sight.degradation.threads(self.settings.threads)
    }

    fn node_allows(&self, sight: &Sight<'_>) -> Result<(), Parked> {
        match sight.node {
            NodeState::Ready => Ok(()),
            NodeState::Unknown => Err(Parked::no_job("the node was not asked yet")),
            NodeState::Refused { reason } => Err(Parked::no_job(reason.clone())),
            NodeState::Syncing { .. } if self.settings.during_ibd => Ok(()),
            // A header or two ahead is the next block on its way in: the tip in hand is still the best.
            NodeState::Syncing {
                blocks,
                headers,
                ibd: false,
            } if headers.saturating_sub(*blocks) <= CONNECTING => Ok(()),
            NodeState::Syncing { .. } => Err(Parked::new(MiningState::Ibd, CALM)),
            // A block found meanwhile is kept and sent when the node is back.
            NodeState::Absent { .. } if self.unheard(sight.now) <= self.settings.absence_max => {
                Ok(())
            }
            NodeState::Absent { reason } => Err(Parked::no_job(format!("no node: {reason}"))),
        }
    }

    fn unheard(&self, now: Instant) -> Duration {
        self.absent_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Waits for what becomes of a block found on this tip.
    fn found_block_is_over(&mut self, sight: &Sight<'_>, tip: &TipValidated) -> Result<(), Parked> {
        let waiting = sight
            .found
            .filter(|found| found.job.prev() == tip.hash && !self.over.contains(&found.hash));
        let Some(found) = waiting else { return Ok(()) };
        let outcome = sight
            .settled
            .filter(|settled| settled.hash == found.hash)
            .map(|settled| &settled.outcome);
        let waited = sight.now.saturating_duration_since(found.found_at);
        let why = match outcome {
            Some(Outcome::Rejected(reason)) => format!("was refused ({reason})"),
            _ if waited < self.settings.settle_max => String::new(),
            Some(Outcome::Accepted) => "was accepted, but is not the node's tip".to_owned(),
            Some(Outcome::Stale) => "is stale".to_owned(),
            None => format!("is unsettled after {} s", waited.as_secs()),
        };
        if !why.is_empty() {
            self.is_over(found.hash);
            self.asked_at = None;
            self.round += 1;
            if let Some(on_tip) = self.on_tip.as_mut() {
                on_tip.set_back(&why, sight.now);
            }
            return Ok(());
        }
        let state = if self.pacer.is_on() {
            MiningState::Paced
        } else {
            MiningState::NoJob {
                reason: "solved; waiting for the new tip".to_owned(),
            }
        };
        let left = self.settings.settle_max.saturating_sub(waited);
        Err(Parked::new(state, left.min(CALM)))
    }

    /// The job for this tip: the node's template, or until it is there a coinbase-only one.
    fn work(&mut self, sight: &Sight<'_>, tip: &TipValidated) -> Result<Chosen, Parked> {
        let Some(on_tip) = self.on_tip.as_mut() else {
            return Err(Parked::no_job("no tip is validated yet"));
        };
        let moment = Moment {
            settings: &self.settings,
            tip,
            template: sight.template,
            reading: self.clock.reading(sight.now),
            bar: &|work| bar::bar(sight, &self.settings, work),
            now: sight.now,
        };
        let problem = match on_tip.work(&moment) {
            Ok(chosen) => return Ok(chosen),
            Err(problem) => problem,
        };
        let mut parked = Parked {
            no_use: problem.node,
            ..Parked::no_job(problem.reason)
        };
        if let Some(barred) = &problem.barred {
            // What the node is asked about comes with the templates, which are asked for anyway.
            parked.candidate = self.candidate(sight, barred, None);
        } else if sight.now.saturating_duration_since(problem.since) >= PATIENCE || problem.urgent {
            parked.want_template = self.ask(sight.now);
        }
        Err(parked)
    }

    /// Whether the tip has gone without a template of use for so long that it is to be asked for.
    fn lacks_template(&self, work: &Work, fallback: Option<&Fallback>, now: Instant) -> bool {
        let since = match (fallback, &self.on_tip) {
            // Each takes the node's time twice: to make, and to check.
            (Some(fallback), _) if fallback.barred.is_some() => return false,
            (Some(fallback), _) => fallback.since,
            (None, Some(on_tip)) if work.is_our_own() => on_tip.since,
            _ => return false,
        };
        now.saturating_duration_since(since) >= PATIENCE
    }

    /// True at most once in [`ASK_AGAIN`].
    fn ask(&mut self, now: Instant) -> bool {
        let again = self
            .asked_at
            .is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_AGAIN);
        if again {
            self.asked_at = Some(now);
        }
        again
    }

    fn job_time(&self, sight: &Sight<'_>, work: &Work) -> Result<TimeRule, Parked> {
        let Some(reading) = self.clock.reading(sight.now) else {
            return Err(Parked::no_job("the node's clock is not known yet"));
        };
        match job_time(reading, sight.now, work.min_time, work.boundary) {
            JobTime::Roll(rule) => Ok(rule),
            JobTime::Wait(wait) => Err(Parked::new(
                MiningState::NoJob {
                    reason: format!(
                        "the chain's time is ahead of the node's clock by nearly two hours; \
                         the next block may be made in {} s",
                        wait.as_secs()
                    ),
                },
                wait.min(CALM),
            )),
        }
    }

    /// The target to scan against, and when to look at it again.
    fn target(&mut self, job: &Arc<Job>) -> (Target, Duration) {
        let network = job.target();
        if !self.pacer.needs_hashrate() {
            return (network, CALM);
        }
        let Some(rate) = self.meter.hashrate_hs() else {
            return (
                Target::from_expected_hashes(CALIBRATION_HASHES).min(network),
                MEASURING,
            );
        };
        if let Some((known, with, target)) = &self.paced
            && Arc::ptr_eq(known, job)
            && (1.0 / RATE_SLACK..=RATE_SLACK).contains(&(rate / with))
        {
            return (*target, CALM);
        }
        let target = self.pacer.target(network, rate);
        self.paced = Some((Arc::clone(job), rate, target));
        (target, CALM)
    }
}

mod bar;
#[cfg(test)]
mod tests;
mod verdict;
