//! Verification of the spends that this node knows how to verify.
//!
//! Two kinds: p2wpkh (the signature is checked, whoever's key it is) and p2wsh whose script is just
//! OP_TRUE. A p2wsh spend must show the script that its output committed to. **Every other script
//! passes unverified**: this node is a test peer, not a validator of scripts.

use bitcoin::ecdsa::Signature;
use bitcoin::hashes::Hash as _;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::secp256k1::{Message, Secp256k1, VerifyOnly};
use bitcoin::sighash::SighashCache;
use bitcoin::{CompressedPublicKey, Script, ScriptBuf, Transaction, WPubkeyHash, WScriptHash};
use std::sync::OnceLock;

use crate::coins::Coin;

/// An input whose proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadScript;

fn verifier() -> &'static Secp256k1<VerifyOnly> {
    static CONTEXT: OnceLock<Secp256k1<VerifyOnly>> = OnceLock::new();
    CONTEXT.get_or_init(Secp256k1::verification_only)
}

/// Checks every input of `tx` against the coins it spends, which are in the inputs' order.
pub(crate) fn check(tx: &Transaction, coins: &[Coin]) -> Result<(), BadScript> {
    let mut cache = SighashCache::new(tx);
    for (index, coin) in coins.iter().enumerate() {
        let script = &coin.output.script_pubkey;
        if script.is_p2wpkh() {
            check_p2wpkh(&mut cache, index, coin)?;
        } else if script.is_p2wsh() {
            check_p2wsh(tx, index, script)?;
        }
    }
    Ok(())
}

fn check_p2wpkh(
    cache: &mut SighashCache<&Transaction>,
    index: usize,
    coin: &Coin,
) -> Result<(), BadScript> {
    let script = &coin.output.script_pubkey;
    let (signature, key) = {
        let input = cache.transaction().input.get(index).ok_or(BadScript)?;
        let (Some(signature), Some(key), 2, true) = (
            input.witness.nth(0),
            input.witness.nth(1),
            input.witness.len(),
            input.script_sig.is_empty(),
        ) else {
            return Err(BadScript);
        };
        let signature = Signature::from_slice(signature).map_err(|_| BadScript)?;
        let key = CompressedPublicKey::from_slice(key).map_err(|_| BadScript)?;
        (signature, key)
    };
    if *script != ScriptBuf::new_p2wpkh(&WPubkeyHash::from(key)) {
        return Err(BadScript);
    }
    let sighash = cache
        .p2wpkh_signature_hash(index, script, coin.output.value, signature.sighash_type)
        .map_err(|_| BadScript)?;
    let message = Message::from_digest(sighash.to_byte_array());
    verifier()
        .verify_ecdsa(&message, &signature.signature, &key.0)
        .map_err(|_| BadScript)
}

fn check_p2wsh(tx: &Transaction, index: usize, script: &Script) -> Result<(), BadScript> {
    let input = tx.input.get(index).ok_or(BadScript)?;
    let program = Script::from_bytes(input.witness.last().ok_or(BadScript)?);
    if *script != ScriptBuf::new_p2wsh(&WScriptHash::hash(program.as_bytes())) {
        return Err(BadScript);
    }
    // OP_TRUE leaves one element, which is right only where nothing else was on the stack.
    let is_op_true = program.as_bytes() == [OP_TRUE.to_u8()];
    if is_op_true && input.witness.len() != 1 {
        return Err(BadScript);
    }
    Ok(())
}
