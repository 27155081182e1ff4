//! A block template: the answer of `getblocktemplate` (BIP22, BIP23, BIP9, BIP145), read and written.

use std::collections::BTreeMap;

use bitcoin::{BlockHash, Txid, Wtxid};
use pow::{NBits, Target};
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::window::HeaderWindow;

/// The version of blocks that signal nothing (BIP9).
pub const BASE_VERSION: i32 = 0x2000_0000;

/// A block template, with the fields and their order of Bitcoin Core's answer.
///
/// Fields that a later version adds are ignored; those that an older one or another program may
/// leave out have defaults that claim nothing. What it says is checked in
/// [`Job::new`](crate::Job::new), not here.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Template {
    /// What the server can do besides, such as `proposal`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The version of the block.
    pub version: i32,
    /// Consensus rules in force; with `!` those that a miner must know.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Deployments that may be signalled, and their bits.
    #[serde(default)]
    pub vbavailable: BTreeMap<String, u32>,
    /// Version bits that must be set.
    #[serde(default)]
    pub vbrequired: u32,
    /// The parent.
    pub previousblockhash: BlockHash,
    /// All but the coinbase, parents before children.
    pub transactions: Vec<TemplateTransaction>,
    /// Hexadecimal data by name that the coinbase script should hold.
    #[serde(default)]
    pub coinbaseaux: BTreeMap<String, String>,
    /// What the coinbase may pay out, in satoshis: subsidy and fees. Absent where the server makes the
    /// coinbase itself (`coinbasetxn`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coinbasevalue: Option<u64>,
    /// What to send back to wait for the next template.
    #[serde(default)]
    pub longpollid: String,
    /// The target.
    #[serde(default, with = "text_option", skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The earliest time allowed.
    #[serde(default)]
    pub mintime: u32,
    /// What may be changed; Core never lists `version`.
    #[serde(default)]
    pub mutable: Vec<String>,
    /// The nonces allowed.
    #[serde(default = "full_nonce_range")]
    pub noncerange: String,
    /// Signature operations allowed; in BIP141's cost where segwit is active.
    #[serde(default = "default_sigoplimit")]
    pub sigoplimit: u64,
    /// Bytes allowed.
    #[serde(default = "default_limit")]
    pub sizelimit: u64,
    /// Weight units allowed; absent where segwit is not active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weightlimit: Option<u64>,
    /// The node's time.
    pub curtime: u32,
    /// The compact target.
    #[serde(with = "text")]
    pub bits: NBits,
    /// The height of the block.
    pub height: u32,
    /// On signet: the script, in hexadecimal, that a solution must satisfy (BIP325).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signet_challenge: Option<String>,
    /// The witness commitment's output script, in hexadecimal, if all transactions are taken.
    /// Bitcoin Core gives it even where segwit is not active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_witness_commitment: Option<String>,
    /// The parent's time, for who knows it: on networks with minimum-difficulty blocks the nBits
    /// hold only up to, or only from, twenty minutes after it. Not a field of the answer.
    #[serde(skip)]
    pub parent_time: Option<u32>,
}

/// A transaction of a template.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TemplateTransaction {
    /// The transaction as it goes into the block.
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
    /// Its id.
    pub txid: Txid,
    /// Its hash with witness.
    pub hash: Wtxid,
    /// Places, from 1, of transactions in this template that it spends from.
    #[serde(default)]
    pub depends: Vec<u32>,
    /// Its fee in satoshis, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<u64>,
    /// Its signature operations, if known; in BIP141's cost where segwit is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigops: Option<u64>,
    /// Its weight, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
}

/// What a template without transactions is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoinbaseOnly {
    /// The network.
    pub network: Network,
    /// The parent.
    pub parent: BlockHash,
    /// The parent's time.
    pub parent_time: u32,
    /// The height of the new block.
    pub height: u32,
    /// The nBits that the rules ask for at `curtime`.
    pub bits: NBits,
    /// The earliest time allowed.
    pub mintime: u32,
    /// The time to start from.
    pub curtime: u32,
}

impl Template {
    /// An empty block's template by our own rules, to mine on before the node has sent one.
    ///
    /// It has no witness commitment, since there is no witness, except on signet, whose rules ask
    /// for one in every block. A signet's challenge is only known from the node: fill in
    /// [`signet_challenge`](Self::signet_challenge) there.
    pub fn coinbase_only(from: &CoinbaseOnly) -> Self {
        let params = from.network.params();
        let segwit = params.segwit_active(from.height);
        let mut rules = vec!["csv".to_owned()];
        if segwit {
            rules.push("!segwit".to_owned());
        }
        if from.network == Network::Signet {
            rules.push("!signet".to_owned());
        }
        let scale = if segwit { 1 } else { 4 };
        Self {
            capabilities: Vec::new(),
            version: BASE_VERSION,
            rules,
            vbavailable: BTreeMap::new(),
            vbrequired: 0,
            previousblockhash: from.parent,
            transactions: Vec::new(),
            coinbaseaux: BTreeMap::new(),
            coinbasevalue: Some(params.block_subsidy(from.height).to_sat()),
            longpollid: String::new(),
            target: Target::from_nbits(from.bits).ok(),
            mintime: from.mintime,
            mutable: Vec::new(),
            noncerange: full_nonce_range(),
            sigoplimit: default_sigoplimit() / scale,
            sizelimit: default_limit() / scale,
            weightlimit: segwit.then(default_limit),
            curtime: from.curtime.max(from.mintime),
            bits: from.bits,
            height: from.height,
            signet_challenge: None,
            default_witness_commitment: None,
            parent_time: Some(from.parent_time),
        }
    }

    /// The same on top of a window's tip, at time `now` or the earliest allowed after it.
    ///
    /// `None` where the window does not reach back far enough to know nBits or time.
    pub fn coinbase_only_on(window: &HeaderWindow, now: u32) -> Option<Self> {
        let tip = window.tip();
        let mintime = window.min_time()?;
        let curtime = now.max(mintime);
        Some(Self::coinbase_only(&CoinbaseOnly {
            network: window.network(),
            parent: tip.hash,
            parent_time: tip.header.time,
            height: tip.height + 1,
            bits: window.next_bits(curtime)?,
            mintime,
            curtime,
        }))
    }

    /// Whether this is a signet whose challenge is `OP_TRUE`, so that no block needs a signature.
    pub fn has_trivial_challenge(&self) -> bool {
        self.signet_challenge.as_deref() == Some("51")
    }

    /// Whether a rule is in force, with or without `!`.
    pub fn has_rule(&self, name: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.strip_prefix('!').unwrap_or(rule) == name)
    }

    /// The sum of the fees, if each is known.
    pub fn fees(&self) -> Option<u64> {
        self.transactions
            .iter()
            .map(|transaction| transaction.fee)
            .sum()
    }
}

fn full_nonce_range() -> String {
    "00000000ffffffff".to_owned()
}

const fn default_sigoplimit() -> u64 {
    80_000
}

const fn default_limit() -> u64 {
    4_000_000
}

/// A value as its text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The same where the value may be absent.
mod text_option {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        super::text::deserialize(from).map(Some)
    }
}
