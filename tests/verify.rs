//! `verify` on real chain data: what is valid is accepted, every fault is named where it is.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The folder with chain data; none, with a word of it, where the variable is not set.
fn data() -> Option<PathBuf> {
    let dir = std::env::var_os("SIGNALCORE_TESTDATA").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("skipped: SIGNALCORE_TESTDATA not set");
    }
    dir
}

/// Exit code and JSON document of `verify KIND FILE --network NETWORK ...`.
fn verify(kind: &str, file: &Path, network: &str, more: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(["verify", kind])
        .arg(file)
        .args(["--network", network, "--json"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {stdout} {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (output.status.code().unwrap(), document)
}

#[test]
fn real_headers_of_every_network_are_accepted() {
    let Some(data) = data() else { return };
    for (file, network, count) in [
        ("mainnet_0_32259", "main", 32_260),
        ("testnet3_0_9999", "testnet3", 10_000),
        ("signet_0_2015", "signet", 2_016),
        ("testnet4_0_100", "testnet4", 101),
        ("regtest_0_100", "regtest", 101),
    ] {
        let path = data.join("headers").join(file).with_extension("headers");
        let (code, report) = verify("headers", &path, network, &["--start-height", "0"]);
        assert_eq!(
            (code, &report["verdict"]),
            (0, &"AUTHENTIC".into()),
            "{file}: {report}"
        );
        assert_eq!(report["verified"], count, "{file}");
        assert!(report["first_failure"].is_null(), "{file}: {report}");
        assert!(report["coverage"].as_f64().unwrap() >= 0.7 && report["elapsed_s"].is_number());
    }
}

#[test]
fn headers_of_another_network_are_refused() {
    let Some(data) = data() else { return };
    let (code, report) = verify(
        "headers",
        &data.join("headers/signet_0_2015.headers"),
        "main",
        &[],
    );
    assert_eq!(
        (code, &report["verdict"]),
        (1, &"REJECTED".into()),
        "{report}"
    );
    assert_eq!(report["first_failure"]["height"], 0, "{report}");
}

#[test]
fn headers_from_the_middle_name_what_they_assume() {
    let Some(data) = data() else { return };
    let bytes = std::fs::read(data.join("headers/mainnet_0_32259.headers")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("middle.headers");
    std::fs::write(&file, &bytes[30_000 * 80..]).unwrap();
    let (code, report) = verify("headers", &file, "main", &["--start-height", "30000"]);
    assert_eq!(code, 0, "{report}");
    let assumed = |check: &Value| check["status"] == "assumed";
    assert!(
        report["checks"].as_array().unwrap().iter().any(assumed),
        "{report}"
    );
}

#[test]
fn every_mutated_header_is_refused_at_its_height_with_the_stated_reason() {
    let Some(data) = data() else { return };
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(data.join("cases/header_cases.json")).unwrap())
            .unwrap();
    assert!(!cases.is_empty());
    let dir = tempfile::tempdir().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let count = usize::try_from(case["prefix_count"].as_u64().unwrap()).unwrap();
        let mut bytes = std::fs::read(data.join(case["prefix_file"].as_str().unwrap())).unwrap();
        bytes.truncate(count * 80);
        bytes.extend(hex::decode(case["header"].as_str().unwrap()).unwrap());
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let (code, report) = verify("headers", &file, case["net"].as_str().unwrap(), &[]);
        assert_eq!(
            (code, &report["verdict"]),
            (1, &"REJECTED".into()),
            "{name}: {report}"
        );
        assert_eq!(report["first_failure"]["height"], count, "{name}: {report}");
        assert_eq!(
            report["first_failure"]["reason"], case["expect"],
            "{name}: {report}"
        );
        assert_eq!(report["verified"], count, "{name}: {report}");
    }
}

#[test]
fn real_blocks_are_accepted_with_their_hash() {
    let Some(data) = data() else { return };
    for (file, network, height) in [
        ("mainnet_413567", "main", "413567"),
        ("mainnet_866342", "main", "866342"),
        ("mainnet_227836", "main", "227836"),
        ("testnet3_924634", "testnet3", "924634"),
    ] {
        let path = data.join("blocks").join(file).with_extension("block");
        let (code, report) = verify("block", &path, network, &["--height", height]);
        assert_eq!(
            (code, &report["verdict"]),
            (0, &"AUTHENTIC".into()),
            "{file}: {report}"
        );
        assert_eq!(report["hash"].as_str().unwrap().len(), 64);
        let (code, report) = verify("block", &path, network, &[]);
        assert_eq!(code, 0, "{file} without its height: {report}");
    }
}

#[test]
fn a_block_at_a_height_that_is_not_its_own_is_refused() {
    let Some(data) = data() else { return };
    let (code, report) = verify(
        "block",
        &data.join("blocks/mainnet_413567.block"),
        "main",
        &["--height", "413568"],
    );
    assert_eq!(
        (code, &report["first_failure"]["reason"]),
        (1, &"bad-cb-height".into()),
        "{report}"
    );
}

#[test]
fn mutated_trailing_truncated_and_bad_witness_blocks_are_refused() {
    let Some(data) = data() else { return };
    for (file, network) in [
        ("cve_2012_2459_mutated_mainnet_13b8a", "main"),
        ("trailing_testnet3_924634", "testnet3"),
        ("truncated_testnet3_924634", "testnet3"),
        ("bad_witness_reserved_testnet3_924634", "testnet3"),
    ] {
        let path = data.join("cases").join(file).with_extension("block");
        let (code, report) = verify("block", &path, network, &[]);
        assert_eq!(
            (code, &report["verdict"]),
            (1, &"REJECTED".into()),
            "{file}: {report}"
        );
        assert!(
            report["first_failure"]["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "{report}"
        );
    }
}

#[test]
fn a_real_block_is_verified_without_any_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("702861.block");
    std::fs::write(&file, bitcoin_test_data::blocks::mainnet_702861()).unwrap();
    let (code, report) = verify("block", &file, "main", &["--height", "702861"]);
    assert_eq!(code, 0, "{report}");
    let mut bytes = bitcoin_test_data::blocks::mainnet_702861().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, report) = verify("block", &file, "main", &["--height", "702861"]);
    assert_eq!(code, 1, "{report}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_name() {
    let output = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(["verify", "block", "/nonexistent.block", "--network", "main"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent.block"));
    assert!(output.stdout.is_empty());
}
