//! The signalcore binary: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    signalcore::run(&signalcore::cli::Cli::parse())
}
