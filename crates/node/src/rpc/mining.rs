//! Templates, proposals and submissions.

use std::time::Duration;

use bitcoin::hex::DisplayHex as _;
use serde_json::json;
use serde_json::value::RawValue;

use super::Rpc;
use super::types::{ProposalAnswer, SubmitAnswer};
use crate::error::NodeError;

impl Rpc {
    /// `submitblock` with the block's bytes.
    pub fn submit_block(&mut self, block: &[u8]) -> Result<SubmitAnswer, NodeError> {
        self.submit_hex(&block.to_lower_hex_string())
    }

    /// `submitblock` with the block already written as hex, so that this can be done before it is urgent.
    ///
    /// # Errors
    /// [`NodeError::Rpc`] with -22, without asking the node, if it is not hex.
    pub fn submit_block_hex(&mut self, block: &str) -> Result<SubmitAnswer, NodeError> {
        // No early end, so that this is done many bytes at a time.
        if !block
            .bytes()
            .fold(true, |hex, byte| hex & byte.is_ascii_hexdigit())
        {
            return Err(not_hex());
        }
        self.submit_hex(block)
    }

    fn submit_hex(&mut self, block: &str) -> Result<SubmitAnswer, NodeError> {
        let params = RawValue::from_string(format!("[\"{block}\"]")).map_err(|_| not_hex())?;
        self.call_raw("submitblock", &params, self.timeouts.submit)
            .map(SubmitAnswer::from_wire)
    }

    /// `getblocktemplate`: a template on the current tip. Core makes a new one at most every 5 s unless
    /// the tip has moved.
    ///
    /// # Errors
    /// On main [`NodeError::NoPeers`] without peers and [`NodeError::Syncing`] in initial block download.
    pub fn get_block_template(
        &mut self,
        network: chain::Network,
    ) -> Result<chain::Template, NodeError> {
        let params = json!([{ "rules": rules(network) }]);
        self.template_call(&params, self.timeouts.call)
    }

    /// `getblocktemplate` as a long poll: answers when the tip is no longer the one that `long_poll_id`
    /// (of an earlier template) stands for, or 60 s later when the mempool has changed. A node that is
    /// stopping answers with the same id. One that is asked with an unknown id answers at once.
    pub fn wait_for_block_template(
        &mut self,
        network: chain::Network,
        long_poll_id: &str,
    ) -> Result<chain::Template, NodeError> {
        let params = json!([{ "rules": rules(network), "longpollid": long_poll_id }]);
        self.template_call(&params, self.timeouts.long_poll)
    }

    /// `getblocktemplate` in proposal mode: what Core's rules say of this block, proof of work aside.
    pub fn propose_block(
        &mut self,
        network: chain::Network,
        block: &[u8],
    ) -> Result<ProposalAnswer, NodeError> {
        let params = json!([{
            "mode": "proposal",
            "rules": rules(network),
            "data": block.to_lower_hex_string(),
        }]);
        self.template_call(&params, self.timeouts.submit)
            .map(ProposalAnswer::from_wire)
    }

    fn template_call<T: serde::de::DeserializeOwned>(
        &mut self,
        params: &serde_json::Value,
        timeout: Duration,
    ) -> Result<T, NodeError> {
        let params = RawValue::from_string(params.to_string())
            .map_err(|error| NodeError::malformed("getblocktemplate", error.to_string()))?;
        self.call_raw("getblocktemplate", &params, timeout)
    }
}

/// What Core would say of it.
fn not_hex() -> NodeError {
    NodeError::Rpc {
        method: "submitblock".to_owned(),
        code: -22,
        message: "the block is not hex and was not sent".to_owned(),
    }
}

/// The rules a client must know to be given a template; signet asks for its own as well.
fn rules(network: chain::Network) -> &'static [&'static str] {
    match network {
        chain::Network::Signet => &["segwit", "signet"],
        _ => &["segwit"],
    }
}
