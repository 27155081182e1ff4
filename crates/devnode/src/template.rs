//! What the next block should hold: `getblocktemplate`'s and `generate`'s common ground.

use std::collections::HashSet;
use std::time::Instant;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Block, BlockHash, ScriptBuf, Txid, WitnessMerkleNode, merkle_tree};

use crate::deployments::{State, TESTDUMMY_BIT};
use crate::mempool::PoolTx;
use crate::reject::Reject;
use crate::rules;
use crate::world::World;

/// Weight that Bitcoin Core keeps free for header and coinbase (`-blockreservedweight`).
pub(crate) const RESERVED_WEIGHT: u64 = 8_000;
/// Signature operations that it keeps free for the coinbase.
const RESERVED_SIGOPS: u64 = 400;
/// Weight of the smallest transaction there can be: one input, one output, no scripts.
const SMALLEST: u64 = 4 * 60;
/// BIP9's top bits.
const VERSION_TOP: i32 = 0x2000_0000;

/// A chosen set of transactions, as long as it is worth keeping.
pub(crate) struct CachedTemplate {
    tip: BlockHash,
    /// The mempool's counter when the set was chosen; the tail of the `longpollid`.
    pub(crate) updates: u64,
    built: Instant,
    /// Parents before children.
    pub(crate) transactions: Vec<PoolTx>,
    /// Including what is reserved for header and coinbase.
    pub(crate) weight: u64,
}

/// The figures of a template that depend on tip and clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) height: u32,
    pub(crate) previous: BlockHash,
    pub(crate) version: i32,
    pub(crate) testdummy: State,
    pub(crate) bits: u32,
    pub(crate) min_time: u32,
    pub(crate) time: u32,
    /// Subsidy only, in satoshis.
    pub(crate) subsidy: Amount,
}

impl World {
    /// Height, time, version and the like of the next block.
    ///
    /// Fails where its time would have to lie more than two hours ahead of the clock.
    pub(crate) fn figures(&mut self) -> Result<Figures, Reject> {
        let testdummy = self.deployments.testdummy(&self.index);
        let height = self.next_height();
        let previous = self.index.tip_hash();
        let branch = self.index.branch(&previous);
        let out_of_rules = |reject: chain::HeaderReject| Reject::invalid(reject.reason());
        let min_time = chain::min_time(self.params, height, &branch).map_err(out_of_rules)?;
        let now = self.clock.now();
        let time = min_time.max(now);
        if time > now.saturating_add(chain::MAX_FUTURE_S) {
            return Err(Reject::passing("time-too-new"));
        }
        let bits = chain::next_bits(self.params, height, &branch, time).map_err(out_of_rules)?;
        let signalling = matches!(testdummy, State::Started | State::LockedIn);
        Ok(Figures {
            height,
            previous,
            version: VERSION_TOP | i32::from(signalling) << TESTDUMMY_BIT,
            testdummy,
            bits: bits.0,
            min_time,
            time,
            subsidy: self.params.block_subsidy(height),
        })
    }

    /// The cached set of transactions, chosen anew where the tip moved, or the mempool did and the
    /// set is old enough.
    pub(crate) fn current_template(&mut self) -> &CachedTemplate {
        let tip = self.index.tip_hash();
        let fresh = self.template.take().filter(|cached| {
            cached.tip == tip
                && (cached.updates == self.mempool.updates()
                    || cached.built.elapsed() <= self.template_max_age)
        });
        let template = fresh.unwrap_or_else(|| {
            let (transactions, weight) = self.choose_transactions();
            CachedTemplate {
                tip,
                updates: self.mempool.updates(),
                built: Instant::now(),
                transactions,
                weight,
            }
        });
        self.template.insert(template)
    }

    /// Waiting transactions in order of arrival, as long as there is room. (Bitcoin Core takes those
    /// that pay best; here nothing waits for long.)
    pub(crate) fn choose_transactions(&self) -> (Vec<PoolTx>, u64) {
        let height = self.next_height();
        let median = self.index.median_time(&self.index.tip_hash());
        let mut chosen = Vec::new();
        let mut left_out: HashSet<Txid> = HashSet::new();
        let mut weight = RESERVED_WEIGHT;
        let mut sigops = RESERVED_SIGOPS;
        for entry in self.mempool.iter() {
            if weight + SMALLEST > rules::MAX_WEIGHT as u64 {
                break;
            }
            let fits = weight + entry.weight <= rules::MAX_WEIGHT as u64
                && sigops + entry.sigops <= rules::MAX_SIGOPS as u64
                && rules::is_final(&entry.tx, height, median)
                && !entry
                    .tx
                    .input
                    .iter()
                    .any(|input| left_out.contains(&input.previous_output.txid));
            if fits {
                weight += entry.weight;
                sigops += entry.sigops;
                chosen.push(entry.clone());
            } else {
                left_out.insert(entry.txid);
            }
        }
        (chosen, weight)
    }
}

/// The output script that commits to the witnesses of a coinbase (with the zero nonce) and `transactions`.
pub(crate) fn witness_commitment_script(transactions: &[PoolTx]) -> ScriptBuf {
    let leaves = std::iter::once(WitnessMerkleNode::all_zeros())
        .chain(transactions.iter().map(|entry| entry.wtxid.into()));
    let root = merkle_tree::calculate_root(leaves).unwrap_or_else(WitnessMerkleNode::all_zeros);
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    rules::commitment_script(commitment.to_byte_array())
}
