//! What an advisor is told: the board, as a question.

use std::sync::Arc;
use std::time::Instant;

use advisor::protocol::{Kind, Mining, Request, System, Template, VERSION, Validation, Verdict};
use chain::{Network, Report, Status};
use pow::Target;

use crate::board::Board;
use crate::messages::{BodyState, TemplateSeen, TipDoubt, TipValidated};
use crate::resources::{ResourceLimits, Samples};

/// What a question is made of, at one moment.
#[derive(Debug, Clone)]
pub struct Brief {
    /// The network.
    pub network: Network,
    /// The tip.
    pub tip: TipValidated,
    /// What is wrong with the node's tip, where that is another one.
    pub doubt: Option<TipDoubt>,
    /// Its template.
    pub template: Option<TemplateSeen>,
    /// Hashes per second when there was hashing last.
    pub hashrate_hs: Option<f64>,
    /// The share of our valid blocks that went stale.
    pub stale_ratio: Option<f64>,
    /// The machine.
    pub samples: Samples,
    /// When it is short of something.
    pub limits: ResourceLimits,
}

impl Brief {
    /// What the board shows; none while no tip is verified.
    pub fn of(
        board: &Board,
        network: Network,
        hashrate_hs: Option<f64>,
        limits: ResourceLimits,
    ) -> Option<Self> {
        let tip = board.tip_validated.borrow().clone()?;
        let template = board.template.borrow().clone();
        let doubt = board.tip_doubt.borrow().clone();
        let samples = board.samples.borrow().clone();
        let (accepted, stale) = (
            board.registry.blocks_accepted.get(),
            board.registry.blocks_stale.get(),
        );
        let valid = accepted + stale;
        Some(Self {
            network,
            template: template.filter(|seen| seen.template.previousblockhash == tip.hash),
            tip,
            doubt,
            hashrate_hs,
            stale_ratio: (valid > 0).then(|| stale as f64 / valid as f64),
            samples,
            limits,
        })
    }

    /// The template as an advisor sees it.
    pub fn template(&self, now: Instant) -> Option<Template> {
        let seen = self.template.as_ref()?;
        let transactions = &seen.template.transactions;
        Some(Template {
            transactions: transactions.len() as u32,
            fees_sat: transactions.iter().filter_map(|tx| tx.fee).sum(),
            weight: transactions.iter().filter_map(|tx| tx.weight).sum(),
            age_s: now
                .saturating_duration_since(seen.received_at)
                .as_secs_f64(),
        })
    }

    /// The question.
    pub fn request(&self, kind: Kind, id: String, now: Instant) -> Request {
        let target = self.tip.next_bits.map(Target::from_nbits);
        let target = target.and_then(Result::ok);
        let expected = target.map(|target| target.work().to_f64());
        Request {
            v: VERSION,
            id,
            attempt: 1,
            kind,
            network: self.network.name().to_owned(),
            height: self.tip.height,
            tip: self.tip.hash.to_string(),
            validation: self.validation(),
            template: self.template(now),
            mining: Mining {
                hashrate_hs: self.hashrate_hs,
                expected_block_s: expected
                    .zip(self.hashrate_hs)
                    .map(|(hashes, rate)| hashes / rate)
                    .filter(|seconds| seconds.is_finite()),
                stale_ratio: self.stale_ratio,
            },
            recent_intervals_s: self
                .tip
                .times
                .windows(2)
                .map(|pair| f64::from(pair[0]) - f64::from(pair[1]))
                .collect(),
            system: self.system(),
        }
    }

    fn validation(&self) -> Validation {
        let header: &Report = &self.tip.report;
        let body = match &self.tip.body {
            BodyState::Checked(report) => Some(Arc::clone(report)),
            BodyState::Pending | BodyState::Unavailable(_) => None,
        };
        let reports = || std::iter::once(header).chain(body.as_deref().map(|body| &body.report));
        let doubt = self.doubt.as_ref().map(|doubt| doubt.verdict);
        let verdicts: Vec<chain::Verdict> = reports().map(|r| r.verdict).chain(doubt).collect();
        let failed = reports().flat_map(|report| &report.checks);
        let failed = failed.filter(|check| check.status == Status::Failed);
        Validation {
            verdict: if verdicts.contains(&chain::Verdict::Rejected) {
                Verdict::Rejected
            } else if header.verdict == chain::Verdict::Undecided || doubt.is_some() {
                Verdict::Undecided
            } else {
                Verdict::Authentic
            },
            coverage: header.coverage,
            level: header.verified,
            failures: failed.map(|check| check.name.to_string()).collect(),
        }
    }

    fn system(&self) -> Option<System> {
        const MIB: f64 = 1_048_576.0;
        let memory = self.samples.memory.as_ref();
        let temperature = self.samples.temperature.as_ref();
        let system = System {
            cpu: self.samples.cpu_busy,
            memory_mb: memory.map(|memory| memory.available as f64 / MIB),
            temperature_c: temperature.map(|t| t.celsius),
            memory_min_mb: memory
                .map(|memory| memory.limit as f64 * self.limits.memory_critical() / MIB),
            temperature_max_c: temperature.map(|_| self.limits.temperature_max_c),
        };
        let is_known = system.cpu.is_some() || memory.is_some() || temperature.is_some();
        is_known.then_some(system)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::settings::fixtures;
    use super::*;
    use crate::miner::fixtures::Chain;
    use crate::resources::{Memory, Temperature};

    fn limits() -> ResourceLimits {
        fixtures::settings(&[]).resources
    }

    fn board() -> (Board, Chain) {
        let chain = Chain::new(Network::Regtest);
        let board = Board::new(1);
        board.tip_validated.send_replace(Some(TipValidated {
            times: Arc::from([1_000, 400, 500]),
            ..chain.tip()
        }));
        board
            .template
            .send_replace(Some(chain.template(chain.start)));
        (board, chain)
    }

    #[test]
    fn what_the_board_shows_becomes_a_question_that_keeps_the_rules() {
        let (board, chain) = board();
        board.samples.send_modify(|samples| {
            samples.cpu_busy = Some(0.5);
            samples.memory = Some(Memory {
                available: 300 << 20,
                limit: 1000 << 20,
                of: "the machine".into(),
            });
            samples.temperature = Some(Temperature {
                celsius: 60.0,
                sensor: "the package".into(),
            });
        });
        let brief = Brief::of(&board, Network::Regtest, Some(2e6), limits()).unwrap();
        let request = brief.request(Kind::Tip, "q1".into(), chain.at(5.0));
        request.check().unwrap();
        assert_eq!(request.network, "regtest");
        assert_eq!(request.tip, chain.tip().hash.to_string());
        assert_eq!(request.recent_intervals_s, [600.0, -100.0]);
        let template = request.template.unwrap();
        assert_eq!((template.transactions, template.fees_sat), (0, 0));
        assert!((template.age_s - 5.0).abs() < 1e-9);
        let system = request.system.unwrap();
        assert_eq!((system.cpu, system.memory_mb), (Some(0.5), Some(300.0)));
        assert_eq!(system.memory_min_mb, Some(50.0), "where hashing is parked");
        assert_eq!(system.temperature_c, Some(60.0));
        assert_eq!(system.temperature_max_c, Some(75.0));
        assert!(request.mining.expected_block_s.unwrap() < 1.0);
    }

    #[test]
    fn a_template_on_another_tip_and_a_rate_that_is_not_known_are_left_out() {
        let (board, mut chain) = board();
        let found = chain.solve(chain.start);
        chain.connect(&found);
        board.tip_validated.send_replace(Some(chain.tip()));
        let brief = Brief::of(&board, Network::Regtest, None, limits()).unwrap();
        let request = brief.request(Kind::Tip, "q1".into(), chain.start);
        request.check().unwrap();
        assert!(request.template.is_none() && request.system.is_none());
        assert_eq!(request.mining.expected_block_s, None);
    }

    #[test]
    fn a_doubt_about_the_nodes_tip_is_in_the_verdict() {
        let (board, chain) = board();
        let verdict = |doubt: chain::Verdict| {
            board.tip_doubt.send_replace(Some(TipDoubt {
                hash: chain.tip().hash,
                verdict: doubt,
                reason: "high-hash".into(),
            }));
            let brief = Brief::of(&board, Network::Regtest, None, limits()).unwrap();
            brief.validation().verdict
        };
        assert_eq!(verdict(chain::Verdict::Rejected), Verdict::Rejected);
        assert_eq!(verdict(chain::Verdict::Undecided), Verdict::Undecided);
    }
}
