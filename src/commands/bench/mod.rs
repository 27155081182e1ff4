//! `bench`: what this machine can do, and how fast the whole program is on it.
//!
//! | file | what it measures |
//! |---|---|
//! | `hash` | each kernel by itself, and the hashing threads of a daemon |
//! | `validate` | headers and a block against the rules |
//! | `latency` | a new tip, new work and a found block on their way through a daemon |
//! | `stalls` | how often the machine stops whoever runs on it |
//! | `daemon` | the daemon that the others run, on a node of its own |

mod daemon;
mod hash;
mod latency;
mod stalls;
mod validate;

use std::time::Duration;

use crate::cli::Bench;
use crate::exit::{Exit, ExitError};
use crate::output::Output;

/// Runs the command.
///
/// # Errors
/// What is to be measured is not there or does not run; a time that is none; a signal.
pub fn run(command: &Bench, output: Output) -> anyhow::Result<Exit> {
    match command {
        Bench::Hash(options) => hash::run(options, output),
        Bench::Validate(options) => validate::run(options, output),
        Bench::Latency(options) => latency::run(options, output),
    }?;
    Ok(Exit::Ok)
}

/// The time to measure in.
fn time_of(seconds: f64) -> Result<Duration, ExitError> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| {
            ExitError::new(
                Exit::Failed,
                format!("--seconds {seconds} is no time to measure in; give more than 0"),
            )
        })
}
