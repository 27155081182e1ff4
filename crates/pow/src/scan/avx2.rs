//! The kernel for AVX2: eight nonces side by side.

use std::ops::ControlFlow;

use super::{Hit, Kernel, NonceRange, ScanJob, lanes};
use crate::sha256::Word;
use crate::x86::avx2::{Avx2Word, is_supported};

/// For CPUs with `avx2`; where they have the SHA extensions too, those are faster.
pub(crate) struct Avx2;

impl Kernel for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn is_supported(&self) -> bool {
        is_supported()
    }

    fn lanes(&self) -> u32 {
        Avx2Word::LANES as u32
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        #[target_feature(enable = "avx2")]
        fn scan(
            job: &ScanJob,
            range: NonceRange,
            on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> u64 {
            lanes::scan::<Avx2Word>(job, range, on_hit)
        }

        assert!(self.is_supported(), "this CPU has no AVX2");
        // SAFETY: the CPU has the feature that `scan` is compiled for, as was just checked.
        unsafe { scan(job, range, on_hit) }
    }
}
