//! Cycles per hash of each scan kernel and of the batches: the least of many short slices, which interruptions by
//! the rest of a shared machine do not reach. x86-64 only.
//!
//! `cargo bench -p signalcore-pow --bench cycles [-- SECONDS_PER_KERNEL]`
#![allow(clippy::print_stdout, reason = "prints its table")]
#![allow(unsafe_code, reason = "reads the time-stamp counter")]

#[cfg(target_arch = "x86_64")]
mod measure {
    use std::arch::asm;
    use std::arch::x86_64::_rdtsc;
    use std::hint::black_box;
    use std::ops::ControlFlow;
    use std::time::{Duration, Instant};

    use pow::{Kernel, NonceRange, ScanJob, Target, kernels, sha256d, sha256d_64, sha256d_80};

    fn ticks() -> u64 {
        // SAFETY: reads a counter that every x86-64 CPU has.
        unsafe { _rdtsc() }
    }

    /// The fewest ticks that `work` takes.
    fn fewest_ticks(duration: Duration, mut work: impl FnMut()) -> u64 {
        let end = Instant::now() + duration;
        let mut fewest = u64::MAX;
        while Instant::now() < end {
            let start = ticks();
            work();
            fewest = fewest.min(ticks() - start);
        }
        fewest
    }

    /// Core cycles per tick: the counter runs at the nominal clock, the core at whatever it can.
    fn cycles_per_tick() -> f64 {
        let ticks = fewest_ticks(Duration::from_millis(300), || {
            let mut sum = 1_u64;
            for _ in 0..1000 {
                // SAFETY: ten additions, each of which waits a cycle for the one before; nothing else is touched.
                unsafe {
                    asm!(
                        "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}",
                        "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}", "add {0}, {0}",
                        inout(reg) sum, options(pure, nomem, nostack)
                    );
                }
            }
            black_box(sum);
        });
        10_000.0 / ticks as f64
    }

    fn cycles_per_hash(
        kernel: &dyn Kernel,
        versions: i32,
        duration: Duration,
        cycles_per_tick: f64,
    ) -> f64 {
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
        let ticks = fewest_ticks(duration, || {
            let hashes = kernel.scan(black_box(&job), range, &mut |_| ControlFlow::Break(()));
            assert_eq!(hashes, SLICE);
        });
        ticks as f64 * cycles_per_tick / SLICE as f64
    }

    /// Cycles per 80-byte header and per 64-byte pair in a batch, and per header alone.
    fn cycles_per_digest(duration: Duration, cycles_per_tick: f64) -> [f64; 3] {
        const COUNT: usize = 128;
        let headers = black_box([[7; 80]; COUNT]);
        let pairs = black_box([[7; 64]; COUNT]);
        let mut digests = [[0; 32]; COUNT];
        let ticks = [
            fewest_ticks(duration, || sha256d_80(&headers, &mut digests)),
            fewest_ticks(duration, || sha256d_64(&pairs, &mut digests)),
            fewest_ticks(duration, || {
                for header in &headers {
                    black_box(sha256d(header));
                }
            }),
        ];
        ticks.map(|ticks| ticks as f64 * cycles_per_tick / COUNT as f64)
    }

    pub fn run(duration: Duration) {
        let per_tick = cycles_per_tick();
        println!("core cycles per tick of the time-stamp counter: {per_tick:.3}");
        println!("cycles per hash{:>10}{:>10}{:>10} versions", 1, 16, 64);
        for kernel in kernels().iter().filter(|kernel| kernel.is_supported()) {
            let [one, some, many] =
                [1, 16, 64].map(|count| cycles_per_hash(*kernel, count, duration, per_tick));
            println!("{:<15}{one:>10.1}{some:>10.1}{many:>10.1}", kernel.name());
        }
        let [header, pair, alone] = cycles_per_digest(duration, per_tick);
        println!(
            "cycles per digest: {header:.0} header of a batch, {pair:.0} pair of a batch, {alone:.0} header alone"
        );
    }
}

fn main() {
    let seconds = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1.0);
    #[cfg(target_arch = "x86_64")]
    measure::run(std::time::Duration::from_secs_f64(seconds));
    #[cfg(not(target_arch = "x86_64"))]
    println!("cycles are counted on x86-64 only ({seconds} s asked for)");
}
