//! Templates, proposals and submissions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;

use super::types::{ProposalAnswer, SubmitAnswer};
use super::{Rpc, explain};
use crate::error::NodeError;

/// A block as `submitblock` takes it: written out before it is urgent, and sent any number of times, to any node.
#[derive(Clone)]
pub struct Submission {
    start: BlockHex,
    rest: BlockHex,
}

/// A part of a serialised block in hex. Clones share it.
#[derive(Clone, Default)]
pub struct BlockHex(Arc<str>);

impl BlockHex {
    /// Writes bytes out; for those of a full block that takes a millisecond or two.
    pub fn new(bytes: &[u8]) -> Self {
        Self(to_hex(bytes).into())
    }
}

impl fmt::Debug for BlockHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockHex({} bytes)", self.0.len() / 2)
    }
}

impl Submission {
    /// Writes a serialised block out; for a full one that takes a millisecond or two.
    pub fn new(block: &[u8]) -> Self {
        Self::of_parts(block, BlockHex::default())
    }

    /// A block whose transactions after the coinbase are written out already: `start` holds what comes before them.
    pub fn of_parts(start: &[u8], rest: BlockHex) -> Self {
        Self {
            start: BlockHex::new(start),
            rest,
        }
    }

    fn of_hex(block: &str) -> Self {
        Self {
            start: BlockHex(block.into()),
            rest: BlockHex::default(),
        }
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.start.0.len() + self.rest.0.len();
        write!(f, "Submission({} bytes)", digits / 2)
    }
}

impl Rpc {
    /// `submitblock` with the block's bytes.
    pub fn submit_block(&mut self, block: &[u8]) -> Result<SubmitAnswer, NodeError> {
        self.submit_prepared(&Submission::new(block))
    }

    /// `submitblock` with a block that is written out already.
    pub fn submit_prepared(&mut self, block: &Submission) -> Result<SubmitAnswer, NodeError> {
        const METHOD: &str = "submitblock";
        let begun = self.begin(self.timeouts.submit);
        // One call at a time on a connection of its own: one id will do.
        let answer = self.transport.send_written(
            METHOD,
            &json!(1),
            &[
                br#"{"jsonrpc":"2.0","id":1,"method":"submitblock","params":[""#,
                block.start.0.as_bytes(),
                block.rest.0.as_bytes(),
                br#""]}"#,
            ],
        );
        let answer = answer.and_then(|response| response.result());
        self.end(
            METHOD,
            begun,
            answer.map_err(|error| explain(METHOD, error.into())),
        )
        .map(SubmitAnswer::from_wire)
    }

    /// `submitblock` with a block that is hex already.
    ///
    /// # Errors
    /// [`NodeError::Rpc`] with -22, without asking the node, if it is not hex.
    pub fn submit_block_hex(&mut self, block: &str) -> Result<SubmitAnswer, NodeError> {
        // No early end, so that this is done many bytes at a time.
        if !block
            .bytes()
            .fold(true, |hex, byte| hex & byte.is_ascii_hexdigit())
        {
            return Err(NodeError::Rpc {
                method: "submitblock".to_owned(),
                code: -22,
                // What Core would say of it.
                message: "the block is not hex and was not sent".to_owned(),
            });
        }
        self.submit_prepared(&Submission::of_hex(block))
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

    #[test]
    fn a_block_in_parts_is_written_out_like_the_whole() {
        let block: Vec<u8> = (0..=255).collect();
        for at in [0, 100, 256] {
            let parts = Submission::of_parts(&block[..at], BlockHex::new(&block[at..]));
            let whole = [&*parts.start.0, &*parts.rest.0].concat();
            assert_eq!(whole, hex::encode(&block));
        }
        assert_eq!(
            format!("{:?}", Submission::new(&block)),
            "Submission(256 bytes)"
        );
    }
}
