//! Raw bytes as an advisor's reply, and as what an advisor is asked.
#![no_main]

use fuzz::{advice_properties, seed_or_mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

const REPLY: &[u8] =
    br#"{"v":1,"id":"q1","recommendation":"HOLD","confidence":0.5,"reason":"low fees","hold_s":30}"#;

fuzz_target!(|raw: &[u8]| {
    advice_properties::reply(raw);
    advice_properties::request(raw);
});

fuzz_mutator!(
    |data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        seed_or_mutate(REPLY, data, size, max_size)
    }
);
