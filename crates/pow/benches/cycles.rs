//! What each scan kernel and each batch takes at best: the least of many short slices, which
//! interruptions by the rest of a shared machine do not reach.
//!
//! `cargo bench -p signalcore-pow --bench cycles [-- SECONDS_PER_FIGURE]`
#![allow(clippy::print_stdout, reason = "prints its table")]
#![allow(
    unsafe_code,
    reason = "a chain of additions in assembly gives the clock"
)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pow::{
    Kernel, Message, NonceRange, ScanJob, Target, kernels, sha256d, sha256d_64, sha256d_80,
    sha256d_many,
};

/// The least time, in nanoseconds, that `work` takes in so many seconds of trying.
fn least_ns(seconds: f64, mut work: impl FnMut()) -> f64 {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut least = Duration::MAX;
    while Instant::now() < end {
        let start = Instant::now();
        work();
        least = least.min(start.elapsed());
    }
    least.as_nanos() as f64
}

/// The core's clock in cycles per nanosecond, whatever its nominal clock is; NaN where we cannot tell.
#[cfg(target_arch = "x86_64")]
fn clock_ghz() -> f64 {
    const ADDITIONS: f64 = 100_000.0;
    let ns = least_ns(0.3, || {
        let mut sum = 1_u64;
        for _ in 0..10_000 {
            // SAFETY: ten additions, each a cycle after the one before; nothing else is touched.
            unsafe {
                std::arch::asm!(
                    "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}",
                    "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}",
                    inout(reg) sum, options(pure, nomem, nostack)
                );
            }
        }
        black_box(sum);
    });
    ADDITIONS / ns
}

#[cfg(not(target_arch = "x86_64"))]
fn clock_ghz() -> f64 {
    f64::NAN
}

fn ns_per_hash(kernel: &dyn Kernel, versions: i32, seconds: f64) -> f64 {
    const SLICE: u64 = 1 << 12;
    let header = std::array::from_fn(|i| (i * 151 + 17) as u8);
    let versions: Vec<i32> = (0..versions).map(|i| 0x2000_0000 | i << 13).collect();
    let job = ScanJob::new(
        &header,
        &versions,
        Target::from_expected_hashes(2_f64.powi(80)),
    );
    let range = NonceRange {
        start: 0,
        count: SLICE / versions.len() as u64,
    };
    let ns = least_ns(seconds, || {
        let hashes = kernel.scan(black_box(&job), range, &mut |_| ControlFlow::Break(()));
        assert_eq!(hashes, SLICE);
    });
    ns / SLICE as f64
}

/// Messages in a batch.
const COUNT: usize = 256;

fn print(what: &str, ns: f64, ghz: f64) {
    println!("{what:<28}{:>10.2}{:>10.1}", 1e3 / ns, ns * ghz);
}

fn main() {
    let seconds = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1.0);
    let ghz = clock_ghz();
    println!(
        "{:<28}{:>10}{:>10}",
        format!("at {:.2} GHz", ghz),
        "MH/s",
        "cycles"
    );
    for kernel in kernels().iter().filter(|kernel| kernel.is_supported()) {
        for versions in [1, 16, 64] {
            let what = format!("scan {}, {versions} versions", kernel.name());
            print(&what, ns_per_hash(*kernel, versions, seconds), ghz);
        }
    }

    let (headers, pairs) = (vec![[7; 80]; COUNT], vec![[7; 64]; COUNT]);
    let mut digests = vec![[0; 32]; COUNT];
    let count = COUNT as f64;
    let ns = least_ns(seconds, || sha256d_80(black_box(&headers), &mut digests));
    print("headers, batch", ns / count, ghz);
    let ns = least_ns(seconds, || sha256d_64(black_box(&pairs), &mut digests));
    print("merkle pairs, batch", ns / count, ghz);
    let ns = least_ns(seconds, || {
        for header in black_box(&headers) {
            black_box(sha256d(header));
        }
    });
    print("headers, one by one", ns / count, ghz);
    for length in [150, 250, 400, 20_000] {
        let data = vec![7; length];
        let messages = [Message::from(&data[..]); COUNT];
        let blocks = count * ((length + 9).div_ceil(64) + 1) as f64;
        let ns = least_ns(seconds, || sha256d_many(black_box(&messages), &mut digests));
        print(&format!("{length} bytes, per block"), ns / blocks, ghz);
    }
}
