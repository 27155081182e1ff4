//! The kernel for AVX-512: two streams of sixteen nonces side by side.

use std::ops::ControlFlow;

use super::{Hit, Kernel, NonceRange, ScanJob, lanes};
use crate::sha256::Word;
use crate::x86::avx512::{Avx512Word, Pair, is_supported};

/// 32 nonces, 16 to a vector.
type Lanes = Pair<Avx512Word>;

/// For CPUs with `avx512f`.
pub(crate) struct Avx512;

impl Kernel for Avx512 {
    fn name(&self) -> &'static str {
        "avx512"
    }

    fn is_supported(&self) -> bool {
        is_supported()
    }

    fn lanes(&self) -> u32 {
        Lanes::LANES as u32
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        #[target_feature(enable = "avx512f")]
        fn scan(
            job: &ScanJob,
            range: NonceRange,
            on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> u64 {
            lanes::scan::<Lanes>(job, range, on_hit)
        }

        assert!(self.is_supported(), "this CPU has no AVX-512");
        // SAFETY: the CPU has the feature that `scan` is compiled for, as was just checked.
        unsafe { scan(job, range, on_hit) }
    }
}
