//! `validateaddress`.

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network, base58};
use serde::Serialize;

use super::args::Args;
use super::json;
use crate::envelope::RpcResult;
use crate::node::Node;

/// The human-readable part of regtest's bech32 addresses.
const HRP: &str = "bcrt";

#[derive(Serialize)]
struct Valid {
    isvalid: bool,
    address: String,
    #[serde(rename = "scriptPubKey")]
    script_pubkey: String,
    isscript: bool,
    iswitness: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness_version: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness_program: Option<String>,
}

#[derive(Serialize)]
struct Invalid {
    isvalid: bool,
    /// Bitcoin Core points at the wrong letters of a bech32 address; this node does not.
    error_locations: [u32; 0],
    error: &'static str,
}

pub(super) fn validate(_: &Node, args: &Args) -> RpcResult {
    let text = args.string(0);
    let address = text
        .parse::<Address<NetworkUnchecked>>()
        .ok()
        .and_then(|address| address.require_network(Network::Regtest).ok());
    let Some(address) = address else {
        return json::result(&Invalid {
            isvalid: false,
            error_locations: [],
            error: complaint(text),
        });
    };
    let script = address.script_pubkey();
    let program = address.witness_program();
    json::result(&Valid {
        isvalid: true,
        address: address.to_string(),
        isscript: script.is_p2sh() || script.is_p2wsh() || script.is_p2tr(),
        iswitness: program.is_some(),
        witness_version: program.map(|program| program.version().to_num()),
        witness_program: program.map(|program| hex::encode(program.program().as_bytes())),
        script_pubkey: script.to_hex_string(),
    })
}

/// What Bitcoin Core says of a text that is no address of this chain.
fn complaint(text: &str) -> &'static str {
    let prefix: String = text.chars().take(HRP.len()).collect();
    if prefix.to_lowercase() == HRP {
        let mixed = text.chars().any(char::is_lowercase) && text.chars().any(char::is_uppercase);
        let foreign = text
            .chars()
            .skip(HRP.len() + 1)
            .any(|c| !"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(c.to_ascii_lowercase()));
        return if mixed || foreign {
            "Invalid character or mixed case"
        } else {
            "Invalid Bech32 checksum"
        };
    }
    match (base58::decode_check(text), base58::decode(text)) {
        (Ok(_), _) => "Invalid or unsupported Base58-encoded address.",
        (Err(_), Ok(_)) => "Invalid checksum or length of Base58 address (P2PKH or P2SH)",
        (Err(_), Err(_)) => "Invalid or unsupported Segwit (Bech32) or Base58 encoding.",
    }
}
