//! `journal`: the blocks this instance found.

use std::fmt::Write as _;

use actors::submitter::journal;

use crate::cli::{Global, JournalCommand};
use crate::config;
use crate::exit::Exit;
use crate::output::Output;

/// Runs the command, beside a running instance or without one.
///
/// # Errors
/// A configuration that cannot be used, a journal that cannot be read.
pub fn run(command: &JournalCommand, global: &Global, output: Output) -> anyhow::Result<Exit> {
    let settings = config::load(global.config.as_deref())?;
    match command {
        JournalCommand::List => {
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
                    let _ = write!(
                        text,
                        "{:>8}  {}  {:10}",
                        entry.height,
                        entry.hash,
                        entry.state.name()
                    );
                    for node in &entry.nodes {
                        let reason = node
                            .reason
                            .as_deref()
                            .map(|reason| format!(" ({reason})"))
                            .unwrap_or_default();
                        let _ = write!(text, "  {}: {}{reason}", node.name, node.state.name());
                    }
                    text.push('\n');
                }
                text
            })?;
        }
    }
    Ok(Exit::Ok)
}
