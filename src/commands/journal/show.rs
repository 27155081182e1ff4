//! `journal show`: everything that is known of a block.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use actors::submitter::journal::{self, JournalEntry, Shown, Step};
use actors::submitter::rfc3339;
use anyhow::Context as _;
use bitcoin::{Address, Block, Transaction};
use serde::Serialize;

use super::in_words;
use crate::config::Settings;
use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, Serialize)]
struct Document {
    #[serde(flatten)]
    entry: JournalEntry,
    history: Vec<Step>,
    /// Absent where the block cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<BlockView>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct BlockView {
    version: i32,
    previous: String,
    merkle_root: String,
    /// Unix seconds.
    time: u32,
    bits: String,
    nonce: u32,
    /// With the coinbase.
    transactions: usize,
    size_bytes: usize,
    weight_wu: u64,
    coinbase: CoinbaseView,
}

#[derive(Debug, Serialize)]
struct CoinbaseView {
    txid: String,
    script: String,
    /// What can be read of the script.
    text: String,
    outputs: Vec<OutputView>,
}

#[derive(Debug, Serialize)]
struct OutputView {
    value_sat: u64,
    /// Null for a script that no address stands for, such as the witness commitment.
    address: Option<String>,
    script: String,
}

/// Runs the command.
///
/// # Errors
/// No such block, or several; a file that is there already or cannot be written.
pub fn run(
    settings: &Settings,
    hash: &str,
    hex: bool,
    file: Option<&Path>,
    output: Output,
) -> anyhow::Result<Exit> {
    let Shown {
        entry,
        history,
        raw,
    } = journal::show(&settings.journal_dir(), hash)?;
    if let Some(path) = file {
        let raw = raw.as_deref().map_err(|error| anyhow::anyhow!("{error}"))?;
        File::create_new(path)
            .and_then(|mut file| file.write_all(raw))
            .with_context(|| {
                format!("cannot write the block to the new file {}", path.display())
            })?;
    }
    if hex {
        let digits = hex_of(&raw?);
        output.result(&digits, || digits.clone())?;
        return Ok(Exit::Ok);
    }
    let (block, block_error) = match raw {
        Ok(raw) => (Some(view(&raw, settings)?), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let document = Document {
        entry,
        history,
        block,
        block_error,
    };
    output.result(&document, || text(&document))?;
    Ok(Exit::Ok)
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

fn view(raw: &[u8], settings: &Settings) -> anyhow::Result<BlockView> {
    let block: Block = bitcoin::consensus::deserialize(raw)
        .context("the block in the journal is none, a fault of this program")?;
    let coinbase = block.txdata.first().context("the block has no coinbase")?;
    let header = &block.header;
    Ok(BlockView {
        version: header.version.to_consensus(),
        previous: header.prev_blockhash.to_string(),
        merkle_root: header.merkle_root.to_string(),
        time: header.time,
        bits: format!("{:08x}", header.bits.to_consensus()),
        nonce: header.nonce,
        transactions: block.txdata.len(),
        size_bytes: raw.len(),
        weight_wu: block.weight().to_wu(),
        coinbase: coinbase_view(coinbase, settings),
    })
}

fn coinbase_view(coinbase: &Transaction, settings: &Settings) -> CoinbaseView {
    let script = coinbase
        .input
        .first()
        .map(|input| input.script_sig.as_bytes());
    let script = script.unwrap_or_default();
    let network = settings.network.bitcoin();
    let outputs = coinbase.output.iter().map(|output| OutputView {
        value_sat: output.value.to_sat(),
        address: Address::from_script(&output.script_pubkey, network)
            .ok()
            .map(|address| address.to_string()),
        script: hex_of(output.script_pubkey.as_bytes()),
    });
    CoinbaseView {
        txid: coinbase.compute_txid().to_string(),
        script: hex_of(script),
        text: readable(script),
        outputs: outputs.collect(),
    }
}

/// The printable characters of a script; what lies between them is one dot.
fn readable(script: &[u8]) -> String {
    let mut text = String::new();
    for byte in script {
        match *byte {
            byte @ b' '..=b'~' => text.push(char::from(byte)),
            _ if text.ends_with('\u{b7}') => {}
            _ => text.push('\u{b7}'),
        }
    }
    text
}

fn text(document: &Document) -> String {
    let entry = &document.entry;
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{name:14}{value}");
    };
    line("hash", &entry.hash);
    line("height", &entry.height);
    line("state", &entry.state.name());
    line("found", &rfc3339(entry.found_at));
    for node in &entry.nodes {
        line("node", &in_words(node));
    }
    match &document.block {
        Some(block) => {
            line("previous", &block.previous);
            line("merkle root", &block.merkle_root);
            line("time", &block.time);
            line("bits", &block.bits);
            line("version", &format_args!("{:#010x}", block.version));
            line("nonce", &block.nonce);
            line("transactions", &block.transactions);
            let (size, weight) = (block.size_bytes, block.weight_wu);
            line("size", &format_args!("{size} bytes, {weight} WU"));
            line("coinbase", &block.coinbase.txid);
            line("  says", &block.coinbase.text);
            for output in &block.coinbase.outputs {
                let to = output.address.as_ref().unwrap_or(&output.script);
                line("  pays", &format_args!("{} sat to {to}", output.value_sat));
            }
        }
        None => line(
            "block",
            &document.block_error.as_deref().unwrap_or_default(),
        ),
    }
    for step in &document.history {
        let node = step.node.as_deref().unwrap_or_default();
        let state = step.state.map_or("", |state| state.name());
        let reason = step.reason.as_deref();
        let reason = reason.map_or_else(String::new, |reason| format!("({reason})"));
        let words = [step.event, node, state, &reason];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        line(
            "",
            &format_args!("{}  {}", rfc3339(step.at), words.join(" ")),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_of_a_script_is_shown_and_the_rest_is_a_dot() {
        let script = b"\x03\x01\x02\x00\x0c/signalcore/";
        assert_eq!(readable(script), "\u{b7}/signalcore/");
        assert_eq!(readable(&[]), "");
    }
}
