//! A found block in two parts: what a solution adds, and the transactions its job had all along.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, VarInt};

use super::record;

/// Content address (SHA-256) of the transactions of a job without its coinbase.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyId(pub(super) [u8; 32]);

impl BodyId {
    /// The id of the body of a block whose only transaction is its coinbase.
    pub fn of_empty() -> Self {
        record::body_id(&[])
    }
}

impl fmt::Debug for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyId({})", hex::encode(&self.0[..8]))
    }
}

/// The transactions of a job without its coinbase, serialised with their witnesses, end to end.
#[derive(Debug, PartialEq, Eq)]
pub struct Body {
    pub(super) id: BodyId,
    pub(super) transactions: u32,
    pub(super) bytes: Box<[u8]>,
}

impl Body {
    /// The body of a block that holds nothing but its coinbase.
    pub fn empty() -> Arc<Self> {
        Arc::new(Self {
            id: BodyId::of_empty(),
            transactions: 0,
            bytes: Box::default(),
        })
    }

    /// The transactions of a job: `bytes` holds `transactions` of them, as they go into the block.
    /// Copies and hashes them: for a full block that takes milliseconds.
    pub fn new(bytes: &[u8], transactions: u32) -> Arc<Self> {
        Arc::new(Self {
            id: record::body_id(bytes),
            transactions,
            bytes: bytes.into(),
        })
    }

    /// Its content address.
    pub fn id(&self) -> BodyId {
        self.id
    }

    /// Whether the block holds nothing but its coinbase.
    pub fn is_empty(&self) -> bool {
        self.transactions == 0
    }
}

/// A found block, ready for the journal and for a node.
#[derive(Debug, Clone)]
pub struct FoundBlock {
    pub(super) header: [u8; 80],
    pub(super) height: u32,
    pub(super) coinbase: Vec<u8>,
    pub(super) body: Arc<Body>,
    pub(super) found_at: SystemTime,
}

impl FoundBlock {
    /// A block from its header, its coinbase as it goes into the block, and its job's transactions.
    pub fn new(
        header: [u8; 80],
        height: u32,
        coinbase: Vec<u8>,
        body: Arc<Body>,
        found_at: SystemTime,
    ) -> Self {
        Self {
            header,
            height,
            coinbase,
            body,
            found_at,
        }
    }

    /// Its hash.
    pub fn hash(&self) -> BlockHash {
        record::header_hash(&self.header)
    }

    /// Its parent.
    pub fn prev(&self) -> BlockHash {
        record::header_prev(&self.header)
    }

    /// Its height.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Its job's transactions.
    pub fn body(&self) -> &Arc<Body> {
        &self.body
    }

    /// When it was found.
    pub fn found_at(&self) -> SystemTime {
        self.found_at
    }

    /// The serialised block, as `submitblock` takes it.
    pub fn raw(&self) -> Vec<u8> {
        [&self.start()[..], &self.body.bytes].concat()
    }

    /// The serialised block up to the end of its coinbase.
    pub fn start(&self) -> Vec<u8> {
        let count = encode::serialize(&VarInt(u64::from(self.body.transactions) + 1));
        [&self.header[..], &count, &self.coinbase].concat()
    }
}

/// Whether a block read back is the one that was written: its transactions hash to its header's
/// merkle root. A body filed under a wrong name, or bytes changed under a right checksum, show here.
pub(super) fn merkle_root_matches(raw: &[u8]) -> bool {
    encode::deserialize::<bitcoin::Block>(raw).is_ok_and(|block| {
        block
            .compute_merkle_root()
            .is_some_and(|root| root.to_byte_array() == block.header.merkle_root.to_byte_array())
    })
}
