//! Proof of work: SHA-256d kernels, targets, chainwork and nonce scanning.
//!
//! - [`Target`], [`NBits`] and [`Work`] are Bitcoin's 256-bit arithmetic, bit for bit that of
//!   Bitcoin Core's `arith_uint256`.
//! - [`sha256d`], [`sha256d_80`], [`sha256d_64`] and [`sha256d_many`] hash with the fastest
//!   instructions of this CPU.
//! - A [`ScanJob`] is a header to search: a [`Kernel`] goes through a [`NonceRange`] of it, for
//!   several header versions at once, and reports each [`Hit`]. [`kernels`] lists the kernels,
//!   [`kernel`] finds one by name, [`self_test`] tries one before it is relied on.
//!
//! No I/O, no threads, no clock. Everything compiles and works on any target; kernels for
//! particular instruction sets are compiled in for their architecture and chosen at run time.
//!
//! ```
//! use std::ops::ControlFlow;
//! use pow::{NonceRange, ScanJob, Target, kernel};
//!
//! let target = Target::from_expected_hashes(256.0);
//! let job = ScanJob::new(&[0; 80], &[0x2000_0000, 0x2000_2000], target);
//! let mut found = None;
//! let hashes = kernel("auto")?.scan(&job, NonceRange::ALL, &mut |hit| {
//!     found = Some(hit);
//!     ControlFlow::Break(())
//! });
//! let hit = found.expect("one of 2^33 hashes has eight leading zero bits");
//! assert!(target.is_met_by(&hit.digest));
//! assert!(hashes > 0);
//! # Ok::<(), pow::KernelError>(())
//! ```
#![allow(
    unsafe_code,
    reason = "SIMD kernels; the only crate of the workspace with unsafe code"
)]
#![allow(
    clippy::many_single_char_names,
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "the names of FIPS 180-4; lanes and rounds are indices; hashing is generic code that must be inlined"
)]

#[cfg(target_arch = "aarch64")]
mod arm;
mod nbits;
mod scan;
mod sha256;
mod target;
mod u256;
mod unroll;
mod work;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use nbits::{NBits, NBitsError, ParseHexError};
pub use scan::{
    Hit, Kernel, KernelError, KernelFault, NonceRange, ScanJob, SelfTestError, kernel, kernels,
    self_test,
};
pub use sha256::{Message, sha256d, sha256d_64, sha256d_80, sha256d_many};
pub use target::Target;
pub use work::Work;
