//! Where the tests find real chain data, and how they read it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

pub mod properties;
pub mod synthetic;

use std::path::PathBuf;

use bitcoin::block::Header;
use serde_json::Value;

/// The folder of real chain data, or `None` after saying that the test is skipped.
pub fn testdata() -> Option<PathBuf> {
    let folder = std::env::var_os("SIGNALCORE_TESTDATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SIGNALCORE_TESTDATA not set");
    }
    folder
}

pub fn read(path: &str) -> Option<Vec<u8>> {
    let path = testdata()?.join(path);
    Some(
        std::fs::read(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display())),
    )
}

/// A JSON file of the folder.
pub fn json(path: &str) -> Option<Value> {
    Some(serde_json::from_slice(&read(path)?).unwrap())
}

/// A recorded call: the first parameter of the request, and the answer.
pub fn recorded(name: &str) -> Option<(Value, Value)> {
    let recording = json(&format!("core/rpc/{name}.json"))?;
    let body = |part: &str| -> Value {
        serde_json::from_str(recording[part]["body"].as_str().unwrap()).unwrap()
    };
    Some((body("request")["params"][0].take(), body("response")))
}

pub fn headers(raw: &[u8]) -> Vec<Header> {
    let (chunks, rest) = raw.as_chunks::<80>();
    assert!(rest.is_empty());
    chunks.iter().map(chain::header_from_bytes).collect()
}

/// The blocks of a file of length-prefixed blocks.
pub fn split_blocks(mut raw: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    while let Some((length, rest)) = raw.split_first_chunk::<4>() {
        let (block, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        blocks.push(block.to_vec());
        raw = rest;
    }
    blocks
}
