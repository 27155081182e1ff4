//! `devnode`: the embedded regtest node on its own.

use actix::System;
use anyhow::Context as _;
use devnode::{Devnode, DevnodeConfig, FaultScript};
use serde_json::json;

use crate::cli::DevnodeArgs;
use crate::exit::{Exit, ExitError};
use crate::output::Output;
use crate::signals::Signals;

/// Runs until a signal or the RPC `stop`.
///
/// # Errors
/// Faults that cannot be read, an address in use, a directory that cannot be written, no coins for the transactions asked for.
pub fn run(args: &DevnodeArgs, output: Output) -> anyhow::Result<Exit> {
    let faults = match &args.fault {
        Some(file) => FaultScript::read(file)
            .map_err(|error| ExitError::new(Exit::Config, error.to_string()))?,
        None => FaultScript::default(),
    };
    let temporary;
    let dir = if let Some(dir) = &args.data_dir {
        dir.as_path()
    } else {
        temporary = tempfile::Builder::new()
            .prefix("signalcore-devnode-")
            .tempdir()?;
        temporary.path()
    };
    let mut config = DevnodeConfig::new(dir);
    if let Some(file) = &args.rpc_password_file {
        let password = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        config.rpc_password = Some(password.trim_end().to_owned());
        config.rpc_user.clone_from(&args.rpc_user);
    }
    config.rpc_listen = args.rpc;
    config.zmq_listen = Some(args.zmq);
    config.persist = args.data_dir.is_some();
    System::new().block_on(serve(config, args, faults, output))
}

async fn serve(
    config: DevnodeConfig,
    args: &DevnodeArgs,
    faults: FaultScript,
    output: Output,
) -> anyhow::Result<Exit> {
    let mut signals = Signals::new().context("cannot handle signals")?;
    let node = Devnode::start(config).await?;
    if args.generate > 0 {
        node.generate(args.generate)
            .context("cannot mine the blocks of --generate")?;
    }
    if args.transactions > 0 {
        node.fill_mempool(args.transactions as usize)
            .context("cannot make the transactions of --transactions")?;
    }
    let rules = faults.rules();
    // Now, so that what was prepared above does not count.
    node.set_faults(faults);
    let zmq = node.zmq_endpoint().unwrap_or_default().to_owned();
    let document = json!({
        "rpc_url": node.rpc_url(),
        "cookie_file": node.cookie_file(),
        "zmq": zmq,
        "address": node.own_address().to_string(),
        "faults": rules,
    });
    output.result(&document, || {
        let faults = rules.iter().fold(String::new(), |lines, rule| lines + "fault   " + rule + "\n");
        format!(
            "a regtest node answers on {}\ncookie  {}\nzmq     {zmq}\naddress {}\n{faults}Ctrl-C stops it",
            node.rpc_url(),
            node.cookie_file().display(),
            node.own_address(),
        )
    })?;
    tokio::select! {
        _ = signals.stop() => {}
        () = node.stopped() => {}
    }
    node.stop().await;
    Ok(Exit::Ok)
}
