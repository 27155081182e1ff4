//! The portable kernel: one hash at a time, in plain integers.

use std::ops::ControlFlow;

use super::{Hit, Kernel, NonceRange, ScanJob, lanes};

/// Runs anywhere; the reference for all others.
pub(crate) struct Scalar;

impl Kernel for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }

    fn is_supported(&self) -> bool {
        true
    }

    fn lanes(&self) -> u32 {
        1
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        lanes::scan::<u32>(job, range, on_hit)
    }
}
