//! The hybrid on the SHA extensions and AVX2.

use std::ops::ControlFlow;

use super::hybrid::{self, LANES};
use super::{Hit, Kernel, NonceRange, ScanJob, shani};
use crate::x86;

/// For CPUs with `sha`, `sse4.1`, `ssse3`, `avx2`.
pub(crate) struct ShaNiAvx2;

impl Kernel for ShaNiAvx2 {
    fn name(&self) -> &'static str {
        "shani-avx2"
    }

    fn is_supported(&self) -> bool {
        x86::shani::is_supported() && x86::avx2::is_supported()
    }

    fn lanes(&self) -> u32 {
        LANES as u32
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        assert!(
            self.is_supported(),
            "this CPU lacks the SHA extensions or AVX2"
        );
        if job.versions().len() < LANES {
            // Too few to fill a vector.
            return shani::ShaNi.scan(job, range, on_hit);
        }
        // SAFETY: the CPU has the features that `scan` is compiled for, as was just checked.
        unsafe { scan(job, range, on_hit) }
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3,avx2")]
fn scan(job: &ScanJob, range: NonceRange, on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>) -> u64 {
    // SAFETY: this function is compiled for what the hybrids need.
    unsafe { hybrid::scan(job, range, on_hit) }
}
