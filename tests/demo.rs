//! `run --demo`: the README's first command.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

use serde_json::Value;

fn demo(args: &[&str], temp: &std::path::Path) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(["run", "--demo"])
        .args(args)
        .env("TMPDIR", temp)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn it_mines_the_blocks_asked_for_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(&["--blocks", "3", "--json"], temp.path());
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "one document: {stdout}");
    let last: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(last["blocks_found"], 3, "{last}\n{log}");
    assert_eq!(last["blocks_accepted"], 3, "{last}");
    assert_eq!(last["blocks_rejected"], 0, "{last}");
    assert_eq!(last["restarts"], 0, "{last}\n{log}");
    assert!(last["hashrate_hs"].as_f64().unwrap() > 0.0, "{last}");
    assert!(last["tip"]["height"].as_u64().unwrap() >= 3, "{last}");
    assert_eq!(last["tip"]["hash"].as_str().unwrap().len(), 64);
    assert_eq!(
        std::fs::read_dir(temp.path()).unwrap().count(),
        0,
        "the demo's home is removed"
    );
}

#[test]
fn without_json_it_says_in_words_what_it_did() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(&["--blocks", "1", "--color", "never", "-v"], temp.path());
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        stdout.starts_with("1 blocks found, 1 accepted") || stdout.starts_with("1 block found"),
        "{stdout}"
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("block accepted"), "{stderr}");
    assert!(
        !stderr.contains('\u{1b}'),
        "no colours where none are wanted"
    );
}

#[test]
fn without_a_terminal_it_says_nothing_but_its_last_line() {
    let temp = tempfile::tempdir().unwrap();
    let output = demo(&["--blocks", "1"], temp.path());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
}

#[test]
fn it_takes_no_configuration_beside_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args(["run", "--demo", "--config", "x.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
