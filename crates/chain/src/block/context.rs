//! What is known of the place of a block in its chain.

use bitcoin::{Amount, BlockHash};
use pow::NBits;

use crate::network::Network;

/// What [`check_block`](crate::check_block) may rely on. Checks whose input is absent do not apply.
#[derive(Clone, PartialEq, Debug)]
pub struct BlockContext {
    /// The network.
    pub network: Network,
    /// The height, where known.
    pub height: Option<u32>,
    /// The parent, where known.
    pub parent: Option<ParentContext>,
    /// The sum of the fees, where known. A block of nothing but a coinbase has none.
    pub fees: Option<Amount>,
    /// The clock in Unix time, where the two-hour rule is to be applied.
    pub now: Option<u32>,
    /// The block is a proposal: proof of work is still to be found.
    pub unmined: bool,
    /// On signet: the challenge is `OP_TRUE`, which needs no signature.
    pub trivial_signet: bool,
    /// The coverage from which a block without failure is authentic.
    pub coverage_min: f64,
}

/// What the rules ask of a parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParentContext {
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub time: u32,
    /// The median time of it and the ten below.
    pub median_time_past: u32,
    /// The nBits that its child must have, where known.
    pub required_bits: Option<NBits>,
}

impl BlockContext {
    /// Nothing known but the network; the default coverage needed.
    pub fn new(network: Network) -> Self {
        Self {
            network,
            height: None,
            parent: None,
            fees: None,
            now: None,
            unmined: false,
            trivial_signet: false,
            coverage_min: crate::DEFAULT_COVERAGE_MIN,
        }
    }

    pub(crate) fn segwit_active(&self) -> Option<bool> {
        self.height
            .map(|height| self.network.params().segwit_active(height))
    }
}
