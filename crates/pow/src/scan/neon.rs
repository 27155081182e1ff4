//! The kernel for NEON: four nonces side by side.

use std::ops::ControlFlow;

use super::{Hit, Kernel, NonceRange, ScanJob, lanes};
use crate::arm::neon::{NeonWord, is_supported};
use crate::sha256::Word;

/// For 64-bit ARM cores, which all have NEON; where they have SHA2 too, that is faster.
pub(crate) struct Neon;

impl Kernel for Neon {
    fn name(&self) -> &'static str {
        "neon"
    }

    fn is_supported(&self) -> bool {
        is_supported()
    }

    fn lanes(&self) -> u32 {
        NeonWord::LANES as u32
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        #[target_feature(enable = "neon")]
        fn scan(
            job: &ScanJob,
            range: NonceRange,
            on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> u64 {
            lanes::scan::<NeonWord>(job, range, on_hit)
        }

        assert!(self.is_supported(), "this core has no NEON");
        // SAFETY: the core has the feature that `scan` is compiled for, as was just checked.
        unsafe { scan(job, range, on_hit) }
    }
}
