//! Why a template is not mined on.

use pow::{NBits, Target};

use crate::job::admit::TransactionFault;

/// Why a template cannot be mined on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JobError {
    /// A rule that a miner must know, and this program does not.
    #[error(
        "the template asks for rule {0:?}, which this version of signalcore does not know; update it"
    )]
    UnknownRule(String),
    /// A signet whose blocks must be signed.
    #[error(
        "this signet asks for blocks signed for challenge {0}; only the challenge 51 (OP_TRUE) can be mined without its keys"
    )]
    SignetChallenge(String),
    /// nBits that are no target of this network.
    #[error("the template's bits {0} are no target of this network")]
    Bits(NBits),
    /// A target that is not that of the nBits.
    #[error("the template's target {given} is not that of its bits {bits}")]
    Target {
        /// As the template says.
        given: Target,
        /// The nBits beside it.
        bits: NBits,
    },
    /// A version that is refused at this height.
    #[error("the template's version {0:#x} is too low for its height")]
    Version(i32),
    /// Required version bits that are not set.
    #[error("the template requires version bits {0:#x} and does not set them")]
    RequiredBits(u32),
    /// A transaction that is not what the template says.
    #[error("transaction {index} of the template is refused: {cause}")]
    Transaction {
        /// Its place, from 0.
        index: usize,
        /// What is wrong.
        #[source]
        cause: TransactionFault,
    },
    /// A server that makes the coinbase itself.
    #[error(
        "the template has no coinbasevalue: its server wants to make the coinbase transaction itself (coinbasetxn), and signalcore makes its own, which pays to the configured address; use a node that gives coinbasevalue, as Bitcoin Core does"
    )]
    NoCoinbaseValue,
    /// A reward beyond subsidy and fees.
    #[error("the template pays {given} sat to the miner where subsidy and fees are {allowed} sat")]
    CoinbaseValue {
        /// As the template says.
        given: u64,
        /// Subsidy and the fees of its transactions.
        allowed: u64,
    },
    /// Transactions that do not fit, and whose fees are not known.
    #[error(
        "the template leaves no room for the coinbase and does not say the fee of transaction {index}, which would have to go"
    )]
    UnknownFee {
        /// Its place, from 0.
        index: usize,
    },
    /// Limits below an empty block.
    #[error("the template's limits leave no room for a coinbase")]
    NoRoom,
    /// Auxiliary data that is no hexadecimal text.
    #[error("the template's coinbaseaux {name:?} is no hexadecimal text")]
    Aux {
        /// Its name.
        name: String,
    },
    /// Auxiliary data that does not fit.
    #[error(
        "the template's coinbaseaux leaves no room in the coinbase script ({0} bytes, 100 at most)"
    )]
    ScriptTooLong(usize),
    /// A height at which no block can be made: the genesis block's.
    #[error("the template's height is 0")]
    Genesis,
}

impl JobError {
    /// Whether the template asks of every block on its parent what this program does not do, so that a block by our
    /// own rules would be no better: a rule, version bits or a signature that it does not know, or a coinbase that is
    /// the server's. Everything else is wrong with this one template.
    pub fn forbids_any_block(&self) -> bool {
        matches!(
            self,
            Self::UnknownRule(_)
                | Self::SignetChallenge(_)
                | Self::RequiredBits(_)
                | Self::NoCoinbaseValue
        )
    }
}
