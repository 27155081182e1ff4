//! Compact targets, retargets and work, against Bitcoin Core's own vectors and real headers.

#![allow(clippy::float_cmp, reason = "the conversions are exact")]

use pow::{NBits, NBitsError, Target, Work};
use proptest::prelude::*;

mod common;

fn target(nbits: u32) -> Target {
    Target::from_nbits(NBits(nbits)).expect("a usable target")
}

fn hex_target(hex: &str) -> Target {
    format!("{hex:0>64}").parse().expect("64 hex digits")
}

/// `arith_uint256_tests.cpp`, `bignum_SetCompact`: nBits, then the number, or why there is none, then `GetCompact`.
#[test]
fn compact_encodings_decode_as_in_bitcoin_core() {
    use NBitsError::{Negative, Overflow, Zero};
    for zero in [
        0,
        0x0012_3456,
        0x0100_3456,
        0x0200_0056,
        0x0300_0000,
        0x0400_0000,
        0x0092_3456,
        0x0180_3456,
        0x0280_0056,
        0x0380_0000,
        0x0480_0000,
    ] {
        assert_eq!(Target::from_nbits(NBits(zero)), Err(Zero(NBits(zero))));
    }
    for negative in [0x01fe_dcba, 0x0492_3456, 0xff92_3456] {
        assert_eq!(
            Target::from_nbits(NBits(negative)),
            Err(Negative(NBits(negative)))
        );
    }
    for overflow in [
        0xff12_3456,
        0x2301_0000,
        0x2200_0100,
        0x2101_0000,
        0x2300_0001,
    ] {
        assert_eq!(
            Target::from_nbits(NBits(overflow)),
            Err(Overflow(NBits(overflow)))
        );
    }
    for (nbits, number, encoded_again) in [
        (0x0112_3456, "12", 0x0112_0000),
        (0x0212_3456, "1234", 0x0212_3400),
        (0x0312_3456, "123456", 0x0312_3456),
        (0x0412_3456, "12345600", 0x0412_3456),
        (0x0500_9234, "92340000", 0x0500_9234),
        (
            0x2012_3456,
            "1234560000000000000000000000000000000000000000000000000000000000",
            0x2012_3456,
        ),
        // The largest of each size that still fits.
        (
            0x2200_00ff,
            "ff00000000000000000000000000000000000000000000000000000000000000",
            0x2100_ff00,
        ),
        (
            0x2100_ffff,
            "ffff000000000000000000000000000000000000000000000000000000000000",
            0x2100_ffff,
        ),
    ] {
        assert_eq!(target(nbits), hex_target(number), "{nbits:08x}");
        assert_eq!(
            target(nbits).to_nbits(),
            NBits(encoded_again),
            "{nbits:08x}"
        );
    }
    // A mantissa of 80 keeps clear of the sign bit.
    assert_eq!(hex_target("80").to_nbits(), NBits(0x0200_8000));
    assert_eq!(hex_target("0").to_nbits(), NBits(0));
    assert_eq!(Target::MAX.to_nbits(), NBits(0x2100_ffff));
}

#[test]
fn network_limits_have_their_known_encodings() {
    let limits = [
        (
            0x1d00_ffff,
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ),
        (0x207f_ffff, &format!("7f{}", "ff".repeat(31))),
        (
            0x1e03_77ae,
            "377ae000000000000000000000000000000000000000000000000000000",
        ),
    ];
    for (nbits, limit) in limits {
        assert_eq!(hex_target(limit).to_nbits(), NBits(nbits));
    }
    assert_eq!(Target::DIFFICULTY_1, target(0x1d00_ffff));
}

#[test]
fn work_of_known_targets() {
    for (nbits, hashes) in [
        (0x1d00_ffff, "100010001"), // each of mainnet's first blocks
        (0x207f_ffff, "2"),
        (0x1e03_77ae, "49d414"), // signet
    ] {
        assert_eq!(target(nbits).work().to_string(), format!("{hashes:0>64}"));
    }
    assert_eq!(Target::MAX.work().to_f64(), 1.0);
    assert_eq!(hex_target("1").work().log2(), 255.0);
    assert_eq!(hex_target("0").work(), Work::ZERO);
}

#[test]
fn difficulty_is_that_of_getdifficulty() {
    // `blockchain_tests.cpp`, those without the sign bit, which getdifficulty ignores.
    assert!((target(0x1f11_1111).difficulty() - 0.000_001).abs() < 0.000_01);
    let hard = target(0x1234_5678).difficulty();
    assert_eq!(hard, 5_913_134_931_067_755_359_633_408.0);
    assert_eq!(target(0x1d00_ffff).difficulty(), 1.0);
    assert_eq!(target(0x1b04_04cb).difficulty(), 16_307.420_938_523_983);
    assert_eq!(hex_target("0").difficulty(), f64::INFINITY);
}

const TWO_WEEKS: u32 = 14 * 24 * 60 * 60;

/// `pow_tests.cpp`; clamping by four either way and mainnet's limit are applied as a caller would.
fn next_mainnet_bits(last_bits: u32, first_time: u32, last_time: u32) -> NBits {
    let timespan = (last_time - first_time).clamp(TWO_WEEKS / 4, TWO_WEEKS * 4);
    let limit = hex_target(&"f".repeat(56));
    target(last_bits)
        .retarget(timespan, TWO_WEEKS)
        .min(limit)
        .to_nbits()
}

#[test]
fn retargets_of_bitcoin_core_pow_tests() {
    assert_eq!(
        next_mainnet_bits(0x1d00_ffff, 1_261_130_161, 1_262_152_739),
        NBits(0x1d00_d86a)
    );
    assert_eq!(
        next_mainnet_bits(0x1d00_ffff, 1_231_006_505, 1_233_061_996),
        NBits(0x1d00_ffff)
    );
    assert_eq!(
        next_mainnet_bits(0x1c05_a3f4, 1_279_008_237, 1_279_297_671),
        NBits(0x1c01_68fd)
    );
    assert_eq!(
        next_mainnet_bits(0x1c38_7f6f, 1_263_163_443, 1_269_211_443),
        NBits(0x1d00_e1fd)
    );
}

#[test]
fn retarget_multiplies_modulo_2_to_the_256() {
    // 2^255 * 2 wraps to zero; 2^255 * 3 to 2^255.
    let half = hex_target(&format!("80{}", "00".repeat(31)));
    assert_eq!(half.retarget(2, 1), hex_target("0"));
    assert_eq!(half.retarget(3, 1), half);
    assert_eq!(hex_target("ff").retarget(3, 7), hex_target("6d"));
}

#[test]
fn retargets_in_the_test_data() {
    let Some(json) = common::testdata("cases/core_pow_kats.json") else {
        return;
    };
    let cases: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let cases = cases.as_array().expect("an array");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let bits = |key: &str| -> NBits { case[key].as_str().expect(key).parse().expect(key) };
        let time = |key: &str| u32::try_from(case[key].as_u64().expect(key)).expect(key);
        let next = next_mainnet_bits(bits("last_bits").0, time("first_time"), time("last_time"));
        assert_eq!(next, bits("expected"), "{case}");
    }
}

/// Every change of mainnet's nBits up to 832,608, and the chainwork between.
#[test]
fn every_mainnet_retarget_in_the_test_data() {
    let Some(csv) = common::testdata("headers/mainnet_retarget_boundaries.csv") else {
        return;
    };
    let text = String::from_utf8(csv).expect("UTF-8");
    let rows: Vec<(u32, NBits, u32, Work)> = text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let [height, _hash, nbits, time, _expected, chainwork] = cells[..] else {
                panic!("{line}")
            };
            let number = |cell: &str| cell.parse().expect(line);
            let work = format!("{chainwork:0>64}").parse().expect(line);
            (
                number(height),
                nbits.parse().expect(line),
                number(time),
                work,
            )
        })
        .collect();
    let mut checked = 0;
    for window in rows.windows(3) {
        let [
            (first, bits, first_time, first_work),
            (last, last_bits, last_time, work),
            (next, next_bits, ..),
        ] = window
        else {
            unreachable!("windows of three")
        };
        if first % 2016 != 0 || next - first != 2016 {
            continue;
        }
        assert_eq!(bits, last_bits);
        assert_eq!(
            next_mainnet_bits(bits.0, *first_time, *last_time),
            *next_bits,
            "at {next}"
        );
        let per_block = target(bits.0).work();
        let period: Work = (*first..*last).map(|_| per_block).sum();
        assert_eq!(*first_work + period, *work, "at {last}");
        checked += 1;
    }
    assert!(checked >= 400, "only {checked} periods in the file");
}

#[test]
fn a_digest_meets_a_target_that_it_does_not_exceed() {
    let limit = hex_target("01000000000000000000000000000000000000000000000000000000000000ff");
    let mut digest = limit.to_le_bytes();
    assert!(limit.is_met_by(&digest));
    digest[1] = 1;
    assert!(!limit.is_met_by(&digest));
    digest[31] = 0;
    assert!(limit.is_met_by(&digest));
    assert!(Target::MAX.is_met_by(&[0xff; 32]));
    assert!(hex_target("0").is_met_by(&[0; 32]));
}

#[test]
fn expected_hashes_make_a_target_of_that_work() {
    assert_eq!(Target::from_expected_hashes(1.0), Target::MAX);
    assert_eq!(Target::from_expected_hashes(f64::NAN), Target::MAX);
    assert_eq!(Target::from_expected_hashes(-5.0), Target::MAX);
    assert_eq!(Target::from_expected_hashes(f64::INFINITY), hex_target("0"));
    assert_eq!(
        Target::from_expected_hashes(2.0),
        hex_target(&format!("7f{}", "ff".repeat(31)))
    );
    assert_eq!(
        Target::from_expected_hashes(2_f64.powi(32)),
        hex_target(&"f".repeat(56))
    );
}

proptest! {
    #[test]
    fn work_of_a_target_for_n_hashes_is_about_n(log2 in 0.5_f64..200.0) {
        let hashes = log2.exp2();
        let work = Target::from_expected_hashes(hashes).work().to_f64();
        prop_assert!((work - hashes).abs() <= 1.0 + hashes * 1e-12, "{work} for {hashes}");
    }

    #[test]
    fn compact_encoding_rounds_down_and_is_stable(bytes in any::<[u8; 32]>(), zeros in 0_usize..32) {
        let mut bytes = bytes;
        bytes[..zeros].fill(0);
        bytes[31] |= 1;
        let exact = Target::from_be_bytes(bytes);
        let rounded = Target::from_nbits(exact.to_nbits()).expect("not zero, positive, in range");
        prop_assert!(rounded <= exact);
        prop_assert_eq!(rounded.to_nbits(), exact.to_nbits());
        // What is lost is less than one part in 2^15: the mantissa has at least 16 significant bits.
        prop_assert!(exact.difficulty() >= rounded.difficulty() * (1.0 - 1.0 / 32768.0));
    }

    #[test]
    fn text_and_bytes_round_trip(bytes in any::<[u8; 32]>()) {
        let target = Target::from_be_bytes(bytes);
        prop_assert_eq!(target.to_string(), hex::encode(bytes));
        prop_assert_eq!(target.to_string().parse(), Ok(target));
        prop_assert_eq!(Target::from_le_bytes(target.to_le_bytes()), target);
        let work = Work::from_be_bytes(bytes);
        prop_assert_eq!(work.to_string().parse(), Ok(work));
        prop_assert_eq!(work.to_be_bytes(), bytes);
    }

    #[test]
    fn sums_of_work_saturate(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
        let (a, b) = (Work::from_be_bytes(a), Work::from_be_bytes(b));
        let sum = a + b;
        prop_assert!(sum >= a && sum >= b);
        if sum != Work::from_be_bytes([0xff; 32]) {
            prop_assert_eq!(sum - a, b);
        }
        prop_assert_eq!(if a < b { a - b } else { b - a }, Work::ZERO);
    }
}
