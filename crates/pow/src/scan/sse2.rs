//! The kernel for SSE2: four nonces side by side.

use std::ops::ControlFlow;

use super::{Hit, Kernel, NonceRange, ScanJob, lanes};
use crate::sha256::Word;
use crate::x86::sse2::Sse2Word;

/// For any x86-64 CPU: SSE2 is part of that architecture.
pub(crate) struct Sse2;

impl Kernel for Sse2 {
    fn name(&self) -> &'static str {
        "sse2"
    }

    fn is_supported(&self) -> bool {
        true
    }

    fn lanes(&self) -> u32 {
        Sse2Word::LANES as u32
    }

    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64 {
        lanes::scan::<Sse2Word>(job, range, on_hit)
    }
}
