//! The jobs for one tip, and what became of the blocks found on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::{Job, Network, Template};

use super::clock::{Boundary, Reading};
use super::refresh::is_worth;
use super::settings::MinerSettings;
use crate::messages::{NodeName, TemplateSeen};
pub use choice::{Bar, Chosen, Fallback, Moment, Problem};
use choice::{EARLIER, EMPTY, chosen, may_pass};
use make::{Refusal, full_work, late_work, own_work};

mod choice;
mod make;

/// After a block that came to nothing, wait this long for the next job; twice as long after each further one.
const SETBACK_PAUSE: Duration = Duration::from_millis(250);
const SETBACK_PAUSE_MAX: Duration = Duration::from_mins(1);

/// A job on the tip.
#[derive(Debug)]
pub struct Work {
    /// The job.
    pub job: Arc<Job>,
    /// When its template arrived; absent for a coinbase-only job of our own making.
    pub received_at: Option<Instant>,
    /// The node that its template came from; absent for one of our own making.
    pub node: Option<NodeName>,
    /// The least timestamp.
    pub min_time: u32,
    /// Where the network's difficulty depends on the timestamp.
    pub boundary: Option<Boundary>,
}

impl Work {
    /// Whether it is a coinbase-only job of our own making.
    pub fn is_our_own(&self) -> bool {
        self.received_at.is_none()
    }

    /// Whether the clock has come to times at which the network asks for another target than the job's.
    fn is_past_its_bits(&self, reading: Reading) -> bool {
        let (Some(boundary), Some(now)) = (self.boundary, reading.now) else {
            return false;
        };
        !boundary.late && now > boundary.last_regular
    }
}

/// What is known of mining on one tip.
#[derive(Debug)]
pub struct OnTip {
    /// The tip.
    pub hash: BlockHash,
    /// Since when.
    pub since: Instant,
    /// The template of this tip that is in use.
    full: Option<Full>,
    /// The job of an earlier one, of another shape: for when the node turns out to refuse every block like those of
    /// the one in use.
    spare: Option<Arc<Work>>,
    /// The newest template of this tip, where it gives no job.
    refused: Option<Refused>,
    /// The job of our own making.
    own: Option<Result<Arc<Work>, String>>,
    /// Something went wrong with a block found here.
    setback: Option<Setback>,
}

/// A template and its job.
#[derive(Debug)]
struct Full {
    seen: TemplateSeen,
    work: Arc<Work>,
}

/// A template that gives no job.
#[derive(Debug)]
struct Refused {
    received_at: Instant,
    node: NodeName,
    why: Refusal,
}

/// A block found here came to nothing: only a newer template counts, and not before a pause.
#[derive(Debug)]
struct Setback {
    at: Instant,
    resume_at: Instant,
    why: String,
    times: u32,
}

impl OnTip {
    /// Nothing yet.
    pub fn new(hash: BlockHash, since: Instant) -> Self {
        Self {
            hash,
            since,
            full: None,
            spare: None,
            refused: None,
            own: None,
            setback: None,
        }
    }

    /// A block found on this tip came to nothing, and the tip stays: only a newer template counts.
    pub fn set_back(&mut self, why: &str, now: Instant) {
        let before = self.setback.as_ref().map_or(0, |setback| setback.times);
        let pause = (SETBACK_PAUSE * (1 << before.min(16))).min(SETBACK_PAUSE_MAX);
        self.full = None;
        self.spare = None;
        self.refused = None;
        self.setback = Some(Setback {
            at: now,
            resume_at: now + pause,
            why: format!("the block found {why}; waiting for a fresh template"),
            times: before + 1,
        });
    }

    /// The job of the moment.
    ///
    /// A newer template takes the place of the one in use where that is worth it (see
    /// [`refresh`](super::refresh)), and the job is made anew when the clock crosses the boundary of its target.
    /// One that is refused, or whose blocks the node refuses, takes no place: the last good template of this tip stays
    /// in use, or else a coinbase-only job by our own rules; any newer template is tried.
    /// A template whose parent is another block than the tip is never used: it is older than the
    /// tip, or newer and its parent not validated yet. The last one of this tip stays in use then.
    pub fn work(&mut self, moment: &Moment<'_>) -> Result<Chosen, Problem> {
        if let Some(seen) = moment.template
            && seen.template.previousblockhash == moment.tip.hash
        {
            self.take(moment, seen);
        }
        self.follow_the_clock(moment);
        let is_fresh = self.full.is_some() || self.refused.is_some();
        if let Some(setback) = &self.setback
            && (moment.now < setback.resume_at || !is_fresh)
        {
            return Err(Problem {
                reason: setback.why.clone(),
                since: setback.at,
                urgent: !is_fresh,
                barred: None,
                node: None,
            });
        }
        let bar = self.bar(moment);
        let trouble = self.trouble(bar.as_ref());
        let full = self.full.as_ref().map(|full| Arc::clone(&full.work));
        let good = full.clone().filter(|_| bar.is_none());
        if let Some(work) = good.or_else(|| self.spare(moment).map(Arc::clone)) {
            return Ok(chosen(work, trouble, EARLIER));
        }
        let own = self.own(moment, trouble.is_some());
        let own_bar = own.as_ref().ok().and_then(|own| (moment.bar)(own));
        if let (Ok(work), None) = (&own, &own_bar) {
            return Ok(chosen(Arc::clone(work), trouble, EMPTY));
        }
        // A refusal that may pass is no reason to do nothing.
        match (full, own) {
            (Some(work), _) if may_pass(bar.as_ref()) => {
                let trouble = trouble.filter(|_| self.refused.is_some());
                Ok(chosen(work, trouble, EARLIER))
            }
            (_, Ok(work)) if may_pass(own_bar.as_ref()) => Ok(chosen(work, trouble, EMPTY)),
            (_, own) => Err(self.problem(trouble, own, own_bar)),
        }
    }

    /// Why there is no job, where neither a template nor one of our own making gives one of use.
    fn problem(
        &self,
        trouble: Option<Fallback>,
        own: Result<Arc<Work>, String>,
        own_bar: Option<Bar>,
    ) -> Problem {
        let own_bar = own_bar.map(|bar| bar.reason);
        let urgent = false;
        match trouble {
            Some(trouble) => Problem {
                reason: match own_bar {
                    Some(bar) => format!("{}; {bar}", trouble.reason),
                    None => trouble.reason,
                },
                since: trouble.since,
                urgent,
                barred: trouble.barred.or(own.ok()),
                node: Some(trouble.node),
            },
            None => Problem {
                reason: own_bar.or(own.as_ref().err().cloned()).unwrap_or_default(),
                since: self.since,
                urgent,
                barred: own.ok(),
                node: None,
            },
        }
    }

    /// Why the node refuses the block of the template in use, if it does.
    fn bar(&self, moment: &Moment<'_>) -> Option<Bar> {
        (moment.bar)(&self.full.as_ref()?.work)
    }

    /// The job of an earlier template, where it is still of use.
    fn spare(&self, moment: &Moment<'_>) -> Option<&Arc<Work>> {
        let of_use = |work: &&Arc<Work>| {
            let late = moment.reading.is_some_and(|at| work.is_past_its_bits(at));
            !late && (moment.bar)(work).is_none()
        };
        self.spare.as_ref().filter(of_use)
    }

    /// What is wrong with the newest template, if anything: it is refused here, or its blocks are by the node.
    fn trouble(&self, bar: Option<&Bar>) -> Option<Fallback> {
        let barred = self.full.as_ref().filter(|_| bar.is_some());
        let (reason, since, node) = match (&self.refused, barred) {
            (
                Some(Refused {
                    received_at,
                    node,
                    why,
                }),
                _,
            ) => (why.reason.clone(), *received_at, node),
            (None, Some(Full { seen, .. })) => (bar?.reason.clone(), seen.received_at, &seen.node),
            (None, None) => return None,
        };
        Some(Fallback {
            reason,
            since,
            node: Arc::clone(node),
            barred: barred.map(|full| Arc::clone(&full.work)),
        })
    }

    /// Has a template of this tip take the place of the one in use, where that is worth it and it gives a job.
    fn take(&mut self, moment: &Moment<'_>, seen: &TemplateSeen) {
        let at = seen.received_at;
        if self
            .full
            .as_ref()
            .is_some_and(|full| full.seen.received_at == at)
        {
            // The newest one again, if it was not.
            self.refused = None;
            return;
        }
        if self.is_out(at) || !self.takes(moment, seen) {
            return;
        }
        match full_work(moment.settings, moment.tip, seen) {
            Ok(work) => {
                self.refused = None;
                let before = self.full.take();
                let is_other = |full: &Full| full.work.job.shape() != work.job.shape();
                if let Some(before) = before.filter(is_other)
                    && (moment.bar)(&before.work).is_none()
                {
                    self.spare = Some(before.work);
                }
                self.full = Some(Full {
                    seen: seen.clone(),
                    work,
                });
            }
            Err(why) => {
                self.refused = Some(Refused {
                    received_at: seen.received_at,
                    node: Arc::clone(&seen.node),
                    why,
                });
            }
        }
    }

    /// Whether a template that arrived then is the one refused last, or older than what went wrong.
    fn is_out(&self, at: Instant) -> bool {
        let refused = self.refused.as_ref();
        let setback = self.setback.as_ref();
        refused.is_some_and(|refused| refused.received_at == at)
            || setback.is_some_and(|setback| at <= setback.at)
    }

    /// Whether a template of this tip is to take the place of the one in use.
    fn takes(&self, moment: &Moment<'_>, seen: &TemplateSeen) -> bool {
        let Some(full) = &self.full else {
            return true;
        };
        let running = &full.seen;
        let age = moment.now.saturating_duration_since(running.received_at);
        let max_age = moment.settings.template_max_age;
        self.refused.is_some()
            || (moment.bar)(&full.work).is_some()
            || is_worth(&running.template, &seen.template, age, max_age)
    }

    /// Makes the job in use anew where the clock has come to times at which another target holds.
    fn follow_the_clock(&mut self, moment: &Moment<'_>) {
        let (Some(full), Some(reading)) = (&mut self.full, moment.reading) else {
            return;
        };
        if !full.work.is_past_its_bits(reading) {
            return;
        }
        match late_work(moment.settings, moment.tip, &full.seen, reading) {
            Ok(work) => full.work = work,
            Err(why) => {
                self.refused = Some(Refused {
                    received_at: full.seen.received_at,
                    node: Arc::clone(&full.seen.node),
                    why,
                });
                self.full = None;
            }
        }
    }

    /// The coinbase-only job of our own making, or what is waited for.
    fn own(&mut self, moment: &Moment<'_>, is_last_resort: bool) -> Result<Arc<Work>, String> {
        let Moment { settings, tip, .. } = *moment;
        let newest = moment.template.map(|seen| &*seen.template);
        let refused = self.refused.as_ref();
        let is_made = if is_last_resort {
            let is_forbidden = refused.is_some_and(|refused| refused.why.forbids_any);
            !is_forbidden && self.setback.is_none() && can_make_own(settings, newest)
        } else {
            makes_own(settings, newest)
        };
        if !is_made {
            return Err(format!("waiting for a template on {}", tip.hash));
        }
        let Some(reading) = moment.reading else {
            return Err("waiting for the first template".to_owned());
        };
        let own = match self.own.take() {
            Some(own)
                if !own
                    .as_ref()
                    .is_ok_and(|work| work.is_past_its_bits(reading)) =>
            {
                own
            }
            _ => {
                let challenge = newest.and_then(|newest| newest.signet_challenge.clone());
                own_work(settings, tip, reading, challenge)
            }
        };
        self.own.insert(own).clone()
    }
}

/// Whether coinbase-only jobs are made here until a tip has its template.
pub fn makes_own(settings: &MinerSettings, newest: Option<&Template>) -> bool {
    settings.empty_first && can_make_own(settings, newest)
}

/// Whether coinbase-only jobs can be made here. A signet may want its blocks signed; that it does not is known from
/// any of its templates.
fn can_make_own(settings: &MinerSettings, newest: Option<&Template>) -> bool {
    settings.network != Network::Signet || newest.is_some_and(Template::has_trivial_challenge)
}

#[cfg(test)]
mod tests;
