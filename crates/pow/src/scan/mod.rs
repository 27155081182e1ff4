//! Nonce scanning: what a kernel is given, what it reports, and which kernels there are.

#[cfg(target_arch = "aarch64")]
mod armv8;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod hybrid;
mod job;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod self_test;
#[cfg(target_arch = "x86_64")]
mod shani;
#[cfg(target_arch = "x86_64")]
mod shani_avx2;
#[cfg(target_arch = "x86_64")]
mod shani_avx512;
#[cfg(target_arch = "x86_64")]
mod sse2;

use std::fmt;
use std::ops::ControlFlow;

pub use job::ScanJob;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use lanes::ScanWord;
pub use self_test::{KernelFault, SelfTestError, self_test};

/// Consecutive nonces: `start`, and `count` from there on.
///
/// A range never wraps: `start + count` is at most 2^32. Kernels stop at the last nonce
/// `0xffff_ffff` whatever the count says; a debug build panics on such a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NonceRange {
    /// The first nonce.
    pub start: u32,
    /// How many nonces, of any number from 0 to 2^32; kernels handle what is no multiple of their lanes.
    pub count: u64,
}

impl NonceRange {
    /// Every nonce there is.
    pub const ALL: Self = Self {
        start: 0,
        count: 1 << 32,
    };

    /// The count, cut off where nonces end.
    pub(crate) fn clamped_count(self) -> u64 {
        let room = (1 << 32) - u64::from(self.start);
        debug_assert!(self.count <= room, "{self:?} wraps past the last nonce");
        self.count.min(room)
    }
}

/// A header whose digest meets the job's target, compared in all 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hit {
    /// The version in the header.
    pub version: i32,
    /// The nonce in the header.
    pub nonce: u32,
    /// The header's double SHA-256 in the order in which SHA-256 gives it (explorers show it reversed).
    pub digest: [u8; 32],
}

/// A way to scan nonces, for one kind of CPU.
pub trait Kernel: Send + Sync {
    /// The name by which [`kernel`] finds it: lower case, no spaces.
    fn name(&self) -> &'static str;

    /// Whether this CPU has the instructions.
    fn is_supported(&self) -> bool;

    /// How many hashes it computes side by side. Ranges need not be multiples of it.
    fn lanes(&self) -> u32;

    /// Hashes each version of `job` with each nonce of `range`, exactly once each, and calls
    /// `on_hit` for every digest that meets the target, in no particular order.
    ///
    /// Returns the number of hashes done: versions times nonces. After a `Break` there are no
    /// further calls and the scan ends with the batch that it was in, whose hashes all count.
    ///
    /// # Panics
    /// When the kernel [is not supported](Self::is_supported) here.
    fn scan(
        &self,
        job: &ScanJob,
        range: NonceRange,
        on_hit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> u64;
}

/// All kernels compiled in, supported here or not, the one presumed fastest first.
pub fn kernels() -> &'static [&'static dyn Kernel] {
    &[
        #[cfg(target_arch = "x86_64")]
        &shani_avx512::ShaNiAvx512,
        #[cfg(target_arch = "x86_64")]
        &shani_avx2::ShaNiAvx2,
        #[cfg(target_arch = "x86_64")]
        &avx512::Avx512,
        #[cfg(target_arch = "x86_64")]
        &shani::ShaNi,
        #[cfg(target_arch = "x86_64")]
        &avx2::Avx2,
        #[cfg(target_arch = "x86_64")]
        &sse2::Sse2,
        #[cfg(target_arch = "aarch64")]
        &armv8::ArmV8,
        #[cfg(target_arch = "aarch64")]
        &neon::Neon,
        &scalar::Scalar,
    ]
}

/// The kernel of that name, or for `auto` the first of [`kernels`] that this CPU supports.
///
/// # Errors
/// When there is no kernel of that name, or this CPU cannot run it.
pub fn kernel(name: &str) -> Result<&'static dyn Kernel, KernelError> {
    let mut candidates = kernels().iter().copied();
    if name == "auto" {
        // The scalar kernel runs anywhere.
        return Ok(candidates
            .find(|kernel| kernel.is_supported())
            .unwrap_or(&scalar::Scalar));
    }
    match candidates.find(|kernel| kernel.name() == name) {
        Some(kernel) if kernel.is_supported() => Ok(kernel),
        Some(_) => Err(KernelError::Unsupported {
            name: name.to_owned(),
            available: Available,
        }),
        None => Err(KernelError::Unknown {
            name: name.to_owned(),
            available: Available,
        }),
    }
}

/// Why there is no such kernel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KernelError {
    /// No kernel of that name is compiled in.
    #[error("there is no hashing kernel {name:?}; this CPU can run: {available}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Displays the kernels that would do.
        available: Available,
    },
    /// This CPU lacks the instructions.
    #[error("this CPU lacks the instructions of hashing kernel {name:?}; it can run: {available}")]
    Unsupported {
        /// The name asked for.
        name: String,
        /// Displays the kernels that would do.
        available: Available,
    },
}

/// Displays the names that [`kernel`] accepts on this CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Available;

impl fmt::Display for Available {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto")?;
        for kernel in kernels().iter().filter(|kernel| kernel.is_supported()) {
            write!(f, ", {}", kernel.name())?;
        }
        Ok(())
    }
}
