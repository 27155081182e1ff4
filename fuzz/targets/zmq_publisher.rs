//! Raw bytes as the publisher, over a socket, to a whole subscriber. The first byte says how much of a proper handshake
//! comes before them.
#![no_main]

use fuzz::{node_properties, seed_or_mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// A PING and a message, after a whole handshake.
const SESSION: &[u8] = b"\x02\x04\x09\x04PING\0\x0aab\x01\x09hashblock\x01\x200123456789abcdef0123456789abcdef\0\x04\0\0\0\0";

fuzz_target!(|raw: &[u8]| node_properties::publisher(raw));

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        seed_or_mutate(SESSION, data, size, max_size)
    }
);
