//! Many headers at once: ranges of the active chain, and walks from a hash back to known ground.

use bitcoin::BlockHash;
use bitcoin::block::Header;
use serde_json::value::{RawValue, to_raw_value};

use super::chain_queries::{expect_hash, parse_header};
use super::{MAX_BATCH, Rpc};
use crate::error::NodeError;

/// Headers fetched one by one before a walk asks for whole batches: reorgs are mostly shorter.
const SINGLE_STEPS: usize = 4;

impl Rpc {
    /// Headers `start`, `start + 1`, ... of the active chain: `count` of them (at most
    /// [`MAX_BATCH`]), or fewer where the chain ends before. They link; which tip they lead to is the
    /// caller's to compare.
    ///
    /// # Errors
    /// [`NodeError::ChainMoved`] where a reorganisation fell between the two batches this takes.
    pub fn get_headers(&mut self, start: u32, count: usize) -> Result<Vec<Header>, NodeError> {
        let count = count.min(MAX_BATCH);
        let heights: Vec<_> = (start..=u32::MAX)
            .take(count)
            .map(|height| raw(&[height]))
            .collect();
        let mut hashes: Vec<BlockHash> = Vec::with_capacity(count);
        for answer in self.batch("getblockhash", &heights, self.timeouts.bulk)? {
            match answer {
                Ok(hash) => hashes.push(hash),
                // "Block height out of range": the chain ends here.
                Err(NodeError::Rpc { code: -8, .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let queries: Vec<_> = hashes.iter().map(|hash| raw(&(hash, false))).collect();
        let mut headers: Vec<Header> = Vec::with_capacity(hashes.len());
        for (hash, answer) in hashes.iter().zip(self.batch::<String>(
            "getblockheader",
            &queries,
            self.timeouts.bulk,
        )?) {
            let header = parse_header("getblockheader", &answer?)?;
            expect_hash("getblockheader", &header, hash)?;
            let below = headers.len().checked_sub(1).map(|below| hashes[below]);
            if below.is_some_and(|below| below != header.prev_blockhash) {
                return Err(moved(start, count));
            }
            headers.push(header);
        }
        Ok(headers)
    }

    /// Walks from `tip` backwards until a header's parent satisfies `is_known`, or the genesis block or
    /// `max` headers are reached. Answers the headers oldest first; they link and the last one is `tip`.
    /// Works on side branches too.
    pub fn walk_back(
        &mut self,
        tip: BlockHash,
        max: usize,
        mut is_known: impl FnMut(&BlockHash) -> bool,
    ) -> Result<Vec<Header>, NodeError> {
        let mut walked: Vec<Header> = Vec::new();
        let mut wanted = tip;
        let mut batch = 64;
        while walked.len() < max && !done(&walked, &mut is_known) {
            if walked.len() >= SINGLE_STEPS {
                let older = self.headers_up_to(wanted, batch.min(max - walked.len()))?;
                batch = (batch * 4).min(MAX_BATCH);
                for header in older.into_iter().rev() {
                    walked.push(header);
                    if done(&walked, &mut is_known) {
                        break;
                    }
                }
            } else {
                walked.push(self.get_block_header(&wanted)?);
            }
            wanted = walked.last().map_or(wanted, |header| header.prev_blockhash);
        }
        walked.reverse();
        Ok(walked)
    }

    /// Up to `count` headers that end with `last`, oldest first; by batch where `last` is in the active
    /// chain, else only `last` itself.
    fn headers_up_to(&mut self, last: BlockHash, count: usize) -> Result<Vec<Header>, NodeError> {
        let info = self.get_block_header_info(&last)?;
        let older = u32::try_from(count.saturating_sub(1))
            .unwrap_or(u32::MAX)
            .min(info.height);
        if info.is_active() && older > 0 {
            let headers = match self.get_headers(info.height - older, older as usize + 1) {
                Err(NodeError::ChainMoved { .. }) => Vec::new(),
                other => other?,
            };
            if headers
                .last()
                .is_some_and(|header| header.block_hash() == last)
            {
                return Ok(headers);
            }
        }
        Ok(vec![info.header])
    }
}

/// Whether the oldest header walked to has a known parent, or none.
fn done(walked: &[Header], is_known: &mut impl FnMut(&BlockHash) -> bool) -> bool {
    use bitcoin::hashes::Hash as _;
    walked.last().is_some_and(|oldest| {
        oldest.prev_blockhash == BlockHash::all_zeros() || is_known(&oldest.prev_blockhash)
    })
}

fn moved(start: u32, count: usize) -> NodeError {
    NodeError::ChainMoved {
        what: format!("{count} headers from height {start} on"),
    }
}

/// A parameter list. Numbers, hashes and booleans always have a JSON form.
fn raw<T: serde::Serialize>(params: &T) -> Box<RawValue> {
    to_raw_value(params).unwrap_or_default()
}
