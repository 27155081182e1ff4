//! Eight SHA-256 words side by side in an AVX2 register.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32,
    _mm256_movemask_ps, _mm256_or_si256, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256,
    _mm256_xor_si256,
};

use crate::scan::ScanWord;
use crate::sha256::batch::{BatchWord, hash_digest_lanes, hash_lanes};
use crate::sha256::many::{Lanes, hash_chains};
use crate::sha256::{Message, Word};

/// Whether this CPU has what this module uses.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Eight 32-bit lanes.
///
/// To be used in functions with `#[target_feature(enable = "avx2")]` only, into which all of its
/// methods are inlined: that is what makes the calls below sound.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Word(pub(crate) __m256i);

/// Calls an AVX2 intrinsic from a method of [`Avx2Word`].
macro_rules! avx2 {
    ($intrinsic:ident::<$shift:ident>($x:expr)) => {
        // SAFETY: values of this type exist only where AVX2 was found.
        Self(unsafe { $intrinsic::<$shift>($x) })
    };
    ($intrinsic:ident($($x:expr),*)) => {
        // SAFETY: values of this type exist only where AVX2 was found.
        Self(unsafe { $intrinsic($($x),*) })
    };
}

impl Word for Avx2Word {
    const LANES: usize = 8;
    #[inline(always)]
    fn splat(value: u32) -> Self {
        avx2!(_mm256_set1_epi32(value.cast_signed()))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        avx2!(_mm256_add_epi32(self.0, other.0))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        avx2!(_mm256_xor_si256(self.0, other.0))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        avx2!(_mm256_and_si256(self.0, other.0))
    }
    #[inline(always)]
    fn rotr<const R: i32, const L: i32>(self) -> Self {
        let (right, left) = (self.shr::<R>(), avx2!(_mm256_slli_epi32::<L>(self.0)));
        avx2!(_mm256_or_si256(right.0, left.0))
    }
    #[inline(always)]
    fn shr<const R: i32>(self) -> Self {
        avx2!(_mm256_srli_epi32::<R>(self.0))
    }
}

impl ScanWord for Avx2Word {
    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        Self::from_lanes(|i| first.wrapping_add(i as u32).swap_bytes())
    }
    #[inline(always)]
    fn zero_lanes(self) -> u32 {
        // SAFETY: values of this type exist only where AVX2 was found.
        let mask = unsafe {
            _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(
                self.0,
                _mm256_setzero_si256(),
            )))
        };
        mask.cast_unsigned()
    }
}

impl BatchWord for Avx2Word {
    #[inline(always)]
    fn from_lanes(lane: impl FnMut(usize) -> u32) -> Self {
        let [a, b, c, d, e, f, g, h] = std::array::from_fn(lane).map(u32::cast_signed);
        avx2!(_mm256_setr_epi32(a, b, c, d, e, f, g, h))
    }
    #[inline(always)]
    fn to_lanes(self, mut lane: impl FnMut(usize, u32)) {
        let mut values = [0_u32; 8];
        // SAFETY: values of this type exist only where AVX2 was found; the array has room for all 32 bytes.
        unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), self.0) };
        for (i, value) in values.into_iter().enumerate() {
            lane(i, value);
        }
    }
}

/// Double SHA-256 of messages of 64, 80, 96 or 112 bytes, eight at a time.
#[target_feature(enable = "avx2")]
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    hash_lanes::<Avx2Word, LEN>(messages, out);
}

/// Double SHA-256 of each message, in eight chains.
#[target_feature(enable = "avx2")]
pub(crate) fn hash_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    hash_chains(Lanes::<Avx2Word, 8>::new(), messages, out);
    hash_digest_lanes::<Avx2Word>(out);
}
