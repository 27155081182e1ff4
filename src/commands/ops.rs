//! `ops`: orders to the running instance.

use actors::api::{FaultKind, Reply, Request, SocketError, ask};
use anyhow::Context as _;
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use serde_json::json;

use crate::cli::{Cli, Fault, Global, Ops};
use crate::config;
use crate::exit::{Exit, ExitError};
use crate::output::Output;

/// Runs the command. 69 without a running instance.
///
/// # Errors
/// A configuration that cannot be used; no instance; an instance that refuses.
pub fn run(command: &Ops, global: &Global, output: Output) -> anyhow::Result<Exit> {
    match command {
        Ops::Fault {
            child,
            kind,
            seconds,
        } => fault(child, *kind, *seconds, global, output),
    }
}

fn fault(
    child: &str,
    kind: Fault,
    seconds: Option<f64>,
    global: &Global,
    output: Output,
) -> anyhow::Result<Exit> {
    if seconds.is_some() && kind != Fault::Hang {
        Cli::command()
            .error(ErrorKind::ArgumentConflict, "only a hang takes --for")
            .exit();
    }
    let settings =
        config::load(global.config.as_deref()).context("cannot tell which instance to break")?;
    let request = Request::Fault {
        child: child.to_owned(),
        kind: match kind {
            Fault::Panic => FaultKind::Panic,
            Fault::Hang => FaultKind::Hang,
            Fault::Exit => FaultKind::Exit,
        },
        seconds,
    };
    let reply = ask(&settings.control_socket(), &request).map_err(|error| match error {
        SocketError::Absent { .. } => ExitError::new(Exit::Unavailable, error.to_string()),
        other => ExitError::new(Exit::Failed, other.to_string()),
    })?;
    let Reply::Done(what) = reply else {
        let reason = match reply {
            Reply::Error(reason) => reason,
            other => format!("the instance answered something else: {other:?}"),
        };
        return Err(ExitError::new(Exit::Failed, reason).into());
    };
    output.result(&json!({ "done": what }), || what.clone())?;
    Ok(Exit::Ok)
}
