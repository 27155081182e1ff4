//! The little of scripts that block rules look at: signature operations and height pushes.

const OP_PUSHDATA1: u8 = 0x4c;
const OP_PUSHDATA2: u8 = 0x4d;
const OP_PUSHDATA4: u8 = 0x4e;
const OP_1: u8 = 0x51;
const OP_CHECKSIG: u8 = 0xac;
const OP_CHECKSIGVERIFY: u8 = 0xad;
const OP_CHECKMULTISIG: u8 = 0xae;
const OP_CHECKMULTISIGVERIFY: u8 = 0xaf;

/// What a multisignature counts when its keys are not looked at.
const MULTISIG_SIGOPS: u8 = 20;

/// The signature operations of each operation code.
const SIGOPS: [u8; 256] = {
    let mut sigops = [0; 256];
    sigops[OP_CHECKSIG as usize] = 1;
    sigops[OP_CHECKSIGVERIFY as usize] = 1;
    sigops[OP_CHECKMULTISIG as usize] = MULTISIG_SIGOPS;
    sigops[OP_CHECKMULTISIGVERIFY as usize] = MULTISIG_SIGOPS;
    sigops
};

/// The bytes that each operation code takes, with those that it pushes where it alone says how many.
const LENGTHS: [u8; 256] = {
    let mut lengths = [1; 256];
    let mut pushed = 1;
    while pushed < OP_PUSHDATA1 {
        lengths[pushed as usize] = 1 + pushed;
        pushed += 1;
    }
    lengths
};

/// Signature operations in a script, counted as before BIP16: Core's inaccurate
/// `GetSigOpCount`, which stops at the first malformed push.
pub(crate) fn legacy_sigops(script: &[u8]) -> u32 {
    let mut count = 0;
    let mut at = 0_usize;
    // A push beyond the end leads beyond the end, and counts nothing itself.
    while let Some(&op) = script.get(at) {
        count += u32::from(SIGOPS[usize::from(op)]);
        let width = match op {
            OP_PUSHDATA1 => 1,
            OP_PUSHDATA2 => 2,
            OP_PUSHDATA4 => 4,
            _ => {
                at += usize::from(LENGTHS[usize::from(op)]);
                continue;
            }
        };
        let Some(length) = script.get(at + 1..at + 1 + width) else {
            break;
        };
        let pushed = length.iter().rev();
        let pushed = pushed.fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        at = at.saturating_add(1 + width).saturating_add(pushed);
    }
    count
}

/// The start of a coinbase script at `height` under BIP34: the height as a minimal push.
pub(crate) fn height_push(height: u32) -> Vec<u8> {
    match height {
        0 => vec![0],
        1..=16 => vec![OP_1 - 1 + height as u8],
        _ => {
            let mut number: Vec<u8> = height.to_le_bytes().to_vec();
            while number.last() == Some(&0) {
                number.pop();
            }
            // The top bit is the sign.
            if number.last().is_some_and(|top| top & 0x80 != 0) {
                number.push(0);
            }
            number.insert(0, number.len() as u8);
            number
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::ScriptBuf;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heights_are_pushed_as_the_bitcoin_crate_does(height in 0_u32..=u32::MAX) {
            let script = bitcoin::script::Builder::new().push_int(i64::from(height)).into_script();
            prop_assert_eq!(height_push(height), script.into_bytes());
        }

        #[test]
        fn sigops_agree_with_the_bitcoin_crate(raw in proptest::collection::vec(
            prop_oneof![any::<u8>(), 0xac_u8..=0xaf, 0x4b_u8..=0x4e, 0_u8..4], 0..200)
        ) {
            let script = ScriptBuf::from_bytes(raw.clone());
            prop_assert_eq!(legacy_sigops(&raw) as usize, script.count_sigops_legacy());
        }
    }

    #[test]
    fn small_and_boundary_heights() {
        let cases: [(u32, &[u8]); 8] = [
            (1, &[0x51]),
            (16, &[0x60]),
            (17, &[1, 17]),
            (127, &[1, 127]),
            (128, &[2, 128, 0]),
            (32_767, &[2, 0xff, 0x7f]),
            (32_768, &[3, 0, 0x80, 0]),
            (840_000, &[3, 0x40, 0xd1, 0x0c]),
        ];
        for (height, push) in cases {
            assert_eq!(height_push(height), push, "{height}");
        }
    }
}
