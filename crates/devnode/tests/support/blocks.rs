//! Blocks made by hand, on the `bitcoin` crate alone.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Witness, absolute, transaction,
};

use super::Node;

/// What regtest pays at a height, in satoshis.
pub fn subsidy(height: u32) -> u64 {
    5_000_000_000 >> (height / 150)
}

/// A coinbase without witness that pays OP_TRUE; `tag` makes it one of its kind.
pub fn coinbase(height: u32, tag: &str) -> Transaction {
    let script_sig = bitcoin::script::Builder::new()
        .push_int(i64::from(height))
        .push_slice(<&bitcoin::script::PushBytes>::try_from(tag.as_bytes()).expect("short"))
        .into_script();
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(subsidy(height)),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        }],
    }
}

/// Spends an output of OP_TRUE to another one of `value` satoshis.
pub fn spend(coin: OutPoint, value: u64) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(value),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        }],
    }
}

/// A block of nothing but its coinbase, mined.
pub fn empty_block(parent: BlockHash, height: u32, time: u32, tag: &str) -> Block {
    block_of(parent, time, vec![coinbase(height, tag)])
}

/// A mined block of these transactions.
pub fn block_of(parent: BlockHash, time: u32, txdata: Vec<Transaction>) -> Block {
    let mut block = Block {
        header: Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: parent,
            merkle_root: TxMerkleNode::all_zeros(),
            time,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        },
        txdata,
    };
    mine(&mut block);
    block
}

/// Sets merkle root and nonce so that the block is consistent with its content.
pub fn mine(block: &mut Block) {
    block.header.merkle_root = block.compute_merkle_root().expect("a coinbase");
    remine(block);
}

/// Looks for a nonce and leaves the rest as it is.
pub fn remine(block: &mut Block) {
    block.header.nonce = 0;
    while block.header.validate_pow(block.header.target()).is_err() {
        block.header.nonce += 1;
    }
}

/// Looks for a nonce that does not meet the target.
pub fn unmine(block: &mut Block) {
    while block.header.validate_pow(block.header.target()).is_ok() {
        block.header.nonce += 1;
    }
}

/// A branch of `count` empty blocks on a parent, times one second apart from the parent's on.
pub fn branch(node: &Node, parent: BlockHash, count: u32, tag: &str) -> Vec<Block> {
    let header = node.ok("getblockheader", &serde_json::json!([parent.to_string()]));
    let height = header["height"].as_u64().expect("height") as u32;
    let time = header["time"].as_u64().expect("time") as u32;
    let mut blocks: Vec<Block> = Vec::new();
    for step in 1..=count {
        let parent = blocks.last().map_or(parent, Block::block_hash);
        blocks.push(empty_block(parent, height + step, time + step, tag));
    }
    blocks
}

/// The block that the current template describes, with its transactions and a witness commitment, not yet mined.
pub fn from_template(template: &serde_json::Value) -> Block {
    let height = template["height"].as_u64().expect("height") as u32;
    let mut coinbase = coinbase(height, "template");
    coinbase.output[0].value = Amount::from_sat(template["coinbasevalue"].as_u64().expect("value"));
    let commitment = template["default_witness_commitment"]
        .as_str()
        .expect("hex");
    coinbase.output.push(TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_hex(commitment).expect("hex"),
    });
    coinbase.input[0].witness = Witness::from_slice(&[[0_u8; 32]]);
    let mut txdata = vec![coinbase];
    for tx in template["transactions"].as_array().expect("array") {
        let raw = hex::decode(tx["data"].as_str().expect("hex")).expect("hex");
        txdata.push(bitcoin::consensus::deserialize(&raw).expect("transaction"));
    }
    let parent = template["previousblockhash"].as_str().expect("hash");
    let time = template["curtime"].as_u64().expect("time") as u32;
    let mut block = block_of(parent.parse().expect("hash"), time, txdata);
    let version = template["version"].as_i64().expect("version") as i32;
    block.header.version = Version::from_consensus(version);
    remine(&mut block);
    block
}
