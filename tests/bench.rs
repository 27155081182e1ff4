//! `bench`: what it measures is consistent in itself; how fast it is, is no matter of tests.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn bench(args: &[&str], temp: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .arg("bench")
        .args(args)
        .env("TMPDIR", temp)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The document of a measurement, which leaves nothing behind.
fn measure(args: &[&str]) -> Value {
    let temp = tempfile::tempdir().unwrap();
    let output = bench(&[args, &["--json"]].concat(), temp.path());
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "one document: {stdout}");
    let left = std::fs::read_dir(temp.path()).unwrap().count();
    assert_eq!(left, 0, "temporary directories are removed");
    assert_eq!(log, "", "nothing is said on the way");
    serde_json::from_str(&stdout).unwrap()
}

/// What a command says that fails with exit code 1.
fn failure(args: &[&str]) -> String {
    let temp = tempfile::tempdir().unwrap();
    let output = bench(args, temp.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

fn assert_close(a: f64, b: f64, what: &Value) {
    assert!((a / b - 1.0).abs() < 1e-6, "{a} is not {b}: {what}");
}

/// The figures of a hash rate agree with each other.
fn assert_figure(figure: &Value, threads: u64) {
    assert_eq!(figure["threads"], threads, "{figure}");
    let (hashes, elapsed) = (number(&figure["hashes"]), number(&figure["elapsed_s"]));
    assert!(hashes >= 1.0 && elapsed > 0.0, "{figure}");
    assert_close(number(&figure["hashrate_hs"]), hashes / elapsed, figure);
    // The clock is told in optimised builds alone.
    if !figure["cycles_per_hash"].is_null() {
        assert!(number(&figure["cycles_per_hash"]) > 1.0, "{figure}");
    }
}

/// The folder with chain data; none, with a word of it, where the variable is not set.
fn data() -> Option<PathBuf> {
    let dir = std::env::var_os("SIGNALCORE_TESTDATA").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("skipped: SIGNALCORE_TESTDATA not set");
    }
    dir
}

#[test]
fn every_kernel_is_measured_on_one_thread_and_on_several() {
    let options = ["hash", "--all", "--threads", "2", "--kernels-only"];
    let document = measure(&[&options[..], &["--seconds", "0.05"]].concat());
    let results = document["results"].as_array().unwrap();
    let kernels: Vec<&Value> = results.iter().map(|result| &result["kernel"]).collect();
    assert!(kernels.contains(&&"scalar".into()), "{document}");
    assert!(kernels.contains(&&document["selected"]), "{document}");
    for pair in results.chunks(2) {
        assert_eq!(pair[0]["kernel"], pair[1]["kernel"], "{document}");
        assert_figure(&pair[0], 1);
        assert_figure(&pair[1], 2);
    }
    assert_eq!(document["daemon"], Value::Array(Vec::new()));
}

#[test]
fn the_hashing_threads_of_a_whole_daemon_are_measured_too() {
    let options = ["--kernel", "scalar", "--threads", "2", "--seconds", "0.3"];
    let document = measure(&[&["hash"], &options[..]].concat());
    let [figure] = document["results"].as_array().unwrap().as_slice() else {
        panic!("one kernel, one figure: {document}");
    };
    assert_figure(figure, 2);
    let daemon = document["daemon"].as_array().unwrap();
    assert_eq!(daemon.len(), 2, "{document}");
    for (figure, threads) in daemon.iter().zip(1..) {
        assert_figure(figure, threads);
        assert_eq!(figure["kernel"], "scalar");
        assert_eq!(figure["versions"], 64, "{document}");
    }
    assert!(number(&document["scaling"]) > 0.0, "{document}");
}

#[test]
fn without_version_rolling_the_daemon_goes_without_too() {
    let document = measure(&["hash", "--versions", "1", "--seconds", "0.1"]);
    for figure in [&document["results"][0], &document["daemon"][0]] {
        assert_eq!(figure["versions"], 1, "{document}");
        assert_figure(figure, 1);
    }
}

#[test]
fn an_unknown_kernel_is_refused_with_a_list_of_those_there_are() {
    let message = failure(&["hash", "--kernel", "turbo"]);
    assert!(message.contains("turbo"), "{message}");
    assert!(message.contains("scalar"), "{message}");
}

#[test]
fn a_time_that_is_none_is_refused() {
    for measurement in ["hash", "validate", "latency"] {
        for seconds in ["0", "-1", "NaN", "inf"] {
            let message = failure(&[measurement, &format!("--seconds={seconds}")]);
            assert!(message.contains("--seconds"), "{message}");
        }
    }
}

/// The figures of a validation agree with each other.
fn assert_validation(document: &Value) {
    let headers = &document["headers"];
    let (count, elapsed) = (number(&headers["count"]), number(&headers["elapsed_s"]));
    assert!(elapsed > 0.0, "{document}");
    let each = number(&headers["ns_per_header"]);
    assert_close(each * count, elapsed * 1e9, document);
    for key in ["one_more_ns", "hashing_s"] {
        assert!(number(&headers[key]) > 0.0, "{document}");
    }
    assert!(number(&document["block"]["elapsed_s"]) > 0.0, "{document}");
    for part in ["headers", "block"] {
        assert_eq!(document[part]["verdict"], "AUTHENTIC", "{document}");
    }
}

#[test]
fn headers_and_a_block_are_made_where_none_are_given() {
    let document = measure(&["validate", "--seconds", "0.05"]);
    assert_validation(&document);
    assert_eq!(document["headers"]["count"], 16_000);
    assert_eq!(document["headers"]["network"], "regtest");
    let block = &document["block"];
    assert!(number(&block["bytes"]) > 0.9e6, "{block}");
    assert_eq!(block["transactions"], 4_501, "{block}");
}

#[test]
fn real_headers_and_a_real_block_are_measured() {
    let Some(data) = data() else { return };
    let headers = data.join("headers/mainnet_0_32259.headers");
    let file = data.join("blocks/mainnet_413567.block");
    let files = ["--headers", headers.to_str().unwrap()];
    let block = ["--block", file.to_str().unwrap(), "--height", "413567"];
    let document = measure(&[&["validate", "--seconds", "0.05"], &files[..], &block[..]].concat());
    assert_validation(&document);
    assert_eq!(document["headers"]["count"], 32_260);
    let raw = std::fs::read(file).unwrap();
    let known: bitcoin::Block = bitcoin::consensus::deserialize(&raw).unwrap();
    assert_eq!(document["block"]["bytes"], raw.len());
    assert_eq!(document["block"]["transactions"], known.txdata.len());
}

#[test]
fn what_breaks_the_rules_is_not_measured() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("702861.block");
    let mut bytes = bitcoin_test_data::blocks::mainnet_702861().to_vec();
    std::fs::write(&file, &bytes).unwrap();
    let path = file.to_str().unwrap();
    let options = ["validate", "--seconds", "0.01", "--block", path];
    let sound = measure(&options);
    assert_eq!(sound["block"]["network"], "main");
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let message = failure(&options);
    assert!(message.contains("REJECTED"), "{message}");
    assert!(message.contains(path), "{message}");
    let message = failure(&["validate", "--headers", "/nonexistent.headers"]);
    assert!(message.contains("/nonexistent.headers"), "{message}");
}

#[test]
fn every_step_of_a_blocks_way_is_timed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_str().unwrap();
    let document = measure(&["latency", "--blocks", "6", "--threads", "2", "--dir", dir]);
    for step in ["tip_to_hash_s", "job_switch_s", "solve_to_submit_s"] {
        let times = &document[step];
        let [p50, p99, longest] = ["p50", "p99", "longest"].map(|key| number(&times[key]));
        assert!(number(&times["n"]) >= 1.0, "{step}: {document}");
        assert!(
            0.0 < p50 && p50 <= p99 && p99 <= longest,
            "{step}: {document}"
        );
    }
    let blocks = &document["blocks"];
    assert!(number(&blocks["found"]) >= 3.0, "{document}");
    assert_eq!(blocks["received"], 3, "{document}");
    assert!(number(&blocks["notified"]) >= 1.0, "{document}");
    assert_eq!(document["threads"], 2, "{document}");
    let stalls = &document["stalls"];
    let (share, longest) = (number(&stalls["share"]), number(&stalls["longest_s"]));
    assert!((0.0..=1.0).contains(&share), "{document}");
    assert_eq!(
        number(&stalls["stops"]) == 0.0,
        longest == 0.0,
        "{document}"
    );
    let filesystem = document["journal_filesystem"].as_str().unwrap();
    assert!(!filesystem.is_empty(), "{document}");
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
}

#[test]
fn blocks_are_full_where_that_is_asked_for() {
    let document = measure(&["latency", "--full", "--blocks", "2", "--threads", "1"]);
    let blocks = &document["blocks"];
    assert!(number(&blocks["full"]) >= 1.0, "{document}");
    assert_eq!(blocks["received"], 1, "{document}");
    // Four million weight units of transactions of 564 each, but for what is kept free for the coinbase.
    assert!(number(&blocks["transactions"]) > 7_000.0, "{document}");
    let times = &document["solve_to_submit_s"];
    assert!(number(&times["n"]) >= number(&blocks["full"]), "{document}");
}

#[test]
fn without_json_the_figures_are_told_in_words() {
    let temp = tempfile::tempdir().unwrap();
    let text = |args: &[&str]| {
        let output = bench(args, temp.path());
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let hash = text(&["hash", "--seconds", "0.05", "--kernels-only"]);
    assert!(
        hash.contains("H/s") && hash.contains("selected: "),
        "{hash}"
    );
    let validate = text(&["validate", "--seconds", "0.01"]);
    assert!(
        validate.starts_with("16000 headers of regtest"),
        "{validate}"
    );
}
