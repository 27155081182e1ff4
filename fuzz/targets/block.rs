//! Raw blocks, decoded and checked; any file with a block is a seed.
#![no_main]

use bitcoin::consensus::serialize;
use fuzz::{properties, seed_or_mutate, synthetic};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|raw: &[u8]| properties::block(raw));

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        seed_or_mutate(&serialize(&synthetic::block()), data, size, max_size)
    }
);
