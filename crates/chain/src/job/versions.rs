//! Which header versions a job may be searched with (BIP320).

use crate::template::Template;

/// The version bits that BIP320 gives to miners.
pub const VERSION_ROLLING_MASK: u32 = 0x1fff_e000;

/// Most versions of one job: enough for a kernel to share its work among, each bit set in half of
/// them, well below what a node takes for signalling.
pub const MAX_VERSIONS: usize = 64;

const TOP_BITS_MASK: u32 = 0xe000_0000;
const TOP_BITS: u32 = 0x2000_0000;

/// The versions that differ in bits that mean nothing, the template's own first.
///
/// Only that one where the template asks for certain bits, or is not in the BIP9 form. Bits that a
/// deployment uses, or that the template has set, stay as they are.
pub(crate) fn rolled_versions(template: &Template) -> Vec<i32> {
    let base = template.version.cast_unsigned();
    let free = if template.vbrequired != 0 || base & TOP_BITS_MASK != TOP_BITS {
        0
    } else {
        let taken = template.vbavailable.values().filter(|bit| **bit < 32);
        let taken = taken.fold(base, |mask, bit| mask | 1 << bit);
        VERSION_ROLLING_MASK & !taken
    };
    let mut versions = Vec::with_capacity(MAX_VERSIONS);
    let mut rolled = 0_u32;
    loop {
        versions.push((base | rolled).cast_signed());
        // The next subset of the free bits, in counting order; zero again after the last.
        rolled = rolled.wrapping_sub(free) & free;
        if rolled == 0 || versions.len() == MAX_VERSIONS {
            return versions;
        }
    }
}
