//! A transaction in words, as in `getblock` with verbosity 2.

use bitcoin::script::Instruction;
use bitcoin::{Address, Network, OutPoint, Script, Transaction, TxIn, TxOut};
use serde::Serialize;

use super::json::Coins;

#[derive(Serialize)]
pub(super) struct Verbose {
    txid: String,
    hash: String,
    version: i32,
    size: usize,
    vsize: usize,
    weight: u64,
    locktime: u32,
    vin: Vec<Input>,
    vout: Vec<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<Coins>,
    hex: String,
}

#[derive(Serialize)]
struct Input {
    #[serde(skip_serializing_if = "Option::is_none")]
    coinbase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    txid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vout: Option<u32>,
    #[serde(rename = "scriptSig", skip_serializing_if = "Option::is_none")]
    script_sig: Option<ScriptSig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    txinwitness: Vec<String>,
    sequence: u32,
}

#[derive(Serialize)]
struct ScriptSig {
    asm: String,
    hex: String,
}

#[derive(Serialize)]
struct Output {
    value: Coins,
    n: usize,
    #[serde(rename = "scriptPubKey")]
    script_pubkey: ScriptPubkey,
}

#[derive(Serialize)]
struct ScriptPubkey {
    asm: String,
    desc: String,
    hex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    r#type: &'static str,
}

impl Verbose {
    /// `spent` finds the outputs that the inputs spend, where they are known; the fee needs them all.
    pub(super) fn of(tx: &Transaction, spent: impl Fn(&OutPoint) -> Option<TxOut>) -> Self {
        let coinbase = tx.is_coinbase();
        let sum_in: Option<u64> = tx
            .input
            .iter()
            .map(|input| spent(&input.previous_output).map(|output| output.value.to_sat()))
            .sum();
        let sum_out: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
        Self {
            txid: tx.compute_txid().to_string(),
            hash: tx.compute_wtxid().to_string(),
            version: tx.version.0,
            size: tx.total_size(),
            vsize: tx.vsize(),
            weight: tx.weight().to_wu(),
            locktime: tx.lock_time.to_consensus_u32(),
            vin: tx
                .input
                .iter()
                .map(|input| Input::of(input, coinbase))
                .collect(),
            vout: tx.output.iter().enumerate().map(Output::of).collect(),
            fee: sum_in
                .filter(|_| !coinbase)
                .and_then(|sum_in| sum_in.checked_sub(sum_out))
                .map(Coins),
            hex: bitcoin::consensus::encode::serialize_hex(tx),
        }
    }
}

impl Input {
    fn of(input: &TxIn, coinbase: bool) -> Self {
        let script = &input.script_sig;
        let spending = !coinbase;
        Self {
            coinbase: coinbase.then(|| script.to_hex_string()),
            txid: spending.then(|| input.previous_output.txid.to_string()),
            vout: spending.then_some(input.previous_output.vout),
            script_sig: spending.then(|| ScriptSig {
                asm: asm(script),
                hex: script.to_hex_string(),
            }),
            txinwitness: input.witness.iter().map(hex::encode).collect(),
            sequence: input.sequence.to_consensus_u32(),
        }
    }
}

impl Output {
    fn of((n, output): (usize, &TxOut)) -> Self {
        let script = &output.script_pubkey;
        let address = Address::from_script(script, Network::Regtest)
            .ok()
            .map(|address| address.to_string());
        Self {
            value: Coins(output.value.to_sat()),
            n,
            script_pubkey: ScriptPubkey {
                asm: asm(script),
                desc: descriptor(script, address.as_deref()),
                hex: script.to_hex_string(),
                r#type: kind(script),
                address,
            },
        }
    }
}

fn kind(script: &Script) -> &'static str {
    if script.is_p2wpkh() {
        "witness_v0_keyhash"
    } else if script.is_p2wsh() {
        "witness_v0_scripthash"
    } else if script.is_p2tr() {
        "witness_v1_taproot"
    } else if script.is_p2pkh() {
        "pubkeyhash"
    } else if script.is_p2sh() {
        "scripthash"
    } else if script.is_p2pk() {
        "pubkey"
    } else if script.is_op_return() {
        "nulldata"
    } else if script.is_witness_program() {
        "witness_unknown"
    } else {
        "nonstandard"
    }
}

/// Bitcoin Core's disassembly: short pushes as numbers, longer ones as hex.
fn asm(script: &Script) -> String {
    let mut words = Vec::new();
    for instruction in script.instructions() {
        words.push(match instruction {
            Ok(Instruction::PushBytes(push)) if push.is_empty() => "0".to_owned(),
            Ok(Instruction::PushBytes(push)) if push.len() <= 4 => {
                script_number(push.as_bytes()).to_string()
            }
            Ok(Instruction::PushBytes(push)) => hex::encode(push.as_bytes()),
            Ok(Instruction::Op(op)) => {
                let name = op.to_string();
                match name.strip_prefix("OP_PUSHNUM_") {
                    Some("NEG1") => "-1".to_owned(),
                    Some(number) => number.to_owned(),
                    None => name,
                }
            }
            Err(_) => "[error]".to_owned(),
        });
    }
    words.join(" ")
}

/// Little-endian with the sign in the top bit.
fn script_number(bytes: &[u8]) -> i64 {
    let magnitude = bytes
        .iter()
        .rev()
        .fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    let sign = 0x80_i64 << (8 * (bytes.len() - 1));
    if magnitude & sign == 0 {
        magnitude
    } else {
        -(magnitude & !sign)
    }
}

/// What Bitcoin Core infers without knowing keys, with its checksum (BIP380).
fn descriptor(script: &Script, address: Option<&str>) -> String {
    let text = match address {
        Some(_) if script.is_p2tr() => format!("rawtr({})", hex::encode(&script.as_bytes()[2..])),
        Some(address) => format!("addr({address})"),
        None => format!("raw({})", script.to_hex_string()),
    };
    let checksum = descriptor_checksum(&text);
    format!("{text}#{checksum}")
}

fn descriptor_checksum(text: &str) -> String {
    const INPUT: &str = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ";
    const OUTPUT: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u64; 5] = [
        0xf5_dee5_1989,
        0xa9_fdca_3312,
        0x1b_ab10_e32d,
        0x37_06b1_677a,
        0x64_4d62_6ffd,
    ];
    let step = |sum: u64, value: u64| {
        let top = sum >> 35;
        let shifted = (sum & 0x7_ffff_ffff) << 5 ^ value;
        (0..5)
            .filter(|bit| top >> bit & 1 == 1)
            .fold(shifted, |sum, bit| sum ^ GENERATOR[bit])
    };
    let (mut sum, mut class, mut count) = (1, 0, 0);
    for position in text.chars().filter_map(|c| INPUT.find(c)) {
        sum = step(sum, position as u64 & 31);
        class = class * 3 + (position as u64 >> 5);
        count += 1;
        if count == 3 {
            sum = step(sum, class);
            (class, count) = (0, 0);
        }
    }
    if count > 0 {
        sum = step(sum, class);
    }
    sum = (0..8).fold(sum, |sum, _| step(sum, 0)) ^ 1;
    (0..8)
        .map(|place| char::from(OUTPUT[(sum >> (5 * (7 - place)) & 31) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::ScriptBuf;

    #[test]
    fn outputs_read_as_in_bitcoin_core() {
        let anyone = ScriptBuf::from_hex("51").expect("hex");
        assert_eq!(asm(&anyone), "1");
        assert_eq!(descriptor(&anyone, None), "raw(51)#8lvh9jxk");
        let commitment =
            "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
        let script = ScriptBuf::from_hex(commitment).expect("hex");
        assert_eq!(
            descriptor(&script, None),
            format!("raw({commitment})#cav96mf3")
        );
        assert_eq!(asm(&script), format!("OP_RETURN {}", &commitment[4..]));
        assert_eq!(kind(&script), "nulldata");
    }

    #[test]
    fn script_numbers_are_signed_little_endian() {
        assert_eq!(script_number(&[0x7b]), 123);
        assert_eq!(script_number(&[0x91, 0x00]), 145);
        assert_eq!(script_number(&[0x81]), -1);
        assert_eq!(script_number(&[0xff, 0xff, 0xff, 0xff]), -2_147_483_647);
    }
}
