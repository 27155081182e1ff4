//! Which header versions a job may be searched with (BIP320).

use crate::template::Template;

/// The version bits that BIP320 gives to miners.
pub const VERSION_ROLLING_MASK: u32 = 0x1fff_e000;

/// Most versions of one job: enough for a kernel to share its work among, each bit set in half of
/// them, well below what a node takes for signalling.
pub const MAX_VERSIONS: usize = 64;

const TOP_BITS_MASK: u32 = 0xe000_0000;
const TOP_BITS: u32 = 0x2000_0000;

/// Whether a header is searched with several versions at once, which share most of a hash's work.
///
/// Bitcoin Core never lists `version` in a template's `mutable`, and accepts every version that this makes.
/// Where the version is committed to by others (signets with a challenge), or a rule is not known here, there is
/// [no job](crate::JobError) at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VersionRolling {
    /// Yes, unless the template requires version bits: who does so may care for the others too.
    #[default]
    Auto,
    /// Yes. Bits that the template requires stay as they are.
    On,
    /// No: the template's own version only.
    Off,
}

/// The versions of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Versions {
    /// They differ in bits that mean nothing; the template's own first.
    all: Vec<i32>,
    /// Whether the template requires bits.
    required: bool,
}

impl Versions {
    /// Only the template's own where that is not in the BIP9 form. Bits that a deployment uses, or that the
    /// template has set or requires, stay as they are.
    pub fn of(template: &Template) -> Self {
        let base = template.version.cast_unsigned();
        let free = if base & TOP_BITS_MASK == TOP_BITS {
            let taken = template.vbavailable.values().filter(|bit| **bit < 32);
            let taken = taken.fold(base | template.vbrequired, |mask, bit| mask | 1 << bit);
            VERSION_ROLLING_MASK & !taken
        } else {
            0
        };
        let mut all = Vec::with_capacity(MAX_VERSIONS);
        let mut rolled = 0_u32;
        loop {
            all.push((base | rolled).cast_signed());
            // The next subset of the free bits, in counting order; zero again after the last.
            rolled = rolled.wrapping_sub(free) & free;
            if rolled == 0 || all.len() == MAX_VERSIONS {
                break;
            }
        }
        let required = template.vbrequired != 0;
        Self { all, required }
    }

    /// Those to search with, never none.
    pub fn with(&self, rolling: VersionRolling) -> &[i32] {
        match rolling {
            VersionRolling::On => &self.all,
            VersionRolling::Auto if !self.required => &self.all,
            VersionRolling::Auto | VersionRolling::Off => &self.all[..1],
        }
    }
}
