//! A publisher's bytes through those parts of the guard that touch no socket: greeting, frames, messages.
#![no_main]

use fuzz::seed_or_mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use node::zmq::properties;

const GREETING: usize = 64;
const READY: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB";
/// A PING and a message.
const FRAMES: &[u8] =
    b"\x04\x09\x04PING\0\x0aab\x01\x09hashblock\x01\x200123456789abcdef0123456789abcdef\0\x04\0\0\0\0";
/// A block of 96 bytes begins.
const BLOCK: &[u8] = b"\x01\x08rawblock\x01\x60";

fuzz_target!(|raw: &[u8]| {
    properties::greeting(raw);
    let frames = raw.get(GREETING + READY.len()..).unwrap_or_default();
    let size = raw.first().copied().unwrap_or_default();
    properties::frames(frames, &[usize::from(size), 3]);
    properties::starts(frames, &[usize::from(size), 3]);
    let parts = raw.splitn(3, |byte| *byte == size);
    properties::message(&parts.map(Vec::from).collect::<Vec<_>>());
});

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        let mut greeting = [0; GREETING];
        (greeting[0], greeting[9]) = (0xff, 0x7f);
        greeting[10..16].copy_from_slice(b"\x03\x01NULL");
        let session = [&greeting[..], READY, FRAMES, BLOCK, &[7; 96], b"\0\0"].concat();
        seed_or_mutate(&session, data, size, max_size)
    }
);
