//! Coins that need no wallet: a P2WSH of OP_TRUE, which any witness that reveals the script spends.

use bitcoin::absolute::LockTime;
use bitcoin::address::KnownHrp;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use serde_json::json;

use super::node::Node;

/// Satoshis each transaction pays.
const FEE: u64 = 2_000;

fn script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

/// The address whose coins anyone can spend.
pub fn address() -> String {
    Address::p2wsh(&script(), KnownHrp::Regtest).to_string()
}

/// Spends `from`, worth `value`, into `outputs` equal parts.
fn spend(from: OutPoint, value: u64, outputs: u64) -> Transaction {
    let mut witness = Witness::new();
    witness.push(script().as_bytes());
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: from,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness,
        }],
        output: (0..outputs)
            .map(|_| TxOut {
                value: Amount::from_sat((value - FEE) / outputs),
                script_pubkey: script().to_p2wsh(),
            })
            .collect(),
    }
}

/// Gives `node` mature coins and fills its mempool: `families` coins, each split by one transaction
/// whose outputs are spent by `children` more. Returns the number of transactions. Bitcoin Core takes
/// families of at most 25.
pub fn fill_mempool(node: &Node, families: u32, children: u32) -> usize {
    let hashes = node.generate(100 + families, &address());
    let mut sent = 0;
    for hash in &hashes[..families as usize] {
        let block = node.call("getblock", json!([hash, 2]));
        let coinbase = &block["tx"][0];
        let txid: Txid = coinbase["txid"].as_str().unwrap().parse().unwrap();
        // Amounts in answers are BTC with eight digits.
        let value = (coinbase["vout"][0]["value"].as_f64().unwrap() * 1e8).round() as u64;
        let parent = spend(OutPoint::new(txid, 0), value, children.into());
        let value = parent.output[0].value.to_sat();
        let children_of_it = (0..children).map(|index| {
            let from = OutPoint::new(parent.compute_txid(), index);
            spend(from, value, 1)
        });
        let family = std::iter::once(parent.clone()).chain(children_of_it);
        node.batch(
            "sendrawtransaction",
            family.map(|transaction| json!([serialize_hex(&transaction), 0])),
        );
        sent += 1 + children as usize;
    }
    sent
}
