//! What the node says about itself and its chain.

use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize;
use bitcoin::{Address, BlockHash, address::NetworkUnchecked};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::Rpc;
use super::types::{AddressInfo, BlockchainInfo, ChainTip, HeaderInfo, NetworkInfo, ZmqPublisher};
use crate::error::NodeError;

/// Bytes of a block header.
pub(super) const HEADER_LEN: usize = 80;

/// What is used of `getrpcinfo`'s answer.
#[derive(Deserialize)]
struct RpcInfo {
    active_commands: Vec<ActiveCommand>,
}

#[derive(Deserialize)]
struct ActiveCommand {
    method: String,
}

impl Rpc {
    /// `getblockchaininfo`.
    pub fn get_blockchain_info(&mut self) -> Result<BlockchainInfo, NodeError> {
        self.call("getblockchaininfo", &[], self.timeouts.call)
    }

    /// `getnetworkinfo`.
    pub fn get_network_info(&mut self) -> Result<NetworkInfo, NodeError> {
        self.call("getnetworkinfo", &[], self.timeouts.call)
    }

    /// `getbestblockhash`: the cheapest way to see whether the tip has moved.
    pub fn get_best_block_hash(&mut self) -> Result<BlockHash, NodeError> {
        self.call("getbestblockhash", &[], self.timeouts.call)
    }

    /// `getblockcount`: the height of the active tip.
    pub fn get_block_count(&mut self) -> Result<u32, NodeError> {
        self.call("getblockcount", &[], self.timeouts.call)
    }

    /// `getblockhash`: the block at a height of the active chain. Past the tip: RPC error -8.
    pub fn get_block_hash(&mut self, height: u32) -> Result<BlockHash, NodeError> {
        self.call("getblockhash", &[json!(height)], self.timeouts.call)
    }

    /// `getblockheader HASH false`: the header itself, whose hash is checked.
    pub fn get_block_header(&mut self, hash: &BlockHash) -> Result<Header, NodeError> {
        let text: String = self.call(
            "getblockheader",
            &[json!(hash), json!(false)],
            self.timeouts.call,
        )?;
        let header = parse_header("getblockheader", &text)?;
        expect_hash("getblockheader", &header, hash)?;
        Ok(header)
    }

    /// `getblockheader HASH true`: the header with its height and place in the chain, whose hash is checked.
    pub fn get_block_header_info(&mut self, hash: &BlockHash) -> Result<HeaderInfo, NodeError> {
        let info: HeaderInfo = self.call(
            "getblockheader",
            &[json!(hash), json!(true)],
            self.timeouts.call,
        )?;
        expect_hash("getblockheader", &info.header, hash)?;
        Ok(info)
    }

    /// `getblock HASH 0`: the block's bytes; that they begin with the right header is checked, no more.
    /// A pruned or header-only block: RPC error -1.
    pub fn get_block(&mut self, hash: &BlockHash) -> Result<Vec<u8>, NodeError> {
        let text: String = self.call("getblock", &[json!(hash), json!(0)], self.timeouts.bulk)?;
        let block = hex::decode(&text)
            .map_err(|error| NodeError::malformed("getblock", format!("no hex: {error}")))?;
        let header = block
            .get(..HEADER_LEN)
            .ok_or_else(|| NodeError::malformed("getblock", "shorter than a block header"))?;
        let header = deserialize(header)
            .map_err(|error| NodeError::malformed("getblock", error.to_string()))?;
        expect_hash("getblock", &header, hash)?;
        Ok(block)
    }

    /// `getchaintips`: every branch the node knows, the active one included.
    pub fn get_chain_tips(&mut self) -> Result<Vec<ChainTip>, NodeError> {
        self.call("getchaintips", &[], self.timeouts.call)
    }

    /// `getzmqnotifications`: what the node publishes and where.
    pub fn get_zmq_notifications(&mut self) -> Result<Vec<ZmqPublisher>, NodeError> {
        self.call("getzmqnotifications", &[], self.timeouts.call)
    }

    /// `validateaddress`: whether the node's network has this address, and its script.
    pub fn validate_address(
        &mut self,
        address: &Address<NetworkUnchecked>,
    ) -> Result<AddressInfo, NodeError> {
        self.call("validateaddress", &[json!(address)], self.timeouts.call)
    }

    /// `waitfornewblock`: holds one of the node's RPC threads until there is another tip or `wait` is over.
    pub fn wait_for_new_block(&mut self, wait: Duration) -> Result<(), NodeError> {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let _: IgnoredAny = self.call(
            "waitfornewblock",
            &[json!(millis)],
            self.timeouts.call.saturating_add(wait),
        )?;
        Ok(())
    }

    /// `getrpcinfo`: the methods being executed at the moment, this one included.
    pub fn get_active_methods(&mut self) -> Result<Vec<String>, NodeError> {
        let info: RpcInfo = self.call("getrpcinfo", &[], self.timeouts.call)?;
        let methods = info.active_commands.into_iter();
        Ok(methods.map(|command| command.method).collect())
    }

    /// `uptime` in seconds. Needs none of the node's locks, so it is answered while a block is connected.
    pub fn uptime(&mut self) -> Result<u64, NodeError> {
        self.call("uptime", &[], self.timeouts.call)
    }
}

pub(super) fn parse_header(method: &str, text: &str) -> Result<Header, NodeError> {
    let mut bytes = [0; HEADER_LEN];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|error| NodeError::malformed(method, format!("no 80 bytes of hex: {error}")))?;
    deserialize(&bytes).map_err(|error| NodeError::malformed(method, error.to_string()))
}

pub(super) fn expect_hash(
    method: &str,
    header: &Header,
    hash: &BlockHash,
) -> Result<(), NodeError> {
    let got = header.block_hash();
    if got == *hash {
        return Ok(());
    }
    Err(NodeError::malformed(
        method,
        format!("asked for {hash}, got {got}"),
    ))
}
