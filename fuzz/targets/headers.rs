//! Files of headers, on every network; any file with headers is a seed.
#![no_main]

use chain::{Network, header_bytes};
use fuzz::{properties, seed_or_mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|raw: &[u8]| properties::headers(raw));

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        let headers = Network::ALL.map(|network| header_bytes(network.genesis_header()));
        seed_or_mutate(headers.as_flattened(), data, size, max_size)
    }
);
