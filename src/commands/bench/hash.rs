//! `bench hash`: hash rates, each kernel by itself and through the threads of a whole daemon.

use std::fmt::Write as _;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use actors::board::Board;
use actors::messages::MiningState;
use actors::miner::{Affinity, Interval, Machine, PaceMode, Pacing, Placement};
use actors::monitor::hashrate;
use anyhow::{Context as _, bail};
use chain::VersionRolling;
use pow::Kernel;
use serde::Serialize;
use tokio::time::sleep;

use super::daemon::with_daemon;
use super::time_of;
use crate::cli::BenchHash;
use crate::demo::Demo;
use crate::output::Output;
use crate::tune::choice::{self, BUDGET};
use crate::tune::key;
use crate::tune::measure::{Meter, clock_hz, wall_clock};
use crate::tune::race::race;

/// The daemon's counters are read this often. They grow by a slice at a time, a fifth of a millisecond: a reading is
/// off by one part in five hundred at most.
const READING: Duration = Duration::from_millis(100);
/// No block is to be found meanwhile.
const NO_BLOCK: Interval = Interval::Fixed(1e6);

/// What cannot be beaten, in cycles per hash, by count of operations: for one header version, and for many that
/// share the schedule of the second chunk. The hybrids leave a single version to `shani`.
const FLOORS: [(&str, f64, f64); 4] = [
    ("shani-avx512", 78.0, 60.0),
    ("shani-avx2", 78.0, 60.0),
    ("shani", 78.0, 65.0),
    ("avx512", 89.0, 75.0),
];

#[derive(Debug, Serialize)]
struct Document {
    /// Kernels by themselves.
    results: Vec<Figure>,
    /// The same through the hashing threads of a whole daemon.
    daemon: Vec<Figure>,
    /// What one thread of the daemon is to several: as many, where they do not get in each other's way.
    scaling: Option<f64>,
    selected: &'static str,
}

/// What so many threads did.
#[derive(Debug, Serialize)]
struct Figure {
    kernel: &'static str,
    threads: u16,
    versions: u16,
    hashes: u64,
    elapsed_s: f64,
    /// Over all of the time.
    hashrate_hs: f64,
    /// Where nothing disturbed it, in the core's own cycles; null where the clock cannot be told.
    cycles_per_hash: Option<f64>,
    floor_cycles: Option<f64>,
    /// Of all threads together, where nothing disturbed them.
    #[serde(skip)]
    best_hs: f64,
}

/// What one thread did.
struct Share {
    hashes: u64,
    elapsed: Duration,
    best_ns: f64,
    clock_hz: Option<f64>,
}

impl Figure {
    fn of(kernel: &'static dyn Kernel, versions: u16, shares: &[Share]) -> Self {
        let hashes = shares.iter().map(|share| share.hashes).sum();
        let longest = shares.iter().map(|share| share.elapsed).max();
        let elapsed_s = longest.unwrap_or_default().as_secs_f64();
        let cycles = shares
            .iter()
            .map(|share| Some(share.best_ns * share.clock_hz? / 1e9));
        let cycles: Option<Vec<f64>> = cycles.collect();
        Self {
            kernel: kernel.name(),
            threads: shares.len() as u16,
            versions,
            hashes,
            elapsed_s,
            hashrate_hs: hashes as f64 / elapsed_s,
            cycles_per_hash: cycles.map(|all| all.iter().sum::<f64>() / all.len() as f64),
            floor_cycles: floor(kernel.name(), versions),
            best_hs: shares.iter().map(|share| 1e9 / share.best_ns).sum(),
        }
    }
}

fn floor(kernel: &str, versions: u16) -> Option<f64> {
    let (_, one, many) = FLOORS.iter().find(|(name, ..)| *name == kernel)?;
    Some(if versions == 1 { *one } else { *many })
}

/// Runs the command.
///
/// # Errors
/// A kernel that is unknown or that this CPU cannot run; a time that is none; no daemon.
pub fn run(options: &BenchHash, output: Output) -> anyhow::Result<()> {
    let time = time_of(options.seconds)?;
    let selected = selected(usize::from(options.versions))?;
    let chosen = options.kernel.as_deref().map(pow::kernel).transpose()?;
    let one = chosen.unwrap_or(selected);
    let all = pow::kernels().iter().copied();
    let kernels: Vec<&dyn Kernel> = if options.all {
        all.filter(|kernel| kernel.is_supported()).collect()
    } else {
        vec![one]
    };
    let mut counts = vec![1, options.threads];
    counts.dedup();
    let mut results = Vec::new();
    for kernel in kernels {
        // Somebody who asks for one kernel on several threads wants to know just that.
        let counts = if options.all {
            &counts
        } else {
            &counts[counts.len() - 1..]
        };
        for threads in counts {
            results.push(by_itself(kernel, *threads, options.versions, time)?);
        }
    }
    let mut daemon = Vec::new();
    if !options.kernels_only {
        for threads in &counts {
            daemon.push(in_daemon(one, *threads, options.versions > 1, time)?);
        }
    }
    let document = Document {
        results,
        scaling: scaling(&daemon),
        daemon,
        selected: selected.name(),
    };
    output.result(&document, || text(&document))
}

/// The kernel that a start would choose here: the fastest of a short race that passes its self-test.
fn selected(versions: usize) -> anyhow::Result<&'static dyn Kernel> {
    let race = race(&key::supported(), versions, BUDGET, &mut wall_clock());
    let kernels = race.runners.into_iter().map(|runner| runner.kernel);
    let mut sound = kernels.filter(|kernel| choice::self_test(*kernel).is_ok());
    sound
        .next()
        .context("no kernel of this program works on this CPU; please report this")
}

/// Scans with so many threads for `time`, all beginning at once.
fn by_itself(
    kernel: &'static dyn Kernel,
    threads: u16,
    versions: u16,
    time: Duration,
) -> anyhow::Result<Figure> {
    let start = Barrier::new(usize::from(threads));
    // As in the daemon.
    let seats = Affinity::Auto.seats(usize::from(threads), &Machine::here());
    let shares: Option<Vec<Share>> = thread::scope(|scope| {
        let running: Vec<_> = seats
            .into_iter()
            .map(|cpu| {
                let start = &start;
                scope.spawn(move || {
                    // Where it is refused, it is refused to the daemon too.
                    Placement::take(cpu, 0);
                    let clock_hz = clock_hz();
                    let mut meter = Meter::new(kernel, usize::from(versions));
                    start.wait();
                    let began = Instant::now();
                    meter.run(time, &mut wall_clock());
                    let measured = meter.measured();
                    Share {
                        hashes: measured.hashes,
                        elapsed: began.elapsed(),
                        best_ns: measured.ns_per_hash,
                        clock_hz,
                    }
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().ok())
            .collect()
    });
    let shares = shares.with_context(|| {
        format!(
            "hashing kernel {} panicked; please report this",
            kernel.name()
        )
    })?;
    Ok(Figure::of(kernel, versions, &shares))
}

/// Runs a whole daemon with so many hashing threads on an embedded node, and reads what they count.
fn in_daemon(
    kernel: &'static dyn Kernel,
    threads: u16,
    roll_versions: bool,
    time: Duration,
) -> anyhow::Result<Figure> {
    let clock_hz = clock_hz();
    let demo = Demo::start()?;
    let mut settings = demo.settings()?;
    let mining = settings.mining.as_mut();
    let mining = mining.context("the demo does not mine: a fault of this program")?;
    mining.kernel = kernel;
    mining.threads = usize::from(threads);
    mining.pacing = Some(Pacing {
        mode: PaceMode::Work,
        interval: NO_BLOCK,
    });
    if !roll_versions {
        mining.version_rolling = VersionRolling::Off;
    }
    with_daemon(&settings, async |board: &Board| {
        let measured = async {
            scanning(board, usize::from(threads)).await;
            let job = board.job.borrow().clone();
            let versions = job.map_or(1, |job| job.versions().len());
            let versions = if roll_versions { versions as u16 } else { 1 };
            let shares = read(board, usize::from(threads), time, clock_hz).await;
            Figure::of(kernel, versions, &shares)
        };
        tokio::select! {
            figure = measured => Ok(figure),
            () = demo.traffic() => bail!("the demo's traffic ended"),
        }
    })
}

/// Resolves when so many threads have a job whose target they scan against.
async fn scanning(board: &Board, threads: usize) {
    let mut mining = board.mining.subscribe();
    // The board outlives this wait.
    let _ = mining
        .wait_for(|view| view.state == MiningState::Paced && view.active == threads)
        .await;
}

/// What the hashing threads count in `time`.
async fn read(board: &Board, threads: usize, time: Duration, clock_hz: Option<f64>) -> Vec<Share> {
    let counters = &board.registry.threads[..threads];
    let counts = || -> Vec<(u64, u64)> {
        let count =
            |counter: &actors::stats::ThreadCounter| (counter.hashes.get(), counter.busy_ns.get());
        counters.iter().map(count).collect()
    };
    let (began, first) = (Instant::now(), counts());
    let mut best_ns = vec![f64::INFINITY; threads];
    let mut before = first.clone();
    while began.elapsed() < time {
        sleep(READING.min(time)).await;
        let now = counts();
        for ((best, now), before) in best_ns.iter_mut().zip(&now).zip(&before) {
            let hashes = now.0 - before.0;
            if hashes > 0 {
                *best = best.min((now.1 - before.1) as f64 / hashes as f64);
            }
        }
        before = now;
    }
    let elapsed = began.elapsed();
    let shares = before.iter().zip(&first).zip(best_ns);
    shares
        .map(|((last, first), best_ns)| Share {
            hashes: last.0 - first.0,
            elapsed,
            best_ns,
            clock_hz,
        })
        .collect()
}

/// The best of the last figure to that of the first, where that is of one thread.
fn scaling(figures: &[Figure]) -> Option<f64> {
    match figures {
        [one, .., several] if one.threads == 1 => Some(several.best_hs / one.best_hs),
        _ => None,
    }
}

fn text(document: &Document) -> String {
    let mut text = format!(
        "{:20}{:>8}{:>14}{:>14}{:>18}\n",
        "", "threads", "", "cycles/hash", "floor"
    );
    let mut row = |name: &str, figure: &Figure| {
        let cycles = figure
            .cycles_per_hash
            .map_or_else(|| "?".to_owned(), |cycles| format!("{cycles:.1}"));
        let floor = figure
            .cycles_per_hash
            .zip(figure.floor_cycles)
            .map(|(cycles, floor)| format!("{floor:.0}, x {:.2}", cycles / floor))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "{name:20}{:>8}{:>14}{cycles:>14}{floor:>18}",
            figure.threads,
            hashrate(figure.hashrate_hs),
        );
    };
    for figure in &document.results {
        row(figure.kernel, figure);
    }
    for figure in &document.daemon {
        row(&format!("daemon, {}", figure.kernel), figure);
    }
    if let (Some(scaling), Some(several)) = (document.scaling, document.daemon.last()) {
        let _ = writeln!(
            text,
            "{} threads against one: {scaling:.2}",
            several.threads
        );
    }
    let _ = writeln!(text, "selected: {}", document.selected);
    text
}
