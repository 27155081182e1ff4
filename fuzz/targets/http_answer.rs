//! Raw bytes as the answer to a JSON-RPC call, over a socket; `$ID` in them becomes the request's id.
#![no_main]

use fuzz::{node_properties, seed_or_mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"result\":null,\"error\":null,\"id\":$ID}";

fuzz_target!(|raw: &[u8]| node_properties::http_answer(raw));

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        seed_or_mutate(ANSWER, data, size, max_size)
    }
);
