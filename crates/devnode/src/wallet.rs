//! The node's own key: it is paid by `generate` and spends into the mempool.

use std::collections::VecDeque;

use bitcoin::ecdsa::Signature;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{All, Message, Secp256k1, SecretKey};
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, CompressedPublicKey, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxOut, Txid, WPubkeyHash, Witness, absolute, transaction,
};

use crate::coins::Coins;
use crate::mempool::Mempool;

/// The key is the same in every devnode, so that a kept chain stays spendable. It is worth nothing.
const KEY_SEED: &[u8] = b"signalcore devnode regtest key";
/// The fee of each of the wallet's transactions: 10 sat/vB at 141 vB.
const FEE_SAT: u64 = 1_410;
/// Below this a coin is left alone: splitting it would make outputs nobody relays.
const MIN_COIN_SAT: u64 = 10_000;

/// One key, one script.
pub(crate) struct Wallet {
    context: Secp256k1<All>,
    secret: SecretKey,
    public: CompressedPublicKey,
    script: ScriptBuf,
}

/// A coin of the wallet's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnCoin {
    outpoint: OutPoint,
    value: u64,
}

impl Wallet {
    pub(crate) fn new() -> Self {
        let context = Secp256k1::new();
        let seed = sha256::Hash::hash(KEY_SEED).to_byte_array();
        let secret = SecretKey::from_slice(&seed).expect("a hash is a key but for 2^-128 of them");
        let public = CompressedPublicKey(secret.public_key(&context));
        Self {
            script: ScriptBuf::new_p2wpkh(&WPubkeyHash::from(public)),
            context,
            secret,
            public,
        }
    }

    pub(crate) fn script(&self) -> ScriptBuf {
        self.script.clone()
    }

    pub(crate) fn public_key(&self) -> CompressedPublicKey {
        self.public
    }

    /// What the wallet may spend in a block at `height`: confirmed coins, oldest first, then outputs
    /// of waiting transactions.
    pub(crate) fn spendable(
        &self,
        coins: &Coins,
        mempool: &Mempool,
        height: u32,
    ) -> VecDeque<OwnCoin> {
        let mut confirmed: Vec<_> = coins
            .iter()
            .filter(|(outpoint, coin)| {
                coin.output.script_pubkey == self.script
                    && coin.is_mature(height)
                    && mempool.spender_of(outpoint).is_none()
            })
            .map(|(outpoint, coin)| (coin.height, *outpoint, coin.output.value.to_sat()))
            .collect();
        confirmed.sort_unstable_by_key(|(height, outpoint, _)| (*height, *outpoint));
        let confirmed = confirmed
            .into_iter()
            .map(|(_, outpoint, value)| OwnCoin { outpoint, value });
        let waiting = mempool.iter().flat_map(|entry| {
            self.outputs_of(entry.txid, &entry.tx)
                .filter(|coin| mempool.spender_of(&coin.outpoint).is_none())
        });
        confirmed
            .chain(waiting)
            .filter(|coin| coin.value >= MIN_COIN_SAT)
            .collect()
    }

    /// How many mature confirmed coins the wallet has at `height`.
    pub(crate) fn confirmed_coins(&self, coins: &Coins, height: u32) -> usize {
        coins
            .iter()
            .filter(|(_, coin)| {
                coin.output.script_pubkey == self.script
                    && coin.is_mature(height)
                    && coin.output.value.to_sat() >= MIN_COIN_SAT
            })
            .count()
    }

    fn outputs_of<'a>(
        &'a self,
        txid: Txid,
        tx: &'a Transaction,
    ) -> impl Iterator<Item = OwnCoin> + 'a {
        tx.output
            .iter()
            .enumerate()
            .filter(|(_, output)| output.script_pubkey == self.script)
            .map(move |(vout, output)| OwnCoin {
                outpoint: OutPoint {
                    txid,
                    vout: vout as u32,
                },
                value: output.value.to_sat(),
            })
    }

    /// Whether splitting this coin leaves coins that a node would relay.
    #[allow(clippy::unused_self)] // a rule of the wallet
    pub(crate) fn is_worth_spending(&self, coin: &OwnCoin) -> bool {
        coin.value >= MIN_COIN_SAT
    }

    /// Spends `coin` to two new coins of the wallet's, a third and two thirds, signed; returns them too.
    pub(crate) fn split(&self, coin: OwnCoin) -> (Transaction, Vec<OwnCoin>) {
        let left = coin.value.saturating_sub(FEE_SAT);
        let payment = left / 3;
        let output = |value| TxOut {
            value: Amount::from_sat(value),
            script_pubkey: self.script.clone(),
        };
        let mut tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: coin.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            }],
            output: vec![output(payment), output(left - payment)],
        };
        let sighash = SighashCache::new(&tx)
            .p2wpkh_signature_hash(
                0,
                &self.script,
                Amount::from_sat(coin.value),
                EcdsaSighashType::All,
            )
            .expect("the script is p2wpkh and the input is there");
        let message = Message::from_digest(sighash.to_byte_array());
        let signature = Signature {
            signature: self.context.sign_ecdsa(&message, &self.secret),
            sighash_type: EcdsaSighashType::All,
        };
        tx.input[0].witness = Witness::p2wpkh(&signature, &self.public.0);
        let made = self.outputs_of(tx.compute_txid(), &tx).collect();
        (tx, made)
    }
}
