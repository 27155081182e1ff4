//! Blocks of the node's own making, and transactions to put into them.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, absolute, transaction,
};

use crate::coins::COINBASE_MATURITY;
use crate::error::DevnodeError;
use crate::reject::Reject;
use crate::rules;
use crate::template;
use crate::world::World;

/// What transactions of another chain pay at least, in sat/vB.
const ADOPTED_FEE_RATE: u64 = 10;

impl World {
    /// Mines a block that holds the mempool and pays `script`.
    pub(crate) fn generate(&mut self, script: &ScriptBuf) -> Result<BlockHash, DevnodeError> {
        let block = self.make_block(script).map_err(own_block)?;
        let hash = block.block_hash();
        match self.submit(block, true) {
            None => Ok(hash),
            Some(reason) => Err(DevnodeError::OwnBlock { reason }),
        }
    }

    fn make_block(&mut self, script: &ScriptBuf) -> Result<Block, Reject> {
        let figures = self.figures()?;
        let (transactions, _) = self.choose_transactions();
        let fees: u64 = transactions.iter().map(|entry| entry.fee).sum();
        self.mined += 1;
        let coinbase = self.coinbase(
            figures.height,
            figures.subsidy + Amount::from_sat(fees),
            script,
            template::witness_commitment_script(&transactions),
        );
        let mut block = Block {
            header: Header {
                version: Version::from_consensus(figures.version),
                prev_blockhash: figures.previous,
                merkle_root: TxMerkleNode::all_zeros(),
                time: figures.time,
                bits: CompactTarget::from_consensus(figures.bits),
                nonce: 0,
            },
            txdata: std::iter::once(coinbase)
                .chain(transactions.iter().map(|entry| (*entry.tx).clone()))
                .collect(),
        };
        if let Some(root) = block.compute_merkle_root() {
            block.header.merkle_root = root;
        }
        // Regtest's target lets every other hash pass.
        while rules::check_proof_of_work(self.params, &block.header).is_err() {
            block.header.nonce += 1;
        }
        Ok(block)
    }

    fn coinbase(
        &self,
        height: u32,
        reward: Amount,
        script: &ScriptBuf,
        commitment: ScriptBuf,
    ) -> Transaction {
        let mut script_sig = rules::height_script(height).into_bytes();
        // Makes the coinbase unique where two branches pay the same script at the same height.
        script_sig.push(8);
        script_sig.extend_from_slice(&self.mined.to_le_bytes());
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::from_bytes(script_sig),
                sequence: Sequence::MAX,
                witness: Witness::from_slice(&[[0_u8; 32]]),
            }],
            output: vec![
                TxOut {
                    value: reward,
                    script_pubkey: script.clone(),
                },
                TxOut {
                    value: Amount::ZERO,
                    script_pubkey: commitment,
                },
            ],
        }
    }

    /// Mines until the wallet has `coins` mature coins, or until mining yields nothing any more
    /// (regtest's subsidy ends after some 5,000 blocks).
    pub(crate) fn fund(&mut self, coins: usize) -> Result<(), DevnodeError> {
        let script = self.wallet.script();
        let most = coins as u32 + COINBASE_MATURITY;
        for _ in 0..most {
            let height = self.next_height();
            if self.wallet.confirmed_coins(&self.coins, height) >= coins {
                break;
            }
            self.generate(&script)?;
        }
        Ok(())
    }

    /// Puts `wanted` transactions of the wallet's into the mempool; see
    /// [`Devnode::fill_mempool`](crate::Devnode::fill_mempool).
    pub(crate) fn fill_mempool(&mut self, wanted: usize) -> Result<Vec<Txid>, DevnodeError> {
        let height = self.next_height();
        let now = self.clock.now();
        let mut purse = self.wallet.spendable(&self.coins, &self.mempool, height);
        let mut made = Vec::with_capacity(wanted);
        let mut changes = Vec::with_capacity(wanted);
        let outcome = loop {
            if made.len() == wanted {
                break Ok(());
            }
            let Some(coin) = purse.pop_front() else {
                break Err(DevnodeError::NoCoins {
                    made: made.len(),
                    wanted,
                });
            };
            let (tx, coins) = self.wallet.split(coin);
            made.push(tx.compute_txid());
            match self.mempool.accept(tx, &self.coins, height, now) {
                Ok(change) => changes.push(change),
                Err(reject) => {
                    break Err(DevnodeError::Transaction {
                        reason: reject.reason.into_owned(),
                    });
                }
            }
            purse.extend(
                coins
                    .into_iter()
                    .filter(|coin| self.wallet.is_worth_spending(coin)),
            );
        };
        self.announce(changes);
        outcome.map(|()| made)
    }

    /// Puts transactions of another chain into the mempool; see [`Devnode::adopt`](crate::Devnode::adopt).
    pub(crate) fn adopt(&mut self, transactions: Vec<Transaction>) -> usize {
        let height = self.next_height();
        let median = self.index.median_time(&self.index.tip_hash());
        let now = self.clock.now();
        let mut changes = Vec::new();
        for tx in transactions {
            let spends = || tx.input.iter().map(|input| input.previous_output);
            let conflicts = spends().any(|outpoint| self.mempool.spender_of(&outpoint).is_some());
            if tx.is_coinbase() || conflicts || !rules::is_final(&tx, height, median) {
                continue;
            }
            let missing: Vec<OutPoint> = spends()
                .filter(|outpoint| self.mempool.spendable(&self.coins, outpoint).is_none())
                .collect();
            let paid: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
            let fee = ADOPTED_FEE_RATE * tx.weight().to_wu().div_ceil(4);
            // The first pays for everything.
            let mut value = paid + fee;
            for outpoint in missing {
                self.coins.invent(outpoint, value, height - 1);
                value = 0;
            }
            match self.mempool.accept(tx, &self.coins, height, now) {
                Ok(change) => changes.push(change),
                Err(reject) => tracing::debug!(%reject, "transaction not adopted"),
            }
        }
        let adopted = changes.len();
        self.announce(changes);
        adopted
    }

    /// `sendrawtransaction`.
    pub(crate) fn accept_transaction(&mut self, tx: Transaction) -> Result<Txid, Reject> {
        let txid = tx.compute_txid();
        let height = self.next_height();
        let change = self
            .mempool
            .accept(tx, &self.coins, height, self.clock.now())?;
        self.announce(vec![change]);
        Ok(txid)
    }
}

fn own_block(reject: Reject) -> DevnodeError {
    DevnodeError::OwnBlock {
        reason: reject.reason.into_owned(),
    }
}
