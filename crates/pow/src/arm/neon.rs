//! Four SHA-256 words side by side in a NEON register.

use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vaddvq_u32, vandq_u32, vbslq_u32, vceqzq_u32, vdupq_n_u32, veorq_u32,
    vld1q_u32, vshlq_n_u32, vshrq_n_u32, vsriq_n_u32, vst1q_u32,
};
use std::arch::is_aarch64_feature_detected;

use crate::scan::ScanWord;
use crate::sha256::batch::{BatchWord, hash_digest_lanes, hash_lanes};
use crate::sha256::many::{Lanes, hash_chains};
use crate::sha256::{Message, Word};

/// Whether this core has what this module uses.
pub(crate) fn is_supported() -> bool {
    is_aarch64_feature_detected!("neon")
}

/// Four 32-bit lanes.
///
/// To be used in functions with `#[target_feature(enable = "neon")]` only, into which all of its
/// methods are inlined: that is what makes the calls below sound.
#[derive(Clone, Copy)]
pub(crate) struct NeonWord(uint32x4_t);

/// Calls a NEON intrinsic from a method of [`NeonWord`].
macro_rules! neon {
    ($intrinsic:ident $(::<$shift:ident>)? ($($x:expr),*)) => {
        // SAFETY: values of this type exist only where NEON was found.
        Self(unsafe { $intrinsic $(::<$shift>)? ($($x),*) })
    };
}

impl Word for NeonWord {
    const LANES: usize = 4;
    #[inline(always)]
    fn splat(value: u32) -> Self {
        neon!(vdupq_n_u32(value))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        neon!(vaddq_u32(self.0, other.0))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        neon!(veorq_u32(self.0, other.0))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        neon!(vandq_u32(self.0, other.0))
    }
    #[inline(always)]
    fn rotr<const R: i32, const L: i32>(self) -> Self {
        let left = neon!(vshlq_n_u32::<L>(self.0));
        neon!(vsriq_n_u32::<R>(left.0, self.0))
    }
    #[inline(always)]
    fn shr<const R: i32>(self) -> Self {
        neon!(vshrq_n_u32::<R>(self.0))
    }
    #[inline(always)]
    fn ch(self, f: Self, g: Self) -> Self {
        neon!(vbslq_u32(self.0, f.0, g.0))
    }
    #[inline(always)]
    fn maj(self, b: Self, c: Self) -> Self {
        neon!(vbslq_u32(self.xor(b).0, c.0, b.0))
    }
}

impl ScanWord for NeonWord {
    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        Self::from_lanes(|i| first.wrapping_add(i as u32).swap_bytes())
    }
    #[inline(always)]
    fn zero_lanes(self) -> u32 {
        let bits = Self::from_lanes(|i| 1 << i);
        // SAFETY: values of this type exist only where NEON was found.
        unsafe { vaddvq_u32(vandq_u32(vceqzq_u32(self.0), bits.0)) }
    }
}

impl BatchWord for NeonWord {
    #[inline(always)]
    fn from_lanes(lane: impl FnMut(usize) -> u32) -> Self {
        let values: [u32; 4] = std::array::from_fn(lane);
        neon!(vld1q_u32(values.as_ptr()))
    }
    #[inline(always)]
    fn to_lanes(self, mut lane: impl FnMut(usize, u32)) {
        let mut values = [0_u32; 4];
        // SAFETY: values of this type exist only where NEON was found; the array has room for all 16 bytes.
        unsafe { vst1q_u32(values.as_mut_ptr(), self.0) };
        for (i, value) in values.into_iter().enumerate() {
            lane(i, value);
        }
    }
}

/// Double SHA-256 of messages of 64 to 119 bytes, four at a time.
#[target_feature(enable = "neon")]
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    hash_lanes::<NeonWord, LEN>(messages, out);
}

/// Double SHA-256 of each message, in four chains.
#[target_feature(enable = "neon")]
pub(crate) fn hash_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    hash_chains(Lanes::<NeonWord, 4>::new(), messages, out);
    hash_digest_lanes::<NeonWord>(out);
}
