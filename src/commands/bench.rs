//! `bench`: what this machine can do.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use actors::monitor::hashrate;
use pow::{Kernel, NonceRange, ScanJob, Target};
use serde::Serialize;

use crate::cli::Bench;
use crate::exit::{Exit, ExitError};
use crate::output::Output;

/// Header versions scanned together, as on a real job.
const VERSIONS: i32 = 64;
/// Nonces to a slice: a clock is read between slices.
const SLICE: u64 = 4_096;

#[derive(Debug, Serialize)]
struct Measured {
    kernel: &'static str,
    threads: u16,
    hashes: u64,
    elapsed_s: f64,
    hashrate_hs: f64,
}

#[derive(Debug, Serialize)]
struct Document {
    results: Vec<Measured>,
    selected: &'static str,
}

/// Runs the command.
///
/// # Errors
/// A kernel that is unknown or that this CPU cannot run; a time that is none.
pub fn run(command: &Bench, output: Output) -> anyhow::Result<Exit> {
    let Bench::Hash {
        threads,
        seconds,
        kernel,
        all,
    } = command;
    let time = Duration::try_from_secs_f64(*seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| {
            ExitError::new(
                Exit::Failed,
                format!("--seconds {seconds} is no time to measure in; give more than 0"),
            )
        })?;
    let selected = pow::kernel("auto")?;
    let kernels: Vec<&dyn Kernel> = match kernel {
        _ if *all => pow::kernels()
            .iter()
            .copied()
            .filter(|kernel| kernel.is_supported())
            .collect(),
        Some(name) => vec![pow::kernel(name)?],
        None => vec![selected],
    };
    let results = kernels
        .into_iter()
        .map(|kernel| measure(kernel, *threads, time))
        .collect();
    let document = Document {
        results,
        selected: selected.name(),
    };
    output.result(&document, || {
        let mut text = String::new();
        for result in &document.results {
            let _ = writeln!(
                text,
                "{:8} {:>12} with {} thread{}",
                result.kernel,
                hashrate(result.hashrate_hs),
                result.threads,
                if result.threads == 1 { "" } else { "s" },
            );
        }
        let _ = writeln!(text, "selected: {}", document.selected);
        text
    })?;
    Ok(Exit::Ok)
}

/// Scans with every thread for `time`, all beginning at once.
fn measure(kernel: &'static dyn Kernel, threads: u16, time: Duration) -> Measured {
    let start = Barrier::new(usize::from(threads));
    let counted: Vec<(u64, f64)> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    scan_for(kernel, index, time)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    let hashes = counted.iter().map(|(hashes, _)| hashes).sum();
    let elapsed_s = counted
        .iter()
        .map(|(_, elapsed)| *elapsed)
        .fold(0.0, f64::max);
    Measured {
        kernel: kernel.name(),
        threads,
        hashes,
        elapsed_s,
        hashrate_hs: hashes as f64 / elapsed_s,
    }
}

fn scan_for(kernel: &dyn Kernel, index: u16, time: Duration) -> (u64, f64) {
    let versions: Vec<i32> = (0..VERSIONS).map(|roll| 0x2000_0000 | roll << 13).collect();
    let mut header = [0x5a; 80];
    // A merkle root of its own for each thread, and a target that nothing meets.
    header[36..38].copy_from_slice(&index.to_le_bytes());
    let job = ScanJob::new(&header, &versions, Target::from_be_bytes([0; 32]));
    let started = Instant::now();
    let (mut hashes, mut nonce) = (0, 0_u32);
    while started.elapsed() < time {
        hashes += kernel.scan(
            &job,
            NonceRange {
                start: nonce,
                count: SLICE,
            },
            &mut |_| ControlFlow::Continue(()),
        );
        nonce = nonce.wrapping_add(SLICE as u32);
    }
    (hashes, started.elapsed().as_secs_f64())
}
