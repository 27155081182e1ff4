//! Hashing of many headers and of many merkle pairs, and one at a time.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pow::{sha256d, sha256d_64, sha256d_80};

const COUNT: usize = 2048;

fn hash(criterion: &mut Criterion) {
    let headers: Vec<[u8; 80]> = (0..COUNT)
        .map(|n| std::array::from_fn(|i| (n * 31 + i * 7) as u8))
        .collect();
    let pairs: Vec<[u8; 64]> = (0..COUNT)
        .map(|n| std::array::from_fn(|i| (n * 31 + i * 7) as u8))
        .collect();
    let mut digests = vec![[0; 32]; COUNT];

    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("80-byte headers, batch", |b| {
        b.iter(|| sha256d_80(black_box(&headers), &mut digests));
    });
    group.bench_function("64-byte pairs, batch", |b| {
        b.iter(|| sha256d_64(black_box(&pairs), &mut digests));
    });
    group.bench_function("80-byte headers, one by one", |b| {
        b.iter(|| {
            for (header, digest) in black_box(&headers).iter().zip(&mut digests) {
                *digest = sha256d(header);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, hash);
criterion_main!(benches);
