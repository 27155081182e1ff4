//! What the fuzz targets share: the properties that the tests of `advisor`, `chain` and `node` check as well.

#[path = "../crates/advisor/tests/support/properties.rs"]
pub mod advice_properties;
#[path = "../crates/node/tests/support/properties.rs"]
pub mod node_properties;
#[path = "../crates/chain/tests/support/properties.rs"]
pub mod properties;
#[path = "../crates/chain/tests/support/synthetic.rs"]
pub mod synthetic;

/// Begins afresh from `seed` where there is next to nothing to mutate, and else mutates as libFuzzer
/// does: a corpus need not exist to be found. Returns the size.
pub fn seed_or_mutate(seed: &[u8], data: &mut [u8], size: usize, max_size: usize) -> usize {
    if size <= 1 && seed.len() <= max_size {
        data[..seed.len()].copy_from_slice(seed);
        return seed.len();
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}
