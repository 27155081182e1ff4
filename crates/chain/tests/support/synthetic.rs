//! Blocks made up of every kind of field there is, without any chain data.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version as TxVersion;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, WitnessCommitment, WitnessMerkleNode,
};

/// What the script of a witness commitment begins with (BIP141).
const COMMITMENT_HEAD: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

fn input(number: u8, script: &[u8], witness: &[&[u8]]) -> TxIn {
    TxIn {
        previous_output: OutPoint::new(Txid::from_byte_array([number; 32]), u32::from(number)),
        script_sig: ScriptBuf::from_bytes(script.to_vec()),
        sequence: Sequence::ZERO,
        witness: bitcoin::Witness::from_slice(witness),
    }
}

fn output(sats: u64, script: &[u8]) -> TxOut {
    TxOut {
        value: Amount::from_sat(sats),
        script_pubkey: ScriptBuf::from_bytes(script.to_vec()),
    }
}

fn transaction(lock_time: u32, input: Vec<TxIn>, output: Vec<TxOut>) -> Transaction {
    Transaction {
        version: TxVersion::TWO,
        lock_time: LockTime::from_consensus(lock_time),
        input,
        output,
    }
}

/// A valid block but for its proof of work and scripts, at any height below BIP34's: a coinbase
/// with a witness commitment, transactions with and without witnesses, lock times, many inputs.
pub fn block() -> Block {
    let mut commitment = COMMITMENT_HEAD.to_vec();
    commitment.extend([0; 32]);
    let coinbase = TxIn {
        previous_output: OutPoint::null(),
        ..input(0, &[3, 1, 2, 3, 0x51], &[&[0; 32]])
    };
    let outputs = vec![output(50_0000_0000, &[0x51]), output(0, &commitment)];
    // Pushes, signature operations, and a push that runs past the end.
    let script = [
        0x4c, 2, 7, 7, 0xac, 0xae, 0x4d, 1, 0, 9, 0xad, 0xaf, 0x4e, 9,
    ];
    let txdata = vec![
        transaction(0, vec![coinbase], outputs),
        transaction(100, vec![input(1, &script, &[])], vec![output(1, &script)]),
        transaction(
            1_600_000_000,
            vec![input(2, &[], &[&[1; 72], &[2; 33]]), input(3, &[0], &[])],
            vec![output(2, &[0; 22]), output(3, &[])],
        ),
        transaction(
            0,
            (4..20).map(|number| input(number, &[], &[])).collect(),
            vec![output(21_000_000, &[0x6a; 300])],
        ),
    ];
    committed(Block {
        header: Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: BlockHash::from_byte_array([9; 32]),
            merkle_root: TxMerkleNode::all_zeros(),
            time: 1_700_000_000,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 700_000,
        },
        txdata,
    })
}

/// The block with its witness commitment, where it has one, and its merkle root put right.
pub fn committed(mut block: Block) -> Block {
    let witness_root = block.witness_root();
    let commitment = |coinbase: &Transaction| {
        let witness = coinbase.input.first()?.witness.nth(0)?;
        let leaf = witness_root.unwrap_or_else(WitnessMerkleNode::all_zeros);
        Some(Block::compute_witness_commitment(&leaf, witness))
    };
    if let Some(coinbase) = block.txdata.first_mut()
        && let Some(commitment) = commitment(coinbase)
        && let Some(script) = coinbase
            .output
            .iter_mut()
            .map(|out| &mut out.script_pubkey)
            .rfind(|script| script.len() >= 38 && script.as_bytes().starts_with(&COMMITMENT_HEAD))
    {
        *script = replaced(script, commitment);
    }
    if let Some(root) = block.compute_merkle_root() {
        block.header.merkle_root = root;
    }
    block
}

fn replaced(script: &ScriptBuf, commitment: WitnessCommitment) -> ScriptBuf {
    let mut bytes = script.to_bytes();
    bytes[6..38].copy_from_slice(commitment.as_byte_array());
    ScriptBuf::from_bytes(bytes)
}
