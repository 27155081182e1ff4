//! `config`: check, show, init.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::{ConfigCommand, Global};
use crate::config;
use crate::exit::Exit;
use crate::output::Output;

/// Runs the command.
///
/// # Errors
/// A configuration that cannot be used, a file that cannot be written.
pub fn run(command: &ConfigCommand, global: &Global, output: Output) -> anyhow::Result<Exit> {
    let file = global.config.as_deref();
    match command {
        ConfigCommand::Check => check(file, output),
        ConfigCommand::Show => show(file, output),
        ConfigCommand::Init { output: target } => init(target.as_deref(), output),
    }
}

fn check(file: Option<&Path>, output: Output) -> anyhow::Result<Exit> {
    let settings = config::load(file)?;
    let nodes: Vec<&str> = settings
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    let document = json!({
        "valid": true,
        "network": settings.network,
        "nodes": nodes,
        "mining": settings.mining.is_some(),
    });
    output.result(&document, || {
        format!(
            "the configuration is valid: {}, node {}, {}",
            settings.network,
            nodes.join(", "),
            if settings.mining.is_some() {
                "mining"
            } else {
                "verifying only"
            }
        )
    })?;
    Ok(Exit::Ok)
}

fn show(file: Option<&Path>, output: Output) -> anyhow::Result<Exit> {
    let raw = config::merged(file)?;
    let text = toml::to_string(&raw).context("cannot write the merged configuration as TOML")?;
    output.result(&raw, || text)?;
    Ok(Exit::Ok)
}

fn init(target: Option<&Path>, output: Output) -> anyhow::Result<Exit> {
    let Some(path) = target else {
        output.result(&json!({ "toml": config::DEFAULTS }), || {
            config::DEFAULTS.to_owned()
        })?;
        return Ok(Exit::Ok);
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| {
            format!(
                "cannot create {}; an existing file is never overwritten",
                path.display()
            )
        })?;
    file.write_all(config::DEFAULTS.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    output.result(&json!({ "written": path }), || {
        format!(
            "wrote {}; set chain.network, a [[node]] and mining.payout_address, then: signalcore config check --config {0}",
            path.display()
        )
    })?;
    Ok(Exit::Ok)
}
