//! Work that `scripts/instructions.sh` counts in instructions, by running it under valgrind.
//!
//! Without arguments: a line for each piece of work, with how many units of what it is. With the name of one and a number:
//! does it that many times. What one time takes is the difference between two runs; setting up
//! drops out.
//!
//! What is chosen by the CPU is chosen by what valgrind shows of it: no SHA extensions, no AVX-512.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "prints its list")]

use std::hint::black_box;
use std::ops::ControlFlow;

use bitcoin::block::Version;
use bitcoin::hashes::Hash as _;
use chain::{BlockContext, Network, Verdict, check_block, header_bytes, verify_headers};
use pow::{Kernel, NonceRange, ScanJob, Target, kernels, sha256d, sha256d_64, sha256d_80};

/// A piece of work: its name, how many units of what it is, and what makes it.
struct Case {
    name: String,
    units: u64,
    unit: &'static str,
    work: Box<dyn FnMut()>,
}

impl Case {
    fn new(name: &str, units: u64, unit: &'static str, work: impl FnMut() + 'static) -> Self {
        Self {
            name: name.to_owned(),
            units,
            unit,
            work: Box::new(work),
        }
    }
}

fn cases() -> Vec<Case> {
    let supported = kernels().iter().filter(|kernel| kernel.is_supported());
    let mut cases: Vec<Case> = supported.map(|kernel| scan(*kernel)).collect();

    let (headers, pairs) = (vec![[7; 80]; 256], vec![[7; 64]; 256]);
    let mut digests = [[0; 32]; 256];
    cases.push(Case::new("headers-hashed", 256, "header", move || {
        sha256d_80(black_box(&headers), &mut digests);
    }));
    cases.push(Case::new("merkle-pairs-hashed", 256, "pair", move || {
        sha256d_64(black_box(&pairs), &mut digests);
    }));
    cases.push(Case::new("header-hashed-alone", 1, "header", || {
        black_box(sha256d(black_box(&[7; 80])));
    }));
    cases.push(verified_headers());
    cases.push(checked_block());
    cases
}

fn scan(kernel: &'static dyn Kernel) -> Case {
    let header = std::array::from_fn(|i| (i * 151 + 17) as u8);
    let versions: Vec<i32> = (0..16).map(|i| 0x2000_0000 | i << 13).collect();
    let target = Target::from_expected_hashes(2_f64.powi(80));
    let job = ScanJob::new(&header, &versions, target);
    let range = NonceRange {
        start: 0,
        count: 64,
    };
    let name = format!("scan-{}", kernel.name());
    Case::new(&name, 1024, "hash", move || {
        let hashes = kernel.scan(black_box(&job), range, &mut |_| ControlFlow::Break(()));
        assert_eq!(hashes, 1024);
    })
}

fn verified_headers() -> Case {
    const COUNT: u32 = 200;
    let mut last = *Network::Regtest.genesis_header();
    let target = Network::Regtest.params().pow_limit;
    let mut raw = header_bytes(&last).to_vec();
    for _ in 1..COUNT {
        last.prev_blockhash = last.block_hash();
        last.version = Version::from_consensus(4);
        last.time += 600;
        while !target.is_met_by(last.block_hash().as_byte_array()) {
            last.nonce = last.nonce.wrapping_add(1);
        }
        raw.extend_from_slice(&header_bytes(&last));
    }
    Case::new("headers-verified", u64::from(COUNT), "header", move || {
        let report = verify_headers(
            Network::Regtest,
            0,
            black_box(&raw),
            COUNT,
            0.7,
            Some(u32::MAX),
        );
        assert_eq!(report.verdict, Verdict::Authentic);
    })
}

fn checked_block() -> Case {
    let raw = bitcoin_test_data::blocks::mainnet_702861();
    let context = BlockContext {
        height: Some(702_861),
        ..BlockContext::new(Network::Main)
    };
    Case::new("block-checked", raw.len() as u64, "byte", move || {
        let report = check_block(black_box(raw), &context);
        assert_eq!(report.verdict(), Verdict::Authentic);
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut cases = cases();
    if let [name, times] = &arguments[..] {
        let case = cases.iter_mut().find(|case| case.name == *name);
        let case = case.expect("the name of a piece of work");
        for _ in 0..times.parse().expect("a number of times") {
            (case.work)();
        }
        return;
    }
    for case in cases {
        println!("{} {} {}", case.name, case.units, case.unit);
    }
}
