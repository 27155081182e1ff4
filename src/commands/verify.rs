//! `verify`: consensus checks on a file, without a node.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use chain::{BlockContext, Network, Report, Verdict};
use serde::Serialize;

use crate::cli::Verify;
use crate::exit::Exit;
use crate::output::Output;

/// A report with what this command adds to it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(flatten)]
    report: &'a Report,
    elapsed_s: f64,
}

/// Runs the command. 0 valid, 1 invalid, 3 undecidable.
///
/// # Errors
/// The file cannot be read.
pub fn run(command: &Verify, output: Output) -> anyhow::Result<Exit> {
    let (hash, report, started) = match command {
        Verify::Headers {
            file,
            network,
            start_height,
        } => {
            let bytes = read(file)?;
            let started = Instant::now();
            (None, headers(&bytes, *network, *start_height), started)
        }
        Verify::Block {
            file,
            network,
            height,
        } => {
            let bytes = read(file)?;
            let started = Instant::now();
            let context = BlockContext {
                height: *height,
                ..BlockContext::new(*network)
            };
            let block = chain::check_block(&bytes, &context);
            (
                block.hash.map(|hash| hash.to_string()),
                block.report,
                started,
            )
        }
    };
    let elapsed_s = started.elapsed().as_secs_f64();
    let document = Document {
        hash,
        report: &report,
        elapsed_s,
    };
    output.result(&document, || text(&document))?;
    Ok(match report.verdict {
        Verdict::Authentic => Exit::Ok,
        Verdict::Rejected => Exit::Failed,
        Verdict::Undecided => Exit::Undecidable,
    })
}

fn headers(bytes: &[u8], network: Network, start_height: u32) -> Report {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let now = u32::try_from(now).unwrap_or(u32::MAX);
    chain::verify_headers(
        network,
        start_height,
        bytes,
        chain::DEFAULT_LEVEL,
        chain::DEFAULT_COVERAGE_MIN,
        Some(now),
    )
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
        return Ok(bytes);
    }
    std::fs::read(file)
        .with_context(|| format!("cannot read {}; give an existing file", file.display()))
}

fn text(document: &Document<'_>) -> String {
    let report = document.report;
    let mut text = String::new();
    let subject = document.hash.as_ref().map_or_else(
        || format!("{} headers", report.verified),
        |hash| format!("block {hash}"),
    );
    let _ = writeln!(
        text,
        "{}: {subject}, coverage {:.2}, {:.3} s",
        report.verdict, report.coverage, document.elapsed_s
    );
    if let Some(failure) = &report.first_failure {
        let at = failure
            .height
            .map(|height| format!(" at height {height}"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "first failure{at}: {}: {}",
            failure.check, failure.reason
        );
    }
    for check in &report.checks {
        let reason = check
            .reason
            .as_deref()
            .map(|reason| format!("  ({reason})"))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:15} {}{reason}",
            check.status.as_str(),
            check.name.as_str()
        );
    }
    text
}
