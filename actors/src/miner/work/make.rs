//! Jobs from a node's template, and coinbase-only ones by our own rules.

use std::sync::Arc;

use chain::{CoinbaseOnly, Job, JobError, Network, Template};
use pow::NBits;

use super::super::clock::{Boundary, Reading};
use super::super::settings::MinerSettings;
use super::Work;
use crate::messages::{TemplateSeen, TipValidated};

/// Consumer number of the hashing threads in a job's coinbase.
const HASHING_THREADS: u16 = 0;

/// Why a template gives no job.
#[derive(Debug)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// Whether it asks of every block what this program does not do, so that one of our own making is none either.
    pub forbids_any: bool,
}

/// A job from the node's template, held against our own rules first.
pub(super) fn full_work(
    settings: &MinerSettings,
    tip: &TipValidated,
    seen: &TemplateSeen,
) -> Result<Arc<Work>, Refusal> {
    let template = &*seen.template;
    let refused = |why: String| Refusal {
        reason: format!("the template of {} is refused: {why}", seen.node),
        forbids_any: false,
    };
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
    let job = new_job(settings, template).map_err(|error| Refusal {
        forbids_any: error.forbids_any_block(),
        ..refused(error.to_string())
    })?;
    Ok(Arc::new(Work {
        job,
        received_at: Some(seen.received_at),
        node: Some(Arc::clone(&seen.node)),
        min_time: template.mintime.max(tip.min_time),
        boundary,
    }))
}

/// A job from a template of earlier times, for times at which a block may have the least difficulty.
pub(super) fn late_work(
    settings: &MinerSettings,
    tip: &TipValidated,
    seen: &TemplateSeen,
    reading: Reading,
) -> Result<Arc<Work>, Refusal> {
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
pub(super) fn own_work(
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
    let job = new_job(settings, &template).map_err(|error| error.to_string())?;
    Ok(Arc::new(Work {
        job,
        received_at: None,
        node: None,
        min_time: tip.min_time,
        boundary,
    }))
}

fn new_job(settings: &MinerSettings, template: &Template) -> Result<Arc<Job>, JobError> {
    Job::new(template, &settings.payout, &settings.tag, HASHING_THREADS).map(Arc::new)
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
