//! Which tips' way to the first hash is timed: those that came as news, and were worked on as soon as could be.

use std::time::Instant;

use bitcoin::BlockHash;

use super::plan::Plan;
use crate::messages::{MiningState, TipValidated};

/// What is known of the tip of the moment.
#[derive(Debug, Default)]
pub struct Arrival {
    tip: Option<BlockHash>,
    /// When the newest of all was first heard of.
    newest: Option<Instant>,
    /// When it was first heard of; none once the threads have an order for it, or where its time says nothing.
    heard_at: Option<Instant>,
}

impl Arrival {
    /// Takes note of the tip and of what is planned on it.
    pub fn note(&mut self, tip: &TipValidated, plan: &Plan) {
        if self.tip != Some(tip.hash) {
            // The one that a miner begins with may be old, and so may one that it comes back to.
            let newest = self.newest;
            self.newest = newest.max(Some(tip.seen_at));
            let is_first = self.tip.replace(tip.hash).is_none();
            let is_news = !is_first && newest < Some(tip.seen_at);
            self.heard_at = is_news.then_some(tip.seen_at);
        }
        let is_late_on_purpose =
            plan.task.is_none() && !matches!(plan.state, MiningState::NoJob { .. });
        if is_late_on_purpose {
            self.heard_at = None;
        }
    }

    /// When the tip was first heard of, for the first order on it.
    pub fn take(&mut self) -> Option<Instant> {
        self.heard_at.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chain::Network;

    use super::super::fixtures::{Chain, elsewhere, time};
    use super::super::plan::{Parked, Task};
    use super::*;

    fn scanning(chain: &Chain) -> Plan {
        let job = Arc::clone(&chain.solve(chain.start).job);
        let task = Task {
            coinbase_only: true,
            target: job.target(),
            time: time(chain.start),
            round: 1,
            threads: 1,
            job,
        };
        Plan {
            state: MiningState::Scanning,
            task: Some(task),
            ..Plan::from(Parked::no_job(""))
        }
    }

    /// A miner that has been on the chain's tip, and hears of another one second later.
    fn news(chain: &Chain) -> (Arrival, TipValidated) {
        let mut arrival = Arrival::default();
        arrival.note(&chain.tip(), &scanning(chain));
        assert_eq!(arrival.take(), None, "the tip that it began with");
        let tip = TipValidated {
            hash: elsewhere(),
            seen_at: chain.start + Duration::from_secs(1),
            ..chain.tip()
        };
        (arrival, tip)
    }

    #[test]
    fn a_tip_that_came_as_news_is_timed_once() {
        let chain = Chain::new(Network::Regtest);
        let (mut arrival, tip) = news(&chain);
        arrival.note(&tip, &scanning(&chain));
        assert_eq!(arrival.take(), Some(tip.seen_at));
        arrival.note(&tip, &scanning(&chain));
        assert_eq!(arrival.take(), None, "its template has come");
    }

    #[test]
    fn a_tip_that_is_come_back_to_is_not_timed() {
        let chain = Chain::new(Network::Regtest);
        let (mut arrival, tip) = news(&chain);
        arrival.note(&tip, &scanning(&chain));
        assert!(arrival.take().is_some());
        arrival.note(&chain.tip(), &scanning(&chain));
        assert_eq!(arrival.take(), None);
        arrival.note(&tip, &scanning(&chain));
        assert_eq!(arrival.take(), None, "nor the other one, again");
    }

    #[test]
    fn waiting_for_a_template_is_part_of_the_time() {
        let chain = Chain::new(Network::Regtest);
        let (mut arrival, tip) = news(&chain);
        arrival.note(&tip, &Plan::from(Parked::no_job("waiting for a template")));
        arrival.note(&tip, &scanning(&chain));
        assert_eq!(arrival.take(), Some(tip.seen_at));
    }

    #[test]
    fn a_tip_that_was_waited_on_for_another_reason_is_not_timed() {
        let chain = Chain::new(Network::Regtest);
        let held = MiningState::Held {
            for_s: 1,
            reason: String::new(),
        };
        for state in [MiningState::Paced, MiningState::Ibd, held] {
            let (mut arrival, tip) = news(&chain);
            arrival.note(&tip, &Plan::from(Parked::new(state, Duration::ZERO)));
            arrival.note(&tip, &scanning(&chain));
            assert_eq!(arrival.take(), None);
        }
    }
}
