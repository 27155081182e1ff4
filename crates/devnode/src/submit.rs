//! Blocks and headers coming in, judged as `submitblock`, `submitheader` and proposals judge them.

use std::borrow::Cow;

use bitcoin::block::Header;
use bitcoin::consensus::{Decodable as _, serialize};
use bitcoin::{Block, BlockHash};

use crate::coins::Change;
use crate::index::{Body, Fault};
use crate::reject::Reject;
use crate::rules;
use crate::store::Record;
use crate::world::World;

type Verdict = Option<String>;

impl World {
    /// `submitblock` of serialised bytes: `None` where they do not decode, else what
    /// [`submit`](Self::submit) says. Trailing bytes are ignored.
    pub(crate) fn submit_raw(&mut self, raw: &[u8]) -> Option<Verdict> {
        let mut reader = raw;
        let block = Block::consensus_decode(&mut reader).ok()?;
        Some(self.submit(block, true))
    }

    /// Takes a block in; `None` means that it is in the best chain now. `timely` applies the
    /// two-hour rule, which blocks read again from disk have passed already.
    pub(crate) fn submit(&mut self, mut block: Block, timely: bool) -> Verdict {
        // Bitcoin Core helps a miner that forgot the coinbase's witness, in submitblock only.
        if self.index.get(&block.header.prev_blockhash).is_some()
            && rules::lacks_witness_nonce(&block)
        {
            block.txdata[0].input[0].witness.push([0_u8; 32]);
        }
        let hash = block.block_hash();
        match self.take_in(&block, timely) {
            Err(reject) => return Some(reject.reason.into_owned()),
            Ok(Intake::Known) => return Some("duplicate".to_owned()),
            Ok(Intake::New(completed)) => self.activate_best(&completed),
        }
        if self.index.is_active(&hash) {
            return None;
        }
        let failure = self.failures.iter().find(|(failed, _)| *failed == hash);
        Some(
            failure
                .map_or("inconclusive", |(_, reason)| reason)
                .to_owned(),
        )
    }

    fn take_in(&mut self, block: &Block, timely: bool) -> Result<Intake, Reject> {
        rules::check_proof_of_work(self.params, &block.header)?;
        rules::check_block(block)?;
        let hash = self.accept_header(&block.header, timely)?;
        let entry = self.index.known(&hash);
        if entry.body.is_some() {
            return Ok(Intake::Known);
        }
        let height = entry.height;
        let branch = self.index.branch(&block.header.prev_blockhash);
        if let Err(reject) = rules::check_block_context(self.params, block, height, &branch) {
            if !reject.passing {
                self.index.mark_failed(hash);
            }
            return Err(reject);
        }
        let raw = serialize(block);
        self.keep(&Record::Block(raw.clone()));
        let body = Body {
            raw: raw.into(),
            transactions: block.txdata.len() as u64,
        };
        Ok(Intake::New(self.index.add_body(hash, body)))
    }

    /// `submitheader`, and the first step of `submitblock`.
    pub(crate) fn accept_header(
        &mut self,
        header: &Header,
        timely: bool,
    ) -> Result<BlockHash, Reject> {
        let hash = header.block_hash();
        if let Some(entry) = self.index.get(&hash) {
            return if entry.fault == Fault::None {
                Ok(hash)
            } else {
                Err(Reject::invalid("duplicate-invalid"))
            };
        }
        rules::check_proof_of_work(self.params, header)?;
        let Some(parent) = self.index.get(&header.prev_blockhash) else {
            return Err(Reject::passing("prev-blk-not-found"));
        };
        if parent.fault != Fault::None {
            return Err(Reject::invalid("bad-prevblk"));
        }
        let height = parent.height + 1;
        let branch = self.index.branch(&header.prev_blockhash);
        let now = timely.then(|| self.clock.now());
        rules::check_header(self.params, header, height, &branch, now)?;
        Ok(self.index.add_header(*header))
    }

    /// What `getblocktemplate` says to a proposal: the block as it would be judged on the tip, proof
    /// of work apart, without anything being kept.
    pub(crate) fn propose(&self, block: &Block) -> Option<Cow<'static, str>> {
        if let Some(entry) = self.index.get(&block.block_hash()) {
            return Some(Cow::Borrowed(match entry.fault {
                Fault::None if entry.was_connected => "duplicate",
                Fault::None => "duplicate-inconclusive",
                Fault::Failed | Fault::Descendant => "duplicate-invalid",
            }));
        }
        if block.header.prev_blockhash != self.index.tip_hash() {
            return Some(Cow::Borrowed("inconclusive-not-best-prevblk"));
        }
        self.check_on_tip(block).err().map(|reject| reject.reason)
    }

    /// Every rule but proof of work, for a block on the tip (`TestBlockValidity`).
    pub(crate) fn check_on_tip(&self, block: &Block) -> Result<(), Reject> {
        let height = self.next_height();
        let branch = self.index.branch(&self.index.tip_hash());
        rules::check_block(block)?;
        let now = Some(self.clock.now());
        rules::check_header_context(self.params, &block.header, height, &branch, now)?;
        rules::check_block_context(self.params, block, height, &branch)?;
        self.check_coins(block, height).map(|_| ())
    }

    /// What a block on the tip does to the coins, if it may.
    pub(crate) fn check_coins(&self, block: &Block, height: u32) -> Result<Change, Reject> {
        self.coins
            .check_block(self.params, block, height, |tx, txid| {
                self.mempool.has_verified(tx, txid)
            })
    }
}

enum Intake {
    /// The body was there already.
    Known,
    /// Taken in; these blocks are complete since.
    New(Vec<BlockHash>),
}
