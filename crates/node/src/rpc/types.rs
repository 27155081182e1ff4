//! What Core's methods answer, as this program needs it: fields that versions 27 to 31 have in
//! common are required, the rest is optional, and fields that are not listed are ignored.

use std::fmt;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf, TxMerkleNode};
use serde::Deserialize;
use serde::de::{self, Deserializer};

/// Total work of a chain, a 256-bit number, big endian; orders as the number does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChainWork([u8; 32]);

impl ChainWork {
    /// The number, most significant byte first.
    pub const fn to_be_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl From<[u8; 32]> for ChainWork {
    fn from(big_endian: [u8; 32]) -> Self {
        Self(big_endian)
    }
}

impl fmt::Display for ChainWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChainWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainWork({self})")
    }
}

impl<'de> Deserialize<'de> for ChainWork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|e| de::Error::custom(format!("chainwork: {e}")))?;
        Ok(Self(bytes))
    }
}

/// Answer of `getblockchaininfo`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct BlockchainInfo {
    /// `main`, `test`, `testnet4`, `signet` or `regtest`.
    pub chain: String,
    /// Height of the fully validated tip.
    pub blocks: u32,
    /// Height of the best header known; ahead of `blocks` while blocks are missing.
    pub headers: u32,
    /// Hash of the fully validated tip.
    #[serde(rename = "bestblockhash")]
    pub best_block: BlockHash,
    /// Difficulty of the tip.
    pub difficulty: f64,
    /// Timestamp of the tip, Unix seconds (Core 23 and later).
    #[serde(default)]
    pub time: Option<u32>,
    /// Median time past of the tip, Unix seconds.
    #[serde(rename = "mediantime", default)]
    pub median_time: Option<u32>,
    /// Estimated fraction of all transactions that is verified, 0 to 1.
    #[serde(rename = "verificationprogress", default)]
    pub verification_progress: f64,
    /// Whether the node considers itself in initial block download. A fresh regtest node always does.
    #[serde(rename = "initialblockdownload")]
    pub initial_block_download: bool,
    /// Total work of the active chain.
    pub chainwork: ChainWork,
    /// Whether old blocks are deleted.
    #[serde(default)]
    pub pruned: bool,
    /// Lowest height whose block is still stored, on a pruned node.
    #[serde(rename = "pruneheight", default)]
    pub prune_height: Option<u32>,
    /// The signet's challenge script, on signet (Core 27 and later).
    #[serde(default)]
    pub signet_challenge: Option<ScriptBuf>,
    /// The node's own warnings. Core 27 sends one string, later versions a list.
    #[serde(default, deserialize_with = "string_or_list")]
    pub warnings: Vec<String>,
}

/// Answer of `getnetworkinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct NetworkInfo {
    /// Version as a number: 310000 is 31.0.
    pub version: u32,
    /// Such as `/Satoshi:31.0.0/`.
    pub subversion: String,
    /// Peers connected.
    pub connections: u32,
    /// Inbound peers.
    #[serde(default)]
    pub connections_in: Option<u32>,
    /// Outbound peers.
    #[serde(default)]
    pub connections_out: Option<u32>,
    /// Whether P2P networking is on.
    #[serde(rename = "networkactive", default = "yes")]
    pub network_active: bool,
    /// The node's own warnings. Core 27 sends one string, later versions a list.
    #[serde(default, deserialize_with = "string_or_list")]
    pub warnings: Vec<String>,
}

/// One entry of `getchaintips`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ChainTip {
    /// Height of the tip.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Blocks between it and the active chain; 0 for the active tip.
    #[serde(rename = "branchlen")]
    pub branch_len: u32,
    /// What the node knows of the branch.
    pub status: TipStatus,
}

/// What a node knows of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TipStatus {
    /// The tip of the active chain.
    Active,
    /// Fully validated, but not the active chain.
    ValidFork,
    /// All blocks there, never fully validated.
    ValidHeaders,
    /// Blocks are missing.
    HeadersOnly,
    /// Contains an invalid block.
    Invalid,
    /// A state of a newer Core.
    #[serde(untagged)]
    Other(String),
}

/// Answer of `getblockheader`, verbose. The header's hash was checked against the one asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderInfo {
    /// The header itself.
    pub header: Header,
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Blocks on top of it plus one; -1: not in the active chain.
    pub confirmations: i64,
    /// Total work up to and including it.
    pub chainwork: ChainWork,
    /// Median time past at this block, Unix seconds.
    pub median_time: u32,
    /// Transactions; 0 where the node has only the header.
    pub transactions: u32,
    /// The next block of the active chain.
    pub next: Option<BlockHash>,
}

impl HeaderInfo {
    /// Whether the block is in the node's active chain.
    pub fn is_active(&self) -> bool {
        self.confirmations > 0
    }
}

impl<'de> Deserialize<'de> for HeaderInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireHeader::deserialize(deserializer)?;
        let bits = u32::from_str_radix(&wire.bits, 16)
            .map_err(|e| de::Error::custom(format!("bits: {e}")))?;
        let header = Header {
            version: Version::from_consensus(wire.version),
            prev_blockhash: wire.previous.unwrap_or(BlockHash::all_zeros()),
            merkle_root: wire.merkle_root,
            time: wire.time,
            bits: CompactTarget::from_consensus(bits),
            nonce: wire.nonce,
        };
        if header.block_hash() != wire.hash {
            return Err(de::Error::custom(format!(
                "the header's fields hash to {}, not to {}",
                header.block_hash(),
                wire.hash
            )));
        }
        Ok(Self {
            header,
            hash: wire.hash,
            height: wire.height,
            confirmations: wire.confirmations,
            chainwork: wire.chainwork,
            median_time: wire.median_time,
            transactions: wire.transactions,
            next: wire.next,
        })
    }
}

#[derive(Deserialize)]
struct WireHeader {
    hash: BlockHash,
    confirmations: i64,
    height: u32,
    version: i32,
    #[serde(rename = "merkleroot")]
    merkle_root: TxMerkleNode,
    time: u32,
    #[serde(rename = "mediantime")]
    median_time: u32,
    nonce: u32,
    bits: String,
    chainwork: ChainWork,
    #[serde(rename = "nTx", default)]
    transactions: u32,
    #[serde(rename = "previousblockhash", default)]
    previous: Option<BlockHash>,
    #[serde(rename = "nextblockhash", default)]
    next: Option<BlockHash>,
}

/// One entry of `getzmqnotifications`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ZmqPublisher {
    /// Such as `pubhashblock`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address it listens on, as in bitcoin.conf; may be `tcp://0.0.0.0:PORT` or `tcp://*:PORT`.
    pub address: String,
    /// High-water mark: messages queued for a slow subscriber before they are dropped.
    #[serde(default)]
    pub hwm: Option<u32>,
}

/// Answer of `validateaddress`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AddressInfo {
    /// Whether the address is one of the node's network.
    #[serde(rename = "isvalid")]
    pub is_valid: bool,
    /// The address, normalised.
    #[serde(default)]
    pub address: Option<String>,
    /// The script it stands for.
    #[serde(rename = "scriptPubKey", default)]
    pub script_pubkey: Option<ScriptBuf>,
    /// Why it is not valid.
    #[serde(default)]
    pub error: Option<String>,
}

/// Answer of `submitblock` (BIP 22).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitAnswer {
    /// `null`: valid and connected to the active chain.
    Accepted,
    /// `duplicate`: the node already has this block and found it valid; it need not be in the active
    /// chain, so look it up.
    Duplicate,
    /// `duplicate-invalid`: the node already has this block and found it invalid.
    DuplicateInvalid,
    /// `duplicate-inconclusive`: the node already has this block, not yet validated.
    DuplicateInconclusive,
    /// `inconclusive`: stored, not in the active chain; may be a valid side branch or an invalid block.
    Inconclusive,
    /// Any other word: refused for that reason, such as `bad-cb-amount`, `high-hash`,
    /// `prev-blk-not-found`. Not every refusal is for ever: see [`is_permanent`](Self::is_permanent).
    Rejected(String),
}

impl SubmitAnswer {
    /// Core's own word; `None` where it answered `null`.
    pub fn raw(&self) -> Option<&str> {
        Some(match self {
            Self::Accepted => return None,
            Self::Duplicate => "duplicate",
            Self::DuplicateInvalid => "duplicate-invalid",
            Self::DuplicateInconclusive => "duplicate-inconclusive",
            Self::Inconclusive => "inconclusive",
            Self::Rejected(reason) => reason,
        })
    }

    /// Whether submitting the same bytes again can never end otherwise. A block from the future, one
    /// whose parent the node has not got yet and one whose witness was damaged on the way are refused
    /// for now only.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Accepted | Self::DuplicateInvalid => true,
            Self::Rejected(reason) => !matches!(
                reason.as_str(),
                "time-too-new"
                    | "prev-blk-not-found"
                    | "bad-witness-merkle-match"
                    | "bad-witness-nonce-size"
                    | "unexpected-witness"
            ),
            _ => false,
        }
    }

    pub(crate) fn from_wire(word: Option<String>) -> Self {
        match word.as_deref() {
            None => Self::Accepted,
            Some("duplicate") => Self::Duplicate,
            Some("duplicate-invalid") => Self::DuplicateInvalid,
            Some("duplicate-inconclusive") => Self::DuplicateInconclusive,
            Some("inconclusive") => Self::Inconclusive,
            Some(_) => Self::Rejected(word.unwrap_or_default()),
        }
    }
}

/// Answer of `getblocktemplate` in proposal mode (BIP 23): would this block be valid on the current
/// tip, proof of work aside?
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposalAnswer {
    /// `null`: it would.
    Valid,
    /// `inconclusive-not-best-prevblk`: its parent is not the node's tip, nothing was checked.
    NotBestParent,
    /// `duplicate`: the node has this very block, valid.
    Duplicate,
    /// `duplicate-inconclusive`: the node has this very block, not validated.
    DuplicateInconclusive,
    /// `duplicate-invalid` or a reason: it would not.
    Rejected(String),
}

impl ProposalAnswer {
    pub(crate) fn from_wire(word: Option<String>) -> Self {
        match word.as_deref() {
            None => Self::Valid,
            Some("inconclusive-not-best-prevblk") => Self::NotBestParent,
            Some("duplicate") => Self::Duplicate,
            Some("duplicate-inconclusive") => Self::DuplicateInconclusive,
            Some(_) => Self::Rejected(word.unwrap_or_default()),
        }
    }
}

fn yes() -> bool {
    true
}

fn string_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Warnings {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Warnings::deserialize(deserializer)? {
        Warnings::One(text) if text.is_empty() => Vec::new(),
        Warnings::One(text) => vec![text],
        Warnings::Many(list) => list,
    })
}
