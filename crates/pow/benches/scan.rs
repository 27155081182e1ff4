//! Hash rate of each scan kernel on one thread.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pow::{NonceRange, ScanJob, Target, kernels};

/// A block header as a miner would have it; any bytes do.
fn header() -> [u8; 80] {
    std::array::from_fn(|i| (i * 151 + 17) as u8)
}

fn versions(count: i32) -> Vec<i32> {
    (0..count).map(|i| 0x2000_0000 | i << 13).collect()
}

/// Hashes in one measured slice: a quarter of a millisecond or so.
const SLICE: u64 = 1 << 14;

fn scan(criterion: &mut Criterion) {
    let target = Target::from_expected_hashes(2_f64.powi(80));
    let mut group = criterion.benchmark_group("scan");
    group
        .throughput(Throughput::Elements(SLICE))
        .warm_up_time(Duration::from_millis(500));
    for kernel in kernels().iter().filter(|kernel| kernel.is_supported()) {
        for count in [1, 64] {
            let job = ScanJob::new(&header(), &versions(count), target);
            let range = NonceRange {
                start: 0,
                count: SLICE / u64::from(count.unsigned_abs()),
            };
            let id = BenchmarkId::new(kernel.name(), format!("{count} versions"));
            group.bench_function(id, |bencher| {
                bencher
                    .iter(|| kernel.scan(black_box(&job), range, &mut |_| ControlFlow::Break(())));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
