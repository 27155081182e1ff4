//! The networks this program knows, by the names an operator writes.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use bitcoin::block::{Block, Header};
use bitcoin::blockdata::constants::genesis_block;
use bitcoin::{BlockHash, CompactTarget};
use serde::{Deserialize, Serialize};

use crate::params::Params;

/// A Bitcoin network.
///
/// Written and parsed as `main`, `testnet4`, `testnet3`, `signet` or `regtest`, in configuration,
/// on the command line and in JSON alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The main network.
    Main,
    /// The fourth test network, with the rules of BIP94.
    Testnet4,
    /// The third test network, with its minimum-difficulty rule.
    Testnet3,
    /// A signed test network: the default one, or one of the same rules and another challenge.
    Signet,
    /// The local test network: no retargeting, blocks at will.
    Regtest,
}

impl Network {
    /// Every network, main first.
    pub const ALL: [Self; 5] = [
        Self::Main,
        Self::Testnet4,
        Self::Testnet3,
        Self::Signet,
        Self::Regtest,
    ];

    /// The name used by this program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Testnet4 => "testnet4",
            Self::Testnet3 => "testnet3",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    /// The name in the `chain` field of Bitcoin Core's answers, which calls testnet3 `test`.
    pub const fn core_name(self) -> &'static str {
        match self {
            Self::Testnet3 => "test",
            other => other.name(),
        }
    }

    /// The network that Bitcoin Core calls by this name, if it is one of ours.
    pub fn from_core_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|network| network.core_name() == name)
    }

    /// The consensus parameters.
    pub fn params(self) -> &'static Params {
        Params::of(self)
    }

    /// The same network as the `bitcoin` crate names it.
    pub const fn bitcoin(self) -> bitcoin::Network {
        match self {
            Self::Main => bitcoin::Network::Bitcoin,
            Self::Testnet4 => bitcoin::Network::Testnet4,
            Self::Testnet3 => bitcoin::Network::Testnet,
            Self::Signet => bitcoin::Network::Signet,
            Self::Regtest => bitcoin::Network::Regtest,
        }
    }

    /// The first block.
    pub fn genesis(self) -> &'static Block {
        static BLOCKS: OnceLock<[Block; 5]> = OnceLock::new();
        let blocks =
            BLOCKS.get_or_init(|| Self::ALL.map(|network| genesis_block(network.bitcoin())));
        let place = match self {
            Self::Main => 0,
            Self::Testnet4 => 1,
            Self::Testnet3 => 2,
            Self::Signet => 3,
            Self::Regtest => 4,
        };
        &blocks[place]
    }

    /// The first header.
    pub fn genesis_header(self) -> &'static Header {
        &self.genesis().header
    }

    /// The hash of the first block.
    pub fn genesis_hash(self) -> BlockHash {
        self.genesis_header().block_hash()
    }

    /// The compact target of the first block, which is this network's easiest.
    pub fn genesis_bits(self) -> CompactTarget {
        self.genesis_header().bits
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is none of the networks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown network {0:?}: write main, testnet4, testnet3, signet or regtest")]
pub struct UnknownNetwork(pub String);

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|network| network.name() == text)
            .ok_or_else(|| UnknownNetwork(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_parses_back_to_its_network() {
        for network in Network::ALL {
            assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
            assert_eq!(Network::from_core_name(network.core_name()), Some(network));
            let json = serde_json::to_string(&network).unwrap();
            assert_eq!(json, format!("\"{network}\""));
        }
        assert!("mainnet".parse::<Network>().is_err());
        assert_eq!(Network::from_core_name("test"), Some(Network::Testnet3));
    }

    #[test]
    fn genesis_hashes_are_those_of_bitcoin_core() {
        let expected = [
            (
                Network::Main,
                "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            ),
            (
                Network::Testnet4,
                "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
            ),
            (
                Network::Testnet3,
                "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
            ),
            (
                Network::Signet,
                "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
            ),
            (
                Network::Regtest,
                "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            ),
        ];
        for (network, hash) in expected {
            assert_eq!(network.genesis_hash().to_string(), hash, "{network}");
            let header = network.genesis_header();
            assert_eq!(
                network.params().pow_limit.to_nbits().0,
                header.bits.to_consensus()
            );
        }
    }
}
