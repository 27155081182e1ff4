//! Chains of mined headers, honest and not, with reorganisations; the input is a script, not headers.
#![no_main]

use fuzz::properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| properties::regtest_chain(script));
