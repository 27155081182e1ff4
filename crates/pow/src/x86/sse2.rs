//! Four SHA-256 words side by side in an SSE2 register, which every x86-64 CPU has.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_and_si128, _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_movemask_ps,
    _mm_or_si128, _mm_set1_epi32, _mm_setr_epi32, _mm_setzero_si128, _mm_slli_epi32,
    _mm_srli_epi32, _mm_storeu_si128, _mm_xor_si128,
};

use crate::scan::ScanWord;
use crate::sha256::batch::{BatchWord, hash_digest_lanes, hash_lanes};
use crate::sha256::many::{Lanes, hash_chains};
use crate::sha256::{Message, Word};

/// Four 32-bit lanes.
#[derive(Clone, Copy)]
pub(crate) struct Sse2Word(pub(crate) __m128i);

/// Calls an SSE2 intrinsic from a method of [`Sse2Word`].
macro_rules! sse2 {
    ($intrinsic:ident::<$shift:ident>($x:expr)) => {
        // SAFETY: SSE2 is part of x86-64.
        Self(unsafe { $intrinsic::<$shift>($x) })
    };
    ($intrinsic:ident($($x:expr),*)) => {
        // SAFETY: SSE2 is part of x86-64.
        Self(unsafe { $intrinsic($($x),*) })
    };
}

impl Word for Sse2Word {
    const LANES: usize = 4;
    #[inline(always)]
    fn splat(value: u32) -> Self {
        sse2!(_mm_set1_epi32(value.cast_signed()))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        sse2!(_mm_add_epi32(self.0, other.0))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        sse2!(_mm_xor_si128(self.0, other.0))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        sse2!(_mm_and_si128(self.0, other.0))
    }
    #[inline(always)]
    fn rotr<const R: i32, const L: i32>(self) -> Self {
        let (right, left) = (self.shr::<R>(), sse2!(_mm_slli_epi32::<L>(self.0)));
        sse2!(_mm_or_si128(right.0, left.0))
    }
    #[inline(always)]
    fn shr<const R: i32>(self) -> Self {
        sse2!(_mm_srli_epi32::<R>(self.0))
    }
}

impl ScanWord for Sse2Word {
    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        Self::from_lanes(|i| first.wrapping_add(i as u32).swap_bytes())
    }
    #[inline(always)]
    fn zero_lanes(self) -> u32 {
        // SAFETY: SSE2 is part of x86-64.
        let mask = unsafe {
            _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(
                self.0,
                _mm_setzero_si128(),
            )))
        };
        mask.cast_unsigned()
    }
}

impl BatchWord for Sse2Word {
    #[inline(always)]
    fn from_lanes(lane: impl FnMut(usize) -> u32) -> Self {
        let [a, b, c, d] = std::array::from_fn(lane).map(u32::cast_signed);
        sse2!(_mm_setr_epi32(a, b, c, d))
    }
    #[inline(always)]
    fn to_lanes(self, mut lane: impl FnMut(usize, u32)) {
        let mut values = [0_u32; 4];
        // SAFETY: SSE2 is part of x86-64; the array has room for all 16 bytes.
        unsafe { _mm_storeu_si128(values.as_mut_ptr().cast(), self.0) };
        for (i, value) in values.into_iter().enumerate() {
            lane(i, value);
        }
    }
}

/// Double SHA-256 of messages of 64, 80, 96 or 112 bytes, four at a time.
pub(crate) fn hash_batch<const LEN: usize>(messages: &[[u8; LEN]], out: &mut [[u8; 32]]) {
    hash_lanes::<Sse2Word, LEN>(messages, out);
}

/// Double SHA-256 of each message, in four chains.
pub(crate) fn hash_many(messages: &[Message<'_>], out: &mut [[u8; 32]]) {
    hash_chains(Lanes::<Sse2Word, 4>::new(), messages, out);
    hash_digest_lanes::<Sse2Word>(out);
}
