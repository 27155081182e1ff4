//! What the miner starts with: what is forced, what is known of this machine, or else what a short measurement shows.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actors::errand::Errand;
use actors::messages::KernelSource;
use actors::miner::MinerSettings;
use actors::monitor::{self, hashrate};
use pow::Kernel;
use time::OffsetDateTime;
use tracing::{info, warn};

use super::cache::{Autotune, Figure};
use super::key::{self, Key};
use super::measure::{clock_hz, wall_clock};
use super::race::{Race, Runner, race};
use crate::config::{Forced, MAX_THREADS};

/// What all kernels together may be measured for at a start.
pub const BUDGET: Duration = Duration::from_millis(30);

/// Chooses kernel and number of threads for a miner that is about to start, where they are not forced, and says so.
/// What fails its self-test is held against the kernel: the miner takes the next one then.
pub fn settle(miner: &mut MinerSettings, forced: Forced, file: &Path, now: OffsetDateTime) {
    let key = Key::of(miner);
    let is_wanted = forced.kernel.is_none() || !forced.threads;
    let known = is_wanted.then(|| Autotune::look(file, &key, now)).flatten();
    let from = |known: &Autotune| {
        let age = (now - known.measured_at).as_seconds_f64().max(0.0);
        format!("{}, {}", file.display(), monitor::age(age))
    };
    if let Some(known) = &known {
        miner.next_kernels = named(&known.kernels);
        if let Some(threads) = known.threads.filter(|_| !forced.threads) {
            miner.threads = threads.count.clamp(1, MAX_THREADS);
            info!("{} hashing threads: from {}", miner.threads, from(known));
        }
    }
    let fitting = known
        .as_ref()
        .and_then(|known| Some((known, pow::kernel(&known.kernel).ok()?)));
    let why = if let Some(by) = forced.kernel {
        trust(miner, miner.kernel);
        format!("forced by {by}")
    } else if let Some((known, kernel)) = fitting {
        miner.kernel = kernel;
        miner.kernel_source = known.source;
        if let Some(threads) = known.threads {
            miner.most_versions = threads.versions;
        }
        trust(miner, kernel);
        let words = words(&known.kernels, kernel.name());
        format!("{words}; from {}", from(known))
    } else {
        let began = Instant::now();
        let figures = choose(miner);
        let words = words(&figures, miner.kernel.name());
        let took = began.elapsed().as_millis();
        let source = KernelSource::Start;
        keep(
            Autotune::new(key, source, now, miner.kernel.name(), None, figures),
            file.to_owned(),
        );
        format!("{words}; measured at start, in {took} ms")
    };
    let threads = known.as_ref().and_then(|known| known.threads);
    let is_tuned = known.is_some_and(|known| known.kernel == miner.kernel.name());
    miner.tuned_hs = threads
        .filter(|threads| is_tuned && threads.count == miner.threads)
        .map(|threads| threads.thread_hs);
    info!("kernel {}: {why}", miner.kernel.name());
}

/// Measures every kernel that this CPU can run and takes the fastest that passes its self-test.
fn choose(miner: &mut MinerSettings) -> Vec<Figure> {
    let (kernels, versions) = (key::supported(), key::versions(miner));
    let Race { runners, failed } = race(&kernels, versions, BUDGET, &mut wall_clock());
    for kernel in failed {
        let faults = &miner.kernel_faults;
        faults.blame(kernel.name(), "it panicked while it was measured");
    }
    miner.kernel_source = KernelSource::Start;
    miner.next_kernels = runners.iter().map(|runner| runner.kernel).collect();
    let found = runners.iter().find(|runner| trust(miner, runner.kernel));
    if let Some(runner) = found {
        miner.kernel = runner.kernel;
    }
    figures(&runners, clock_hz())
}

/// Whether a kernel may be used: nothing is held against it, and it passes its self-test now.
fn trust(miner: &MinerSettings, kernel: &'static dyn Kernel) -> bool {
    let faults = &miner.kernel_faults;
    match self_test(kernel) {
        Err(fault) => {
            faults.blame(kernel.name(), &fault);
            false
        }
        Ok(()) => faults.against(kernel.name()).is_none(),
    }
}

/// Whether a kernel computes rightly here, and why not.
///
/// # Errors
/// In words.
pub fn self_test(kernel: &'static dyn Kernel) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| pow::self_test(kernel)));
    result
        .map_err(|_| "it panicked in its self-test".to_owned())?
        .map_err(|error| error.to_string())
}

/// The figures of a race.
pub fn figures(runners: &[Runner], clock_hz: Option<f64>) -> Vec<Figure> {
    let figure = |runner: &Runner| Figure {
        kernel: runner.kernel.name().to_owned(),
        hashrate_hs: runner.measured.hashrate_hs(),
        cycles_per_hash: clock_hz.map(|hz| runner.measured.cycles_per_hash(hz)),
    };
    runners.iter().map(figure).collect()
}

/// Those of the kernels that there are.
fn named(figures: &[Figure]) -> Vec<&'static dyn Kernel> {
    let kernels = figures.iter().map(|figure| pow::kernel(&figure.kernel));
    kernels.flatten().collect()
}

/// Has the file written by a thread of its own: a disk that stalls does not hold up the start.
fn keep(autotune: Autotune, file: PathBuf) {
    let errand = Errand::start("autotune", move |autotune: Autotune| {
        if let Err(error) = autotune.write(&file) {
            warn!("cannot keep what was measured: {error}; the next start measures again");
        }
    });
    match errand {
        Ok(errand) => drop(errand.ask(autotune)),
        Err(error) => warn!("no thread to keep what was measured: {error}"),
    }
}

/// What the chosen kernel does, and then the others.
fn words(figures: &[Figure], chosen: &str) -> String {
    let mut words = String::new();
    let (chosen, others): (Vec<&Figure>, _) = figures.iter().partition(|f| f.kernel == chosen);
    for figure in chosen {
        if let Some(cycles) = figure.cycles_per_hash {
            let _ = write!(words, "{cycles:.0} cycles/hash, ");
        }
        let _ = write!(words, "{} per thread", hashrate(figure.hashrate_hs));
    }
    for (index, figure) in others.into_iter().enumerate() {
        let between = if index == 0 { "; " } else { ", " };
        let does = figure.cycles_per_hash.map_or_else(
            || hashrate(figure.hashrate_hs),
            |cycles| format!("{cycles:.0}"),
        );
        let _ = write!(words, "{between}{} {does}", figure.kernel);
    }
    words
}

#[cfg(test)]
mod tests;
