//! Whether hashing is worth it and allowed: what [`decide`] says of what is seen.

use std::time::{Duration, Instant};

use super::super::decide::{Case, Course, Decision, Guards, Refresh, Switches, decide};
use super::super::plan::Parked;
use super::super::policy::Economics;
use super::super::sight::{Sight, validation_of};
use super::super::work::Work;
use super::{CALM, Planner};
use crate::messages::{MiningState, TipValidated};

impl Planner {
    /// Whether it is worth it, and allowed. A RETRY asks for a fresh template while hashing goes on.
    pub(super) fn decide(
        &mut self,
        sight: &Sight<'_>,
        tip: &TipValidated,
        work: &Work,
        switches: &Switches,
    ) -> Result<Decision, Parked> {
        let now = sight.now;
        let decision = {
            let mut holder = self.settings.holds.lock();
            let limits = &self.settings.limits;
            let guards = Guards {
                wait_until: self.waits_for_advice_until(sight),
                ..holder.guards(now, tip.hash, limits)
            };
            let decision = decide(&Case {
                now,
                tip: tip.hash,
                validation: &validation_of(tip, sight.doubt),
                counsel: sight.counsel,
                switches,
                guards: &guards,
                economics: &self.economics(sight, work),
            });
            holder.note(now, tip.hash, &decision);
            decision
        };
        let reason = decision.in_words();
        let held = |time: Duration| {
            let for_s = time.as_secs_f64().ceil() as u64;
            let reason = reason.clone();
            Parked::new(MiningState::Held { for_s, reason }, time.min(CALM))
        };
        let parked = match decision.course {
            Course::Proceed | Course::Retry(Refresh::Template) => return Ok(decision),
            Course::Retry(Refresh::Validation) => Parked {
                want_look: self.ask(now),
                ..Parked::no_job(reason)
            },
            Course::Hold(time) | Course::Wait(time) => held(time),
            Course::NoJob => Parked::no_job(reason),
            Course::SwitchedOff => Parked::new(MiningState::SwitchedOff { by: reason }, CALM),
        };
        Err(Parked {
            decision: Some(Box::new(decision)),
            ..parked
        })
    }

    fn waits_for_advice_until(&self, sight: &Sight<'_>) -> Option<Instant> {
        let gate = self.settings.gate.filter(|_| sight.is_advised)?;
        Some(self.on_tip.as_ref()?.since + gate)
    }

    fn economics(&self, sight: &Sight<'_>, work: &Work) -> Economics {
        let spacing = self.settings.network.params().target_spacing_s;
        Economics {
            reward_sat: work.job.value(),
            expected_hashes: work.job.target().work().to_f64(),
            hashrate_hs: self.meter.hashrate_hs(),
            spacing: Duration::from_secs(u64::from(spacing)),
            stale_ratio: sight.counts.stale_ratio(),
            unheard: self.unheard(sight.now),
            power: self.settings.power_cost,
            template_age: work
                .received_at
                .map(|received| sight.now.saturating_duration_since(received)),
            template_max_age: self.settings.template_max_age,
        }
    }
}
