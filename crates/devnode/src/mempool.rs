//! Transactions waiting for a block, parents before children.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{Block, OutPoint, Transaction, Txid, Wtxid};

use crate::coins::{self, Coin, Coins};
use crate::reject::Reject;
use crate::scripts;

/// Bitcoin Core's default `minrelaytxfee` since v30: 100 sat/kvB.
const MIN_RELAY_SAT_PER_KVB: u64 = 100;

/// A waiting transaction and what a template says of it.
#[derive(Debug, Clone)]
pub(crate) struct PoolTx {
    pub(crate) tx: Arc<Transaction>,
    pub(crate) txid: Txid,
    pub(crate) wtxid: Wtxid,
    /// In satoshis.
    pub(crate) fee: u64,
    /// In weight units.
    pub(crate) weight: u64,
    /// Cost in the unit of the block's limit of 80,000.
    pub(crate) sigops: u64,
    /// When it came, in seconds since the Unix epoch.
    pub(crate) time: u32,
    /// The height of the best block when it came.
    pub(crate) height: u32,
}

impl PoolTx {
    /// Virtual bytes: a quarter of the weight, rounded up.
    pub(crate) fn vsize(&self) -> u64 {
        self.weight.div_ceil(4)
    }
}

/// A change that subscribers hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added(Txid, u64),
    Removed(Txid, u64),
}

/// The mempool. The order of arrival puts parents before children.
#[derive(Default)]
pub(crate) struct Mempool {
    arrivals: u64,
    order: BTreeMap<u64, Txid>,
    entries: HashMap<Txid, (u64, PoolTx)>,
    spenders: HashMap<OutPoint, Txid>,
    /// Counts what makes a template outdated; the tail of a `longpollid`.
    updates: u64,
    /// The number that `sequence` messages carry; the next one to be given.
    sequence: u64,
}

impl Mempool {
    pub(crate) fn new() -> Self {
        Self {
            sequence: 1,
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn get(&self, txid: &Txid) -> Option<&PoolTx> {
        self.entries.get(txid).map(|(_, entry)| entry)
    }

    /// Whether this very transaction, witness included, waits here: its signatures are good.
    pub(crate) fn has_verified(&self, tx: &Transaction, txid: &Txid) -> bool {
        self.get(txid)
            .is_some_and(|entry| entry.wtxid == tx.compute_wtxid())
    }

    /// In order of arrival: parents before children.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PoolTx> {
        self.order.values().map(|txid| &self.entries[txid].1)
    }

    pub(crate) fn spender_of(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spenders.get(outpoint).copied()
    }

    /// Waiting transactions that `entry` spends outputs of, each once.
    pub(crate) fn parents_of(&self, entry: &PoolTx) -> Vec<Txid> {
        let mut seen = HashSet::new();
        let inputs = entry.tx.input.iter();
        inputs
            .map(|input| input.previous_output.txid)
            .filter(|txid| self.entries.contains_key(txid) && seen.insert(*txid))
            .collect()
    }

    /// Waiting transactions that spend outputs of `entry`, each once.
    pub(crate) fn children_of(&self, entry: &PoolTx) -> Vec<Txid> {
        let mut seen = HashSet::new();
        (0..entry.tx.output.len() as u32)
            .filter_map(|vout| {
                self.spender_of(&OutPoint {
                    txid: entry.txid,
                    vout,
                })
            })
            .filter(|txid| seen.insert(*txid))
            .collect()
    }

    /// An output that a new transaction may spend, confirmed or waiting, taken by nobody yet.
    pub(crate) fn spendable(&self, coins: &Coins, outpoint: &OutPoint) -> Option<Coin> {
        if self.spenders.contains_key(outpoint) {
            return None;
        }
        if let Some((_, parent)) = self.entries.get(&outpoint.txid) {
            let output = parent.tx.output.get(outpoint.vout as usize)?;
            return Some(Coin {
                output: output.clone(),
                height: parent.height + 1,
                coinbase: false,
            });
        }
        coins.get(outpoint).cloned()
    }

    /// Checks a transaction against coins and mempool, for a block at `height`, and takes it in.
    pub(crate) fn accept(
        &mut self,
        tx: Transaction,
        coins: &Coins,
        height: u32,
        now: u32,
    ) -> Result<Change, Reject> {
        check_alone(&tx)?;
        let txid = tx.compute_txid();
        if self.entries.contains_key(&txid) {
            return Err(Reject::invalid("txn-already-in-mempool"));
        }
        if tx
            .input
            .iter()
            .any(|input| self.spenders.contains_key(&input.previous_output))
        {
            return Err(Reject::invalid("txn-mempool-conflict"));
        }
        let inputs = coins::gather(&tx, |outpoint| self.spendable(coins, outpoint))?;
        let fee = coins::check_inputs(&tx, &inputs, height)?;
        let weight = tx.weight().to_wu();
        if fee < MIN_RELAY_SAT_PER_KVB * weight.div_ceil(4) / 1_000 {
            return Err(Reject::invalid("min relay fee not met"));
        }
        scripts::check(&tx, &inputs)
            .map_err(|_| Reject::invalid("mempool-script-verify-flag-failed"))?;
        let spent: HashMap<OutPoint, &Coin> = tx
            .input
            .iter()
            .map(|input| input.previous_output)
            .zip(&inputs)
            .collect();
        let sigops = tx
            .total_sigop_cost(|outpoint| spent.get(outpoint).map(|coin| coin.output.clone()))
            as u64;
        let entry = PoolTx {
            txid,
            wtxid: tx.compute_wtxid(),
            fee,
            weight,
            sigops,
            time: now,
            height: height.saturating_sub(1),
            tx: Arc::new(tx),
        };
        Ok(self.insert(entry))
    }

    fn insert(&mut self, entry: PoolTx) -> Change {
        let txid = entry.txid;
        for input in &entry.tx.input {
            self.spenders.insert(input.previous_output, txid);
        }
        self.arrivals += 1;
        self.order.insert(self.arrivals, txid);
        self.entries.insert(txid, (self.arrivals, entry));
        self.updates += 1;
        Change::Added(txid, self.next_sequence())
    }

    fn next_sequence(&mut self) -> u64 {
        let number = self.sequence;
        self.sequence += 1;
        number
    }

    fn remove(&mut self, txid: &Txid) -> Option<PoolTx> {
        let (arrival, entry) = self.entries.remove(txid)?;
        self.order.remove(&arrival);
        for input in &entry.tx.input {
            self.spenders.remove(&input.previous_output);
        }
        self.updates += 1;
        Some(entry)
    }

    /// Removes a transaction and all that depends on it, children first.
    fn remove_branch(&mut self, txid: Txid, changes: &mut Vec<Change>) {
        let Some(entry) = self.get(&txid) else { return };
        for child in self.children_of(entry) {
            self.remove_branch(child, changes);
        }
        if self.remove(&txid).is_some() {
            let number = self.next_sequence();
            changes.push(Change::Removed(txid, number));
        }
    }

    /// Takes out what a connected block holds, and what it double-spends. Only the latter is
    /// reported: a block speaks for its own transactions.
    pub(crate) fn block_connected(&mut self, block: &Block) -> Vec<Change> {
        let mut changes = Vec::new();
        self.updates += 1;
        for tx in block.txdata.iter().skip(1) {
            let txid = tx.compute_txid();
            if self.remove(&txid).is_some() {
                // Bitcoin Core numbers these removals too, without announcing them.
                self.next_sequence();
            }
            for input in &tx.input {
                if let Some(conflicting) = self.spender_of(&input.previous_output) {
                    self.remove_branch(conflicting, &mut changes);
                }
            }
        }
        changes
    }

    /// After a reorganisation: `returned` (from disconnected blocks, oldest first) come back in front
    /// of what waited already, and what the new branch does not allow any more is dropped.
    pub(crate) fn reorganised(
        &mut self,
        returned: Vec<Transaction>,
        coins: &Coins,
        height: u32,
        now: u32,
    ) -> Vec<Change> {
        let waiting: Vec<PoolTx> = self.iter().cloned().collect();
        let known: HashSet<Txid> = waiting.iter().map(|entry| entry.txid).collect();
        let sequence = self.sequence;
        *self = Self {
            arrivals: self.arrivals,
            updates: self.updates + 1,
            sequence,
            ..Self::default()
        };
        let mut changes = Vec::new();
        for tx in returned {
            let txid = tx.compute_txid();
            // One that the new branch spends or has again is refused here, silently as in Core.
            if let Ok(change) = self.accept(tx, coins, height, now)
                && !known.contains(&txid)
            {
                changes.push(change);
            }
        }
        for entry in waiting {
            if self.entries.contains_key(&entry.txid) {
                continue;
            }
            let inputs = coins::gather(&entry.tx, |outpoint| self.spendable(coins, outpoint));
            let still_good =
                inputs.is_ok_and(|inputs| coins::check_inputs(&entry.tx, &inputs, height).is_ok());
            if still_good {
                // It was announced when it came; its number is not given twice.
                self.insert(entry);
                self.sequence -= 1;
            } else {
                let number = self.next_sequence();
                changes.push(Change::Removed(entry.txid, number));
            }
        }
        changes
    }
}

/// What can be said of a waiting transaction without its coins.
fn check_alone(tx: &Transaction) -> Result<(), Reject> {
    if tx.input.is_empty() {
        return Err(Reject::invalid("bad-txns-vin-empty"));
    }
    if tx.output.is_empty() {
        return Err(Reject::invalid("bad-txns-vout-empty"));
    }
    if tx.is_coinbase() {
        return Err(Reject::invalid("coinbase"));
    }
    let mut seen = HashSet::new();
    if !tx
        .input
        .iter()
        .all(|input| seen.insert(input.previous_output))
    {
        return Err(Reject::invalid("bad-txns-inputs-duplicate"));
    }
    let mut sum = 0_u64;
    for output in &tx.output {
        sum = sum.saturating_add(output.value.to_sat());
        if sum > coins::MAX_MONEY {
            return Err(Reject::invalid("bad-txns-txouttotal-toolarge"));
        }
    }
    Ok(())
}
