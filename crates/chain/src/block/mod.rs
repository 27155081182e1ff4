//! A whole block against the rules, in Bitcoin Core's order and words.

pub(crate) mod decode;
pub(crate) mod script;
pub(crate) mod txid;

mod context;
mod height;
mod transactions;
mod witness;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use pow::NBits;
use serde::{Deserialize, Serialize};

pub use context::{BlockContext, ParentContext};
pub use decode::DecodeError;
pub use height::{NAMES_HEIGHT_WITHIN, names_height};

use crate::cursor::{HeaderView, meets_own_target};
use crate::merkle::merkle_root;
use crate::network::Network;
use crate::params::MAX_FUTURE_S;
use crate::report::{Check, Report, Tally, Verdict};
use decode::Layout;
use transactions::Finality;

/// The heaviest block allowed, in weight units (BIP141).
pub const MAX_BLOCK_WEIGHT: usize = 4_000_000;
/// The most signature operations of a block, in BIP141's cost.
pub const MAX_BLOCK_SIGOPS_COST: u32 = 80_000;
/// What a byte outside the witness weighs, and a legacy signature operation costs.
pub const WITNESS_SCALE_FACTOR: usize = 4;

/// What was verified of a block.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BlockReport {
    /// The hash of its header; absent where there is not even a header.
    pub hash: Option<BlockHash>,
    /// The checks and what came of them.
    #[serde(flatten)]
    pub report: Report,
}

impl BlockReport {
    /// The outcome.
    pub fn verdict(&self) -> Verdict {
        self.report.verdict
    }

    /// Bitcoin Core's string for the first thing that was wrong, if any.
    pub fn reject_reason(&self) -> Option<&str> {
        self.report
            .first_failure
            .as_ref()
            .map(|failure| failure.reason.as_str())
    }
}

/// Checks a raw block as far as the context allows.
///
/// The order is Bitcoin Core's, so that the first failure is what Core would say; checks after it
/// are skipped. Scripts, and outputs spent, are never looked at.
pub fn check_block(raw: &[u8], context: &BlockContext) -> BlockReport {
    let header = raw.first_chunk::<80>();
    let hash = header.map(|header| pow::sha256d(header));
    let mut tally = Tally::default();
    let layout = match Layout::of_block(raw) {
        Ok(layout) => Some(layout),
        Err(cause) => {
            let reason = format!("block-decode-failed: {cause}");
            tally.failed(Check::Encoding, context.height, reason);
            None
        }
    };
    if let (Some(header), Some(hash), Some(layout)) = (header, &hash, &layout) {
        tally.passed(Check::Encoding);
        let mut merkle_root = [0; 32];
        merkle_root.copy_from_slice(&header[36..68]);
        let mut checks = BlockChecks {
            raw,
            header: HeaderView::of_raw(header),
            merkle_root,
            hash,
            layout,
            context,
            txids: Vec::new(),
            tally,
        };
        checks.run();
        tally = checks.tally;
    } else {
        for check in ORDER {
            tally.skipped(check, NOT_REACHED);
        }
    }
    let verified = u32::from(!tally.has_failed());
    BlockReport {
        hash: hash.map(BlockHash::from_byte_array),
        report: tally.finish(verified, 1, context.coverage_min),
    }
}

/// Every check after the decoding.
const ORDER: [Check; 19] = [
    Check::ProofOfWork,
    Check::Linkage,
    Check::Difficulty,
    Check::MedianTime,
    Check::Timewarp,
    Check::FutureTime,
    Check::Version,
    Check::SignetSolution,
    Check::MerkleRoot,
    Check::Size,
    Check::Coinbase,
    Check::Transactions,
    Check::Sigops,
    Check::Finality,
    Check::CoinbaseHeight,
    Check::WitnessCommitment,
    Check::Weight,
    Check::Subsidy,
    Check::Scripts,
];

const NOT_REACHED: &str = "an earlier check failed";

/// How one check ended.
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// Not acceptable yet.
    NotYet(&'static str),
    Skipped(&'static str),
    NotApplicable(&'static str),
}

impl Outcome {
    fn failed(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }

    fn of(ok: bool, reason: &str) -> Self {
        if ok {
            Self::Passed
        } else {
            Self::failed(reason)
        }
    }
}

struct BlockChecks<'a> {
    raw: &'a [u8],
    header: HeaderView<'a>,
    merkle_root: [u8; 32],
    hash: &'a [u8; 32],
    layout: &'a Layout,
    context: &'a BlockContext,
    /// Filled in by the check of the merkle root.
    txids: Vec<[u8; 32]>,
    tally: Tally,
}

impl BlockChecks<'_> {
    fn run(&mut self) {
        let height = self.context.height;
        let mut failed = false;
        for check in ORDER {
            if failed {
                self.tally.skipped(check, NOT_REACHED);
                continue;
            }
            match self.outcome(check) {
                Outcome::Passed => self.tally.passed(check),
                Outcome::Skipped(why) => self.tally.skipped(check, why),
                Outcome::NotApplicable(why) => self.tally.not_applicable(check, why),
                Outcome::NotYet(reason) => self.tally.not_yet(check, height, reason),
                Outcome::Failed(reason) => {
                    self.tally.failed(check, height, reason);
                    failed = true;
                }
            }
        }
    }

    fn outcome(&mut self, check: Check) -> Outcome {
        match check {
            Check::ProofOfWork => self.proof_of_work(),
            Check::Linkage => self.with_parent(|parent, header| {
                Outcome::of(parent.hash.as_byte_array() == header.prev, "bad-prevblk")
            }),
            Check::Difficulty => self.with_parent(|parent, header| match parent.required_bits {
                Some(bits) => Outcome::of(bits == NBits(header.bits), "bad-diffbits"),
                None => Outcome::NotApplicable("the required nBits are not known"),
            }),
            Check::MedianTime => self.with_parent(|parent, header| {
                Outcome::of(header.time > parent.median_time_past, "time-too-old")
            }),
            Check::Timewarp => self.timewarp(),
            Check::FutureTime => self.future_time(),
            Check::Version => self.version(),
            Check::SignetSolution => self.signet_solution(),
            Check::MerkleRoot => self.merkle_root(),
            Check::Size => self.size(),
            Check::Coinbase => transactions::check_coinbase(self.raw, self.layout),
            Check::Transactions => transactions::check_transactions(self.raw, self.layout),
            Check::Sigops => transactions::check_sigops(self.raw, self.layout),
            Check::Finality => self.finality(),
            Check::CoinbaseHeight => self.coinbase_height(),
            Check::WitnessCommitment => {
                let segwit = self.context.segwit_active();
                witness::check_commitment(self.raw, self.layout, &self.txids, segwit)
            }
            Check::Weight => {
                let weight = self.frame() * WITNESS_SCALE_FACTOR;
                let txs = self.layout.txs.iter().map(decode::Tx::weight);
                Outcome::of(
                    weight + txs.sum::<usize>() <= MAX_BLOCK_WEIGHT,
                    "bad-blk-weight",
                )
            }
            Check::Subsidy => self.subsidy(),
            Check::Scripts if self.layout.txs.len() == 1 => {
                Outcome::NotApplicable("nothing is spent but by the coinbase")
            }
            Check::Scripts => Outcome::Skipped("scripts and spent outputs are the node's to check"),
            Check::Encoding | Check::Genesis | Check::Context => {
                Outcome::NotApplicable("not a check of blocks")
            }
        }
    }

    fn proof_of_work(&self) -> Outcome {
        if self.context.unmined {
            return Outcome::NotApplicable("the block is not mined yet");
        }
        let params = self.context.network.params();
        Outcome::of(
            meets_own_target(params, self.header.bits, self.hash),
            "high-hash",
        )
    }

    fn with_parent(&self, check: impl Fn(&ParentContext, &HeaderView<'_>) -> Outcome) -> Outcome {
        match &self.context.parent {
            Some(parent) => check(parent, &self.header),
            None => Outcome::NotApplicable("the parent is not known"),
        }
    }

    fn timewarp(&self) -> Outcome {
        let params = self.context.network.params();
        if !params.bip94 {
            return Outcome::NotApplicable("BIP94 is not a rule of this network");
        }
        match (&self.context.parent, self.context.height) {
            (Some(parent), Some(height)) => {
                let starts_period = height.is_multiple_of(params.retarget_interval);
                let earliest = parent.time.saturating_sub(crate::params::MAX_TIMEWARP_S);
                let ok = !starts_period || self.header.time >= earliest;
                Outcome::of(ok, "time-timewarp-attack")
            }
            _ => Outcome::NotApplicable("the parent or the height is not known"),
        }
    }

    fn future_time(&self) -> Outcome {
        match self.context.now {
            None => Outcome::NotApplicable("no clock was given"),
            Some(now) if u64::from(self.header.time) > u64::from(now) + u64::from(MAX_FUTURE_S) => {
                Outcome::NotYet("time-too-new")
            }
            Some(_) => Outcome::Passed,
        }
    }

    fn version(&self) -> Outcome {
        let Some(height) = self.context.height else {
            return Outcome::NotApplicable("the height is not known");
        };
        let version = self.header.version;
        if version < self.context.network.params().min_version(height) {
            Outcome::Failed(format!("bad-version(0x{version:08x})"))
        } else {
            Outcome::Passed
        }
    }

    fn signet_solution(&self) -> Outcome {
        if self.context.network != Network::Signet || self.context.height == Some(0) {
            return Outcome::NotApplicable("not a signet block");
        }
        if !self.context.trivial_signet {
            return Outcome::Skipped("the challenge's signature is the node's to check");
        }
        let commits = witness::commitment_of(self.raw, self.layout).is_some();
        Outcome::of(commits, "bad-signet-blksig")
    }

    fn merkle_root(&mut self) -> Outcome {
        self.txids = txid::txids(self.layout.txs.iter().map(|tx| (self.raw, tx)));
        let root = merkle_root(self.txids.clone());
        if root.hash != self.merkle_root {
            Outcome::failed("bad-txnmrklroot")
        } else if root.mutated {
            Outcome::failed("bad-txns-duplicate")
        } else {
            Outcome::Passed
        }
    }

    /// Header and transaction count, in bytes.
    fn frame(&self) -> usize {
        80 + decode::compact_size_len(self.layout.txs.len() as u64)
    }

    fn size(&self) -> Outcome {
        let txs = &self.layout.txs;
        let stripped = self.frame() + txs.iter().map(decode::Tx::stripped_size).sum::<usize>();
        let most = MAX_BLOCK_WEIGHT / WITNESS_SCALE_FACTOR;
        Outcome::of(
            !txs.is_empty() && txs.len() <= most && stripped <= most,
            "bad-blk-length",
        )
    }

    fn finality(&self) -> Outcome {
        let height = self.context.height;
        let csv = height.map(|height| height >= self.context.network.params().csv_height);
        let cutoff = match csv {
            Some(false) => Some(self.header.time),
            Some(true) => self
                .context
                .parent
                .as_ref()
                .map(|parent| parent.median_time_past),
            None => None,
        };
        match transactions::finality(self.layout, height, cutoff) {
            Finality::Final => Outcome::Passed,
            Finality::NotFinal => Outcome::failed("bad-txns-nonfinal"),
            Finality::Unknown => Outcome::NotApplicable("height or median time past is not known"),
        }
    }

    fn coinbase_height(&self) -> Outcome {
        let Some(height) = self.context.height else {
            return Outcome::NotApplicable("the height is not known");
        };
        if height < self.context.network.params().bip34_height {
            return Outcome::NotApplicable("BIP34 is not active at this height");
        }
        let input = self
            .layout
            .txs
            .first()
            .and_then(|tx| self.layout.inputs_of(tx).first());
        let script = input.map_or(&[][..], |input| decode::bytes(self.raw, &input.script));
        Outcome::of(
            script.starts_with(&script::height_push(height)),
            "bad-cb-height",
        )
    }

    fn subsidy(&self) -> Outcome {
        let alone = self.layout.txs.len() == 1;
        let fees = self.context.fees.or(alone.then_some(bitcoin::Amount::ZERO));
        let (Some(height), Some(fees)) = (self.context.height, fees) else {
            return Outcome::NotApplicable("the height or the fees are not known");
        };
        let subsidy = self.context.network.params().block_subsidy(height).to_sat();
        let outputs = self.layout.outputs_of(&self.layout.txs[0]);
        let paid: i64 = outputs.iter().map(|output| output.value).sum();
        let allowed = subsidy.saturating_add(fees.to_sat());
        Outcome::of(paid.cast_unsigned() <= allowed, "bad-cb-amount")
    }
}
