//! Templates, proposals and submissions.

use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;

use super::Rpc;
use super::types::{ProposalAnswer, SubmitAnswer};
use crate::error::NodeError;

impl Rpc {
    /// `submitblock` with the block's bytes.
    pub fn submit_block(&mut self, block: &[u8]) -> Result<SubmitAnswer, NodeError> {
        self.submit_hex(&to_hex(block))
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
            "data": to_hex(block),
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

/// Lower-case hex. Libraries look digits up byte by byte, which takes 20 times as long: a full block would wait for that.
fn to_hex(bytes: &[u8]) -> String {
    // Two steps without a branch, so that many bytes are done at a time.
    let digit = |nibble: u8| nibble + b'0' + u8::from(nibble > 9) * (b'a' - b'9' - 1);
    let mut hex = vec![0; bytes.len() * 2];
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    // It is ASCII throughout; checking that takes a tenth of the time.
    String::from_utf8(hex).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_two_digits() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(to_hex(&bytes), hex::encode(&bytes));
        assert_eq!(to_hex(&[]), "");
    }
}
