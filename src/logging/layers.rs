//! Where events come in from tracing: one layer counts what is grave, one writes down what the filter
//! lets through.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::sync::Once;
use std::time::SystemTime;

use actors::monitor::Gravity;
use tracing::{Event, Level, Subscriber, error, warn};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use super::Shared;
use super::record::Record;

/// Makes the layers the process's, unless it has others already.
pub fn install(shared: &'static Shared, verbose: u8) {
    let default = match verbose {
        0 => "warn,signalcore=info",
        1 => "info,signalcore=debug",
        _ => "debug,signalcore=trace",
    };
    let filter =
        EnvFilter::try_from_env("SIGNALCORE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let layers = tracing_subscriber::registry()
        .with(Count(shared).with_filter(LevelFilter::WARN))
        .with(Keep(shared).with_filter(filter));
    // The only error is that somebody else set logging up.
    drop(layers.try_init());
}

/// Counts errors and warnings, whatever the filter.
struct Count(&'static Shared);

impl<S: Subscriber> Layer<S> for Count {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let gravity = match *event.metadata().level() {
            Level::ERROR => Gravity::Error,
            Level::WARN => Gravity::Warning,
            _ => return,
        };
        let record = Record::of(event, SystemTime::now());
        let message = format!("{}{}", record.message, record.fields);
        self.0
            .book
            .count(gravity, record.source(), &message, record.at);
    }
}

/// Writes down.
struct Keep(&'static Shared);

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.0.wanted(*event.metadata().level()) {
            self.0.log(Record::of(event, SystemTime::now()));
        }
    }
}

/// Panics are logged like everything else, instead of being written to stderr by the thread that
/// panicked. A child's panic is its supervisor's to report as an error.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("?");
            let message = info.payload_as_str().unwrap_or("(no text)");
            let place = info
                .location()
                .map_or_else(|| "?".to_owned(), ToString::to_string);
            let backtrace = Backtrace::capture();
            let backtrace = match backtrace.status() {
                BacktraceStatus::Captured => format!("\n{backtrace}"),
                _ => String::new(),
            };
            if thread == "main" {
                error!("panicked at {place}: {message}{backtrace}");
            } else {
                warn!("thread {thread} panicked at {place}: {message}{backtrace}");
            }
        }));
    });
}
