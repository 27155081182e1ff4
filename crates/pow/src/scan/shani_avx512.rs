//! The hybrid on the SHA extensions and AVX-512: its rotations and three-way logic in registers of AVX2's width.

use std::ops::ControlFlow;

use super::hybrid::{self, LANES};
use super::{Hit, Kernel, NonceRange, ScanJob, shani};
use crate::x86;

/// For CPUs with `sha`, `sse4.1`, `ssse3`, `avx2`, `avx512f`, `avx512vl`.
pub(crate) struct ShaNiAvx512;

impl Kernel for ShaNiAvx512 {
    fn name(&self) -> &'static str {
        "shani-avx512"
    }

    fn is_supported(&self) -> bool {
        x86::shani::is_supported()
            && x86::avx2::is_supported()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
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
            "this CPU lacks the SHA extensions or AVX-512VL"
        );
        if job.versions().len() < LANES {
            // Too few to fill a vector.
            return shani::ShaNi.scan(job, range, on_hit);
        }
        // SAFETY: the CPU has the features that `scan` is compiled for, as was just checked.
        unsafe { scan(job, range, on_hit) }
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3,avx2,avx512f,avx512vl")]
fn scan(job: &ScanJob, range: NonceRange, on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>) -> u64 {
    // SAFETY: this function is compiled for what the hybrids need.
    unsafe { hybrid::scan(job, range, on_hit) }
}
