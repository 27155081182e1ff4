//! What the operator has decided about mining, validated.

use std::time::{Duration, Instant};

use chain::{CoinbaseTag, Job, MAX_VERSIONS, Network, PayoutScript, VersionRolling};
use pow::Kernel;

use super::affinity::Affinity;
use super::faults::KernelFaults;
use super::holds::{Holds, Limits};
use super::pace::Pacing;
use super::policy::PowerCost;
use crate::messages::KernelSource;

/// Settings of the miner.
#[derive(Clone)]
pub struct MinerSettings {
    /// The network; that of `payout`.
    pub network: Network,
    /// `mining.enabled`: false keeps the threads parked.
    pub enabled: bool,
    /// Where the reward goes.
    pub payout: PayoutScript,
    /// The operator's mark in the coinbase.
    pub tag: CoinbaseTag,
    /// Hashing threads, at least 1, as many as the registry has counters for.
    pub threads: usize,
    /// The kernel they scan with.
    pub kernel: &'static dyn Kernel,
    /// Who chose it.
    pub kernel_source: KernelSource,
    /// What takes its place should it fail, the best first: kernels by measured speed.
    pub next_kernels: Vec<&'static dyn Kernel>,
    /// Hashes per second of one thread, as `tune` measured them with this kernel and as many threads.
    pub tuned_hs: Option<f64>,
    /// What is held against kernels in this process; shared by all incarnations of the miner.
    pub kernel_faults: KernelFaults,
    /// Scan a coinbase-only job on a new tip until its template is there.
    pub empty_first: bool,
    /// Several header versions at once.
    pub version_rolling: VersionRolling,
    /// Where they are rolled, no more than so many at once; at least 1.
    pub most_versions: usize,
    /// The pace of blocks; regtest only, ignored elsewhere.
    pub pacing: Option<Pacing>,
    /// Mine while the node is in initial block download.
    pub during_ibd: bool,
    /// Stop for good when this many blocks are accepted; found and unsettled ones count until settled.
    pub block_limit: Option<u64>,
    /// Which CPUs the hashing threads stay on.
    pub affinity: Affinity,
    /// Niceness of the hashing threads, -20 to 19.
    pub nice: i32,
    /// What hashing costs; only then may economics hold it.
    pub power_cost: Option<PowerCost>,
    /// Within which limits advice counts and hashing may be held.
    pub limits: Limits,
    /// How long the advice on a new tip is waited for before it is mined on, where there is an advisor; none: not at
    /// all.
    pub gate: Option<Duration>,
    /// What was held so far; shared by all incarnations of the miner.
    pub holds: Holds,
    /// A template older than this is asked for anew.
    pub template_max_age: Duration,
    /// How long a node may be silent before its last tip is no longer worked on.
    pub absence_max: Duration,
    /// How long a found block may be without a verdict or a new tip before work on its parent resumes.
    pub settle_max: Duration,
}

impl MinerSettings {
    /// The defaults of everything that has one; payout, tag, threads and kernel have none here.
    pub fn new(
        payout: PayoutScript,
        tag: CoinbaseTag,
        threads: usize,
        kernel: &'static dyn Kernel,
    ) -> Self {
        let network = payout.network();
        Self {
            network,
            enabled: true,
            payout,
            tag,
            threads: threads.max(1),
            kernel,
            kernel_source: KernelSource::default(),
            next_kernels: Vec::new(),
            tuned_hs: None,
            kernel_faults: KernelFaults::default(),
            empty_first: true,
            version_rolling: VersionRolling::Auto,
            most_versions: MAX_VERSIONS,
            pacing: None,
            during_ibd: network == Network::Regtest,
            block_limit: None,
            affinity: Affinity::Auto,
            nice: 0,
            power_cost: None,
            limits: Limits::default(),
            gate: None,
            holds: Holds::new(Instant::now()),
            template_max_age: Duration::from_mins(1),
            absence_max: Duration::from_mins(2),
            settle_max: Duration::from_secs(30),
        }
    }
}

impl MinerSettings {
    /// The header versions of `job` that are scanned at once, never none.
    pub(super) fn versions<'a>(&self, job: &'a Job) -> &'a [i32] {
        let allowed = job.versions_with(self.version_rolling);
        &allowed[..allowed.len().min(self.most_versions.max(1))]
    }
}

impl std::fmt::Debug for MinerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MinerSettings")
            .field("network", &self.network)
            .field("threads", &self.threads)
            .field("kernel", &self.kernel.name())
            .field("pacing", &self.pacing)
            .field("block_limit", &self.block_limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::miner::fixtures::{Chain, payout, settings};

    #[test]
    fn no_more_versions_are_scanned_at_once_than_are_worth_it_and_never_none() {
        let chain = Chain::new(Network::Regtest);
        let template = chain.template(chain.start).template;
        let job = Job::new(&template, &payout(), &CoinbaseTag::default(), 1).unwrap();
        let versions = |most_versions, version_rolling| {
            let settings = MinerSettings {
                version_rolling,
                most_versions,
                ..settings()
            };
            settings.versions(&job).len()
        };
        assert_eq!(versions(usize::MAX, VersionRolling::Auto), MAX_VERSIONS);
        assert_eq!(versions(5, VersionRolling::Auto), 5);
        assert_eq!(versions(0, VersionRolling::On), 1);
        assert_eq!(versions(5, VersionRolling::Off), 1);
    }
}
