//! Where the coins of a found block go.

use bitcoin::address::{Address, AddressType, NetworkUnchecked};
use bitcoin::{Script, ScriptBuf};

use crate::network::Network;

/// The script that a found block pays to: that of an address checked for its network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayoutScript {
    network: Network,
    address: String,
    script: ScriptBuf,
}

/// Why an address cannot be paid to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PayoutError {
    /// Not an address at all.
    #[error(
        "payout address {address:?} is not a valid address ({cause}); copy it anew from the wallet"
    )]
    Malformed {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        cause: String,
    },
    /// An address of another network.
    #[error(
        "payout address {address} belongs to {belongs_to}, but the network is {network}; give an address of {network}, or change the network"
    )]
    WrongNetwork {
        /// As it was given.
        address: String,
        /// The networks whose address it is, in words.
        belongs_to: String,
        /// The network that was asked for.
        network: Network,
    },
    /// An address that the network would let anyone spend from, or whose rules do not exist yet.
    #[error(
        "payout address {address} is of no kind that can be paid to safely; give a p2pkh, p2sh, p2wpkh, p2wsh or p2tr address"
    )]
    Unsupported {
        /// As it was given.
        address: String,
    },
}

impl PayoutScript {
    /// The script of a p2pkh, p2sh, p2wpkh, p2wsh or p2tr address of `network`.
    ///
    /// # Errors
    /// [`PayoutError`], which names the network that the address does belong to.
    pub fn parse(address: &str, network: Network) -> Result<Self, PayoutError> {
        let parsed: Address<NetworkUnchecked> =
            address
                .parse()
                .map_err(
                    |cause: bitcoin::address::ParseError| PayoutError::Malformed {
                        address: address.to_owned(),
                        cause: cause.to_string(),
                    },
                )?;
        if !parsed.is_valid_for_network(network.bitcoin()) {
            return Err(PayoutError::WrongNetwork {
                address: address.to_owned(),
                belongs_to: networks_of(&parsed),
                network,
            });
        }
        let checked = parsed.assume_checked();
        let supported = [
            AddressType::P2pkh,
            AddressType::P2sh,
            AddressType::P2wpkh,
            AddressType::P2wsh,
            AddressType::P2tr,
        ];
        if !checked
            .address_type()
            .is_some_and(|kind| supported.contains(&kind))
        {
            return Err(PayoutError::Unsupported {
                address: address.to_owned(),
            });
        }
        Ok(Self {
            network,
            script: checked.script_pubkey(),
            address: checked.to_string(),
        })
    }

    /// The network that the address was checked for.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The address, in its usual form.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The script of the coinbase output.
    pub fn script(&self) -> &Script {
        &self.script
    }
}

fn networks_of(address: &Address<NetworkUnchecked>) -> String {
    let fitting: Vec<&str> = Network::ALL
        .into_iter()
        .filter(|network| address.is_valid_for_network(network.bitcoin()))
        .map(Network::name)
        .collect();
    match fitting.split_last() {
        None => "no network known here".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HASH: [u8; 20] = [0x11; 20];

    fn every_kind(network: Network) -> Vec<(String, ScriptBuf)> {
        use bitcoin::hashes::Hash as _;
        let key = bitcoin::key::TweakedPublicKey::dangerous_assume_tweaked(
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
                .parse()
                .unwrap(),
        );
        let scripts = [
            ScriptBuf::new_p2pkh(&bitcoin::PubkeyHash::from_byte_array(HASH)),
            ScriptBuf::new_p2sh(&bitcoin::ScriptHash::from_byte_array(HASH)),
            ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array(HASH)),
            ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array([0x22; 32])),
            ScriptBuf::new_p2tr_tweaked(key),
        ];
        let address = |script: &ScriptBuf| {
            Address::from_script(script, network.bitcoin())
                .unwrap()
                .to_string()
        };
        scripts
            .into_iter()
            .map(|script| (address(&script), script))
            .collect()
    }

    #[test]
    fn every_kind_of_address_is_taken_on_its_network() {
        for network in Network::ALL {
            for (address, script) in every_kind(network) {
                let payout = PayoutScript::parse(&address, network).unwrap();
                assert_eq!(payout.script(), script.as_script(), "{address}");
                assert_eq!(payout.address(), address);
            }
        }
    }

    #[test]
    fn the_wrong_network_is_named() {
        for (address, _) in every_kind(Network::Main) {
            let refused = PayoutScript::parse(&address, Network::Regtest).unwrap_err();
            let words = refused.to_string();
            assert!(
                words.contains("belongs to main") && words.contains("network is regtest"),
                "{words}"
            );
        }
        let (testnet, _) = every_kind(Network::Testnet4).remove(2);
        let words = PayoutScript::parse(&testnet, Network::Main)
            .unwrap_err()
            .to_string();
        assert!(words.contains("testnet4, testnet3 or signet"), "{words}");
    }

    #[test]
    fn typing_errors_and_unknown_witness_versions_are_refused() {
        let bad = [
            "",
            "garbage",
            "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081",
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
        ];
        for address in bad {
            let refused = PayoutScript::parse(address, Network::Main).unwrap_err();
            assert!(
                matches!(refused, PayoutError::Malformed { .. }),
                "{address}: {refused}"
            );
        }
        // BIP350's example of witness version 16.
        let future = "bc1sw50qgdz25j";
        let refused = PayoutScript::parse(future, Network::Main).unwrap_err();
        assert!(
            matches!(refused, PayoutError::Unsupported { .. }),
            "{refused}"
        );
    }
}
