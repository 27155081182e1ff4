//! `journal`: the blocks this instance found.

mod resubmit;
mod show;

use std::fmt::Write as _;

use actors::submitter::journal::{self, NodeEntry};

use crate::cli::{Global, JournalCommand};
use crate::config::{self, Settings};
use crate::exit::Exit;
use crate::output::Output;

/// Runs the command, beside a running instance or without one.
///
/// # Errors
/// A configuration that cannot be used, a journal that cannot be read; what the block is asked for and is not.
pub fn run(command: &JournalCommand, global: &Global, output: Output) -> anyhow::Result<Exit> {
    let settings = config::load(global.config.as_deref())?;
    match command {
        JournalCommand::List => list(&settings, output),
        JournalCommand::Show {
            hash,
            hex,
            output: file,
        } => show::run(&settings, hash, *hex, file.as_deref(), output),
        JournalCommand::Resubmit { hash, node } => {
            resubmit::run(&settings, hash, node.as_deref(), output)
        }
    }
}

fn list(settings: &Settings, output: Output) -> anyhow::Result<Exit> {
    let entries = journal::list(&settings.journal_dir())?;
    output.result(&entries, || {
        if entries.is_empty() {
            return format!(
                "no block found yet; the journal is {}",
                settings.journal_dir().display()
            );
        }
        let mut text = String::new();
        for entry in &entries {
            let state = entry.state.name();
            let _ = write!(text, "{:>8}  {}  {state:10}", entry.height, entry.hash);
            for node in &entry.nodes {
                let _ = write!(text, "  {}", in_words(node));
            }
            text.push('\n');
        }
        text
    })?;
    Ok(Exit::Ok)
}

/// What a node made of a block.
fn in_words(node: &NodeEntry) -> String {
    let reason = node.reason.as_deref();
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{}: {}{reason}", node.name, node.state.name())
}
