//! nBits, targets and work.
#![no_main]

use fuzz::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| properties::target(raw));
