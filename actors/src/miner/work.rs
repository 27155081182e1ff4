//! The jobs for one tip, and what became of the blocks found on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use chain::{CoinbaseOnly, Job, Network, Template};
use pow::NBits;

use super::clock::{Boundary, Reading};
use super::refresh::is_worth;
use super::settings::MinerSettings;
use crate::messages::{NodeName, TemplateSeen, TipValidated};

/// Consumer number of the hashing threads in a job's coinbase.
const HASHING_THREADS: u16 = 0;

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

/// Why there is no job.
#[derive(Debug)]
pub struct Problem {
    /// In words.
    pub reason: String,
    /// Since when it has been waited for.
    pub since: Instant,
    /// Whether to ask for a template at once.
    pub urgent: bool,
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
    /// Any newer template is better than that one.
    let_go: bool,
    /// The job of our own making.
    own: Option<Result<Arc<Work>, String>>,
    /// Something went wrong with a block found here.
    setback: Option<Setback>,
}

/// A template, and the job that it gives or why it gives none.
#[derive(Debug)]
struct Full {
    seen: TemplateSeen,
    work: Result<Arc<Work>, String>,
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
            let_go: false,
            own: None,
            setback: None,
        }
    }

    /// A block found on this tip came to nothing, and the tip stays: only a newer template counts.
    pub fn set_back(&mut self, why: &str, now: Instant) {
        let before = self.setback.as_ref().map_or(0, |setback| setback.times);
        let pause = (SETBACK_PAUSE * (1 << before.min(16))).min(SETBACK_PAUSE_MAX);
        self.setback = Some(Setback {
            at: now,
            resume_at: now + pause,
            why: format!("the block found {why}; waiting for a fresh template"),
            times: before + 1,
        });
    }

    /// The job in use is of no use: any newer template is to take its place.
    pub fn let_go(&mut self) {
        self.let_go = true;
    }

    /// The job of the moment.
    ///
    /// A newer template takes the place of the one in use where that is worth it (see
    /// [`refresh`](super::refresh)), and the job is made anew when the clock crosses the boundary of its target.
    /// A template whose parent is another block than the tip is never used: it is older than the
    /// tip, or newer and its parent not validated yet. The last one of this tip stays in use then.
    pub fn work(
        &mut self,
        settings: &MinerSettings,
        tip: &TipValidated,
        template: Option<&TemplateSeen>,
        reading: Option<Reading>,
        now: Instant,
    ) -> Result<Arc<Work>, Problem> {
        if let Some(seen) = template
            && seen.template.previousblockhash == tip.hash
            && self.takes(settings, seen, now)
        {
            self.let_go = false;
            self.full = Some(Full {
                seen: seen.clone(),
                work: full_work(settings, tip, seen),
            });
        }
        if let (Some(full), Some(reading)) = (&mut self.full, reading)
            && let Ok(work) = &full.work
            && work.is_past_its_bits(reading)
        {
            full.work = late_work(settings, tip, &full.seen, reading);
        }
        let after = self.setback.as_ref().map(|setback| setback.at);
        let full = self
            .full
            .as_ref()
            .filter(|full| after.is_none_or(|at| full.seen.received_at > at));
        if let Some(setback) = &self.setback
            && (now < setback.resume_at || full.is_none())
        {
            let reason = setback.why.clone();
            return Err(Problem {
                reason,
                since: setback.at,
                urgent: full.is_none(),
            });
        }
        if let Some(full) = full {
            return full.work.clone().map_err(|reason| Problem {
                reason,
                since: full.seen.received_at,
                urgent: false,
            });
        }
        let waiting = |reason: String| Problem {
            reason,
            since: self.since,
            urgent: false,
        };
        let newest = template.map(|seen| &*seen.template);
        if !makes_own(settings, newest) {
            return Err(waiting(format!("waiting for a template on {}", tip.hash)));
        }
        let Some(reading) = reading else {
            return Err(waiting("waiting for the first template".to_owned()));
        };
        let is_past = |own: &Result<Arc<Work>, String>| {
            own.as_ref()
                .is_ok_and(|work| work.is_past_its_bits(reading))
        };
        if self.own.as_ref().is_none_or(is_past) {
            let challenge = newest.and_then(|newest| newest.signet_challenge.clone());
            self.own = Some(own_work(settings, tip, reading, challenge));
        }
        match &self.own {
            Some(Ok(work)) => Ok(Arc::clone(work)),
            Some(Err(reason)) => Err(waiting(reason.clone())),
            None => Err(waiting(format!("waiting for a template on {}", tip.hash))),
        }
    }

    /// Whether a template of this tip takes the place of the one in use.
    fn takes(&self, settings: &MinerSettings, seen: &TemplateSeen, now: Instant) -> bool {
        let Some(full) = &self.full else {
            return true;
        };
        let running = &full.seen;
        if running.received_at == seen.received_at {
            return false;
        }
        let is_set_back = self
            .setback
            .as_ref()
            .is_some_and(|setback| running.received_at <= setback.at);
        let age = now.saturating_duration_since(running.received_at);
        self.let_go
            || is_set_back
            || full.work.is_err()
            || is_worth(
                &running.template,
                &seen.template,
                age,
                settings.template_max_age,
            )
    }
}

/// Whether coinbase-only jobs are made here. A signet may want its blocks signed; that it does not is known from any
/// of its templates.
pub fn makes_own(settings: &MinerSettings, newest: Option<&Template>) -> bool {
    settings.empty_first
        && (settings.network != Network::Signet
            || newest.is_some_and(Template::has_trivial_challenge))
}

/// A job from the node's template, held against our own rules first.
fn full_work(
    settings: &MinerSettings,
    tip: &TipValidated,
    seen: &TemplateSeen,
) -> Result<Arc<Work>, String> {
    let template = &*seen.template;
    let refused = |why: String| format!("the template of {} is refused: {why}", seen.node);
    if template.height != tip.height + 1 {
        return Err(refused(format!(
            "its height is {} on a tip of height {}",
            template.height, tip.height
        )));
    }
    let boundary = boundary(settings.network, tip, template.curtime);
    if let Some(bits) = required_bits(settings.network, tip, boundary)
        && bits != template.bits
    {
        return Err(refused(format!(
            "its nBits are {}, and the rules ask for {bits}",
            template.bits
        )));
    }
    let job = new_job(settings, template).map_err(refused)?;
    Ok(Arc::new(Work {
        job,
        received_at: Some(seen.received_at),
        node: Some(Arc::clone(&seen.node)),
        min_time: template.mintime.max(tip.min_time),
        boundary,
    }))
}

/// A job from a template of earlier times, for times at which a block may have the least difficulty.
fn late_work(
    settings: &MinerSettings,
    tip: &TipValidated,
    seen: &TemplateSeen,
    reading: Reading,
) -> Result<Arc<Work>, String> {
    let template = Template {
        bits: settings.network.params().pow_limit_bits,
        target: None,
        curtime: reading.now.unwrap_or(0).max(seen.template.curtime),
        parent_time: Some(tip.header.time),
        ..(*seen.template).clone()
    };
    let late = TemplateSeen {
        template: Arc::new(template),
        ..seen.clone()
    };
    full_work(settings, tip, &late)
}

/// A coinbase-only job by our own rules.
fn own_work(
    settings: &MinerSettings,
    tip: &TipValidated,
    reading: Reading,
    signet_challenge: Option<String>,
) -> Result<Arc<Work>, String> {
    let curtime = reading.now.unwrap_or(0).max(tip.min_time);
    let boundary = boundary(settings.network, tip, curtime);
    let Some(bits) = required_bits(settings.network, tip, boundary) else {
        return Err("waiting for a template: the next block's nBits are not known here".to_owned());
    };
    let mut template = Template::coinbase_only(&CoinbaseOnly {
        network: settings.network,
        parent: tip.hash,
        parent_time: tip.header.time,
        height: tip.height + 1,
        bits,
        mintime: tip.min_time,
        curtime,
    });
    template.signet_challenge = signet_challenge;
    let job = new_job(settings, &template)?;
    Ok(Arc::new(Work {
        job,
        received_at: None,
        node: None,
        min_time: tip.min_time,
        boundary,
    }))
}

fn new_job(settings: &MinerSettings, template: &Template) -> Result<Arc<Job>, String> {
    Job::new(template, &settings.payout, &settings.tag, HASHING_THREADS)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// Where difficulty depends on the timestamp: twice the spacing after the parent, except at the
/// start of a retarget period.
fn boundary(network: Network, tip: &TipValidated, curtime: u32) -> Option<Boundary> {
    let params = network.params();
    let depends = params.min_difficulty_blocks
        && !params.no_retarget
        && !(tip.height + 1).is_multiple_of(params.retarget_interval);
    depends.then(|| {
        let last_regular = tip.header.time.saturating_add(2 * params.target_spacing_s);
        Boundary {
            last_regular,
            late: curtime > last_regular,
        }
    })
}

fn required_bits(
    network: Network,
    tip: &TipValidated,
    boundary: Option<Boundary>,
) -> Option<NBits> {
    match boundary {
        Some(Boundary { late: true, .. }) => Some(network.params().pow_limit_bits),
        _ => tip.next_bits,
    }
}

#[cfg(test)]
mod tests;
