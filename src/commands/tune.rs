//! `tune`: measures this machine in six phases and keeps what is best for a day.

use std::thread;
use std::time::{Duration, SystemTime};

use actors::messages::KernelSource;
use actors::miner::MinerSettings;
use actors::monitor::hashrate;
use pow::Kernel;

use crate::cli::{Global, Tune};
use crate::config::{self, MAX_THREADS, Settings};
use crate::exit::{Exit, ExitError};
use crate::output::Output;
use crate::tune::cache::{Autotune, Threads};
use crate::tune::choice::{figures, self_test};
use crate::tune::key::{self, Key};
use crate::tune::measure::{Measured, clock_hz, wall_clock};
use crate::tune::race::{Race, race};
use crate::tune::readiness::Surroundings;
use crate::tune::report::{Finding, Report, Status};
use crate::tune::{crowd, node, storage, trial};

/// Of the time for measuring, what kernels and batches get; threads get the rest.
const FOR_KERNELS: f64 = 0.25;
const FOR_BATCHES: f64 = 0.15;
/// The longest time to measure for.
const LONGEST_S: f64 = 3_600.0;
/// A hashing thread gives its kernel as much at a time as takes so long.
const BATCH_NS: f64 = 200_000.0;

/// Runs the command. 0 where kernel and threads were chosen, tried out and kept; 1 otherwise.
///
/// # Errors
/// A configuration that cannot be used or does not mine; a time that is none.
pub fn run(options: &Tune, global: &Global, output: Output) -> anyhow::Result<Exit> {
    let seconds = options.seconds;
    let fits = seconds > 0.0 && seconds <= LONGEST_S;
    if !fits {
        let message = format!(
            "--seconds {seconds} is no time to measure in; give more than 0, up to {LONGEST_S}"
        );
        return Err(ExitError::new(Exit::Failed, message).into());
    }
    let settings = config::load(global.config.as_deref())?;
    let Some(miner) = &settings.mining else {
        let message = "mining.enabled = false: there is nothing to tune";
        return Err(ExitError::new(Exit::Config, message).into());
    };
    let time = Duration::from_secs_f64(seconds);
    let mut report = Report::default();
    let kept = phases(&mut report, &settings, miner, time);
    output.result(&report, || report.text())?;
    Ok(if kept { Exit::Ok } else { Exit::Failed })
}

/// Goes through the phases. Whether something was chosen, works, and is kept.
fn phases(report: &mut Report, settings: &Settings, miner: &MinerSettings, time: Duration) -> bool {
    report.phase("readiness", |_| {
        Surroundings::look(settings).assess(settings.resources)
    });
    report.phase("node", |_| node::ask(&settings.nodes, settings.network));
    report.phase("storage", |_| storage::try_disk(settings));
    let mut best = None;
    report.phase("kernel", |report| {
        let (finding, found) = kernels(report, miner, time.mul_f64(FOR_KERNELS));
        best = found;
        finding
    });
    let mut threads = None;
    report.phase("threads and batch", |report| match best {
        Some((kernel, measured)) => {
            let (finding, found) = together(report, miner, kernel, measured, time);
            threads = found;
            finding
        }
        None => Finding::failed("there is no kernel to measure with"),
    });
    let tried = report.phase("self-test", |report| match (best, report.threads) {
        (Some((kernel, _)), Some(threads)) => trial::try_out(kernel, threads),
        _ => Finding::failed("there is nothing to try"),
    });
    let (Some((kernel, _)), Some(threads), Status::Success) = (best, threads, tried) else {
        return false;
    };
    advise_on_force(report, settings, miner);
    let path = settings.autotune_file();
    let written = Autotune::new(
        Key::of(miner),
        KernelSource::Tune,
        SystemTime::now().into(),
        kernel.name(),
        Some(threads),
        report.kernels.clone(),
    )
    .write(&path);
    match written {
        Ok(()) => {
            report.path = Some(path);
            true
        }
        Err(error) => {
            let advice =
                format!("what was chosen could not be kept: {error}; see to that and tune again");
            report.advice.push(advice);
            false
        }
    }
}

/// A kernel that was chosen, and what it takes.
type Chosen = (&'static dyn Kernel, Measured);

fn kernels(
    report: &mut Report,
    miner: &MinerSettings,
    time: Duration,
) -> (Finding, Option<Chosen>) {
    let Race { runners, failed } = race(
        &key::supported(),
        key::versions(miner),
        time,
        &mut wall_clock(),
    );
    let clock_hz = clock_hz();
    report.kernels = figures(&runners, clock_hz);
    let mut faults: Vec<String> = failed
        .iter()
        .map(|kernel| format!("{} panicked while it was measured", kernel.name()))
        .collect();
    let best = runners
        .iter()
        .find(|runner| match self_test(runner.kernel) {
            Ok(()) => true,
            Err(fault) => {
                faults.push(fault);
                false
            }
        });
    let mut finding = match best {
        Some(runner) => Finding::success(format!(
            "{}, {} per thread at best, of {} kernels that this CPU can run",
            runner.kernel.name(),
            hashrate(runner.measured.hashrate_hs()),
            runners.len() + failed.len()
        )),
        None => Finding::failed("no kernel of this program works on this CPU"),
    };
    for fault in faults {
        finding = finding.but(format!("{fault}; report this line"));
    }
    let best = best.map(|runner| (runner.kernel, runner.measured));
    if let Some((kernel, measured)) = best {
        report.kernel = Some(kernel.name());
        report.cycles_per_hash = clock_hz.map(|hz| measured.cycles_per_hash(hz));
    }
    (finding, best)
}

fn together(
    report: &mut Report,
    miner: &MinerSettings,
    kernel: &'static dyn Kernel,
    measured: Measured,
    time: Duration,
) -> (Finding, Option<Threads>) {
    let most = key::versions(miner);
    let versions = crowd::versions(kernel, most, time.mul_f64(FOR_BATCHES));
    let versions = crowd::best(&versions).map_or(most, |(count, _)| count);
    let lanes = f64::from(kernel.lanes()).max(1.0);
    let nonces = (BATCH_NS / measured.ns_per_hash / versions as f64 / lanes).max(1.0) as u64;
    let nonces = nonces * u64::from(kernel.lanes().max(1));
    report.versions = Some(versions);
    report.batch = Some(nonces * versions as u64);

    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let counts = crowd::candidates(cpus.min(MAX_THREADS));
    let rates = crowd::threads(
        kernel,
        versions,
        &counts,
        time.mul_f64(1.0 - FOR_KERNELS - FOR_BATCHES),
    );
    let Some((count, rate)) = crowd::best(&rates).filter(|(_, rate)| *rate > 0.0) else {
        return (Finding::failed("not a hash was done"), None);
    };
    report.threads = Some(count);
    report.hashrate_hs = Some(rate);
    let others: Vec<String> = rates
        .iter()
        .filter(|(other, _)| *other != count)
        .map(|(other, rate)| format!("{other}: {}", hashrate(*rate)))
        .collect();
    let mut message = format!("{count} threads, {}", hashrate(rate));
    if !others.is_empty() {
        message = format!("{message} ({})", others.join(", "));
    }
    let finding = Finding::success(format!(
        "{message}; batches of {versions} header versions x {nonces} nonces"
    ));
    let threads = Threads {
        count,
        versions,
        thread_hs: rate / count as f64,
    };
    (finding, Some(threads))
}

/// Says where the configuration or the environment keeps the choice from being used.
fn advise_on_force(report: &mut Report, settings: &Settings, miner: &MinerSettings) {
    if let Some(by) = settings.forced.kernel {
        let kernel = miner.kernel.name();
        report.advice.push(format!(
            "{by} forces kernel {kernel}: set it to \"auto\" to use what was chosen here"
        ));
    }
    if settings.forced.threads {
        report.advice.push(format!(
            "mining.threads = {} is set: \"auto\" would use what was chosen here",
            miner.threads
        ));
    }
}
