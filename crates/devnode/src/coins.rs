//! Unspent outputs, and what a block does to them.

use std::collections::HashMap;

use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use chain::Params;

use crate::reject::Reject;
use crate::scripts;

/// How deep a coinbase must be buried before it may be spent.
pub(crate) const COINBASE_MATURITY: u32 = 100;
/// All the money there can be, in satoshis; the bound of sums in the rules.
pub(crate) const MAX_MONEY: u64 = 21_000_000 * 100_000_000;

/// An unspent output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coin {
    pub(crate) output: TxOut,
    pub(crate) height: u32,
    pub(crate) coinbase: bool,
}

impl Coin {
    /// Whether a block at `height` may spend it.
    pub(crate) fn is_mature(&self, height: u32) -> bool {
        !self.coinbase || height.saturating_sub(self.height) >= COINBASE_MATURITY
    }
}

/// The unspent outputs of the active branch.
#[derive(Debug, Default)]
pub(crate) struct Coins {
    unspent: HashMap<OutPoint, Coin>,
}

/// What connecting a block changes, so that disconnecting it can change it back.
#[derive(Debug)]
pub(crate) struct Change {
    spent: Vec<(OutPoint, Coin)>,
    created: Vec<(OutPoint, Coin)>,
}

impl Change {
    /// An output that `block`, whose change this is, spends: from before, or of its own.
    pub(crate) fn spent_output(&self, outpoint: &OutPoint, block: &Block) -> Option<TxOut> {
        if let Some((_, coin)) = self.spent.iter().find(|(spent, _)| spent == outpoint) {
            return Some(coin.output.clone());
        }
        let parent = block
            .txdata
            .iter()
            .find(|tx| tx.compute_txid() == outpoint.txid)?;
        parent.output.get(outpoint.vout as usize).cloned()
    }
}

impl Coins {
    pub(crate) fn get(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.unspent.get(outpoint)
    }

    /// A coin that no transaction has made, under a script that nothing is asked for.
    pub(crate) fn invent(&mut self, outpoint: OutPoint, value: u64, height: u32) {
        let output = TxOut {
            value: Amount::from_sat(value),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        };
        let coin = Coin {
            output,
            height,
            coinbase: false,
        };
        self.unspent.insert(outpoint, coin);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.unspent.iter()
    }

    /// Whether any output of this transaction is unspent.
    pub(crate) fn has_output_of(&self, tx: &Transaction, txid: Txid) -> bool {
        (0..tx.output.len() as u32).any(|vout| self.unspent.contains_key(&OutPoint { txid, vout }))
    }

    /// Checks a block's spending at `height` and works out what it changes, changing nothing yet.
    /// Transactions that are `verified` already keep their signatures unchecked.
    pub(crate) fn check_block(
        &self,
        params: &Params,
        block: &Block,
        height: u32,
        verified: impl Fn(&Transaction, &Txid) -> bool,
    ) -> Result<Change, Reject> {
        let mut created: HashMap<OutPoint, Coin> = HashMap::new();
        let mut spent: HashMap<OutPoint, Coin> = HashMap::new();
        let mut fees = 0_u64;
        for (position, tx) in block.txdata.iter().enumerate() {
            let txid = tx.compute_txid();
            if self.has_output_of(tx, txid) {
                return Err(Reject::invalid("bad-txns-BIP30"));
            }
            if position > 0 {
                let inputs = gather(tx, |outpoint| {
                    if spent.contains_key(outpoint) {
                        return None;
                    }
                    created
                        .get(outpoint)
                        .or_else(|| self.get(outpoint))
                        .cloned()
                })?;
                fees += check_inputs(tx, &inputs, height)?;
                if fees > MAX_MONEY {
                    return Err(Reject::invalid("bad-txns-accumulated-fee-outofrange"));
                }
                if !verified(tx, &txid) {
                    scripts::check(tx, &inputs)
                        .map_err(|_| Reject::invalid("block-script-verify-flag-failed"))?;
                }
                for (input, coin) in tx.input.iter().zip(inputs) {
                    spent.insert(input.previous_output, coin);
                }
            }
            for (vout, output) in tx.output.iter().enumerate() {
                if output.script_pubkey.is_op_return() {
                    continue;
                }
                let outpoint = OutPoint {
                    txid,
                    vout: vout as u32,
                };
                let coin = Coin {
                    output: output.clone(),
                    height,
                    coinbase: position == 0,
                };
                created.insert(outpoint, coin);
            }
        }
        let reward = chain_reward(params, height, fees);
        let claimed: u64 = block.txdata[0]
            .output
            .iter()
            .map(|output| output.value.to_sat())
            .fold(0, u64::saturating_add);
        if claimed > reward {
            return Err(Reject::invalid("bad-cb-amount"));
        }
        // What is created and spent within the block never shows.
        let spent_before: Vec<_> = spent
            .into_iter()
            .filter(|(outpoint, _)| created.remove(outpoint).is_none())
            .collect();
        Ok(Change {
            spent: spent_before,
            created: created.into_iter().collect(),
        })
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        for (outpoint, _) in &change.spent {
            self.unspent.remove(outpoint);
        }
        for (outpoint, coin) in &change.created {
            self.unspent.insert(*outpoint, coin.clone());
        }
    }

    pub(crate) fn revert(&mut self, change: &Change) {
        for (outpoint, _) in &change.created {
            self.unspent.remove(outpoint);
        }
        for (outpoint, coin) in &change.spent {
            self.unspent.insert(*outpoint, coin.clone());
        }
    }
}

fn chain_reward(params: &Params, height: u32, fees: u64) -> u64 {
    params.block_subsidy(height).to_sat() + fees
}

/// The coins that a transaction's inputs name, in their order.
pub(crate) fn gather(
    tx: &Transaction,
    find: impl Fn(&OutPoint) -> Option<Coin>,
) -> Result<Vec<Coin>, Reject> {
    tx.input
        .iter()
        .map(|input| {
            find(&input.previous_output)
                .ok_or_else(|| Reject::invalid("bad-txns-inputs-missingorspent"))
        })
        .collect()
}

/// Maturity and sums of a transaction that a block at `height` would hold; returns its fee.
pub(crate) fn check_inputs(tx: &Transaction, inputs: &[Coin], height: u32) -> Result<u64, Reject> {
    let mut sum_in = 0_u64;
    for coin in inputs {
        if !coin.is_mature(height) {
            return Err(Reject::invalid("bad-txns-premature-spend-of-coinbase"));
        }
        sum_in = sum_in.saturating_add(coin.output.value.to_sat());
        if sum_in > MAX_MONEY {
            return Err(Reject::invalid("bad-txns-inputvalues-outofrange"));
        }
    }
    let sum_out = tx
        .output
        .iter()
        .map(|output| output.value.to_sat())
        .fold(0, u64::saturating_add);
    sum_in
        .checked_sub(sum_out)
        .ok_or_else(|| Reject::invalid("bad-txns-in-belowout"))
}
