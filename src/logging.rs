//! Logs go to stderr, whatever the command prints on stdout.

use std::io::IsTerminal;

use time::macros::format_description;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::UtcTime;

use crate::cli::{Color, Global};

/// Sets the program's logging up, once; a second call (a test that starts the program twice) changes
/// nothing. `SIGNALCORE_LOG` takes a filter such as `signalcore=debug`.
pub fn init(global: &Global) {
    let default = match global.verbose {
        0 => "warn,signalcore=info",
        1 => "info,signalcore=debug",
        _ => "debug,signalcore=trace",
    };
    let filter =
        EnvFilter::try_from_env("SIGNALCORE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colored(global.color))
        .with_target(global.verbose > 0)
        .with_timer(UtcTime::new(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        )));
    // The only error is that logging is set up already.
    drop(builder.try_init());
}

/// Whether stderr is to be coloured: what was asked for, else what the terminal can do.
fn colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
        }
    }
}
