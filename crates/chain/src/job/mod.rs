//! Work for hashing threads: from a template to headers, and from a solution to a block.
//!
//! The coinbase script of a job is, in this order:
//!
//! | bytes | what |
//! |---|---|
//! | 1 to 5 | the height, as a minimal push (BIP34) |
//! | any | what the template's `coinbaseaux` asks for; nothing with today's Bitcoin Core |
//! | 1 | a push of ten bytes |
//! | 2 | the consumer, most significant byte first: hashing threads here, others behind a server |
//! | 8 | the extranonce, most significant byte first; each consumer has all 2^64 |
//! | 1 + n | a push of the operator's tag, if any |

mod admit;
mod coinbase;
mod error;
mod room;
mod shape;
mod times;
mod versions;

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use pow::{NBits, Target};
use serde::{Deserialize, Serialize};

pub use admit::TransactionFault;
pub(crate) use coinbase::{COMMITMENT_HEAD, commitment_hash};
pub use coinbase::{CoinbaseTag, TagTooLong};
pub use error::JobError;
pub use shape::Shape;
pub use times::MAX_TIME_ROLL_S;
pub use versions::{MAX_VERSIONS, VERSION_ROLLING_MASK, VersionRolling};

use crate::block::decode::push_compact_size;
use crate::block::{BlockContext, BlockReport, check_block};
use crate::merkle::{first_leaf_branch, merkle_root, root_of_branch};
use crate::network::Network;
use crate::payout::PayoutScript;
use crate::template::Template;
use coinbase::{Coinbase, CoinbaseParts, WITNESS_RESERVED, aux_bytes, fitting_tag};
use times::{TimeBounds, time_bounds};
use versions::Versions;

/// What a hashing thread found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Solved {
    /// The extranonce of the header that was searched.
    pub extranonce: u64,
    /// Its time.
    pub ntime: u32,
    /// Its version.
    pub version: i32,
    /// The nonce found.
    pub nonce: u32,
}

/// One block to be found: everything but extranonce, time, version and nonce is fixed.
///
/// A value: cheap to clone, never changes, may be used from many threads at once.
#[derive(Clone, Debug)]
pub struct Job {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    network: Network,
    height: u32,
    prev: BlockHash,
    version: i32,
    versions: Versions,
    bits: NBits,
    target: Target,
    times: TimeBounds,
    coinbase: Coinbase,
    value: u64,
    branch: Vec<[u8; 32]>,
    /// All transactions but the coinbase, one after the other.
    transactions: Vec<u8>,
    count: usize,
    dropped: usize,
    weight: u64,
    fees: Option<u64>,
    notes: Vec<String>,
    shape: Shape,
}

impl Job {
    /// A job from a template, paying to `payout`.
    ///
    /// `consumer` is part of every coinbase of the job, so that what different consumers search
    /// never meets. Transactions at the end are left out where they leave no room for the coinbase,
    /// and the reward is less by their fees. The witness commitment is computed here.
    ///
    /// # Errors
    /// [`JobError`], in words for the operator.
    pub fn new(
        template: &Template,
        payout: &PayoutScript,
        tag: &CoinbaseTag,
        consumer: u16,
    ) -> Result<Self, JobError> {
        if template.height == 0 {
            return Err(JobError::Genesis);
        }
        let network = payout.network();
        let params = network.params();
        let admitted = admit::admit(template, params)?;
        let mut notes = Vec::new();
        let aux = aux_bytes(template)?;
        let tag = fitting_tag(template.height, &aux, tag, &mut notes)?;
        let given = template.coinbasevalue.ok_or(JobError::NoCoinbaseValue)?;
        if let Some(fees) = template.fees() {
            let allowed = params
                .block_subsidy(template.height)
                .to_sat()
                .saturating_add(fees);
            if given > allowed {
                return Err(JobError::CoinbaseValue { given, allowed });
            }
        }

        let commits = admitted.segwit
            && (template.default_witness_commitment.is_some()
                || admitted.signet
                || network == Network::Signet
                || admitted.transactions.iter().any(|known| known.has_witness));
        let coinbase_of = |value: u64, root: [u8; 32]| {
            Coinbase::new(&CoinbaseParts {
                height: template.height,
                aux: &aux,
                consumer,
                tag: &tag,
                value,
                payout: payout.script(),
                commitment: commits.then_some(root),
            })
        };
        // Neither the value nor the commitment changes what it takes of the limits.
        let unpaid = coinbase_of(0, [0; 32]);
        let count = room::fitting(template, &admitted.transactions, &unpaid, admitted.segwit)
            .ok_or(JobError::NoRoom)?;
        let kept = &admitted.transactions[..count];
        let value = value_without(given, template, count)?;

        let leaves = |of: fn(&admit::AdmittedTransaction) -> [u8; 32]| -> Vec<[u8; 32]> {
            // The coinbase stands as zeros: by rule in the witness tree, as a blank in the other.
            std::iter::once([0; 32])
                .chain(kept.iter().map(of))
                .collect()
        };
        let commitment = if commits {
            let root = merkle_root(leaves(|known| known.wtxid)).hash;
            commitment_hash(&root, &WITNESS_RESERVED)
        } else {
            [0; 32]
        };
        if commits && count == admitted.transactions.len() {
            note_other_commitment(template, &commitment, &mut notes);
        }
        let dropped = admitted.transactions.len() - count;
        if dropped > 0 {
            notes.push(format!(
                "{dropped} transactions left out to make room for the coinbase"
            ));
        }
        let coinbase = coinbase_of(value, commitment);
        let transactions = template.transactions[..count].iter();
        let kept_weight: u64 = kept.iter().map(|known| known.weight).sum();
        let versions = Versions::of(template);
        let shape = Shape::new(
            template,
            &shape::Parts {
                network,
                payout: payout.script(),
                aux: &aux,
                tag_len: tag.as_bytes().len(),
                commits,
                count,
                dropped,
                versions: versions.with(VersionRolling::On),
            },
        );
        let inner = Inner {
            network,
            height: template.height,
            prev: template.previousblockhash,
            version: template.version,
            versions,
            bits: template.bits,
            target: admitted.target,
            times: time_bounds(template, params),
            value,
            branch: first_leaf_branch(leaves(|known| known.txid)),
            transactions: transactions
                .clone()
                .flat_map(|known| &known.data)
                .copied()
                .collect(),
            count,
            dropped,
            weight: kept_weight + coinbase.weight() + 4 * (80 + compact_len(count + 1)),
            fees: transactions.map(|known| known.fee).sum(),
            coinbase,
            notes,
            shape,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The header to search with this extranonce at this time, version the template's, nonce zero.
    ///
    /// The time is taken as it is: keep it within [`min_time`](Self::min_time) and
    /// [`max_time`](Self::max_time), or [`clamp_time`](Self::clamp_time) it.
    pub fn header(&self, extranonce: u64, ntime: u32) -> [u8; 80] {
        self.header_of(&Solved {
            extranonce,
            ntime,
            version: self.inner.version,
            nonce: 0,
        })
    }

    /// The header of a solution.
    pub fn header_of(&self, solved: &Solved) -> [u8; 80] {
        let inner = &*self.inner;
        let txid = pow::sha256d(&inner.coinbase.stripped(solved.extranonce));
        let mut header = [0; 80];
        header[..4].copy_from_slice(&solved.version.to_le_bytes());
        header[4..36].copy_from_slice(inner.prev.as_byte_array());
        header[36..68].copy_from_slice(&root_of_branch(txid, &inner.branch));
        header[68..72].copy_from_slice(&solved.ntime.to_le_bytes());
        header[72..76].copy_from_slice(&inner.bits.0.to_le_bytes());
        header[76..].copy_from_slice(&solved.nonce.to_le_bytes());
        header
    }

    /// The hash of the block that a solution makes.
    pub fn hash_of(&self, solved: &Solved) -> BlockHash {
        BlockHash::from_byte_array(pow::sha256d(&self.header_of(solved)))
    }

    /// Whether a solution meets the target of the network.
    pub fn is_solved_by(&self, solved: &Solved) -> bool {
        self.target()
            .is_met_by(self.hash_of(solved).as_byte_array())
    }

    /// The raw block of a solution.
    pub fn assemble(&self, solved: &Solved) -> Vec<u8> {
        let inner = &*self.inner;
        let coinbase = self.coinbase(solved.extranonce);
        let size = 80 + 9 + coinbase.len() + inner.transactions.len();
        let mut block = Vec::with_capacity(size);
        block.extend_from_slice(&self.header_of(solved));
        push_compact_size(&mut block, inner.count as u64 + 1);
        block.extend_from_slice(&coinbase);
        block.extend_from_slice(&inner.transactions);
        block
    }

    /// Checks the block that a solution makes against every rule that can be checked here.
    ///
    /// With `unmined` the proof of work is left out, to try a job before it is searched.
    pub fn check(&self, solved: &Solved, unmined: bool) -> BlockReport {
        let context = BlockContext {
            height: Some(self.inner.height),
            fees: self.inner.fees.map(bitcoin::Amount::from_sat),
            unmined,
            trivial_signet: true,
            ..BlockContext::new(self.inner.network)
        };
        check_block(&self.assemble(solved), &context)
    }

    /// The coinbase transaction of an extranonce, as it goes into the block.
    pub fn coinbase(&self, extranonce: u64) -> Vec<u8> {
        self.inner.coinbase.full(extranonce)
    }

    /// How many transactions there are besides the coinbase.
    pub fn transactions(&self) -> usize {
        self.inner.count
    }

    /// Those transactions, one after the other, as they go into the block.
    pub fn transactions_raw(&self) -> &[u8] {
        &self.inner.transactions
    }

    /// How many transactions of the template were left out for room.
    pub fn dropped(&self) -> usize {
        self.inner.dropped
    }

    /// What the operator should know about this job, in words; usually nothing.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// What this block has in common with others that this program makes.
    pub fn shape(&self) -> &Shape {
        &self.inner.shape
    }

    /// The target of the network.
    pub fn target(&self) -> Target {
        self.inner.target
    }

    /// The same, as it stands in the header.
    pub fn bits(&self) -> NBits {
        self.inner.bits
    }

    /// The height of the block.
    pub fn height(&self) -> u32 {
        self.inner.height
    }

    /// The parent.
    pub fn prev(&self) -> BlockHash {
        self.inner.prev
    }

    /// The network.
    pub fn network(&self) -> Network {
        self.inner.network
    }

    /// What the coinbase pays, in satoshis.
    pub fn value(&self) -> u64 {
        self.inner.value
    }

    /// The fees in that, in satoshis, if known.
    pub fn fees(&self) -> Option<u64> {
        self.inner.fees
    }

    /// The weight of the block.
    pub fn weight(&self) -> u64 {
        self.inner.weight
    }

    /// The versions that may be searched, the template's own first; 64 at most, never none.
    pub fn versions(&self) -> &[i32] {
        self.versions_with(VersionRolling::Auto)
    }

    /// The versions to search where the operator has a say.
    pub fn versions_with(&self, rolling: VersionRolling) -> &[i32] {
        self.inner.versions.with(rolling)
    }

    /// The earliest time allowed.
    pub fn min_time(&self) -> u32 {
        self.inner.times.min
    }

    /// The time to start from: the node's, when it made the template.
    pub fn start_time(&self) -> u32 {
        self.inner.times.start
    }

    /// The latest time that this job may be stamped with: where another target holds from then on,
    /// just before it.
    pub fn max_time(&self) -> u32 {
        self.inner.times.max
    }

    /// The nearest time allowed.
    pub fn clamp_time(&self, ntime: u32) -> u32 {
        ntime.clamp(self.inner.times.min, self.inner.times.max)
    }
}

fn compact_len(count: usize) -> u64 {
    crate::block::decode::compact_size_len(count as u64) as u64
}

/// The reward less the fees of the transactions from `count` on.
fn value_without(given: u64, template: &Template, count: usize) -> Result<u64, JobError> {
    let mut value = given;
    for (index, transaction) in template.transactions.iter().enumerate().skip(count) {
        let fee = transaction.fee.ok_or(JobError::UnknownFee { index })?;
        value = value.saturating_sub(fee);
    }
    Ok(value)
}

fn note_other_commitment(template: &Template, ours: &[u8; 32], notes: &mut Vec<String>) {
    let script = hex::encode([COMMITMENT_HEAD.as_slice(), ours].concat());
    match &template.default_witness_commitment {
        Some(given) if *given != script => notes.push(format!(
            "the template's witness commitment {given} is not that of its transactions; {script} is used"
        )),
        _ => {}
    }
}
