//! Bad configurations end with exit 78 and one message; good ones can be checked, shown and made.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::until;
use serde_json::Value;
use tempfile::TempDir;

const GOOD: &str = r#"
[chain]
network = "regtest"
[[node]]
name = "local"
rpc_url = "http://127.0.0.1:18443"
cookie_file = "/nonexistent/regtest/.cookie"
[mining]
payout_address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
"#;

fn signalcore(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A configuration file; `data_dir` is put into the same directory.
fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    fs::write(
        &path,
        format!(
            "data_dir = \"{}\"\n{text}",
            dir.path().join("data").display()
        ),
    )
    .unwrap();
    (dir, path)
}

/// Runs `command --config FILE` on a bad configuration; the message.
fn refused(command: &[&str], text: &str) -> String {
    let (dir, path) = file(text);
    let output = signalcore(&[command, &["--config", path.to_str().unwrap()]].concat());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{message}");
    assert!(output.stdout.is_empty());
    assert_eq!(message.lines().count(), 1, "one message: {message}");
    assert!(message.contains("my.toml"), "it names the file: {message}");
    assert!(
        !dir.path().join("data").exists(),
        "nothing is created for a configuration that cannot be used"
    );
    message
}

#[test]
fn an_unknown_key_ends_run_with_78_and_a_suggestion() {
    let message = refused(&["run"], &GOOD.replace("payout_address", "payout_adress"));
    assert!(
        message.contains("mining.payout_adress") && message.contains("`payout_address`"),
        "{message}"
    );
}

#[test]
fn a_wrong_type_ends_run_with_78() {
    let message = refused(&["run"], &format!("{GOOD}threads = [1]\n"));
    assert!(message.contains("mining.threads"), "{message}");
}

#[test]
fn an_address_of_another_network_ends_run_with_78() {
    let message = refused(&["run"], &GOOD.replace("\"regtest\"", "\"main\""));
    assert!(
        message.contains("mining.payout_address")
            && message.contains("main")
            && message.contains("regtest"),
        "{message}"
    );
}

#[test]
fn an_unreadable_cookie_ends_run_with_78() {
    let dir = tempfile::tempdir().unwrap();
    let message = refused(
        &["run"],
        &GOOD.replace("/nonexistent/regtest/.cookie", dir.path().to_str().unwrap()),
    );
    assert!(
        message.contains("cookie_file") && message.contains("rpccookieperms"),
        "{message}"
    );
}

#[test]
fn the_other_commands_refuse_it_alike() {
    for command in [["config", "check"], ["journal", "list"]] {
        refused(&command, &GOOD.replace("[mining]", "[minning]"));
    }
    refused(&["status"], &GOOD.replace("[mining]", "[minning]"));
}

#[test]
fn a_missing_file_ends_with_78() {
    let output = signalcore(&["run", "--config", "/nonexistent/my.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/my.toml"));
}

#[test]
fn a_good_one_is_checked_in_words_and_in_json() {
    let (_dir, path) = file(GOOD);
    let path = path.to_str().unwrap();
    let output = signalcore(&["config", "check", "--config", path]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("valid"));
    let output = signalcore(&["config", "check", "--json", "--config", path]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["network"], "regtest");
}

#[test]
fn show_prints_a_configuration_that_is_valid_itself() {
    let (dir, path) = file(GOOD);
    let output = signalcore(&["config", "show", "--config", path.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let shown = dir.path().join("shown.toml");
    fs::write(&shown, &output.stdout).unwrap();
    let output = signalcore(&["config", "check", "--config", shown.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn init_writes_a_new_file_and_never_over_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new.toml");
    let path = path.to_str().unwrap();
    assert_eq!(
        signalcore(&["config", "init", "--output", path])
            .status
            .code(),
        Some(0)
    );
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("payout_address"));
    fs::write(path, "mine").unwrap();
    assert_eq!(
        signalcore(&["config", "init", "--output", path])
            .status
            .code(),
        Some(1)
    );
    assert_eq!(fs::read_to_string(path).unwrap(), "mine");
    let output = signalcore(&["config", "check", "--config", path]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_second_instance_in_the_same_directory_is_told_to_try_later() {
    let (dir, path) = file(&GOOD.replace("[mining]", "[mining]\nenabled = false"));
    let first = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(["run", "--config", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = dir.path().join("data/run/control.sock");
    until("the first instance is up", || socket.exists().then_some(()));
    let output = signalcore(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(
        output.status.code(),
        Some(75),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut first = first;
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock went with the process: nothing is left to clean up.
    let output = signalcore(&["status", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(69));
}

#[test]
fn usage_errors_exit_with_2() {
    assert_eq!(signalcore(&["run", "--blocks", "0"]).status.code(), Some(2));
    assert_eq!(
        signalcore(&["verify", "block", "x", "--network", "mainnet"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(signalcore(&[]).status.code(), Some(2));
}
