//! What a miner starts with, on this machine's own kernels, with a clock of the tests' own.

#![allow(clippy::unwrap_used)]
use chain::{CoinbaseTag, Network, PayoutScript};
use tempfile::TempDir;
use time::macros::datetime;

use super::*;
use crate::tune::cache::Threads;

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const FREE: Forced = Forced {
    kernel: None,
    threads: false,
};

fn miner() -> MinerSettings {
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let payout = PayoutScript::parse(address, Network::Regtest).unwrap();
    let kernel = pow::kernel("auto").unwrap();
    MinerSettings::new(payout, CoinbaseTag::new("/test/").unwrap(), 7, kernel)
}

/// A place for the file, with what `tune` is to have written there: the slowest kernel, on three threads.
fn tuned() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("autotune.json");
    let threads = Threads {
        count: 3,
        versions: 16,
        thread_hs: 2e6,
    };
    let figures = ["scalar"].map(|kernel| Figure {
        kernel: kernel.to_owned(),
        hashrate_hs: 2.5e6,
        cycles_per_hash: Some(1_200.0),
    });
    Autotune::new(
        Key::of(&miner()),
        KernelSource::Tune,
        NOW,
        "scalar",
        Some(threads),
        figures.to_vec(),
    )
    .write(&file)
    .unwrap();
    (dir, file)
}

fn until_there(file: &Path) {
    let end = Instant::now() + Duration::from_mins(1);
    while !file.exists() {
        assert!(Instant::now() < end, "{} is not written", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_first_start_measures_and_the_next_one_takes_what_it_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("autotune.json");
    let mut first = miner();
    settle(&mut first, FREE, &file, NOW);
    assert_eq!(first.kernel_source, KernelSource::Start);
    assert_eq!(first.next_kernels.len(), key::supported().len());
    assert_eq!(first.kernel.name(), first.next_kernels[0].name());
    assert_eq!((first.threads, first.tuned_hs), (7, None));
    until_there(&file);
    let written = std::fs::read(&file).unwrap();

    let mut second = miner();
    settle(&mut second, FREE, &file, NOW + Duration::from_hours(23));
    assert_eq!(second.kernel.name(), first.kernel.name());
    assert_eq!(second.kernel_source, KernelSource::Start);
    assert_eq!(second.next_kernels.len(), first.next_kernels.len());
    assert_eq!(std::fs::read(&file).unwrap(), written);
}

#[test]
fn what_tune_found_is_used_for_kernel_threads_and_rate() {
    let (_dir, file) = tuned();
    let mut miner = miner();
    settle(&mut miner, FREE, &file, NOW + Duration::from_hours(1));
    assert_eq!(miner.kernel.name(), "scalar");
    assert_eq!(miner.kernel_source, KernelSource::Tune);
    assert_eq!((miner.threads, miner.tuned_hs), (3, Some(2e6)));
    assert_eq!(miner.most_versions, 16);
}

#[test]
fn what_is_forced_wins() {
    let (_dir, file) = tuned();
    let by = Some("mining.kernel");
    let kernel = miner().kernel.name();
    let mut forced = miner();
    settle(
        &mut forced,
        Forced {
            kernel: by,
            threads: true,
        },
        &file,
        NOW,
    );
    assert_eq!((forced.kernel.name(), forced.threads), (kernel, 7));
    assert_eq!(forced.kernel_source, KernelSource::Forced);

    // Each by itself; and what was measured with other threads or another kernel is no rate to be held against.
    let mut threads = miner();
    settle(
        &mut threads,
        Forced {
            kernel: None,
            threads: true,
        },
        &file,
        NOW,
    );
    assert_eq!((threads.kernel.name(), threads.threads), ("scalar", 7));
    assert_eq!(threads.tuned_hs, None);
    let mut kernels = miner();
    settle(
        &mut kernels,
        Forced {
            kernel: by,
            threads: false,
        },
        &file,
        NOW,
    );
    assert_eq!((kernels.kernel.name(), kernels.threads), (kernel, 3));
    assert_eq!(kernels.tuned_hs.is_some(), kernel == "scalar");
}

#[test]
fn a_forced_kernel_is_not_measured() {
    let dir = tempfile::tempdir().unwrap();
    let mut miner = miner();
    let forced = Forced {
        kernel: Some("SIGNALCORE_KERNEL"),
        threads: false,
    };
    settle(&mut miner, forced, &dir.path().join("autotune.json"), NOW);
    assert!(miner.next_kernels.is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_is_a_day_old_or_from_another_machine_is_measured_again() {
    let (_dir, file) = tuned();
    let later = NOW + Duration::from_hours(25);
    let mut old = miner();
    settle(&mut old, FREE, &file, later);
    assert_eq!(old.kernel_source, KernelSource::Start);
    assert_eq!((old.threads, old.tuned_hs), (7, None));

    let (_dir, file) = tuned();
    let other = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, other.replace("\"cpu\":\"", "\"cpu\":\"another ")).unwrap();
    let mut other = miner();
    settle(&mut other, FREE, &file, NOW);
    assert_eq!(other.kernel_source, KernelSource::Start);
    assert_eq!(other.threads, 7);
}

#[test]
fn a_kernel_that_failed_in_this_process_is_not_chosen_again() {
    let dir = tempfile::tempdir().unwrap();
    let fastest = {
        let mut miner = miner();
        settle(&mut miner, FREE, &dir.path().join("one.json"), NOW);
        miner.kernel.name()
    };
    let mut miner = miner();
    miner.kernel_faults.blame(fastest, "it panics");
    settle(&mut miner, FREE, &dir.path().join("two.json"), NOW);
    let is_only = key::supported().len() == 1;
    assert_eq!(miner.kernel.name() == fastest, is_only);
}

#[test]
fn the_words_give_the_chosen_kernel_first_and_then_the_others() {
    let figure = |kernel: &str, hashrate_hs, cycles_per_hash| Figure {
        kernel: kernel.to_owned(),
        hashrate_hs,
        cycles_per_hash,
    };
    let figures = [
        figure("shani", 34.4e6, Some(94.2)),
        figure("avx2", 15e6, Some(216.0)),
        figure("scalar", 2.8e6, Some(1_173.0)),
    ];
    assert_eq!(
        words(&figures, "shani"),
        "94 cycles/hash, 34.4 MH/s per thread; avx2 216, scalar 1173"
    );
    let figures = [figure("a", 2e6, None), figure("b", 1e6, None)];
    assert_eq!(words(&figures, "b"), "1.00 MH/s per thread; a 2.00 MH/s");
    assert_eq!(words(&[], "b"), "");
}
