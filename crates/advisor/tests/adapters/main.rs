//! `scripts/advisors/language_model.py` asks a model's server and reduces what it says to a reply of the protocol.
#![allow(clippy::unwrap_used)]

mod model_server;
mod prompts;
#[path = "../python/mod.rs"]
mod python;
mod replies;
mod servers;
mod uses;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use model_server::{Api, MODEL};
use python::interpreter;
use serde_json::{Value, json};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/advisors/language_model.py")
}

fn question(id: &str) -> Value {
    json!({
        "v": 1, "id": id, "attempt": 1, "kind": "tip", "network": "main",
        "height": 840_000, "tip": "0f".repeat(32),
        "validation": { "verdict": "AUTHENTIC", "coverage": 0.93, "level": 16000 },
        "template": { "transactions": 2000, "fees_sat": 9_000_000, "weight": 3_900_000, "age_s": 0.5 },
        "mining": { "hashrate_hs": 1e9, "expected_block_s": 1e12 },
        "recent_intervals_s": [612.0, -3.0],
        "system": { "cpu": 0.9, "memory_mb": 4000.0, "temperature_c": 50.0 },
    })
}

/// Runs the adapter on these lines to its end.
fn adapter(api: Api, url: &str, more: &[&str], lines: &[Value]) -> Output {
    let mut child = Command::new(interpreter().unwrap())
        .arg("-I")
        .arg(script())
        .args([api.name(), "--model", MODEL, "--url", url])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 runs the adapters");
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        // It may have ended before.
        drop(stdin.write_all(format!("{line}\n").as_bytes()));
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
