//! signalcore: mining and proof-of-work validation beside an operator's own Bitcoin Core node.
//!
//! This package is composition only. [`run`] parses nothing and decides little: it hands the command
//! to the file of the same name in [`commands`], and turns what comes back into an exit code.
#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod exit;
pub mod faults;
pub mod instance;
pub mod lifecycle;
pub mod logging;
pub mod notify;
pub mod output;
pub mod profile;
pub mod reload;
pub mod signals;
pub mod tree;
pub mod tune;
pub mod world;

use std::process::ExitCode;

use cli::{Cli, Command};
use exit::{Exit, ExitError};
use output::Output;

/// Runs one command to its end.
pub fn run(cli: &Cli) -> ExitCode {
    // No log and no thread: it becomes another program, or watches over one.
    if let Command::AdvisorJail { .. } = cli.command {
        return advisor::jail::main();
    }
    logging::init(&cli.global, &cli.command);
    let _finish = logging::Finish;
    let output = Output::new(cli.global.json);
    let result = match &cli.command {
        Command::Run(options) => commands::run::run(options, &cli.global, output),
        Command::Daemon => commands::daemon::run(&cli.global),
        Command::Status => commands::status::run(&cli.global, output),
        Command::HealthCheck(options) => commands::health_check::run(options, &cli.global, output),
        Command::Verify(command) => commands::verify::run(command, output),
        Command::Config(command) => commands::config::run(command, &cli.global, output),
        Command::Journal(command) => commands::journal::run(command, &cli.global, output),
        Command::Bench(command) => commands::bench::run(command, output),
        Command::Tune(options) => commands::tune::run(options, &cli.global, output),
        Command::Ops(command) => commands::ops::run(command, &cli.global, output),
        Command::Advisor(options) => commands::advisor::run(options, output),
        Command::Devnode(options) => commands::devnode::run(options, output),
        Command::AdvisorJail { .. } => unreachable!("it was run above"),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = exit_of(&error);
            output::complain(&error);
            exit.into()
        }
    }
}

/// The exit code an error asks for, wherever in its chain it says so.
fn exit_of(error: &anyhow::Error) -> Exit {
    error
        .chain()
        .find_map(|cause| {
            let by_configuration = cause
                .downcast_ref::<config::ConfigError>()
                .map(|_| Exit::Config);
            by_configuration.or_else(|| cause.downcast_ref::<ExitError>().map(|error| error.exit))
        })
        .unwrap_or(Exit::Failed)
}
